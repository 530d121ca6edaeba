"""The agent's sound as a person on the phone perceives it: speaking, pausing, done. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from audio.mulaw import ulaw_level_dbfs
from audio.types import FRAME_MS

AUDIBLE_DBFS: Final = -50.0
"""Agent frames below this (comfort sounds, pauses) are not speech to the caller."""

STREAMED_SILENCE_MS: Final = 2000
"""An agent that streams silence instead of stopping has finished after this long."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """One stretch of agent speech as heard."""

    from_ms: int
    until_ms: int


class Ear:
    """The agent's sound as the caller perceives it."""

    def __init__(self) -> None:
        self.stretches: list[Stretch] = []
        self._idle_since = 0
        self._audible_at: int | None = None
        self._from: int | None = None

    @property
    def speaking_since(self) -> int | None:
        """When the stretch of speech going on began, or None."""
        return self._from

    def hear(self, at_ms: int, frame: bytes | None, quiet_ms: int) -> bool:
        """Take what is being played; True when it is audible."""
        audible = frame is not None and ulaw_level_dbfs(frame) > AUDIBLE_DBFS
        if frame is not None:
            self._idle_since = at_ms + FRAME_MS
        if audible:
            self._audible_at = at_ms + FRAME_MS
            if self._from is None:
                self._from = at_ms
        elif self._from is not None and self.is_quiet(at_ms, quiet_ms):
            self.stretches.append(Stretch(self._from, self._audible_at or at_ms))
            self._from = None
        return audible

    def is_quiet(self, at_ms: int, quiet_ms: int) -> bool:
        """Nothing has been played for `quiet_ms`, or nothing audible for much longer."""
        if at_ms - self._idle_since >= quiet_ms:
            return True
        return at_ms - (self._audible_at or 0) >= max(STREAMED_SILENCE_MS, quiet_ms)

    def finish(self, at_ms: int) -> None:
        """The call is over; close the stretch going on."""
        if self._from is not None:
            self.stretches.append(Stretch(self._from, min(self._audible_at or at_ms, at_ms)))
            self._from = None
