"""The network between us and the API: answers that never come back, and an API that is gone for a while."""

from __future__ import annotations

import asyncio
from pathlib import Path

from gateway.call.commands import Phrase
from tests.end_to_end.talk_sounds import says
from tests.end_to_end.talk_wire import a_wire
from tests.end_to_end.talking import (
    BUSY_CONVERSATION,
    PATIENT,
    UNFINISHED_CONVERSATION,
    a_house,
    both_revisions,
)

RELATED_OPERATION = "9"


@both_revisions
async def test_a_conversation_whose_birth_we_never_heard_of_is_found_and_finished(
    tmp_path: Path, revision: str
) -> None:
    allowed = (UNFINISHED_CONVERSATION, RELATED_OPERATION)
    async with (
        a_wire() as wire,
        a_house(tmp_path, revision, allowed=allowed, AMIGO_BASE_URL=wire.url) as house,
    ):
        wire.leads_to(house.stack.sandbox_url)
        wire.lose_the_answer_to("POST /v1/sandbox/conversation/?")
        house.expect("goodbye")
        call = await house.call(says("goodbye"), habits=PATIENT)

        assert call.end_reason == "agent-ended"
        api = await house.api()
        first, second = api.log["conversations"]
        assert call.conversation_id == second["id"]
        assert (first["finished"], api.finishes) == (True, 1)


@both_revisions
async def test_a_turn_whose_answer_was_lost_is_said_again(tmp_path: Path, revision: str) -> None:
    async with (
        a_wire() as wire,
        a_house(tmp_path, revision, allowed=(BUSY_CONVERSATION,), AMIGO_BASE_URL=wire.url) as house,
    ):
        wire.leads_to(house.stack.sandbox_url)
        wire.lose_the_answer_to("/interact?")
        house.expect("please call my sister", "goodbye")
        call = await house.call(says("goodbye"), habits=PATIENT)

        assert call.end_reason == "agent-ended"
        assert house.heard_by_the_api(says("goodbye"), 1)
        assert call.turn("voice")["retries"] >= 1
        assert call.turn("voice")["heard_text"] == call.turn("voice")["agent_text"]


@both_revisions
async def test_a_finish_whose_answer_was_lost_counts_as_paid(tmp_path: Path, revision: str) -> None:
    finished_already = ("31",)
    async with (
        a_wire() as wire,
        a_house(tmp_path, revision, allowed=finished_already, AMIGO_BASE_URL=wire.url) as house,
    ):
        wire.leads_to(house.stack.sandbox_url)
        wire.lose_the_answer_to("/finish/")
        call = await house.call(hang_up_after=0.5)

        assert call.record["conversation_state"] in {"finished", "auto-finished"}
        assert (await house.api()).finishes == 1


@both_revisions
async def test_an_api_gone_in_the_middle_of_a_call_is_apologised_for_and_finished_when_back(
    tmp_path: Path, revision: str
) -> None:
    async with (
        a_wire() as wire,
        a_house(tmp_path, revision, AMIGO_BASE_URL=wire.url, AMIGO_PATIENCE_SECONDS="2") as house,
    ):
        wire.leads_to(house.stack.sandbox_url)
        calling = asyncio.create_task(house.call(says("goodbye"), habits=PATIENT))
        await house.conversation_created()
        await wire.down()
        await house.hung_up()
        await wire.up()
        call = await calling

        assert (call.end_reason, call.record["status"]) == ("api-error", "failed")
        assert call.heard_phrase(Phrase.APOLOGY)
        assert call.record["conversation_state"] == "finished"
        api = await house.api()
        assert (api.requests("interact"), api.finishes) == ([], 1)
