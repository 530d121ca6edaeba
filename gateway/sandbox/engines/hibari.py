"""Offline synthesis: the voice that ships inside the hibari-tts package."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from audio.types import Pcm
from gateway.sandbox.sound import FULL_SCALE

GAIN: Final = 2.0
"""The package speaks at about -26 dBFS; telephone prompts are recorded at about -20."""
_SEED: Final = 1
"""Of the voice's noise part: the same text gives the same samples every time."""


class HibariVoice:
    """A `Voice`. Speaks a sentence of five seconds in some 50 ms."""

    def __init__(self) -> None:
        from hibari import SAMPLE_RATE, Hibari

        # Of all voices only this one is inside the package; another would be fetched from the network.
        self._voice = Hibari(voice="heart", threads=1)
        self._rate = int(SAMPLE_RATE)

    @property
    def rate(self) -> int:
        return self._rate

    def speak(self, text: str) -> Iterator[Pcm]:
        for wave in self._voice.stream(text, seed=_SEED):
            # Louder peaks bend softly instead of clipping.
            yield np.asarray(np.tanh(wave * GAIN) * (FULL_SCALE - 1), dtype=np.int16)
