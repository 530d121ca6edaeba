"""The agent speaks: any format, any length, any way to cut it, heard whole and without a gap."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.talk_sounds import says
from tests.end_to_end.talking import PATIENT, REVISIONS, a_house, both_revisions

FORMATS = [
    ("pcm16", 16_000, {}),
    ("pcm16", 24_000, {"AMIGO_AUDIO_RATE": "24000"}),
    ("wav", 24_000, {}),
    ("wav", 22_050, {}),
    ("wav-pieces", 16_000, {}),
    ("mp3", 24_000, {}),
    ("mp3", 44_100, {}),
]

ODDITIES = (
    "unknown-event=1",
    "unknown-action=1",
    "extra-fields=1",
    "crlf=1",
    "no-final-newline=1",
    "malformed-line=1",
    "empty-piece=1",
)


@pytest.mark.parametrize(("kind", "rate", "settings"), FORMATS)
async def test_every_format_is_heard_at_its_right_pace_and_whole(
    tmp_path: Path, kind: str, rate: int, settings: dict[str, Any]
) -> None:
    revision = REVISIONS[rate % 16_000 == 0]
    sound = {"voice_format": kind, "voice_rate": rate}
    async with a_house(tmp_path, revision, voice_ms=24, sandbox=sound, **settings) as house:
        house.expect("goodbye")
        call = await house.call(says("goodbye"))

        assert call.result.ok, call.result.problems
        for turn, heard in zip(call.turns, call.result.agent_speech, strict=True):
            expected = house.speaking_ms(turn["agent_text"])
            assert heard.until_ms - heard.from_ms == pytest.approx(expected, rel=0.1)
        assert [turn["heard_text"] for turn in call.turns] == [
            turn["agent_text"] for turn in call.turns
        ]


@both_revisions
async def test_odd_lines_events_and_pieces_lose_nothing(tmp_path: Path, revision: str) -> None:
    async with a_house(tmp_path, revision, *ODDITIES, "odd-pieces=1") as house:
        house.expect("goodbye")
        call = await house.call(says("goodbye"))

        assert call.result.ok, call.result.problems
        assert call.end_reason == "agent-ended"
        assert all(turn["heard_text"] == turn["agent_text"] for turn in call.turns)
        assert await house.metric("media_errors_total", kind="api-unknown-event") == 2
        assert await house.metric("media_errors_total", kind="api-malformed-line") == 2


@both_revisions
@pytest.mark.parametrize("fault", ["reversed-alignment", "sparse-alignment"])
async def test_any_alignment_tells_what_was_heard(
    tmp_path: Path, revision: str, fault: str
) -> None:
    async with a_house(tmp_path, revision, f"{fault}=1", voice_ms=60) as house:
        house.expect("goodbye")
        call = await house.call(says("goodbye", interrupts=True))

        greeting = call.turn("greeting")
        assert greeting["interrupted"]
        assert greeting["agent_text"].startswith(greeting["heard_text"])
        assert 0 < len(greeting["heard_text"]) < len(greeting["agent_text"])


@both_revisions
async def test_a_reply_of_twenty_seconds_in_one_line_starts_at_once(
    tmp_path: Path, revision: str
) -> None:
    async with a_house(tmp_path, revision, voice_ms=560, sandbox={"piece_ms": 60_000}) as house:
        call = await house.call(hang_up_after=3.0)

        assert house.speaking_ms("Hello, front desk. How can I help you today?") > 20_000
        assert call.result.greeted_after_ms is not None
        assert call.result.greeted_after_ms < 1500
        assert call.result.underruns == ()
        assert call.heard_ms > 1500
        assert call.turn("greeting")["heard_text"].startswith("H")
        assert (await house.api()).finishes == 1


@both_revisions
async def test_a_line_longer_than_a_megabyte_is_read(tmp_path: Path, revision: str) -> None:
    async with a_house(tmp_path, revision, "huge-line=1") as house:
        house.expect("goodbye")
        call = await house.call(says("goodbye"))

        assert call.result.ok, call.result.problems
        assert all(turn["heard_text"] == turn["agent_text"] for turn in call.turns)


@both_revisions
async def test_a_reply_that_trickles_in_is_played_while_it_comes(
    tmp_path: Path, revision: str
) -> None:
    async with a_house(tmp_path, revision, "create-slow-drip=1@12", voice_ms=60) as house:
        house.expect("goodbye")
        call = await house.call(says("goodbye"))

        [create] = (await house.api()).requests("create")
        assert call.result.greeted_after_ms is not None
        assert call.result.greeted_after_ms < create["done_ms"]
        assert call.result.underruns == ()
        assert call.turn("greeting")["heard_text"] == call.turn("greeting")["agent_text"]


@both_revisions
async def test_a_filler_is_heard_while_the_agent_thinks(tmp_path: Path, revision: str) -> None:
    async with a_house(
        tmp_path, revision, "interact-filler=1@300", "interact-stall-think=1@2000"
    ) as house:
        house.expect("goodbye")
        call = await house.call(says("goodbye"), habits=PATIENT)

        assert call.result.ok, call.result.problems
        filler, reply = "One moment, please.", call.turn("voice")
        timings = reply["timings_ms"]
        assert timings["filler_started"] < timings["response_gap"] - 500
        heard = [stretch.until_ms - stretch.from_ms for stretch in call.result.agent_speech]
        assert heard[1] == pytest.approx(house.speaking_ms(filler), abs=200)
        assert reply["heard_text"] == reply["agent_text"]
        assert call.phrases == []


async def test_a_filler_without_sound_is_not_spoken(tmp_path: Path) -> None:
    async with a_house(
        tmp_path, "2026-04", "interact-filler-text=1@100", "interact-stall-think=1@800"
    ) as house:
        house.expect("goodbye")
        call = await house.call(says("goodbye"), habits=PATIENT)

        assert call.result.ok, call.result.problems
        assert "filler_started" not in call.turn("voice")["timings_ms"]
        assert len(call.result.agent_speech) == 2
