"""G.711 mu-law to and from 16-bit samples, and how loud they are.

Tables are built once from the definition in ITU-T G.711: a sign, a segment (chord) of three bits and
a step of four, all inverted on the line. They agree bit for bit with the standard library's
`audioop`, which Python 3.13 no longer has.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from audio.types import SILENCE_DBFS, Pcm

_FULL_SCALE_POWER: Final = 32768.0**2
_BIAS: Final = 0x84
"""Added before the segment is looked up, so that every segment starts at a power of two (16-bit scale)."""
_TOP: Final = 0x1FFF
"""Largest biased magnitude on the 14-bit scale; louder samples share the last code."""
_SEGMENTS: Final = 8


def _decode_table() -> Pcm:
    code = ~np.arange(256, dtype=np.int32) & 0xFF
    segment = (code & 0x70) >> 4
    magnitude = ((((code & 0x0F) << 3) + _BIAS) << segment) - _BIAS
    return np.where(code & 0x80, -magnitude, magnitude).astype(np.int16)


def _encode_table() -> NDArray[np.uint8]:
    """Code of each 16-bit sample, at the index of its unsigned bit pattern."""
    sample = np.arange(65536, dtype=np.uint16).view(np.int16).astype(np.int32) >> 2
    sign = np.where(sample < 0, 0x7F, 0xFF)
    magnitude = np.minimum(np.abs(sample) + (_BIAS >> 2), _TOP)
    tops = 0x3F + 0x40 * (2 ** np.arange(_SEGMENTS) - 1)
    segment = np.searchsorted(tops, magnitude)
    step = (magnitude >> (segment + 1)) & 0x0F
    code: NDArray[np.uint8] = (((segment << 4) | step) ^ sign).astype(np.uint8)
    return code


_DECODE: Final = _decode_table()
_ENCODE: Final = _encode_table()
_AMPLITUDE: Final = _DECODE.astype(np.float64)


def decode(ulaw: bytes) -> Pcm:
    """Samples of mu-law bytes, one for one."""
    return _DECODE.take(np.frombuffer(ulaw, np.uint8))


def encode(pcm: Pcm) -> bytes:
    """Mu-law bytes of samples, one for one."""
    return _ENCODE.take(np.ascontiguousarray(pcm, np.int16).view(np.uint16)).tobytes()


def level_dbfs(pcm: Pcm) -> float:
    """Root mean square in dB of full scale (a full-scale square wave is 0); `SILENCE_DBFS` at least."""
    if not pcm.size:
        return SILENCE_DBFS
    samples = pcm.astype(np.float64)
    return dbfs(float(samples.dot(samples)) / pcm.size)


def ulaw_level_dbfs(ulaw: bytes) -> float:
    """`level_dbfs` of what the bytes decode to, in one look-up."""
    if not ulaw:
        return SILENCE_DBFS
    samples = _AMPLITUDE.take(np.frombuffer(ulaw, np.uint8))
    return dbfs(float(samples.dot(samples)) / len(ulaw))


def dbfs(mean_square: float) -> float:
    """Level in dB of full scale of a mean square on the 16-bit scale; `SILENCE_DBFS` at least."""
    if mean_square <= 0.0:
        return SILENCE_DBFS
    return max(SILENCE_DBFS, 10.0 * math.log10(mean_square / _FULL_SCALE_POWER))
