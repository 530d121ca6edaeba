"""Engines without speech: a voice that beeps and ears that are told what to hear.

Everything is deterministic and takes no time, so tests of the wire, the rules and the gateway need
neither models nor the extra.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import numpy as np

from audio.types import Pcm

RATE: Final = 16_000
CHARACTER_MS: Final = 60
"""Length of the beep for one character; about the pace of speech."""
GAP_MS: Final = 60
"""Silence after each word."""
_AMPLITUDE: Final = 0.14 * 32767
"""A sine of this height has a level of -20 dBFS."""


class TonesVoice:
    """A `Voice` that beeps once for each word, longer and lower for longer words."""

    @property
    def rate(self) -> int:
        return RATE

    def speak(self, text: str) -> Iterator[Pcm]:
        gap = np.zeros(RATE * GAP_MS // 1000, dtype=np.int16)
        beeps = [part for word in text.split() for part in (_beep(len(word)), gap)]
        if beeps:
            yield np.concatenate(beeps)


def _beep(characters: int) -> Pcm:
    samples = RATE * CHARACTER_MS * characters // 1000
    pitch = 1200.0 / (1 + characters) + 300.0
    tone = np.sin(2.0 * np.pi * pitch / RATE * np.arange(samples))
    return np.asarray(tone * _AMPLITUDE, dtype=np.int16)


class TonesRecogniser:
    """A `Recogniser` that answers from a list and, when that is empty, with the length of the sound."""

    def __init__(self, answers: Iterable[str] = ()) -> None:
        self._answers = deque(answers)
        self.hints: tuple[str, ...] = ()
        """What the last recording was expected to hold."""

    def expect(self, *answers: str) -> None:
        """Add answers to the end of the list; an empty one means 'nothing understood'."""
        self._answers.extend(answers)

    def transcribe(self, pcm: Pcm, rate: int, hints: Sequence[str] = ()) -> str:
        self.hints = tuple(hints)
        if self._answers:
            return self._answers.popleft()
        return f"heard {len(pcm) * 1000 // rate} ms"
