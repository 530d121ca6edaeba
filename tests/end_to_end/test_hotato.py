"""hotato (a judge of turn timing made by others) hears eight calls held through gateway and sandbox."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
from hotato.sdk import Event

from audio import mulaw
from gateway.settings.model import TurnTaking
from gateway.simulator import Utterance
from tests.end_to_end.hotato_scenes import AGENT_MS, WORDS, Scene, scenes
from tests.end_to_end.talk_views import Held
from tests.end_to_end.talking import a_house
from tests.support.human import Reader, chapter, longest_pause_ms

TRIES: Final = 3
STALLED_MS: Final = 60
"""The caller's clock was this late at worst: not the gateway but the machine was judged, so once more."""

SCENES: Final = scenes()
EVERY_SCENE: Final = pytest.mark.parametrize("scene", SCENES, ids=[scene.id for scene in SCENES])


def test_every_scene_of_the_package_is_held() -> None:
    assert {scene.id for scene in SCENES} == set(WORDS)


def test_the_agent_never_pauses_by_itself_and_has_more_to_say_than_any_scene_is_long() -> None:
    assert longest_pause_ms(chapter()) <= 150
    assert len(chapter()) >= AGENT_MS * 8
    assert all(scene.agent_ms + AGENT_MS > scene.length_ms for scene in SCENES)


@pytest.mark.slow
@EVERY_SCENE
async def test_hotato_passes_the_call(
    tmp_path: Path, scene: Scene, record_property: Callable[[str, object], None]
) -> None:
    call, event = await held_and_judged(tmp_path, scene)

    figures = {
        "seconds_to_yield": event.seconds_to_yield,
        "talk_over_seconds": event.talk_over_sec,
        "latest_tick_ms": call.result.latest_tick_ms,
        "said_from_ms": [said.from_ms for said in call.result.said],
        "barge_ins": [told["confirmed"] for told in call.events("barge-in")],
        "moments": [f"{moment.at_ms} {moment.who} {moment.what}" for moment in call.result.moments],
    }
    for name, value in figures.items():
        record_property(name, value)
    print(scene.id, figures)
    assert event.scorable, event.not_scorable_reason
    assert event.passed, (event.verdict, figures)
    assert event.did_yield is scene.must_yield
    greeting = call.turn("greeting")
    assert greeting["interrupted"] is scene.must_yield
    if not scene.must_yield:
        assert call.clears == 0


async def held_and_judged(tmp_path: Path, scene: Scene) -> tuple[Held, Event]:
    """The call and its verdict, from a try in which this machine kept time, or the last one."""
    for number in range(TRIES):
        folder = tmp_path / str(number)
        folder.mkdir()
        call = await held(folder, scene)
        event = scene.judge(call, folder)
        if event.passed or call.result.latest_tick_ms < STALLED_MS:
            break
    return call, event


async def held(folder: Path, scene: Scene) -> Held:
    """The call with the settings a gateway has by itself."""
    reader = Reader(AGENT_MS)
    async with a_house(
        folder,
        reader=reader,
        think_ms=300,
        GATEWAY_TURN_TAKING__END_SILENCE_MS=str(TurnTaking().end_silence_ms),
    ) as house:
        house.expect("one", "two")
        call = await house.hold(scene.plan())
    onset = begin_of_speech(call, scene)
    assert onset is None or onset == scene.onset_ms * 8
    return call


def begin_of_speech(call: Held, scene: Scene) -> int | None:
    """The sample of the scene at which the caller's own sound begins; None where there is none."""
    for item in scene.plan().items:
        assert isinstance(item, Utterance)
        said, _ = scene.cut(call)
        return said.tobytes().find(mulaw.decode(item.sound[:160]).tobytes()) // 2
    return None
