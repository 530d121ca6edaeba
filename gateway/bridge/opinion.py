"""An operator's end-of-turn model, kept from harming a call: what it breaks is an opinion, no more."""

from __future__ import annotations

import logging

from audio.endpoint import TurnModel
from audio.types import Pcm
from gateway.log import fact

_log = logging.getLogger(__name__)


class GuardedTurnModel:
    """Asks the model; one that raises or answers nonsense is told of once and has no opinion."""

    def __init__(self, model: TurnModel) -> None:
        self._model = model
        self._told = False

    def complete(self, pcm: Pcm) -> float | None:
        try:
            opinion = self._model.complete(pcm)
            return None if opinion is None else float(opinion)
        except Exception as error:  # noqa: BLE001 - foreign code in the middle of a call
            if not self._told:
                self._told = True
                fact(_log, "turn-model.failed", level=logging.ERROR, reason=repr(error)[:200])
            return None
