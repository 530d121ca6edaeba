"""What the caller said: kept whole until it is stored, read while it is still being said."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from audio import wav
from audio.types import SAMPLE_RATE

CHUNK_BYTES = SAMPLE_RATE // 10 * 2
"""100 ms of 16-bit sound per network chunk: small enough to be early, large enough to be cheap."""


class Utterance:
    """16-bit mono sound at 8 kHz of one stretch of speech, pre-roll included.

    Only the ears write; any number of readers may follow it from the start (a turn sent again
    starts over). The ears bound its length.
    """

    __slots__ = ("_changed", "_lead", "_start", "closed", "id", "pcm")

    def __init__(
        self, utterance: int, pre_roll: bytes, *, start: int | None = None, lead: bytes = b""
    ) -> None:
        """`start`: where on the line `pre_roll` begins, in bytes; None where that is not known.

        `lead`: the sound between the utterance before and this one, for a turn that holds both.
        """
        self.id = utterance
        self.pcm = bytearray(pre_roll)
        self.closed = False
        self._start = start
        self._lead = lead
        self._changed = asyncio.Event()

    def append(self, pcm: bytes) -> None:
        self.pcm += pcm
        if len(self.pcm) % CHUNK_BYTES < len(pcm):
            self._changed.set()

    def close(self) -> None:
        self.closed = True
        self._changed.set()

    def joint(self, before: Utterance) -> tuple[bytes, int]:
        """What belongs between the one before and this, and how many bytes of this one it has already.

        The pre-roll reaches back to before the other's end where the caller was soon to go on.
        """
        if before._start is None or self._start is None:
            return b"", 0
        end = before._start + len(before.pcm)
        if end <= self._start - len(self._lead):
            lead = self._lead if end == self._start - len(self._lead) else b""
            return lead, 0
        return b"", min(max(0, end - self._start), len(self.pcm))

    async def wait(self) -> None:
        """Wait until about one chunk was added or the utterance was closed."""
        self._changed.clear()
        await self._changed.wait()


class UtteranceBody:
    """The upload of one voice turn: a WAV of unknown length over its utterances.

    `chunks()` may be called again and starts from the first sample each time.
    """

    sample_rate = SAMPLE_RATE

    def __init__(self, utterances: list[Utterance], on_sent: Callable[[], None]) -> None:
        self._utterances = utterances
        self._on_sent = on_sent
        self._sealed = asyncio.Event()
        self._more = asyncio.Event()

    def extend(self, utterance: Utterance) -> None:
        self._utterances.append(utterance)
        self._more.set()

    def seal(self) -> None:
        """No utterance will follow."""
        self._sealed.set()
        self._more.set()

    async def chunks(self) -> AsyncIterator[bytes]:
        """The header at once, then the sound as it is said; ends when sealed and every utterance closed."""
        header = wav.stream_header(SAMPLE_RATE)
        index = 0
        while True:
            if index < len(self._utterances):
                utterance = self._utterances[index]
                lead, at = utterance.joint(self._utterances[index - 1]) if index else (b"", 0)
                if lead:
                    yield header + lead
                    header = b""
                while True:
                    piece = bytes(utterance.pcm[at : at + CHUNK_BYTES])
                    if piece and (len(piece) == CHUNK_BYTES or utterance.closed):
                        yield header + piece
                        header = b""
                        at += len(piece)
                    elif utterance.closed:
                        break
                    else:
                        await utterance.wait()
                index += 1
            elif self._sealed.is_set():
                break
            else:
                self._more.clear()
                await self._more.wait()
        self._on_sent()
