"""The playout clock: what the carrier still holds, how much may be sent, what has been heard.

Pure accounting in bytes of 8 kHz mu-law (one byte is one sample). The carrier buffers what we send
and plays it in order (Media Streams documentation), so a bounded look-ahead is kept there: enough
to survive a stall of this process, little enough that an interruption is heard at once.
"""

from __future__ import annotations

from audio.types import FRAME_SAMPLES, SAMPLE_RATE

LONGEST_LAG = 1.0
"""Seconds; a mark later than this tells of a carrier that paused, not of a long way."""


class Playout:
    """One carrier stream's playback buffer, as far as it can be known from here.

    A byte is taken to play as soon as those before it have played. Marks that come back later than
    that measure the way to the caller and back (`lag`), which counts for what was heard but not for
    how much may be sent: what is under way there is as good as buffered.
    """

    def __init__(self, lookahead_ms: int = 400) -> None:
        self._lookahead = lookahead_ms / 1000
        self._sent = 0
        self._end = 0.0
        self._lag = 0.0
        self._marks: dict[str, int] = {}

    @property
    def position(self) -> int:
        """Bytes sent so far."""
        return self._sent

    @property
    def end(self) -> float:
        """When the last byte sent will have been played."""
        return self._end

    def buffered(self, now: float) -> float:
        """Seconds of sound sent but not yet played."""
        return max(0.0, self._end - now)

    def heard(self, now: float) -> int:
        """Position up to which sound has reached the caller."""
        return max(0, self._sent - round(self.buffered(now - self._lag) * SAMPLE_RATE))

    def room(self, now: float) -> int:
        """Bytes that may be sent now, whole frames."""
        seconds = self._lookahead - self.buffered(now)
        # a timer may fire a rounding error early: a hundredth of a frame is no reason to wait again
        return max(0, int(seconds * SAMPLE_RATE / FRAME_SAMPLES + 0.01)) * FRAME_SAMPLES

    def time_of_room(self, size: int) -> float:
        """When `size` bytes may be sent."""
        return self._end - self._lookahead + size / SAMPLE_RATE

    def send(self, size: int, now: float) -> float:
        """Account for `size` bytes sent now; returns when they begin to play."""
        begins = max(self._end, now)
        self._end = begins + size / SAMPLE_RATE
        self._sent += size
        return begins

    def mark(self, name: str) -> None:
        """A mark was sent behind everything sent so far."""
        self._marks[name] = self._sent

    def reached(self, name: str, now: float) -> int | None:
        """The carrier says that the mark was reached; returns its position, None if unknown."""
        position = self._marks.pop(name, None)
        if position is not None:
            due = self._end - (self._sent - position) / SAMPLE_RATE
            self._lag = min(max(0.0, now - due), LONGEST_LAG)
        return position

    def clear(self, now: float) -> None:
        """The carrier was told to drop what it holds; marks out there mean nothing any more."""
        self._end = min(self._end, now)
        self._marks.clear()
