"""The agent's side: the client of the conversation API, liberal in what it reads.

The events of a streamed answer live in `gateway.amigo.stream`.
"""

from __future__ import annotations

from gateway.amigo.backoff import Backoff
from gateway.amigo.client import AmigoClient
from gateway.amigo.interaction import InteractionStream
from gateway.amigo.models import (
    AmigoOptions,
    ConversationInfo,
    FinishResult,
    Message,
    VoiceBody,
)
from gateway.amigo.revisions import R2025_06, R2026_04, Revision, revision_named

__all__ = [
    "R2025_06",
    "R2026_04",
    "AmigoClient",
    "AmigoOptions",
    "Backoff",
    "ConversationInfo",
    "FinishResult",
    "InteractionStream",
    "Message",
    "Revision",
    "VoiceBody",
    "revision_named",
]
