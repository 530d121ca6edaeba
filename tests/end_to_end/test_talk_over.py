"""The caller talks into the agent's human voice on a live call; what is heard is compared sample by sample."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from audio import mulaw
from audio.types import FRAME_SAMPLES, Pcm
from gateway.simulator import Utterance
from tests.end_to_end.talking import BRISK, a_house
from tests.support.human import Reader, human, word

RATE: Final[dict[str, Any]] = {"sandbox": {"voice_rate": 8000}, "AMIGO_AUDIO_RATE": "8000"}
"""The agent's voice comes at the line's own rate: what is heard is then exactly what was recorded."""
HANG: Final = 10
"""Real time on a busy machine: a limit is ten times what is aimed at, the figure is told."""
GAP_MS: Final = 200
SILENT_MS: Final = 600
"""Aimed at, from the caller's onset to silence at the caller's ear: to be sure, and the look-ahead."""
NEVER_CLEARED: Final = 60_000

Record = Callable[[str, object], None]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "ms"), [("mike", 350), ("ten", 200), ("four", 300)])
async def test_a_short_word_does_not_cost_a_sample(
    tmp_path: Path, name: str, ms: int, record_property: Record
) -> None:
    reader = Reader(3000, 1000)
    remark = Utterance(word(name, ms), name=name, interrupts=True)
    async with a_house(tmp_path, reader=reader, **RATE) as house:
        call = await house.call(remark, habits=BRISK, clear_within_ms=NEVER_CLEARED)

    whole = np.concatenate(reader.pages)
    assert np.array_equal(sounding(call.heard), whole), "the whole sentence, and nothing twice"
    greeting = call.turn("greeting")
    assert not greeting["interrupted"]
    assert greeting["heard_text"] == greeting["agent_text"]
    assert call.clears == 0
    assert [said.barged_in for said in call.result.said] == [True]
    assert [told["confirmed"] for told in call.events("barge-in")] == [False]
    gap = gap_ms(call.heard)
    record_property("gap_ms", gap)
    print(f"{name}, {ms} ms: the caller heard a gap of {gap} ms")
    assert gap <= GAP_MS * HANG


@pytest.mark.slow
@pytest.mark.parametrize("name", ["weasels", "something-wrong", "all-busy"])
async def test_the_agent_is_silent_soon_and_what_was_heard_is_what_it_said(
    tmp_path: Path, name: str, record_property: Record
) -> None:
    reader = Reader(9000, 1000)
    sentence = Utterance(human(name)[: 1500 * 8], name=name, interrupts=True)
    habits = replace(BRISK, barge_in_after_ms=1500)
    async with a_house(tmp_path, reader=reader, **RATE) as house:
        house.expect("goodbye")
        call = await house.call(sentence, habits=habits)

    onset = begin_of(sentence.sound, call.said)
    heard_after = stretches(call.heard)[0]
    silent_ms = (heard_after.stop - onset) // 8
    record_property("silent_after_ms", silent_ms)
    print(f"{name}: silent at the caller's ear {silent_ms} ms after the onset")
    assert onset > 0
    assert 0 < silent_ms <= SILENT_MS * HANG
    assert np.array_equal(call.heard[heard_after], reader.pages[0][: _size(heard_after)])
    assert call.turn("greeting")["interrupted"]
    assert call.clears == 1


def sounding(track: Pcm) -> Pcm:
    """The frames in which anything was played, joined."""
    frames = _frames(track)
    joined: Pcm = frames[frames.any(axis=1)].reshape(-1)
    return joined


def stretches(track: Pcm) -> list[slice]:
    """Samples of unbroken sound, in order; a gap is a whole frame of silence or more."""
    edges = np.flatnonzero(np.diff(np.pad(_frames(track).any(axis=1), 1)))
    offset = track.size % FRAME_SAMPLES
    bounds = [offset + int(edge) * FRAME_SAMPLES for edge in edges]
    return [slice(*pair) for pair in zip(bounds[::2], bounds[1::2], strict=True)]


def gap_ms(track: Pcm) -> int:
    """All silence between the first and the last sound."""
    found = stretches(track)
    silent = sum(after.start - before.stop for before, after in pairwise(found))
    return int(silent) // 8


def begin_of(sound: bytes, track: Pcm) -> int:
    """The sample at which the first frame of a mu-law sound is found."""
    found = track.tobytes().find(mulaw.decode(sound[:FRAME_SAMPLES]).tobytes())
    assert found >= 0, "it was never said"
    return found // 2


def _frames(track: Pcm) -> Pcm:
    """In the line's own frames: what comes before the first whole one is the time before the stream."""
    whole: Pcm = track[track.size % FRAME_SAMPLES :].reshape(-1, FRAME_SAMPLES)
    return whole


def _size(stretch: slice) -> int:
    return int(stretch.stop - stretch.start)
