"""Has the speaker stopped? Four clocks of silence over one open stretch of speech."""

from __future__ import annotations

from typing import Final

from audio.endpoint.signals import EndpointOptions
from audio.types import FRAME_MS

_SOFTEST: Final = 30.0
"""dB under the loudest frame; speech has less range than that, its reverberation has not."""
_SINK: Final = 0.04
"""dB per frame (2 dB a second) that the loudest frame is forgotten: people grow quieter."""
_OVER_FLOOR: Final = 3.0
"""dB above the line's floor that a frame of speech has."""
_OVER_CEILING: Final = 2.0
"""dB above the background's ceiling that a frame of speech has,"""
_UNDER_PEAK: Final = 20.0
"""as long as that asks for no more than this many dB under the loudest frame."""
_FADED_SHARE: Final = 0.35
"""Share of the way from the loudest frame down to the floor below which a voice has faded,"""
_FADED_LEAST: Final = 6.0
"""in dB at least: where the line is noisy, the background reaches up close to the caller."""


class Stretch:
    """One stretch of speech from its onset on.

    It ends when nothing like a voice was heard for the plain silence, or nothing that the speech model
    believes in or that stands out of the line's noise for a longer one, or nothing near the caller's
    own loudness for the longest.
    """

    def __init__(
        self, options: EndpointOptions, *, started_at: int, voiced_frames: int, level: float
    ) -> None:
        self.started_at = started_at
        self.voiced_ms = voiced_frames * FRAME_MS
        """Accepted speech so far, in milliseconds."""
        self.silent_frames = 0
        """Frames since the last one taken for speech by the clock that ran out."""
        self._noisy_extra = options.noisy_extra_ms // FRAME_MS
        self._unlikely_extra = options.unlikely_extra_ms // FRAME_MS
        self._faded_extra = options.faded_extra_ms // FRAME_MS
        self.peak = level
        """Loudest frame so far, sinking, in dBFS."""
        self._unvoiced = 0
        self._drowned = 0
        self._faded = 0
        self._unlikely = 0

    @property
    def quiet_frames(self) -> int:
        """Frames since the last one that may be speech."""
        return self._unvoiced

    def hear(
        self,
        level: float,
        *,
        voice: bool,
        likely: bool,
        floor: float,
        ceiling: float,
        patience: int,
    ) -> bool:
        """Take a frame; true when the stretch ends with it.

        `voice` says that the frame may be speech and is not our echo, `likely` that the model, where
        there is one, thinks so too; `patience` is the plain silence in frames.
        """
        peak = self.peak = level if level > self.peak else self.peak - _SINK
        self._unvoiced += 1
        self._drowned += 1
        self._faded += 1
        self._unlikely += 1
        if likely:
            self._unlikely = 0
        if voice:
            # The engine's lingering counts here: it is what lifts a curt "no" over the first milestone.
            self.voiced_ms += FRAME_MS
        if voice and level > peak - _SOFTEST:
            self._unvoiced = 0
            if level > max(floor + _OVER_FLOOR, min(ceiling + _OVER_CEILING, peak - _UNDER_PEAK)):
                self._drowned = 0
            if level > peak - max(_FADED_LEAST, _FADED_SHARE * (peak - floor)):
                self._faded = 0
        return self._is_over(patience)

    def _is_over(self, patience: int) -> bool:
        if self._unvoiced >= patience:
            self.silent_frames = self._unvoiced
        elif self._drowned >= patience + self._noisy_extra:
            self.silent_frames = self._drowned
        elif self._faded >= patience + self._faded_extra:
            self.silent_frames = self._faded
        elif self._unlikely >= patience + self._unlikely_extra:
            self.silent_frames = self._unlikely
        else:
            return False
        return True
