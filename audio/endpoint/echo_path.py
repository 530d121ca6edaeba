"""The way our voice takes back to us: how late, how loud, and what it sounds like on its return.

The reference is what we play; what returns is a delayed, quieter, somewhat coloured copy under
whatever else the line carries. Blocks of the line are correlated with the reference to find the
delay; a short filter fitted by least squares then predicts the echo of each frame, and what the
prediction leaves over is the caller and the room. A filter of 6 ms does for a hybrid's echo, and the
delay before it may be any up to 600 ms.
"""

from __future__ import annotations

from math import log10
from typing import Final

import numpy as np
from numpy.typing import NDArray

from audio.types import FRAME_SAMPLES, SAMPLE_RATE, Pcm

LONGEST_MS: Final = 600
"""Longest delay that is looked for: the echo itself and the network, there and back."""
_LAGS: Final = LONGEST_MS * SAMPLE_RATE // 1000
_BLOCK: Final = 1600
"""Samples (200 ms) of the line that are compared with the reference."""
_TAPS: Final = 48
_BEFORE: Final = 20
"""Taps of the filter (6 ms), and how many of them lie before the delay that was found,"""
_EDGE: Final = 8
"""and how close to its edge the strongest may come before the delay is corrected."""
_LAG_OF: Final = np.abs(np.subtract.outer(np.arange(_TAPS), np.arange(_TAPS)))
"""Lag of each pair of taps."""
_HISTORY: Final = _LAGS + _BLOCK + _TAPS
_ROOM: Final = 4 * _HISTORY
_FFT: Final = 8192
_ALIKE: Final = 0.3
"""Least correlation of a block with the delayed reference that hints at an echo,"""
_SURE: Final = 0.75
"""and one that alone proves it."""
_NEAR: Final = 8
"""Samples by which two findings of one delay may differ."""
_FORGET: Final = 0.98
"""Share of the past that each frame leaves to the filter: about a second counts."""
_REFIT_FRAMES: Final = 5
_RECENTRE_FITS: Final = 5
_LOST_BLOCKS: Final = 8
"""After so many blocks in a row with another delay in them a path is given up,"""
_AS_GOOD: Final = 0.8
_NO_GOOD: Final = 0.5
"""unless its own delay fits nearly as well (vowels repeat themselves), and at once where it does not fit at all."""

_SILENT_POWER: Final = 600.0
"""Mean square (of the middle of the band) of a line that carries no echo worth looking for."""
_UNLIKE: Final = np.zeros(_LAGS + 1)

_Floats = NDArray[np.float32]


