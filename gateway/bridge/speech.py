"""Sound to be played: it grows while it arrives, and remembers how far it was played."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from audio.types import FRAME_SAMPLES, SAMPLE_RATE, ULAW_SILENCE
from gateway.call.record import heard_text

_PAD = bytes([ULAW_SILENCE])


class Speech:
    """Mu-law bytes of one thing to say; written by one task, read by the mouth.

    Bounded: whoever writes waits in `room()` while more than `limit_seconds` are unplayed.
    """

    def __init__(
        self, ulaw: bytes = b"", *, closed: bool = False, limit_seconds: float = 120.0
    ) -> None:
        self._data = bytearray(ulaw)
        if closed:
            self._data += _PAD * (-len(self._data) % FRAME_SAMPLES)
        self._limit = int(limit_seconds * SAMPLE_RATE)
        self._roomy = asyncio.Event()
        self._roomy.set()
        self.closed = closed
        self.position = 0
        """Next byte to be handed to the carrier."""
        self.text = ""
        self.alignment: list[tuple[int, str]] = []
        """(ms since the message's audio began, character), as the API gave it."""
        self.on_change: Callable[[], None] | None = None

    def __len__(self) -> int:
        return len(self._data)

    @property
    def pending(self) -> int:
        """Bytes that can be taken now."""
        return len(self._data) - self.position

    @property
    def exhausted(self) -> bool:
        """Everything was taken and nothing will follow."""
        return self.closed and self.position >= len(self._data)

    def append(self, ulaw: bytes) -> None:
        self._data += ulaw
        if len(self._data) - self.position > self._limit:
            self._roomy.clear()
        self._changed()

    async def room(self) -> None:
        """Wait until less than the limit is unplayed. Safe to cancel."""
        await self._roomy.wait()

    def close(self) -> None:
        """Nothing will follow: the last frame is filled up with silence."""
        if not self.closed:
            self.closed = True
            self._data += _PAD * (-len(self._data) % FRAME_SAMPLES)
            self._changed()

    def take(self, size: int) -> bytes:
        """Up to `size` bytes in whole frames; what is left of the last frame waits for more."""
        available = self.pending - (0 if self.closed else self.pending % FRAME_SAMPLES)
        piece = bytes(self._data[self.position : self.position + min(size, available)])
        self.position += len(piece)
        if self.pending <= self._limit:
            self._roomy.set()
        return piece

    def rewind(self, position: int) -> None:
        """What lies behind `position` was not heard: the next `take` starts there, on a whole frame."""
        self.position = max(0, position - position % FRAME_SAMPLES)

    def release(self) -> None:
        """Nobody will play this: whoever writes need not wait."""
        self._limit = 1 << 62
        self._roomy.set()

    def heard(self, position: int) -> str | None:
        """The text heard when sound up to `position` was played, None where no text is known."""
        if not self.text and not self.alignment:
            return None
        text = self.text or "".join(character for _, character in self.alignment)
        ms = position * 1000 // SAMPLE_RATE
        return heard_text(text, tuple(self.alignment), ms, len(self._data) * 1000 // SAMPLE_RATE)

    def _changed(self) -> None:
        if self.on_change is not None:
            self.on_change()
