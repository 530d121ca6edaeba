"""Turns the bytes of a streamed answer into events: newline-delimited JSON, cut anywhere.

The split is our own because a line reader gives up where one voice event is still legal (aiohttp's
above 512 KiB). Rules of this file: no I/O, no clock; bad input becomes an event; how the bytes are
cut never changes the events.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

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
from gateway.amigo.lenient import ordered, read_line

__all__ = [
    "LINE_LIMIT",
    "AgentAction",
    "AgentPiece",
    "Alignment",
    "ConversationCreated",
    "EventReader",
    "InteractionCompleted",
    "InteractionEvent",
    "MalformedLine",
    "SessionEnded",
    "StreamError",
    "UnknownEvent",
    "UserMessage",
]

LINE_LIMIT: Final = 16 * 1024 * 1024
"""Bytes of the longest line kept: over four minutes of 16 kHz sound in one piece. What is longer
is skipped and told as `MalformedLine`, so that a server gone mad cannot fill the memory."""


class _Piece(msgspec.Struct, kw_only=True):
    """`new-message` as every known revision sends it: the only event worth a fast path."""

    type: Literal["new-message"]
    transcript_alignment: tuple[tuple[int, str], ...] | None = None
    stop: bool = False
    sequence_number: int | None = None
    message_id: str = ""


class _VoicePiece(_Piece, kw_only=True):
    message: bytes = b""


class _TextPiece(_Piece, kw_only=True):
    message: str = ""


class EventReader:
    """Feed it what the network brings, in any cuts; it returns the events completed by that."""

    def __init__(self, *, voice: bool) -> None:
        self._voice = voice
        self._decode = msgspec.json.Decoder(_VoicePiece if voice else _TextPiece).decode
        # Parts joined once: a growing buffer would copy a long line over and over.
        self._parts: list[bytes] = []
        self._held = 0  # bytes in the parts
        self._skipped = 0  # bytes of an overlong line already thrown away

    def feed(self, data: bytes) -> list[InteractionEvent]:
        """Events whose last byte is in `data`, in order."""
        first, *rest = data.split(b"\n")
        if not rest:
            self._hold(first)
            return []
        last = rest.pop()
        events = [self._finish_line(first), *map(self._read, rest)]
        self._hold(last)
        return [event for event in events if event is not None]

    def close(self) -> list[InteractionEvent]:
        """What the end of the connection completes: a last line may lack its newline."""
        match self._finish_line(b""):
            case None:
                return []
            case MalformedLine(excerpt_len=size, reason="not JSON"):
                return [MalformedLine(size, "cut off")]
            case event:
                return [event]

    def _hold(self, part: bytes) -> None:
        if self._skipped or self._held + len(part) > LINE_LIMIT:
            self._skipped += self._held + len(part)
            self._parts, self._held = [], 0
        elif part:
            self._parts.append(part)
            self._held += len(part)

    def _finish_line(self, end: bytes) -> InteractionEvent | None:
        if not self._held and not self._skipped:
            return self._read(end)
        self._hold(end)
        line, skipped = b"".join(self._parts), self._skipped
        self._parts, self._held, self._skipped = [], 0, 0
        return MalformedLine(skipped, "too long") if skipped else self._read(line)

    def _read(self, line: bytes) -> InteractionEvent | None:
        if not line or line.isspace():
            return None
        if len(line) > LINE_LIMIT:
            return MalformedLine(len(line), "too long")
        try:
            piece = self._decode(line)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return read_line(line, voice=self._voice)
        alignment = piece.transcript_alignment
        return AgentPiece(
            message_id=piece.message_id,
            text=piece.message if isinstance(piece, _TextPiece) else "",
            audio=piece.message if isinstance(piece, _VoicePiece) else None,
            alignment=ordered(alignment) if alignment else alignment,
            stop=piece.stop,
            sequence=piece.sequence_number,
        )