class EchoPath:
    """Delay and filter of one line; told every frame, asked while we play."""

    def __init__(self) -> None:
        self._reference: _Floats = np.zeros(_ROOM, np.float32)
        self._line: _Floats = np.zeros(_ROOM, np.float32)
        self._end = _HISTORY
        self.delay: int | None = None
        """Samples from our playing to the echo's return; None while unknown."""
        self._candidate: int | None = None
        self._strayed = 0
        self._filter: _Floats = np.zeros(_TAPS, np.float32)
        self._squares: NDArray[np.float64] = np.zeros(_TAPS)
        """Of the reference with itself, by lag."""
        self._products: NDArray[np.float64] = np.zeros(_TAPS)
        self._fitted = 0
        self._lessons = 0

    @property
    def known(self) -> bool:
        return self.delay is not None and self._fitted > 0

    @property
    def gain_db(self) -> float:
        """Level of the echo against what we play."""
        echo = float(self._products.dot(self._filter))
        return 10.0 * log10(max(echo, 1e-9) / (float(self._squares[0]) + 1.0) + 1e-9)

    def hear(self, line: _Floats, reference: Pcm | None) -> None:
        """Take 160 samples of the line and of what we played meanwhile."""
        if self._end + FRAME_SAMPLES > _ROOM:
            for ring in (self._reference, self._line):
                ring[:_HISTORY] = ring[self._end - _HISTORY : self._end]
            self._end = _HISTORY
        at, end = self._end, self._end + FRAME_SAMPLES
        self._reference[at:end] = 0.0 if reference is None else reference
        self._line[at:end] = line
        self._end = end

    def search(self) -> float:
        """Compare the last 200 ms with what we played; how alike they are at the best delay, 0 to 1.

        Finds and confirms the delay on the way.
        """
        likeness = self._compare()
        best = int(likeness.argmax())
        alike, lag = float(likeness[best]), likeness.size - 1 - best
        if alike < _ALIKE:
            return alike
        again = self._candidate is not None and abs(lag - self._candidate) <= _NEAR
        self._candidate = lag
        if self.delay is None:
            if alike > _SURE or again:
                self._settle(lag)
        else:
            self._doubt(lag, alike, self._at_delay(likeness, self.delay))
        return alike

    def _doubt(self, lag: int, alike: float, here: float) -> None:
        """Another delay may fit better; the known one fits as well as `here` says."""
        if here >= _AS_GOOD * alike:
            self._strayed = 0
            return
        self._strayed += 1
        elsewhere = alike > _SURE and here < _NO_GOOD * alike
        if elsewhere or self._strayed >= _LOST_BLOCKS:
            self._settle(lag)

    def _at_delay(self, likeness: NDArray[np.float64], delay: int) -> float:
        """The best likeness close to a delay."""
        middle = likeness.size - 1 - delay
        near = likeness[max(0, middle - _NEAR) : middle + _NEAR + 1]
        return float(near.max()) if near.size else 0.0

    def _compare(self) -> NDArray[np.float64]:
        """Likeness (0 to 1) of the last block to the reference at each lag, the longest first."""
        end = self._end
        line = _middle(self._line[end - _BLOCK : end])
        power = float(line.dot(line))
        if power < _SILENT_POWER * line.size:
            return _UNLIKE
        reference = _middle(self._reference[end - _BLOCK - _LAGS : end])
        spectrum = np.fft.rfft(reference, _FFT) * np.conj(np.fft.rfft(line, _FFT))
        products = np.abs(np.fft.irfft(spectrum, _FFT)[: _LAGS + 1])
        sums = np.concatenate(([0.0], np.cumsum(reference.astype(np.float64) ** 2)))
        energies = sums[line.size :][: _LAGS + 1] - sums[: _LAGS + 1]
        return np.minimum(1.0, products / np.sqrt(power * energies + power))

    def _settle(self, delay: int) -> None:
        # the taps before it must not reach into what is not played yet
        self.delay = min(max(delay, _BEFORE), _LAGS)
        self._strayed = 0
        self._filter[:] = 0.0
        self._squares[:] = 0.0
        self._products[:] = 0.0
        self._fitted = 0
        # The block that showed the delay is the first lesson.
        for back in range(_BLOCK // FRAME_SAMPLES - 1, -1, -1):
            self._collect(back)
        self._fit()

    def echo(self) -> _Floats:
        """What of the newest frame is our echo, as far as the filter knows."""
        return np.convolve(self._behind(0), self._filter, "valid")

    def learn(self) -> None:
        """Let the filter follow the newest frame, in which the caller is silent."""
        self._collect(0)
        self._lessons += 1
        if self._lessons % _REFIT_FRAMES == 0:
            self._fit()

    def left_over_db(self) -> float:
        """Level of the last 200 ms without the echo against their level with it."""
        frames = range(_BLOCK // FRAME_SAMPLES)
        line = self._line[self._end - _BLOCK : self._end]
        echo = np.concatenate(
            [np.convolve(self._behind(back), self._filter, "valid") for back in reversed(frames)]
        )
        rest = line - echo
        return 10.0 * log10((float(rest.dot(rest)) + 1.0) / (float(line.dot(line)) + 1.0))

    def forget_sound(self) -> None:
        """We were silent for long: nothing of what was played before can return any more."""
        self._reference[:] = 0.0
        self._line[:] = 0.0
        self._end = _HISTORY

    def _behind(self, back: int) -> _Floats:
        """The reference of which the frame `back` frames ago may hold an echo: a frame and a filter's length."""
        start = self._end - (back + 1) * FRAME_SAMPLES - (self.delay or 0) + _BEFORE - _TAPS + 1
        return self._reference[start : start + FRAME_SAMPLES + _TAPS - 1]

    def _collect(self, back: int) -> None:
        """Add one frame to what the filter is fitted to.

        Of the reference only its correlation with itself is kept, not the whole matrix of squares:
        over a second they are the same, at a fifth of the cost.
        """
        behind = self._behind(back)
        end = self._end - back * FRAME_SAMPLES
        self._squares *= _FORGET
        self._squares += np.correlate(behind, behind[_TAPS - 1 :], "valid")[::-1]
        self._products *= _FORGET
        line = self._line[end - FRAME_SAMPLES : end]
        self._products += np.correlate(behind, line, "valid")[::-1]

    def _fit(self) -> None:
        squares = self._squares.copy()
        squares[0] += (
            1e-3 * squares[0] + FRAME_SAMPLES
        )  # a ridge: what is too quiet to tell stays 0
        self._filter[:] = np.linalg.solve(squares[_LAG_OF], self._products)
        self._fitted += 1
        if self._fitted % _RECENTRE_FITS == 0:
            self._recentre()

    def _recentre(self) -> None:
        """What was found may have been a room's reflection, or one period of the voice beside the echo."""
        strongest = int(np.abs(self._filter).argmax())
        if _EDGE <= strongest < _TAPS - _EDGE or self.delay is None:
            return
        delay = min(max(self.delay + strongest - _BEFORE, _BEFORE), _LAGS)
        if delay != self.delay:  # at the end of its range it cannot come closer
            self._settle(delay)


def _middle(samples: _Floats) -> _Floats:
    """The middle of the band, 3 samples shorter: hum and rumble, and the hiss above the voice, tell no delay."""
    sums = samples[1:] + samples[:-1]
    return sums[2:] - sums[:-2]
