"""What the caller hears from us, and when: the reference against which our echo is told from speech.

Two clocks meet here. Our sound is timed by the playout clock, the caller's by counting samples as
they arrive; arrival jitters by tens of milliseconds, counted samples do not. `SampleClock` says when
a counted sample was taken, `Played` what we were playing then.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from audio.types import FRAME_SAMPLES, SAMPLE_RATE, ULAW_SILENCE

_CREEP: Final = 2e-6
"""Seconds per frame (100 ppm) that the clock may be slow: the carrier's crystal is not ours."""
_LATE: Final = 0.3
_LATE_FRAMES: Final = 100
"""Later than this for so long (2 s) is no stall any more: sound was lost, the count starts anew."""
_SHIVER: Final = 8
"""Samples (1 ms) by which frames asked for in a row may lie apart and still be one unbroken sound."""
_KEPT: Final = 2 * SAMPLE_RATE
"""Samples that stay known after they were played."""


class SampleClock:
    """Maps a count of received samples to the time at which they were received without any jitter.

    The earliest arrivals had no wait on their way; all others are measured by them.
    """

    def __init__(self) -> None:
        self._zero: float | None = None
        self._late = 0
        self._least = 0.0

    def received(self, samples: int, now: float) -> float:
        """`samples` have been received by `now`; returns when the last of them was due."""
        zero = now - samples / SAMPLE_RATE
        if self._zero is None or zero < self._zero:
            self._zero = zero
            self._late = 0
        else:
            self._zero += min(_CREEP, zero - self._zero)
            self._mind_late(zero)
        return self._zero + samples / SAMPLE_RATE

    def skipped(self, seconds: float) -> None:
        """So much sound was lost and is not counted in the samples."""
        if self._zero is not None:
            self._zero += seconds

    def _mind_late(self, zero: float) -> None:
        if self._zero is None or zero - self._zero < _LATE:
            self._late = 0
            return
        self._least = zero if not self._late else min(self._least, zero)
        self._late += 1
        if self._late >= _LATE_FRAMES:
            self._zero, self._late = self._least, 0


class Played:
    """The last seconds of our voice at the caller's ear, in samples of one unbroken time line."""

    def __init__(self) -> None:
        self._pieces: deque[tuple[int, bytes]] = deque()
        """(first sample on the time line, mu-law), in order, without overlap."""
        self._end = 0
        self._next = 0
        """Sample after the frame that was asked for last."""

    def add(self, ulaw: bytes, begins: float) -> None:
        """Mu-law that begins to play at `begins`, not before what was added last has ended."""
        start = round(begins * SAMPLE_RATE)
        # one piece after the other: a rounding error must not tear them apart
        if abs(start - self._end) <= 2:
            start = self._end
        start = max(start, self._end)
        self._pieces.append((start, ulaw))
        self._end = start + len(ulaw)

    def cut(self, now: float) -> None:
        """What would have played after `now` will not."""
        at = round(now * SAMPLE_RATE)
        while self._pieces and self._pieces[-1][0] >= at:
            self._pieces.pop()
        if self._pieces:
            start, ulaw = self._pieces[-1]
            self._pieces[-1] = (start, ulaw[: at - start])
        self._end = min(self._end, at)

    def frame(self, at: float) -> bytes | None:
        """160 bytes of mu-law that play from `at` on; None where nothing does."""
        first = self._position(at)
        pieces = self._pieces
        while pieces and pieces[0][0] + len(pieces[0][1]) < first - _KEPT:
            pieces.popleft()
        if first >= self._end or not pieces:
            return None
        last = first + FRAME_SAMPLES
        for start, ulaw in reversed(pieces):
            if start <= first:
                inside = ulaw[first - start : last - start]
                if len(inside) == FRAME_SAMPLES:
                    return inside
                break
            if start < last:
                break
        return self._joined(first, last)

    def _position(self, at: float) -> int:
        """First sample of the frame that begins at `at`, right behind the one before where that is nearly so.

        Callers ask for frame after frame; the filter that knows our echo must not see it shiver by a
        sample because a time was rounded.
        """
        first = round(at * SAMPLE_RATE)
        if abs(first - self._next) <= _SHIVER:
            first = self._next
        self._next = first + FRAME_SAMPLES
        return first

    def _joined(self, first: int, last: int) -> bytes | None:
        """A frame on the edge of pieces, gaps filled with silence."""
        frame = bytearray([ULAW_SILENCE]) * FRAME_SAMPLES
        found = False
        for start, ulaw in self._pieces:
            end = start + len(ulaw)
            if end > first and start < last:
                found = True
                low, high = max(start, first), min(end, last)
                frame[low - first : high - first] = ulaw[low - start : high - start]
        return bytes(frame) if found else None
