"""Both engines on one line: the detector that misses nothing, and the model that is seldom fooled."""

from __future__ import annotations

from audio.types import Pcm
from audio.vad import Verdict
from audio.vad.silero import SileroVad
from audio.vad.webrtc import WebrtcVad


class HybridVad:
    """The detector's verdicts, with the model's probability beside them for the endpointer to weigh."""

    def __init__(self) -> None:
        self._detector = WebrtcVad()
        self._model = SileroVad()

    @property
    def probability(self) -> float:
        return self._model.probability

    def judge(self, pcm: Pcm, *, in_turn: bool) -> Verdict:
        self._model.judge(pcm, in_turn=in_turn)
        return self._detector.judge(pcm, in_turn=in_turn)
