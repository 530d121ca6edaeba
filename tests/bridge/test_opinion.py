"""A model of turn ends that is not ours: it may fail, the call may not."""

from __future__ import annotations

import logging
from types import ModuleType

import numpy as np
import pytest

from audio.types import Pcm
from gateway.bridge.opinion import GuardedTurnModel
from gateway.compose import detector_factory
from gateway.errors import ConfigError
from gateway.settings import load_settings

SOUND = np.zeros(1600, np.int16)


class Model:
    def __init__(self, answer: object) -> None:
        self.answer = answer

    def complete(self, pcm: Pcm) -> float | None:
        assert pcm.size
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer  # type: ignore[return-value]


@pytest.mark.parametrize(("answer", "opinion"), [(0.25, 0.25), (1, 1.0), (None, None)])
def test_an_opinion_passes(answer: object, opinion: float | None) -> None:
    assert GuardedTurnModel(Model(answer)).complete(SOUND) == opinion


@pytest.mark.parametrize("answer", [RuntimeError("broken"), "soon", object()])
def test_a_broken_model_has_none_and_is_told_of_once(
    answer: object, caplog: pytest.LogCaptureFixture
) -> None:
    model = GuardedTurnModel(Model(answer))
    with caplog.at_level(logging.ERROR):
        assert [model.complete(SOUND), model.complete(SOUND)] == [None, None]

    assert len(caplog.records) == 1


@pytest.mark.parametrize("factory", ["gone", "raises", "nothing"])
def test_a_factory_that_makes_no_model_is_a_wrong_setting(
    factory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = ModuleType("someones_turns")
    module.raises = lambda: 1 / 0  # type: ignore[attr-defined]
    module.nothing = lambda: None  # type: ignore[attr-defined]
    monkeypatch.setitem(__import__("sys").modules, "someones_turns", module)
    variable = "GATEWAY_TURN_TAKING__TURN_MODEL"
    settings = load_settings(environ={variable: f"someones_turns:{factory}"}, dotenv=None)

    with pytest.raises(ConfigError, match=variable):
        detector_factory(settings)
