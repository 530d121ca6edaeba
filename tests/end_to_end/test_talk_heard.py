"""What of its own words was heard: kept in the record, and told to the agent where the API can be told."""

from __future__ import annotations

from pathlib import Path

from tests.end_to_end.talk_sounds import says, says_and_adds
from tests.end_to_end.talking import PATIENT, a_house

SLOW = 45
"""Milliseconds a character: a greeting of two seconds, time enough to interrupt it."""
UNHEARD = "heard nothing of your last message"


async def test_the_agent_is_told_where_it_was_interrupted(tmp_path: Path) -> None:
    async with a_house(tmp_path, "2026-04", voice_ms=SLOW) as house:
        house.expect("one moment please", "goodbye")
        call = await house.call(says("one-moment-please", interrupts=True), says("goodbye"))

        heard = call.turn("greeting")["heard_text"].strip()
        [news] = (await house.api()).news
        assert f'"{heard}"' in news
        assert (await house.api()).user_messages == ["one moment please", "goodbye"]


async def test_the_agent_is_told_that_its_answer_to_half_a_sentence_was_not_heard(
    tmp_path: Path,
) -> None:
    sentence = says_and_adds("one-moment-please", 800, "goodbye")
    async with a_house(tmp_path, "2026-04", think_ms=1200) as house:
        house.expect("please wait", "goodbye")
        call = await house.call(sentence, habits=PATIENT)

        assert call.end_reason == "agent-ended"
        [news] = (await house.api()).news
        assert UNHEARD in news


async def test_a_call_without_interruption_tells_nothing(tmp_path: Path) -> None:
    async with a_house(tmp_path, "2026-04") as house:
        house.expect("one moment please", "goodbye")
        await house.call(says("one-moment-please"), says("goodbye"))

        assert (await house.api()).news == []


async def test_telling_can_be_turned_off(tmp_path: Path) -> None:
    async with a_house(
        tmp_path, "2026-04", voice_ms=SLOW, GATEWAY_BARGE_IN__TELL_AGENT="false"
    ) as house:
        house.expect("goodbye")
        call = await house.call(says("one-moment-please", interrupts=True))

        assert call.turn("greeting")["interrupted"]
        assert (await house.api()).news == []


async def test_the_earlier_revision_cannot_be_told_and_is_not(tmp_path: Path) -> None:
    async with a_house(tmp_path, "2025-06", voice_ms=SLOW) as house:
        house.expect("goodbye")
        call = await house.call(says("one-moment-please", interrupts=True))

        assert call.turn("greeting")["interrupted"]
        assert call.end_reason == "agent-ended"
        assert (await house.api()).news == []


async def test_a_line_that_was_measured_stands_in_the_record(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        house.expect("goodbye")
        call = await house.call(says("goodbye"))

        line = call.record["line"]
        assert set(line) == {"noise_floor_dbfs", "echo_return_db", "echo_delay_ms"}
        assert -64 <= line["noise_floor_dbfs"] <= -50
