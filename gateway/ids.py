"""Identifiers as types: mixing up two of them is a type error, not a lost call."""

from __future__ import annotations

from typing import NewType

CallSid = NewType("CallSid", str)
"""The carrier's name of a call; key of every map (a stream may be replaced, the call stays)."""

StreamSid = NewType("StreamSid", str)
"""The carrier's name of one media stream of a call."""

ConversationId = NewType("ConversationId", str)
"""24 hex digits given by the conversation API."""

UserId = NewType("UserId", str)
"""A user of the organization; the conversation belongs to whoever the token names."""
