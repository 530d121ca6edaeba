"""The last 40 ms of the line and what can be measured on them: level, pitch, pure tones."""

from __future__ import annotations

from math import sqrt
from typing import Final

import numpy as np
from numpy.typing import NDArray

from audio.mulaw import dbfs
from audio.types import FRAME_SAMPLES, Pcm

_SHORTEST_PERIOD: Final = 10
_LONGEST_PERIOD: Final = 66
"""Samples at half the rate: voices from 400 down to 60 Hz."""
_PAIRS: Final = FRAME_SAMPLES
_ALIKE: Final = _PAIRS - _LONGEST_PERIOD
"""Samples compared with themselves one period earlier."""
_UNEXPLAINED: Final = 0.02
"""Share of a frame's power (-17 dB) that two steady sinusoids leave unexplained: keys and call tones leave less."""
_STEADY_DB: Final = 0.6
"""Change of level from frame to frame that a generator stays under; voices seldom do for long."""
_RIDGE: Final = 1e-5


class Hearing:
    """Holds this frame and the one before. Measurements beyond the level are made when asked for."""

    def __init__(self) -> None:
        self.level = dbfs(0.0)
        """Of this frame, in dBFS."""
        self._level_before = self.level
        self._both: NDArray[np.float32] = np.zeros(2 * FRAME_SAMPLES, np.float32)
        self._before = self._both[:FRAME_SAMPLES]
        self._now = self._both[FRAME_SAMPLES:]
        # Double: the difference of two running sums must stay right when a word falls silent.
        self._power: NDArray[np.float64] = np.zeros(_PAIRS + 1, np.float64)

    def hear(self, pcm: Pcm) -> float:
        """Take the next frame of 160 samples; its level in dBFS."""
        self._before[:] = self._now
        self._now[:] = pcm
        self._level_before = self.level
        self.level = dbfs(float(self._now.dot(self._now)) / FRAME_SAMPLES)
        return self.level

    def pitch(self) -> float:
        """How periodic the 40 ms are, at most 1: vowels are above one half, breath, clicks and knocks below.

        The highest normalised autocorrelation over the periods of a voice, at half the rate: the
        lower half of the band is where the harmonics are.
        """
        half = self._both[::2] + self._both[1::2]
        latest = half[_LONGEST_PERIOD:]
        alike = np.correlate(half[: _PAIRS - _SHORTEST_PERIOD], latest)
        np.cumsum(half * half, dtype=np.float64, out=self._power[1:])
        earlier = self._power[_ALIKE:-_SHORTEST_PERIOD] - self._power[: alike.size]
        best = float((alike / np.sqrt(earlier + 1.0)).max())
        return best / sqrt(float(latest.dot(latest)) + 1.0)

    def is_tone(self) -> bool:
        """Whether this frame is one or two steady sinusoids, such as a key or a call tone.

        Two sinusoids obey x[n] + x[n-4] = a (x[n-1] + x[n-3]) + b x[n-2] exactly; the best a and b
        are found and what remains is compared with the whole.
        """
        if abs(self.level - self._level_before) >= _STEADY_DB:
            return False
        x = self._now.astype(np.float64)
        ends, inner, middle = x[4:] + x[:-4], x[3:-1] + x[1:-3], x[2:-2]
        ii, mm, im = float(inner.dot(inner)), float(middle.dot(middle)), float(inner.dot(middle))
        ei, em, ee = float(ends.dot(inner)), float(ends.dot(middle)), float(ends.dot(ends))
        # A single sinusoid leaves the two equations dependent; a little ridge keeps them solvable.
        ridge = _RIDGE * (ii + mm) + 1.0
        determinant = (ii + ridge) * (mm + ridge) - im * im
        a = (ei * (mm + ridge) - em * im) / determinant
        b = (em * (ii + ridge) - ei * im) / determinant
        unexplained = ee - 2.0 * (a * ei + b * em) + a * a * ii + 2.0 * a * b * im + b * b * mm
        return unexplained < _UNEXPLAINED * float(x.dot(x))
