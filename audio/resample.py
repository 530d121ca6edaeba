"""Change the sample rate of a stream, piece by piece, without clicks, aliases or lost samples.

One windowed-sinc filter serves every pair of rates: the input is thought of as raised to the common
multiple of both rates, low-passed there and thinned out, and only the samples that survive are
computed (a polyphase filter). Down to 8 kHz it passes the telephone band (to 3.4 kHz) unchanged and
holds what would fold back into it, from 4.3 kHz up, more than 70 dB down.

The output is aligned with the input (the filter's delay is taken out), so how the stream is cut into
pieces changes nothing but when samples come out.
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from math import ceil
from typing import Final

import numpy as np
from numpy.typing import NDArray

from audio.types import Pcm

_PASS: Final = 0.85
"""Edge of the pass band as a share of half the lower rate: 3.4 kHz of the 4 kHz at 8 kHz."""
_STOP: Final = 1.075
"""Where the stop band begins: 4.3 kHz. What lies between folds to 3.7 kHz and up, outside the telephone band."""
_ATTENUATION_DB: Final = 75.0
_MOST_PHASES: Final = 640
"""Enough for every usual pair of rates exactly; an odd one (44 099 Hz) is off by less than 3 ppm instead of costing memory."""
_BLOCK: Final = 1024
"""Output samples computed at once: bounds the memory that one long piece needs."""

_Floats = NDArray[np.float64]


class Resampler:
    """One stream from `rate_in` to `rate_out` Hz; holds back half the filter (under 3 ms) until `flush`."""

    def __init__(self, rate_in: int, rate_out: int) -> None:
        if rate_in <= 0 or rate_out <= 0:
            raise ValueError(f"sample rates must be positive, got {rate_in} and {rate_out}")
        self.rate_in: Final = rate_in
        self.rate_out: Final = rate_out
        ratio = Fraction(rate_in, rate_out).limit_denominator(_MOST_PHASES)
        self._up = ratio.denominator
        self._down = ratio.numerator
        self._phases = _phases(self._up, self._down)
        self._reach = self._phases.shape[1] // 2
        self._restart()

    def push(self, pcm: Pcm) -> Pcm:
        """What the samples so far determine and has not been given out yet."""
        if self._up == self._down:
            return pcm
        self._taken += pcm.size
        # Sample k needs `reach` samples on each side of where it lies in the input.
        ready = ((self._taken - self._reach) * self._up - 1) // self._down + 1
        return self._until(ready, pcm)

    def flush(self) -> Pcm:
        """The rest, as if silence followed; the resampler is new again afterwards."""
        if self._up == self._down:
            return np.empty(0, np.int16)
        wanted = ceil(self._taken * self._up / self._down)
        rest = self._until(wanted, np.zeros(self._reach + 1, np.int16))
        self._restart()
        return rest

    def _restart(self) -> None:
        self._held: _Floats = np.zeros(self._reach, np.float64)
        self._held_from = -self._reach
        self._taken = 0
        self._given = 0

    def _until(self, wanted: int, pcm: Pcm) -> Pcm:
        self._held = np.concatenate((self._held, pcm))
        blocks = []
        while self._given < wanted:
            stop = min(wanted, self._given + _BLOCK)
            blocks.append(self._block(np.arange(self._given, stop)))
            self._given = stop
        self._forget()
        return np.concatenate(blocks) if blocks else np.empty(0, np.int16)

    def _block(self, wanted: NDArray[np.int64]) -> Pcm:
        place = wanted * self._down
        first = place // self._up - self._reach - self._held_from + 1
        windows = np.lib.stride_tricks.sliding_window_view(self._held, self._phases.shape[1])
        if self._up == 1:
            last = int(first[-1])
            exact = windows[int(first[0]) : last + 1 : self._down] @ self._phases[0]
        else:
            exact = np.einsum("ij,ij->i", windows[first], self._phases[place % self._up])
        block: Pcm = np.clip(np.rint(exact), -32768, 32767).astype(np.int16)
        return block

    def _forget(self) -> None:
        oldest = self._given * self._down // self._up - self._reach + 1
        surplus = oldest - self._held_from
        if surplus > 0:
            self._held = self._held[surplus:]
            self._held_from = oldest


@lru_cache(maxsize=16)
def _phases(up: int, down: int) -> _Floats:
    """The filter taken apart: row p holds the taps for outputs that lie p/up after an input sample."""
    if up == down:
        return np.ones((1, 1))
    width = (_STOP - _PASS) / 2 / max(up, down)
    half = ceil((_ATTENUATION_DB - 7.95) / 14.36 / width / 2)
    reach = ceil(half / up)
    at = np.arange(-reach * up, reach * up + 1)
    cutoff = (_PASS + _STOP) / 4 / max(up, down)
    beta = 0.1102 * (_ATTENUATION_DB - 8.7)
    taps = 2 * cutoff * up * np.sinc(2 * cutoff * at) * np.kaiser(at.size, beta)
    # Column j of row p weighs the input sample j - reach + 1 after the one at or before the output.
    column = np.arange(2 * reach)[None, :] - reach + 1
    row = np.arange(up)[:, None]
    index = row - column * up + reach * up
    phases = np.where((index >= 0) & (index < at.size), taps[np.clip(index, 0, at.size - 1)], 0.0)
    return np.ascontiguousarray(phases / phases.sum(axis=1, keepdims=True))
