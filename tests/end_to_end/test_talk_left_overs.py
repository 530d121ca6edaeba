"""A conversation left unfinished stands in the way: ours is finished, anybody else's is not touched."""

from __future__ import annotations

import asyncio
from pathlib import Path

from gateway.call.commands import Phrase
from tests.end_to_end.talk_sounds import says
from tests.end_to_end.talking import PATIENT, UNFINISHED_CONVERSATION, a_house, both_revisions


@both_revisions
async def test_a_left_over_conversation_of_our_own_is_finished_and_the_call_held(
    tmp_path: Path, revision: str
) -> None:
    async with a_house(tmp_path, revision, allowed=(UNFINISHED_CONVERSATION,)) as house:
        left_over = await house.stranger("sandbox-caller").create()
        await house.store_knows(left_over)
        house.expect("goodbye")
        call = await house.call(says("goodbye"), habits=PATIENT)

        assert call.end_reason == "agent-ended"
        assert call.conversation_id != left_over
        api = await house.api()
        assert api.statuses("create") == [201, 400, 201]
        assert api.finishes == 1


@both_revisions
async def test_a_strangers_conversation_is_not_touched_and_the_caller_hears_busy(
    tmp_path: Path, revision: str
) -> None:
    async with a_house(
        tmp_path, revision, allowed=(UNFINISHED_CONVERSATION,), left_open=1
    ) as house:
        foreign = await house.stranger("sandbox-caller").create()
        call = await house.call(habits=PATIENT)

        assert (call.end_reason, call.record["status"]) == ("rejected", "failed")
        assert call.heard_phrase(Phrase.BUSY)
        api = await house.api()
        assert (api.unfinished, api.requests("finish")) == ({foreign}, [])
        rejected = {"direction": "inbound", "end_reason": "rejected"}
        assert await house.metric("calls_total", **rejected) == 1


@both_revisions
async def test_a_conversation_that_another_replica_holds_live_is_not_touched(
    tmp_path: Path, revision: str
) -> None:
    async with a_house(
        tmp_path,
        revision,
        allowed=(UNFINISHED_CONVERSATION,),
        left_open=1,
        AMIGO_FINISH_FOREIGN="true",
    ) as house:
        held = await house.stranger("sandbox-caller").create()
        await house.store_knows(held, alive=True)
        call = await house.call(habits=PATIENT)

        assert call.end_reason == "rejected"
        assert call.heard_phrase(Phrase.BUSY)
        assert (await house.api()).requests("finish") == []


@both_revisions
async def test_a_strangers_conversation_is_finished_where_that_is_asked_for(
    tmp_path: Path, revision: str
) -> None:
    async with a_house(
        tmp_path, revision, allowed=(UNFINISHED_CONVERSATION,), AMIGO_FINISH_FOREIGN="true"
    ) as house:
        await house.stranger("sandbox-caller").create()
        house.expect("goodbye")
        call = await house.call(says("goodbye"), habits=PATIENT)

        assert call.end_reason == "agent-ended"
        assert (await house.api()).finishes == 1


@both_revisions
async def test_a_second_caller_gets_busy_and_the_first_is_unharmed(
    tmp_path: Path, revision: str
) -> None:
    async with a_house(tmp_path, revision) as house:
        house.expect("goodbye")
        first = asyncio.create_task(house.call(says("one-moment-please")))
        await asyncio.sleep(0.5)
        second = await house.refused_call()
        call = await first

        assert second.outcome == "rejected"
        assert call.result.ok, call.result.problems
        assert call.end_reason == "agent-ended"
        assert len((await house.api()).requests("create")) == 1


@both_revisions
async def test_a_pool_of_users_holds_as_many_calls_at_once(tmp_path: Path, revision: str) -> None:
    async with a_house(
        tmp_path, revision, GATEWAY_IDENTITY="pool", AMIGO_USER_POOL="anna-desk,bert-desk"
    ) as house:
        house.expect("goodbye", "goodbye")
        calls = await asyncio.gather(
            house.call(says("one-moment-please")), house.call(says("goodbye"))
        )
        third = await house.call(hang_up_after=0.5)

        assert [call.end_reason for call in calls] == ["agent-ended", "agent-ended"]
        users = {call.record["user_id"] for call in calls}
        assert users == {"anna-desk", "bert-desk"}
        assert third.record["user_id"] in users
