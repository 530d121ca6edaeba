"""The place for a model that tells a finished turn from a pause; none is shipped.

Those that were tried (docs/turn-taking.md) buy less than the plain rules do. Who has a better one
names it in `turn_taking.turn_model`.
"""

from __future__ import annotations

from collections import deque
from typing import Final, Protocol

import numpy as np

from audio.types import FRAME_MS, Pcm

ASK_AFTER_MS: Final = 200
"""Silence after which the model is asked, once for each silence."""
_KEPT_MS: Final = 8000
_LIKELY: Final = 0.8
_UNLIKELY: Final = 0.4
_SHORTER: Final = 0.7
_LONGER: Final = 1.5
"""Shares of the patience that are left where the model is sure of the end, or of the pause."""


class TurnModel(Protocol):
    """Judges one silence; the same object serves all calls of the process."""

    def complete(self, pcm: Pcm) -> float | None:
        """Probability (0 to 1) that the caller has said all; None without an opinion.

        `pcm`: up to 8 s of the line at 8 kHz, ending with 200 ms of silence. Called on the event
        loop: it must answer within a millisecond or two.
        """
        ...


class TurnJudge:
    """Keeps what the model needs of one line and turns its opinion into patience."""

    def __init__(self, model: TurnModel) -> None:
        self._model = model
        self._frames: deque[Pcm] = deque(maxlen=_KEPT_MS // FRAME_MS)

    def hear(self, pcm: Pcm) -> None:
        self._frames.append(pcm)

    def patience(self, frames: int) -> int:
        """The silence, in frames, that is to end the turn, in place of `frames`."""
        opinion = self._model.complete(np.concatenate(self._frames))
        if opinion is None:
            return frames
        if opinion >= _LIKELY:
            return max(1, int(frames * _SHORTER))
        return int(frames * _LONGER) if opinion < _UNLIKELY else frames
