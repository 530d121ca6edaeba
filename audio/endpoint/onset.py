"""Has somebody begun to speak? Evidence gathered frame by frame, and from where it counts."""

from __future__ import annotations

from math import inf
from typing import Final

from audio.endpoint.hearing import Hearing
from audio.types import FRAME_MS
from audio.vad import Verdict

_PITCHED: Final = 0.55
"""Least periodicity of a voiced frame."""
_VOICED_FRAMES: Final = 2
"""Voiced frames a beginning needs: breath, knocks and hiss have none, the shortest word has three."""
_UNVOICED_FRAMES: Final = 35
"""A beginning without any voice must last this long (700 ms), longer than a breath, shorter than a whispered sentence,"""
_SYLLABLES_DB: Final = 8.0
"""and rise and fall as syllables do, which the hiss of a line does not."""
_LONGEST_FRAMES: Final = 50
"""A beginning is never dated back further than this (1 s): whoever keeps the sound must know how much to keep."""
_LEAD_FRAMES: Final = 5
"""At most so many faint frames before the first accepted one are counted in: soft consonants."""


class OnsetEvidence:
    """Leaky count of accepted frames; sure once it is long enough, holds a voice and is no tone."""

    def __init__(self, onset_ms: int) -> None:
        self._needed = max(1, onset_ms // FRAME_MS)
        self.clear()

    def clear(self) -> None:
        """Forget everything: a stretch has begun, and what is heard in it belongs to it."""
        self._lead = 0
        self._start_over()

    def _start_over(self) -> None:
        self.frames = 0
        """Frames since the first one that counts, this one included; 0 while there is none."""
        self._score = 0
        self._voiced = 0
        self._tones = 0
        self._softest = inf
        self._loudest = -inf

    def hear(self, verdict: Verdict, hearing: Hearing, *, gate: float, faint: float) -> bool:
        """Take a frame's verdict and the levels in dBFS above which it counts, or counts as a lead-in; true when sure."""
        level = hearing.level
        self._lead = self._lead + 1 if verdict is not Verdict.NOISE and level > faint else 0
        if self._score:
            self.frames = min(self.frames + 1, _LONGEST_FRAMES)
        if verdict is Verdict.SPEECH and level > gate:
            if not self._score:
                self.frames = min(self._lead, 1 + _LEAD_FRAMES)
            self._score += 1
            self._weigh(hearing)
            return self._is_sure()
        if self._score:
            self._score -= 1
            if not self._score:
                self._start_over()
        return False

    def _weigh(self, hearing: Hearing) -> None:
        self._softest = min(self._softest, hearing.level)
        self._loudest = max(self._loudest, hearing.level)
        if hearing.is_tone():
            self._tones += 1
        elif hearing.pitch() > _PITCHED:
            self._voiced += 1

    def _is_sure(self) -> bool:
        if self._score < self._needed or self._tones >= self._score // 2:
            return False
        if self._voiced >= _VOICED_FRAMES and self._voiced > self._tones:
            return True
        return self._score >= _UNVOICED_FRAMES and self._loudest - self._softest >= _SYLLABLES_DB
