"""The carrier's playback buffer: queued sound, marks, `clear`, and holes in it. Pure; time is passed in.

Rules (telephony.md 1.5, S16): sound plays at 8000 B/s in the order it came; a mark comes back when
what was queued before it has been played, at once when nothing is queued, and all pending marks
come back, in order, on `clear`.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from audio.mulaw import ulaw_level_dbfs
from audio.types import FRAME_SAMPLES, SAMPLE_RATE, ULAW_SILENCE

HOLE_MIN_MS: Final = 40
"""A hole up to this long is not an underrun (S13)."""

HOLE_MAX_MS: Final = 1000
"""A longer silence is a pause of the agent, not a hole in its speech."""

MID_WORD_DBFS: Final = -40.0
"""Speech that breaks off louder than this broke off inside a word."""


@dataclass(frozen=True, slots=True)
class Played:
    """What one 20 ms step of the speaker did."""

    frame: bytes | None
    """160 bytes that begin to sound now; None when there was nothing to play."""
    short: bool
    """The buffer held less than a whole frame; the rest was filled with silence."""
    marks: tuple[str, ...]
    """Marks reached, to be echoed now, in order."""


class Playback:
    """One stream's playback buffer; call `tick` every 20 ms."""

    def __init__(self) -> None:
        self._queue = bytearray()
        self._queued_total = 0
        self._played_total = 0
        self._sounding = False
        self._marks: deque[tuple[int, str]] = deque()

    @property
    def playing(self) -> bool:
        """Sound is queued, or the last frame taken is still sounding."""
        return bool(self._queue) or self._sounding

    @property
    def queued_ms(self) -> int:
        """Sound not yet begun, in milliseconds."""
        return len(self._queue) * 1000 // SAMPLE_RATE

    def play(self, payload: bytes) -> None:
        """Queue mu-law sound of any length."""
        self._queue += payload
        self._queued_total += len(payload)

    def mark(self, name: str) -> tuple[str, ...]:
        """Take a mark; returns those to be echoed at once (this one, when nothing is playing)."""
        if not self.playing:
            return (name,)
        self._marks.append((self._queued_total, name))
        return ()

    def clear(self) -> tuple[str, ...]:
        """Drop what is queued; returns every pending mark, in order, to be echoed now."""
        self._played_total = self._queued_total
        self._queue.clear()
        self._sounding = False
        names = tuple(name for _, name in self._marks)
        self._marks.clear()
        return names

    def tick(self) -> Played:
        """Advance by 20 ms: what was sounding has been heard, the next frame begins."""
        marks = self._reached()
        piece = bytes(self._queue[:FRAME_SAMPLES])
        del self._queue[:FRAME_SAMPLES]
        self._played_total += len(piece)
        self._sounding = bool(piece)
        if not piece:
            return Played(None, short=False, marks=marks)
        short = len(piece) < FRAME_SAMPLES
        frame = piece.ljust(FRAME_SAMPLES, bytes([ULAW_SILENCE])) if short else piece
        return Played(frame, short=short, marks=marks)

    def _reached(self) -> tuple[str, ...]:
        names = []
        while self._marks and self._marks[0][0] <= self._played_total:
            names.append(self._marks.popleft()[1])
        return tuple(names)


@dataclass(frozen=True, slots=True)
class Underrun:
    """A hole inside the agent's speech, as heard."""

    at_ms: int
    gap_ms: int


class HoleFinder:
    """Finds underruns: speech that broke off inside a word and went on within a second.

    A hole while the caller makes a sound, or one made by `clear`, is no fault: the agent was
    interrupted.
    """

    def __init__(self) -> None:
        self._last: bytes | None = None
        self._dry_since: int | None = None
        self._excused = False

    def excuse(self) -> None:
        """What the agent is silent about now has a reason."""
        self._excused = True

    def tick(self, at_ms: int, frame: bytes | None) -> Underrun | None:
        """Take one step of the speaker."""
        if frame is None:
            if self._dry_since is None and self._last is not None:
                self._dry_since = at_ms
                if ulaw_level_dbfs(self._last) <= MID_WORD_DBFS:
                    self._excused = True
            self._last = None
            return None
        self._last = frame
        found = self._hole(at_ms)
        self._dry_since, self._excused = None, False
        return found

    def _hole(self, at_ms: int) -> Underrun | None:
        if self._dry_since is None or self._excused:
            return None
        gap = at_ms - self._dry_since
        return Underrun(self._dry_since, gap) if HOLE_MIN_MS < gap < HOLE_MAX_MS else None
