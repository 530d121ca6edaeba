"""Keys and call tones: sounds of generators, which must not be taken for a voice.

Two ways to know one. Two sinusoids obey a short recurrence exactly, whatever their frequencies; and a
key is one of four low and one of four high frequencies with hardly anything beside them (ITU-T Q.23),
which still shows when noise has spoilt the recurrence.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from audio.types import FRAME_SAMPLES, SAMPLE_RATE

_UNEXPLAINED: Final = 0.01
_UNEXPLAINED_STEADY: Final = 0.025
"""Share of a frame's power that two sinusoids leave unexplained, at most: 1 % (4 % under the second)
of the frames of a voice are as pure, and those seldom come one after the other."""
_KEY_SHARE: Final = 0.8
"""Share of a frame's power in one low and one high key frequency; 1 frame of voice in 1000 has it."""
_RIDGE: Final = 1e-5
_KEY_HZ: Final = (697, 770, 852, 941, 1209, 1336, 1477, 1633)
_LOW_KEYS: Final = 4

_Floats = NDArray[np.float32]


def _key_waves() -> _Floats:
    """Cosines, then sines, of the key frequencies over one frame."""
    angle = 2 * np.pi / SAMPLE_RATE * np.outer(_KEY_HZ, np.arange(FRAME_SAMPLES))
    return np.concatenate((np.cos(angle), np.sin(angle))).astype(np.float32)


_KEYS: Final = _key_waves()


def is_tone(frame: _Floats, *, steady: bool) -> bool:
    """Whether 160 samples are one or two sinusoids; `steady`: they are as loud as the frame before."""
    x = frame.astype(np.float64)
    power = float(x.dot(x))
    limit = _UNEXPLAINED_STEADY if steady else _UNEXPLAINED
    return _unexplained(x) < limit * power or _key_power(frame) > _KEY_SHARE * power


def _unexplained(x: NDArray[np.float64]) -> float:
    """Power left by the best a and b in x[n] + x[n-4] = a (x[n-1] + x[n-3]) + b x[n-2]."""
    ends, inner, middle = x[4:] + x[:-4], x[3:-1] + x[1:-3], x[2:-2]
    ii, mm, im = float(inner.dot(inner)), float(middle.dot(middle)), float(inner.dot(middle))
    ei, em, ee = float(ends.dot(inner)), float(ends.dot(middle)), float(ends.dot(ends))
    # A single sinusoid leaves the two equations dependent; a little ridge keeps them solvable.
    ridge = _RIDGE * (ii + mm) + 1.0
    determinant = (ii + ridge) * (mm + ridge) - im * im
    a = (ei * (mm + ridge) - em * im) / determinant
    b = (em * (ii + ridge) - ei * im) / determinant
    return ee - 2.0 * (a * ei + b * em) + a * a * ii + 2.0 * a * b * im + b * b * mm


def _key_power(frame: _Floats) -> float:
    """Power in the strongest low and the strongest high key frequency."""
    parts = _KEYS @ frame
    parts *= parts
    waves = parts[: len(_KEY_HZ)] + parts[len(_KEY_HZ) :]
    return float(waves[:_LOW_KEYS].max() + waves[_LOW_KEYS:].max()) * 2 / FRAME_SAMPLES
