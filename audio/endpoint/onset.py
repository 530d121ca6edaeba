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
_CREDIBLE: Final = ((12, 0.06), (8, 0.1), (6, 0.15), (5, 0.2), (0, 0.25))
"""Accepted frames, and the smoothed probability of a voice that is enough at so many: coughs and keys
startle the model for a moment, words win it over the longer they last."""
_LONG_FRAMES: Final = 16
_LONG_LOUD_DB: Final = 5.0
_LONG_CREDIBLE: Final = 0.02
"""What is so long and stands so far out of the noise needs hardly any: the model misses a voice in twenty."""
_SMOOTHING: Final = 0.3
_CERTAIN: Final = 0.7
"""Probability at which the model alone may find a beginning, whatever the detector makes of it,"""
_CERTAIN_FRAMES: Final = 4
"""in so many frames."""


_HINT: Final = 0.1
_GAP_FRAMES: Final = 10
"""Frames that might be speech, at most so far apart, are kept with a beginning found later."""


class OnsetEvidence:
    """Leaky counts of accepted frames; sure once one is long enough and is neither tone, breath nor knock."""

    def __init__(self, onset_ms: int) -> None:
        self._needed = max(1, onset_ms // FRAME_MS)
        self.clear()

    def clear(self) -> None:
        """Forget everything: a stretch has begun, and what is heard in it belongs to it."""
        self._lead = 0
        self._trace = self._gap = 0
        self._start_over()

    def _start_over(self) -> None:
        self.frames = 0
        """Frames since the first one that counts, this one included; 0 while there is none."""
        self._score = 0
        self._certain = 0
        self._voiced = 0
        self._credibility = 0.0
        self._softest = inf
        self._loudest = -inf

    def hear(
        self,
        verdict: Verdict,
        probability: float | None,
        hearing: Hearing,
        *,
        level: float,
        gate: float,
        faint: float,
    ) -> bool:
        """Take a frame; true when sure.

        `level` is the caller's in dBFS, `gate` what it must exceed to count for the detector, `faint`
        to count as a lead-in or for the model.
        """
        self._follow_trace(verdict, probability, level > faint)
        heard = verdict is not Verdict.NOISE and level > faint
        self._lead = self._lead + 1 if heard else 0
        accepted = verdict is Verdict.SPEECH and level > gate
        certain = probability is not None and probability >= _CERTAIN and level > gate
        if not self._score and not self._certain:
            if not accepted and not certain:
                return False
            self.frames = min(self._lead, 1 + _LEAD_FRAMES) if heard else 1
        else:
            self.frames = min(self.frames + 1, _LONGEST_FRAMES)
        if (accepted or certain) and hearing.is_tone():
            return False
        self._weigh(accepted, certain, probability, hearing)
        return self._is_sure(accepted=accepted, certain=certain, loud=level > gate + _LONG_LOUD_DB)

    @property
    def reach(self) -> int:
        """Frames back to where the first trace of this speech was, this one included."""
        return min(max(self.frames, self._trace), _LONGEST_FRAMES)

    def _follow_trace(self, verdict: Verdict, probability: float | None, audible: bool) -> None:
        hint = probability is None or probability > _HINT
        if audible and hint and verdict is not Verdict.NOISE:
            self._gap = 0
        else:
            self._gap += 1
        self._trace = 0 if self._gap > _GAP_FRAMES else self._trace + 1

    def _weigh(
        self, accepted: bool, certain: bool, probability: float | None, hearing: Hearing
    ) -> None:
        if probability is None:
            self._credibility = 1.0
        elif not self._score and not self._certain:
            self._credibility = probability
        else:
            self._credibility += _SMOOTHING * (probability - self._credibility)
        self._score = max(0, self._score + (1 if accepted else -1))
        self._certain = max(0, self._certain + (1 if certain else -1))
        if accepted or certain:
            self._softest = min(self._softest, hearing.level)
            self._loudest = max(self._loudest, hearing.level)
            if hearing.pitch() > _PITCHED:
                self._voiced += 1
        elif not self._score and not self._certain:
            self._start_over()

    def _is_sure(self, *, accepted: bool, certain: bool, loud: bool) -> bool:
        if certain and self._certain >= _CERTAIN_FRAMES:
            return True
        if not accepted or self._score < self._needed or not self._is_credible(loud):
            return False
        if self._voiced >= _VOICED_FRAMES:
            return True
        return self._score >= _UNVOICED_FRAMES and self._loudest - self._softest >= _SYLLABLES_DB

    def _is_credible(self, loud: bool) -> bool:
        if loud and self._score >= _LONG_FRAMES and self._credibility >= _LONG_CREDIBLE:
            return True
        enough = next(least for frames, least in _CREDIBLE if self._score >= frames)
        return self._credibility >= enough
