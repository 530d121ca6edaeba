"""The WebRTC project's voice activity detector: a Gaussian mixture in six bands, 1 us a frame.

Only home of `webrtcvad`. It misses nothing and costs nothing, but it hears a voice in hum, traffic and
music too; the endpointer's level gates are there for that.
"""

from __future__ import annotations

from typing import Final

import webrtcvad

from audio.types import SAMPLE_RATE, Pcm
from audio.vad import Verdict

_STRICT_MODE: Final = 3
_LENIENT_MODE: Final = 1
"""Mode 3 finds beginnings; mode 1 lingers about 100 ms longer over soft endings and inner gaps."""


class WebrtcVad:
    """Two detectors side by side: sure of speech where the strict one is, sure of noise where even the lenient one is."""

    probability: Final = None

    def __init__(self) -> None:
        self._strict = webrtcvad.Vad(_STRICT_MODE)
        self._lenient = webrtcvad.Vad(_LENIENT_MODE)

    def judge(self, pcm: Pcm, *, in_turn: bool) -> Verdict:  # noqa: ARG002 - it forgets nothing
        frame = pcm.tobytes()
        # Both must hear every frame: each adapts to the line's noise by what it is given.
        sure = self._strict.is_speech(frame, SAMPLE_RATE)
        perhaps = self._lenient.is_speech(frame, SAMPLE_RATE)
        if sure:
            return Verdict.SPEECH
        return Verdict.DOUBT if perhaps else Verdict.NOISE
