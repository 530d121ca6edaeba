"""The caller hangs up, at any moment and in any manner: exactly one finish, and not too early."""

from __future__ import annotations

from pathlib import Path

from gateway.simulator import Ending
from tests.end_to_end.talk_sounds import presses, says
from tests.end_to_end.talk_views import Api
from tests.end_to_end.talking import a_house, both_revisions, either_revision


async def finished_once(api: Api) -> None:
    """One conversation, one finish, asked for only after every other connection had ended."""
    [conversation] = api.log["conversations"]
    assert conversation["finished"]
    [finish] = api.requests("finish")
    assert finish["status"] == 204
    others = [entry for name in ("create", "interact") for entry in api.requests(name)]
    assert all(entry["done_ms"] is not None for entry in others)


@both_revisions
async def test_hang_up_while_the_conversation_is_being_created(
    tmp_path: Path, revision: str
) -> None:
    async with a_house(tmp_path, revision, "late-create=1@1500") as house:
        call = await house.call(hang_up_after=0.5)

        assert (call.end_reason, call.record["status"]) == ("caller-hangup", "completed")
        assert call.record["conversation_state"] == "finished"
        await finished_once(await house.api())


@both_revisions
async def test_hang_up_while_the_greeting_plays(tmp_path: Path, revision: str) -> None:
    async with a_house(tmp_path, revision, voice_ms=60) as house:
        call = await house.call(hang_up_after=1.2)

        assert call.end_reason == "caller-hangup"
        greeting = call.turn("greeting")
        assert 0 < len(greeting["heard_text"]) < len(greeting["agent_text"])
        await finished_once(await house.api())


@both_revisions
async def test_hang_up_in_the_middle_of_a_sentence_leaves_no_half_turn(
    tmp_path: Path, revision: str
) -> None:
    async with a_house(tmp_path, revision) as house:
        call = await house.call(says("all-busy"), hang_up_after=3.0)

        assert call.end_reason == "caller-hangup"
        api = await house.api()
        [interact] = api.requests("interact")
        assert interact["upload"]["end"] == "reset"
        assert interact["upload"]["bytes"] > 8000
        assert api.user_messages == []
        await finished_once(api)


@both_revisions
async def test_hang_up_while_the_agent_thinks(tmp_path: Path, revision: str) -> None:
    async with a_house(tmp_path, revision, "interact-stall-think=1@2500") as house:
        house.expect("goodbye")
        call = await house.call(says("goodbye"), hang_up_after=3.2)

        assert call.end_reason == "caller-hangup"
        api = await house.api()
        # the answer was on its way: it is read to its end, and then the agent had ended it itself
        assert call.record["conversation_state"] == "auto-finished"
        assert api.requests("finish") == []
        [interact] = api.requests("interact")
        assert interact["client_gone_ms"] is None


@both_revisions
async def test_hang_up_while_the_agent_answers_waits_for_the_connection_to_end(
    tmp_path: Path, revision: str
) -> None:
    async with a_house(tmp_path, revision, "interact-late-eof=1@2000", voice_ms=40) as house:
        house.expect("please call my sister")
        call = await house.call(says("goodbye"), hang_up_after=4.5)

        assert call.end_reason == "caller-hangup"
        api = await house.api()
        await finished_once(api)
        [interact] = api.requests("interact")
        assert interact["client_gone_ms"] is None
        answer = call.turn("voice")
        assert 0 < len(answer["heard_text"]) < len(answer["agent_text"])
        assert api.user_messages == ["please call my sister"]


@both_revisions
async def test_hang_up_while_listening(tmp_path: Path, revision: str) -> None:
    async with a_house(tmp_path, revision) as house:
        call = await house.call(hang_up_after=1.6)

        assert call.end_reason == "caller-hangup"
        assert call.turn("greeting")["heard_text"] == call.turn("greeting")["agent_text"]
        await finished_once(await house.api())


@both_revisions
async def test_hang_up_in_the_middle_of_a_number_sends_no_half_number(
    tmp_path: Path, revision: str
) -> None:
    async with a_house(tmp_path, revision) as house:
        await house.call(presses("12345678"), hang_up_after=1.9)

        api = await house.api()
        assert api.requests("interact") == []
        await finished_once(api)


@either_revision("ending", "stop", "status-first", "status-only", "drop", "lost")
async def test_every_way_a_call_can_end_is_one_end(
    tmp_path: Path, revision: str, ending: Ending
) -> None:
    async with a_house(tmp_path, revision, voice_ms=40) as house:
        call = await house.call(hang_up_after=1.0, ending=ending)

        assert call.end_reason == "caller-hangup"
        assert call.record["status"] == "completed"
        await finished_once(await house.api())
        ended = {"direction": "inbound", "end_reason": "caller-hangup"}
        assert await house.metric("calls_total", **ended) == 1


@either_revision(
    "fault",
    "finish-503=1:1@0",
    "finish-500=1:1",
    "finish-429=1:1@1000",
    "finish-409=1:1",
    "finish-401=1:1",
)
async def test_a_finish_that_is_refused_is_tried_until_it_is_granted(
    tmp_path: Path, revision: str, fault: str
) -> None:
    async with a_house(tmp_path, revision, fault) as house:
        call = await house.call(hang_up_after=0.6)

        assert call.record["conversation_state"] == "finished"
        answers = (await house.api()).statuses("finish")
        assert (len(answers), answers[-1]) == (2, 204)
        retries = 0 if fault.startswith("finish-401") else 1
        assert await house.metric("finish_retries_total") == retries
