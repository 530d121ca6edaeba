"""The spectrum Whisper models listen to: 80 mel bands of 10 ms steps, made with numpy alone.

The scale is the one of the published model: Slaney's mel bands from 0 to 8 kHz, Hann windows of
25 ms, log10 power held within eight decades of the loudest, then moved to about -1 .. 1.
"""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from audio.types import Pcm

RATE: Final = 16_000
"""Hz the model was trained at; telephone sound is brought up to it first."""
STEP: Final = 160
"""Samples between two spectra (10 ms)."""
BANDS: Final = 80
_WINDOW: Final = 400
_LINEAR_HZ_PER_MEL: Final = 200.0 / 3.0
_LINEAR_MELS: Final = 15.0
_LOG_STEP: Final = np.log(6.4) / 27.0
_DECADES: Final = 8.0

Floats = NDArray[np.float32]


def log_mel(pcm: Pcm, frames: int) -> Floats:
    """Spectrum of `pcm` (16 kHz) followed by silence, as an array of 80 x `frames`."""
    wave = np.zeros(frames * STEP, dtype=np.float32)
    used = min(len(pcm), len(wave))
    wave[:used] = pcm[:used].astype(np.float32) / 32768.0
    half = _WINDOW // 2
    padded = np.pad(wave, (half, half), mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::STEP][:frames]
    spectra = np.fft.rfft(windows * _hann(), axis=1)
    power = np.square(spectra.real) + np.square(spectra.imag)
    bands = _mel_bands() @ power.T.astype(np.float32)
    decades = np.log10(np.maximum(bands, 1e-10))
    held = np.maximum(decades, decades.max() - _DECADES)
    return np.ascontiguousarray((held + 4.0) / 4.0, dtype=np.float32)


@cache
def _hann() -> Floats:
    phase = 2.0 * np.pi * np.arange(_WINDOW) / _WINDOW
    return np.asarray(0.5 - 0.5 * np.cos(phase), dtype=np.float32)


@cache
def _mel_bands() -> Floats:
    """Weights (80 x 201) of triangular bands, each of the same area."""
    top = _LINEAR_MELS + np.log(RATE / 2 / 1000.0) / _LOG_STEP
    mels = np.linspace(0.0, top, BANDS + 2)
    edges = np.where(
        mels < _LINEAR_MELS,
        mels * _LINEAR_HZ_PER_MEL,
        1000.0 * np.exp(_LOG_STEP * (mels - _LINEAR_MELS)),
    )
    low, centre, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    hertz = np.arange(_WINDOW // 2 + 1) * (RATE / _WINDOW)
    rising = (hertz - low) / (centre - low)
    falling = (high - hertz) / (high - centre)
    weights = np.maximum(0.0, np.minimum(rising, falling)) * 2.0 / (high - low)
    return np.asarray(weights, dtype=np.float32)
