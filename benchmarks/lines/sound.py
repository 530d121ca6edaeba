"""Sound as the corpus mixes it: float samples at 8 kHz on the 16-bit scale, levels in dBFS, times in ms."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from audio.mulaw import dbfs
from audio.types import SAMPLE_RATE

Floats = NDArray[np.float64]
Span = tuple[int, int]
"""First and last millisecond, the last not included."""

_BAND = (300.0, 3400.0)
"""Hz that a telephone passes,"""
_SLOPE = 60.0
"""and how gently it begins to: edges in Hz, so that nothing rings."""


def samples(ms: float) -> int:
    return round(ms * SAMPLE_RATE / 1000)


def amplitude(level: float) -> float:
    """RMS on the 16-bit scale of a level in dBFS."""
    return 32768.0 * float(10.0 ** (level / 20.0))


def level_of(sound: Floats) -> float:
    """RMS of the whole, in dBFS."""
    return dbfs(float(sound.dot(sound)) / sound.size)


def scaled(sound: Floats, level: float) -> Floats:
    """The whole at `level` dBFS RMS."""
    return sound * float(10.0 ** ((level - level_of(sound)) / 20.0))


def shaped(sound: Floats, gains: Sequence[tuple[float, float]]) -> Floats:
    """Through a filter without delay: gain at each frequency in Hz, straight lines between."""
    padded = sound.size + samples(50)
    spectrum = np.fft.rfft(sound, padded)
    pitches = np.fft.rfftfreq(padded, 1 / SAMPLE_RATE)
    known = np.array(gains, np.float64)
    spectrum *= np.interp(pitches, known[:, 0], known[:, 1])
    return np.fft.irfft(spectrum, padded)[: sound.size]


def telephone(sound: Floats) -> Floats:
    """Band-limited as on a call: 300 to 3400 Hz."""
    low, high = _BAND
    edges = ((low - _SLOPE, 0.0), (low, 1.0), (high, 1.0), (high + _SLOPE, 0.0))
    return shaped(sound, edges)


def faded(sound: Floats, ms: float = 5.0) -> Floats:
    """The same, in and out without a click."""
    edge = min(samples(ms), sound.size // 2)
    out = sound.copy()
    if edge:
        ramp = np.linspace(0.0, 1.0, edge)
        out[:edge] *= ramp
        out[-edge:] *= ramp[::-1]
    return out


def frame_levels(sound: Floats, ms: int = 10) -> Floats:
    """dBFS of each whole stretch of `ms`; -100 where there is nothing."""
    size = samples(ms)
    rows = sound[: sound.size - sound.size % size].reshape(-1, size)
    power: Floats = np.maximum(np.square(rows).mean(axis=1) / 32768.0**2, 1e-10)
    return 10.0 * np.log10(power)
