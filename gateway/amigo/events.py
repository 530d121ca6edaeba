"""What the conversation API can tell us while it answers: one closed union for every revision.

Wire facts: API page "V1/conversation" (2025-06) and the OpenAPI snapshot of spring 2026. Fields a
revision does not send have a neutral value, so nobody above this package asks which one it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from gateway.ids import ConversationId

Alignment: TypeAlias = tuple[tuple[int, str], ...]
"""(milliseconds since the agent's audio began, character) in the order of time."""


@dataclass(frozen=True, slots=True)
class ConversationCreated:
    """The conversation exists from here on and is owed a finish (`conversation-created`)."""

    conversation_id: ConversationId


@dataclass(frozen=True, slots=True)
class UserMessage:
    """What the service understood the caller to say (`user-message-available`)."""

    message_id: str
    text: str
    """Empty when nothing was understood."""


@dataclass(frozen=True, slots=True)
class AgentAction:
    """The agent does something that is not yet speech (`current-agent-action`)."""

    kind: str
    """The action's own type, an open set; `action-too-long` is the one that brings a filler."""
    filler: bytes | str | None
    """A hold phrase: a whole WAV file as bytes, or its words as text; None for other actions."""


@dataclass(frozen=True, slots=True)
class AgentPiece:
    """A piece of the agent's message (`new-message`), to be played in the order of arrival."""

    message_id: str
    text: str
    """The piece itself in text mode, or what came instead of audio in voice mode; else empty."""
    audio: bytes | None
    """Decoded bytes of any format and any count, perhaps none; None if this piece is text."""
    alignment: Alignment | None
    """None: not said with this piece (an earlier one may have said it)."""
    stop: bool
    """The last piece of the message, as far as the service says so."""
    sequence: int | None
    """For log lines about gaps; never used to reorder."""


@dataclass(frozen=True, slots=True)
class InteractionCompleted:
    """The interaction is stored (`interaction-complete`); the connection may go on for seconds."""

    message_id: str
    interaction_id: str
    text: str
    ends_conversation: bool
    """Revision 2026-04 tells the end here; 2025-06 by a later `SessionEnded`. Either may come."""


@dataclass(frozen=True, slots=True)
class SessionEnded:
    """The conversation has finished by itself (`end-session`, 2025-06)."""


@dataclass(frozen=True, slots=True)
class StreamError:
    """The service failed after it had answered 200 (`error`).

    Before `InteractionCompleted` the whole interaction is void; after it the interaction stands,
    the conversation is over and `finish` repeats the failed post-processing.
    """

    code: int | None
    """Looks like an HTTP status."""
    description: str
    """The service's words; may quote the caller, so not for logs above debug."""


@dataclass(frozen=True, slots=True)
class UnknownEvent:
    """A well-formed event of a type we do not know: ignored and counted."""

    kind: str


@dataclass(frozen=True, slots=True)
class MalformedLine:
    """A line that is no event: logged and counted, never a reason to drop the call."""

    excerpt_len: int
    """Bytes in the line; the line itself may hold what a caller said and is not kept."""
    reason: str


InteractionEvent: TypeAlias = (
    ConversationCreated
    | UserMessage
    | AgentAction
    | AgentPiece
    | InteractionCompleted
    | SessionEnded
    | StreamError
    | UnknownEvent
    | MalformedLine
)
