"""The last 40 ms of the line and what can be measured on them: level, pitch, pure tones."""

from __future__ import annotations

from math import sqrt
from typing import Final

import numpy as np
from numpy.typing import NDArray

from audio.endpoint.tone import is_tone
from audio.mulaw import dbfs
from audio.types import FRAME_SAMPLES, Pcm

_SHORTEST_PERIOD: Final = 10
_LONGEST_PERIOD: Final = 66
"""Samples at half the rate: voices from 400 down to 60 Hz."""
_PAIRS: Final = FRAME_SAMPLES
_ALIKE: Final = _PAIRS - _LONGEST_PERIOD
"""Samples compared with themselves one period earlier."""
_STEADY_DB: Final = 0.6
"""Change of level from frame to frame that a generator stays under; voices seldom do for long."""


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

    @property
    def samples(self) -> NDArray[np.float32]:
        """The newest frame; overwritten by the next."""
        return self._now

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
        """Whether this frame is a key or a call tone."""
        return is_tone(self._now, steady=abs(self.level - self._level_before) < _STEADY_DB)
