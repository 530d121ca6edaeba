"""Whose turn it is: words before the greeting and while the agent thinks, keys, silence, time."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.call.commands import Phrase
from tests.end_to_end.talk_sounds import presses, says, says_and_adds
from tests.end_to_end.talking import PATIENT, a_house, both_revisions


@both_revisions
async def test_words_added_while_the_agent_thinks_are_the_next_turn(
    tmp_path: Path, revision: str
) -> None:
    sentence = says_and_adds("one-moment-please", 800, "goodbye")
    async with a_house(tmp_path, revision, think_ms=1200) as house:
        house.expect("please wait", "goodbye")
        call = await house.call(sentence, habits=PATIENT)

        assert call.end_reason == "agent-ended"
        assert (await house.api()).user_messages == ["please wait", "goodbye"]
        first, second = call.turns[1:]
        assert first["heard_text"] is None
        assert second["heard_text"] == second["agent_text"]
        assert call.clears == 0


@both_revisions
async def test_a_caller_still_speaking_when_a_late_greeting_comes_has_the_first_turn(
    tmp_path: Path, revision: str
) -> None:
    sentence = says("young-man")
    async with a_house(
        tmp_path, revision, "late-create=1@2500", GATEWAY_SILENCE__MAX_DEAD_AIR_MS="300"
    ) as house:
        house.expect("goodbye")
        call = await house.call(sentence)

        assert call.end_reason == "agent-ended"
        assert call.heard_phrase(Phrase.ONE_MOMENT)
        assert call.turn("greeting")["interrupted"]
        assert not call.turn("greeting")["heard_text"]
        assert house.heard_by_the_api(sentence, 0)


@both_revisions
async def test_words_said_before_a_late_greeting_are_not_a_turn(
    tmp_path: Path, revision: str
) -> None:
    async with a_house(
        tmp_path, revision, "late-create=1@3500", GATEWAY_SILENCE__MAX_DEAD_AIR_MS="300"
    ) as house:
        house.expect("goodbye")
        call = await house.call(says("goodbye"), says("goodbye"), habits=PATIENT)

        assert call.end_reason == "agent-ended"
        assert len((await house.api()).requests("interact")) == 1
        greeting = call.turn("greeting")
        assert greeting["heard_text"] == greeting["agent_text"]
        assert not greeting["interrupted"]


@both_revisions
@pytest.mark.parametrize(("keys", "told"), [("123#", "123"), ("42", "42")])
async def test_keys_reach_the_agent_at_the_hash_or_after_a_pause(
    tmp_path: Path, revision: str, keys: str, told: str
) -> None:
    async with a_house(tmp_path, revision, GATEWAY_TURN_TAKING__DIGITS_PAUSE_MS="400") as house:
        house.expect("goodbye")
        call = await house.call(presses(keys), says("goodbye"))

        assert call.result.ok, call.result.problems
        keyed = call.turn("dtmf")
        assert keyed["agent_text"].startswith("You typed")
        assert keyed["heard_text"] == keyed["agent_text"]
        assert keyed["timings_ms"]["response_gap"] > 0
        assert (await house.api()).user_messages == [told, "goodbye"]
        assert await house.metric("turns_total", kind="dtmf", interrupted="false") == 1


@both_revisions
async def test_a_key_stops_the_agent(tmp_path: Path, revision: str) -> None:
    async with a_house(tmp_path, revision, voice_ms=45) as house:
        house.expect("goodbye")
        call = await house.call(presses("5#", interrupts=True), says("goodbye"))

        assert call.clears == 1
        greeting = call.turn("greeting")
        assert greeting["interrupted"]
        assert len(greeting["heard_text"]) < len(greeting["agent_text"])
        assert (await house.api()).user_messages == ["5", "goodbye"]


async def test_a_key_does_not_stop_a_protected_greeting(tmp_path: Path) -> None:
    async with a_house(tmp_path, voice_ms=45, GATEWAY_BARGE_IN__PROTECT_GREETING="true") as house:
        house.expect("goodbye")
        call = await house.call(
            presses("5#", interrupts=True), says("goodbye"), clear_within_ms=60_000
        )

        greeting = call.turn("greeting")
        assert greeting["heard_text"] == greeting["agent_text"]
        # on a busy machine the caller's goodbye may still talk into the answer to the key
        assert not greeting["interrupted"]
        assert (await house.api()).user_messages == ["5", "goodbye"]


@both_revisions
async def test_a_silent_caller_is_asked_twice_and_then_let_go_politely(
    tmp_path: Path, revision: str
) -> None:
    async with a_house(
        tmp_path,
        revision,
        GATEWAY_SILENCE__PROMPT_AFTER_MS="400",
        GATEWAY_SILENCE__HANG_UP_AFTER_MS="400",
    ) as house:
        call = await house.call(habits=PATIENT)

        assert call.end_reason == "silence"
        assert call.record["status"] == "completed"
        assert call.phrases == ["still-there", "still-there", "silence-goodbye"]
        assert call.heard_phrase(Phrase.STILL_THERE)
        assert call.heard_phrase(Phrase.SILENCE_GOODBYE)
        assert [turn["kind"] for turn in call.turns] == ["greeting", "silence", "silence"]
        assert call.result.hung_up_by == "rest"
        api = await house.api()
        assert (api.finishes, api.requests("interact")) == (1, [])
        assert await house.metric("turns_total", kind="silence") == 2


@both_revisions
async def test_the_longest_call_ends_with_a_word_of_warning(tmp_path: Path, revision: str) -> None:
    async with a_house(tmp_path, revision, GATEWAY_MAX_CALL_SECONDS="2") as house:
        call = await house.call(habits=PATIENT)

        assert call.end_reason == "max-duration"
        assert call.heard_phrase(Phrase.TIME_UP)
        assert call.result.hung_up_by == "rest"
        assert (await house.api()).finishes == 1


@both_revisions
async def test_a_late_greeting_is_bridged_by_a_phrase(tmp_path: Path, revision: str) -> None:
    async with a_house(
        tmp_path, revision, "late-create=1@1800", GATEWAY_SILENCE__MAX_DEAD_AIR_MS="400"
    ) as house:
        call = await house.call(habits=PATIENT, hang_up_after=4.0)

        assert call.phrases[0] == "one-moment"
        assert call.heard_phrase(Phrase.ONE_MOMENT)
        assert call.turn("greeting")["heard_text"] == call.turn("greeting")["agent_text"]
        assert await house.metric("caller_silence_seconds_count") >= 1
        longest_silence = await house.metric("caller_silence_seconds_bucket", le="1.0")
        assert longest_silence == await house.metric("caller_silence_seconds_count")
