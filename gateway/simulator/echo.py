"""What the caller hears, coming back on the caller's line: late, softer, perhaps overdriven. Pure."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from audio.mulaw import decode, encode
from audio.types import FRAME_SAMPLES, SAMPLE_RATE
from gateway.simulator.plan import Echo

_FULL_SCALE: Final = 32768.0


class EchoPath:
    """The way from the caller's loudspeaker into the microphone; call `mix` every 20 ms."""

    def __init__(self, echo: Echo) -> None:
        self._gain = echo.gain
        limit = 0.0 if echo.clip_dbfs is None else echo.clip_dbfs
        self._limit = _FULL_SCALE * 10 ** (limit / 20)
        self._on_its_way: NDArray[np.float64] = np.zeros(echo.delay_ms * SAMPLE_RATE // 1000)

    def mix(self, sound: bytes, playing: bytes | None) -> bytes:
        """One frame of the line: what the caller says, with what returns of the agent.

        `playing` begins to sound with this frame; None: nothing is played. Nothing that returns
        changes nothing.
        """
        ours = np.zeros(FRAME_SAMPLES) if playing is None else decode(playing).astype(np.float64)
        echo = np.clip(ours, -self._limit, self._limit) * self._gain
        self._on_its_way = np.concatenate((self._on_its_way, echo))
        returns, self._on_its_way = np.split(self._on_its_way, [FRAME_SAMPLES])
        if not returns.any():
            return sound
        both = np.rint(decode(sound) + returns)
        return encode(np.clip(both, -_FULL_SCALE, _FULL_SCALE - 1).astype(np.int16))
