"""Hearing an upload while it still comes in: "the endpoint will start processing chunks as they're received".

Whenever the caller seems to have stopped speaking, what came so far is read at once. If the body then
ends without another word, the reading is ready, or nearly so, and the caller waits less.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, Self

import numpy as np

from audio.types import SILENCE_DBFS, Pcm
from gateway.sandbox.sound import level_dbfs, loud_ms
from gateway.sandbox.state import Sandbox

AUDIBLE_DBFS: Final = -50.0
"""Nothing quieter is taken for speech."""
BELOW_SPEECH_DB: Final = 25.0
"""Sound this far below the loudest so far counts as a pause."""
PAUSE_MS: Final = 200
"""Pause after which a reading is worth its work."""
SLACK_MS: Final = 40
"""Louder sound after the reading that is still no word."""
_FRAME_MS: Final = 20
_HEADER: Final = 44
_SEARCHED: Final = 1024
"""Bytes at the beginning of a body in which a WAV header is looked for."""


class EarlyEar:
    """Listens along to one upload. A context: leaving it drops a reading nobody asked for."""

    def __init__(self, sandbox: Sandbox, hints: Sequence[str]) -> None:
        self._sandbox = sandbox
        self._hints = hints
        self._start: int | None = None
        self._rate = 0
        self._seen = 0
        self._loudest = SILENCE_DBFS
        self._quiet_ms = 0
        self._spoken = False
        self._reading: asyncio.Task[str] | None = None
        self._covered = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    def listen(self, body: bytearray) -> None:
        """Look at what arrived since the last time; perhaps begin to read."""
        if not self._sandbox.options.early_hearing or not self._found(body):
            return
        assert self._start is not None
        frame = self._rate * _FRAME_MS // 1000
        while self._start + 2 * (self._seen + frame) <= len(body):
            at = self._start + 2 * self._seen
            self._judge(np.frombuffer(bytes(body[at : at + 2 * frame]), dtype="<i2"))
            self._seen += frame
        if self._spoken and self._quiet_ms >= PAUSE_MS and not self._busy():
            self._read(bytes(body[self._start : self._start + 2 * self._seen]))

    async def text(self, pcm: Pcm, rate: int) -> str | None:
        """The early reading of this recording; None when there is none or something was said after it."""
        if self._reading is None or rate != self._rate:
            return None
        if loud_ms(pcm[self._covered :], rate, self._threshold()) > SLACK_MS:
            return None
        return await self._reading

    def _found(self, body: bytearray) -> bool:
        """Has a plain WAV header come, bare or inside a form? Others are simply not read early."""
        if self._start is None:
            head = bytes(body[:_SEARCHED])
            at = head.find(b"RIFF")
            plain = head[at + 8 : at + 16] == b"WAVEfmt " and head[at + 36 : at + 40] == b"data"
            if at >= 0 and plain and len(head) >= at + _HEADER:
                self._start = at + _HEADER
                self._rate = int.from_bytes(head[at + 24 : at + 28], "little")
        return self._start is not None and 4000 <= self._rate <= 48000

    def _judge(self, frame: Pcm) -> None:
        level = level_dbfs(frame)
        self._loudest = max(self._loudest, level)
        if level > self._threshold():
            self._spoken, self._quiet_ms = True, 0
        else:
            self._quiet_ms += _FRAME_MS

    def _threshold(self) -> float:
        return max(AUDIBLE_DBFS, self._loudest - BELOW_SPEECH_DB)

    def _busy(self) -> bool:
        return self._reading is not None and not self._reading.done()

    def _read(self, samples: bytes) -> None:
        self._spoken, self._covered = False, self._seen
        pcm = np.frombuffer(samples, dtype="<i2").astype(np.int16)
        self._reading = asyncio.create_task(
            self._sandbox.transcribe(pcm, self._rate, self._hints), name="early-ear"
        )
