"""The caller interrupts the agent, or only seems to."""

from __future__ import annotations

from pathlib import Path

from tests.end_to_end.talk_sounds import makes_a_short_noise, says
from tests.end_to_end.talking import BUSY_CONVERSATION, PATIENT, a_house, both_revisions

SLOW = 45
"""Milliseconds a character: a greeting of two seconds, time enough to interrupt it."""
NEVER_CLEARED = 60_000


@both_revisions
async def test_a_confirmed_interruption_stops_the_agent_and_is_the_next_turn(
    tmp_path: Path, revision: str
) -> None:
    sentence = says("one-moment-please", interrupts=True)
    async with a_house(tmp_path, revision, voice_ms=SLOW) as house:
        house.expect("goodbye")
        call = await house.call(sentence)

        assert call.result.ok, call.result.problems
        assert call.clears == 1
        greeting = call.turn("greeting")
        assert greeting["interrupted"]
        assert 0 < len(greeting["heard_text"]) < len(greeting["agent_text"])
        assert greeting["agent_text"].startswith(greeting["heard_text"])
        assert house.heard_by_the_api(sentence, 0)
        assert call.turn("voice")["heard_text"] == call.turn("voice")["agent_text"]
        assert await house.metric("barge_ins_total", outcome="confirmed") == 1
        assert await house.metric("turns_total", kind="greeting", interrupted="true") == 1
        assert [event["confirmed"] for event in call.events("barge-in")] == [True]


@both_revisions
async def test_the_interrupted_reply_is_drained_before_the_next_turn_is_sent(
    tmp_path: Path, revision: str
) -> None:
    async with a_house(tmp_path, revision, "create-late-eof=1@3500", voice_ms=SLOW) as house:
        house.expect("goodbye")
        call = await house.call(says("one-moment-please", interrupts=True), habits=PATIENT)

        assert call.end_reason == "agent-ended"
        api = await house.api()
        [create], [interact] = api.requests("create"), api.requests("interact")
        assert create["client_gone_ms"] is None
        assert interact["number"] > create["number"]
        assert interact["at"] >= create["at"]
        assert house.heard_by_the_api(says("one-moment-please"), 0)


@both_revisions
async def test_a_reply_that_will_not_end_is_cut_off_and_the_busy_conversation_waited_out(
    tmp_path: Path, revision: str
) -> None:
    sentence = says("one-moment-please", interrupts=True)
    async with a_house(
        tmp_path,
        revision,
        "create-late-eof=1@4000",
        voice_ms=SLOW,
        allowed=(BUSY_CONVERSATION,),
        GATEWAY_BARGE_IN__DRAIN_MS="300",
    ) as house:
        house.expect("goodbye")
        call = await house.call(sentence, habits=PATIENT)

        assert call.end_reason == "agent-ended"
        answers = (await house.api()).statuses("interact")
        assert answers[-1] == 200
        assert set(answers[:-1]) == {409}
        assert house.heard_by_the_api(sentence, 0)
        assert len(house.ears.heard) == 1


@both_revisions
async def test_a_noise_does_not_stop_the_agent(tmp_path: Path, revision: str) -> None:
    async with a_house(tmp_path, revision, voice_ms=SLOW) as house:
        call = await house.call(makes_a_short_noise(), clear_within_ms=NEVER_CLEARED)

        greeting = call.turn("greeting")
        assert not greeting["interrupted"]
        assert greeting["heard_text"] == greeting["agent_text"]
        assert call.clears == 0
        # it went on at the very frame: nothing lost, nothing said twice
        beeps = house.voice.beeps_ms(greeting["agent_text"])
        assert beeps <= call.heard_ms <= beeps * 1.25
        assert await house.metric("barge_ins_total", outcome="resumed") == 1
        assert (await house.api()).requests("interact") == []


@both_revisions
async def test_the_agents_last_words_cannot_be_interrupted(tmp_path: Path, revision: str) -> None:
    async with a_house(tmp_path, revision, voice_ms=SLOW) as house:
        house.expect("goodbye")
        call = await house.call(
            says("goodbye"),
            says("one-moment-please", interrupts=True),
            clear_within_ms=NEVER_CLEARED,
        )

        assert call.end_reason == "agent-ended"
        assert call.turn("voice")["heard_text"] == call.turn("voice")["agent_text"]
        assert call.clears == 0
        assert (await house.api()).requests("finish") == []


async def test_an_agent_that_must_not_be_interrupted_is_not(tmp_path: Path) -> None:
    async with a_house(tmp_path, voice_ms=SLOW, GATEWAY_BARGE_IN__ENABLED="false") as house:
        house.expect("goodbye")
        call = await house.call(
            says("one-moment-please", interrupts=True),
            says("goodbye"),
            clear_within_ms=NEVER_CLEARED,
        )

        greeting = call.turn("greeting")
        assert not greeting["interrupted"]
        assert greeting["heard_text"] == greeting["agent_text"]
        assert call.clears == 0


async def test_the_caller_may_interrupt_again_and_again(tmp_path: Path) -> None:
    sentence = says("one-moment-please", interrupts=True)
    async with a_house(tmp_path, voice_ms=SLOW) as house:
        house.expect("one", "two", "goodbye")
        call = await house.call(sentence, sentence, sentence)

        assert call.end_reason == "agent-ended"
        assert call.clears == 3
        assert [turn["interrupted"] for turn in call.turns] == [True, True, True, False]
        assert (await house.api()).user_messages == ["one", "two", "goodbye"]
        assert all(house.heard_by_the_api(sentence, turn) for turn in range(3))
