"""Sounds made here: one that says "still here" while nothing else is ready, and silence.

Mu-law at 8 kHz, well under speech level, beginning and ending in silence so that they can be joined
to anything.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from audio import mulaw
from audio.types import SAMPLE_RATE, ULAW_SILENCE

_COMFORT_DBFS: Final = -32.0
_PERIOD_MS: Final = 1600
"""The comfort figure repeats so slowly that it reads as patience, not as a busy line."""
_FIGURE: Final = ((0, 523.25), (260, 659.26))
"""Start in ms and pitch in Hz of the comfort figure's notes: a rising third."""
_NOTE_MS: Final = 600
_ATTACK_MS: Final = 12
_DECAY_MS: Final = 140.0


def comfort_sound(ms: int) -> bytes:
    """`ms` of a soft two-note figure that repeats while the caller waits."""
    sound = np.zeros(_samples(ms))
    for start in range(0, ms, _PERIOD_MS):
        for offset, pitch in _FIGURE:
            _add_note(sound, start + offset, pitch, _NOTE_MS, _COMFORT_DBFS)
    return _finish(sound)


def silence(ms: int) -> bytes:
    """`ms` of mu-law silence."""
    return bytes([ULAW_SILENCE]) * _samples(ms)


def _samples(ms: int) -> int:
    return max(0, ms) * SAMPLE_RATE // 1000


def _add_note(
    sound: NDArray[np.float64], start_ms: int, pitch: float, ms: int, level_dbfs: float
) -> None:
    """Mix in one struck note; `level_dbfs` is that of its loudest moment."""
    start = _samples(start_ms)
    seconds = np.arange(min(_samples(ms), max(0, sound.size - start))) / SAMPLE_RATE
    attack = np.minimum(1.0, seconds * 1000 / _ATTACK_MS)
    peak = 32768.0 * 10.0 ** (level_dbfs / 20.0) * np.sqrt(2.0)
    envelope = peak * attack * np.exp(-seconds * 1000 / _DECAY_MS)
    sound[start : start + seconds.size] += envelope * np.sin(2 * np.pi * pitch * seconds)


def _finish(sound: NDArray[np.float64]) -> bytes:
    fade = min(sound.size, _samples(_ATTACK_MS))
    if fade:
        sound[-fade:] *= np.linspace(1.0, 0.0, fade)
    return mulaw.encode(np.rint(sound).astype(np.int16))
