"""Reads the lines the fast decoder refuses: late, odd or half-broken events, field by field.

Every rule here is a liberty some build of the service has taken or its documents leave open:
alignment pairs the other way round, base64 with line breaks or without padding, numbers as text,
nulls, lone surrogates. What still makes no sense becomes `MalformedLine`.
"""

from __future__ import annotations

import binascii
import json
import math
import re
from operator import itemgetter
from typing import TYPE_CHECKING, Final

from gateway.amigo.events import (
    AgentAction,
    AgentPiece,
    Alignment,
    ConversationCreated,
    InteractionCompleted,
    InteractionEvent,
    MalformedLine,
    SessionEnded,
    StreamError,
    UnknownEvent,
    UserMessage,
)
from gateway.ids import ConversationId

if TYPE_CHECKING:
    from collections.abc import Callable

_BASE64: Final = re.compile(r"[A-Za-z0-9+/]*={0,2}")
_PAIR: Final = 2
_BLOCK: Final = 4  # base64 spells 3 bytes with 4 characters

Members = dict[str, object]


def read_line(line: bytes, *, voice: bool) -> InteractionEvent:
    """One line of the stream as an event, whatever it holds; never raises."""
    try:
        value: object = json.loads(line.decode("utf-8-sig", "replace"), strict=False)
    except (ValueError, RecursionError):
        return MalformedLine(len(line), "not JSON")
    if not isinstance(value, dict):
        return MalformedLine(len(line), "not an object")
    kind = value.get("type")
    if not isinstance(kind, str):
        return MalformedLine(len(line), "no type")
    if kind == "new-message":
        return _piece(value, len(line), voice=voice)
    if (reader := _READERS.get(kind)) is None:
        return UnknownEvent(_clean(kind))
    return reader(value, len(line))


def ordered(alignment: Alignment) -> Alignment:
    """The same pairs by time; equal times keep the order they are spoken in."""
    # A list that runs backwards is turned before sorting: a stable sort alone would leave the
    # characters of one millisecond reversed.
    if alignment and alignment[0][0] > alignment[-1][0]:
        alignment = alignment[::-1]
    return tuple(sorted(alignment, key=itemgetter(0)))


def audio_of(text: str) -> bytes | None:
    """Decode base64 that may be wrapped, unpadded or in the URL alphabet; None if it is not."""
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        pass  # not as the standard has it; perhaps still as people write it
    compact = text.replace("\n", "").replace("\r", "").replace("-", "+").replace("_", "/")
    if _BASE64.fullmatch(compact) is None:
        return None
    bare = compact.rstrip("=")
    try:
        return binascii.a2b_base64(bare + "=" * (-len(bare) % _BLOCK))
    except binascii.Error:
        return None


def filler_of(value: object) -> bytes | str | None:
    """A filler's sound if it is a WAV file in base64, else its words; None if there is none.

    Text may happen to be legal base64, so only a RIFF/WAVE head makes it sound.
    """
    if not isinstance(value, str) or not value.strip():
        return None
    sound = audio_of(value)
    if sound is not None and sound[:4] == b"RIFF" and sound[8:12] == b"WAVE":
        return sound
    return _clean(value)


def _clean(text: str) -> str:
    # json.loads lets half a surrogate pair through, which no store or log could write again.
    return text.encode("utf-8", "replace").decode("utf-8")


def _text(members: Members, name: str) -> str:
    value = members.get(name)
    return _clean(value) if isinstance(value, str) else ""


def _number(value: object) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return round(value)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
        return int(value)
    return None


def _pair(value: object) -> tuple[int, str] | None:
    """(ms, character) of a pair in either order; the schema and its own prose disagree."""
    if not isinstance(value, list) or len(value) < _PAIR:
        return None
    first, second = value[0], value[1]
    turned = isinstance(first, str) and not isinstance(second, str)
    at, character = (second, first) if turned else (first, second)
    at_ms = _number(at)
    if at_ms is None or not isinstance(character, str):
        return None
    return at_ms, _clean(character)


def _alignment(value: object) -> Alignment | None:
    if not isinstance(value, list):
        return None
    return ordered(tuple(pair for item in value if (pair := _pair(item)) is not None))


def _piece(members: Members, size: int, *, voice: bool) -> InteractionEvent:
    message = members.get("message", "")
    if message is not None and not isinstance(message, str):
        return MalformedLine(size, "new-message: message is not text")
    audio = audio_of(message or "") if voice else None
    return AgentPiece(
        message_id=_text(members, "message_id"),
        text=_text(members, "message") if audio is None else "",
        audio=audio,
        alignment=_alignment(members.get("transcript_alignment")),
        stop=members.get("stop") is True,
        sequence=_number(members.get("sequence_number")),
    )


def _created(members: Members, size: int) -> InteractionEvent:
    if not (conversation_id := _text(members, "conversation_id")):
        return MalformedLine(size, "conversation-created: no conversation_id")
    return ConversationCreated(ConversationId(conversation_id))


def _action(members: Members, size: int) -> InteractionEvent:
    action = members.get("action")
    if not isinstance(action, dict):
        return MalformedLine(size, "current-agent-action: no action")
    return AgentAction(_text(action, "type"), filler_of(action.get("filler")))


def _completed(members: Members, _size: int) -> InteractionEvent:
    return InteractionCompleted(
        message_id=_text(members, "message_id"),
        interaction_id=_text(members, "interaction_id"),
        text=_text(members, "full_message"),
        ends_conversation=members.get("conversation_completed") is True,
    )


_READERS: Final[dict[str, Callable[[Members, int], InteractionEvent]]] = {
    "conversation-created": _created,
    "user-message-available": lambda members, _size: UserMessage(
        _text(members, "message_id"), _text(members, "user_message")
    ),
    "current-agent-action": _action,
    "interaction-complete": _completed,
    "end-session": lambda _members, _size: SessionEnded(),
    "error": lambda members, _size: StreamError(
        _number(members.get("http_error_code")), _text(members, "error_description")
    ),
}
