"""The API fails in the middle: the same words again, once, and never a lost caller."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gateway.call.commands import Phrase
from tests.end_to_end.talk_sounds import says
from tests.end_to_end.talking import (
    BUSY_CONVERSATION,
    PATIENT,
    UNFINISHED_CONVERSATION,
    House,
    a_house,
    both_revisions,
    either_revision,
)

GONE_OR_BUSY = "31"
"""A finish of a conversation that a failed create has taken with it, or is still at work on."""
NO_TRANSCRIPT = "35"
"""Nothing is stored of a conversation that is gone."""


def same_words_twice(house: House) -> bool:
    """Two uploads, the same to the byte."""
    first, second = house.ears.heard
    return np.array_equal(first, second)


@both_revisions
async def test_a_void_turn_is_sent_again_with_the_very_same_sound(
    tmp_path: Path, revision: str
) -> None:
    async with a_house(tmp_path, revision, "interact-error-before=1:1") as house:
        house.expect("goodbye", "goodbye")
        call = await house.call(says("goodbye"), habits=PATIENT)

        assert call.result.ok, call.result.problems
        assert call.end_reason == "agent-ended"
        assert same_words_twice(house)
        assert call.turn("voice")["retries"] == 1
        assert call.phrases == []
        assert (await house.api()).user_messages == ["goodbye"]


@either_revision("fault", "error-mid", "truncated-line", "eof-early", "error-mid")
async def test_a_caller_who_had_heard_part_of_the_answer_is_told_and_hears_it_anew(
    tmp_path: Path, revision: str, fault: str
) -> None:
    async with a_house(
        tmp_path,
        revision,
        f"interact-{fault}=1:1",
        "interact-slow-drip=1:1@25",
        voice_ms=30,
        sandbox={"piece_ms": 500},
    ) as house:
        house.expect("goodbye", "goodbye")
        call = await house.call(says("goodbye"), habits=PATIENT)

        assert call.end_reason == "agent-ended"
        assert call.phrases == ["lost-answer"]
        assert call.heard_phrase(Phrase.LOST_ANSWER)
        assert same_words_twice(house)
        answer = call.turn("voice")
        assert answer["heard_text"] == answer["agent_text"]
        assert answer["retries"] == 1


@both_revisions
async def test_a_turn_that_fails_twice_ends_the_call_with_an_apology(
    tmp_path: Path, revision: str
) -> None:
    async with a_house(tmp_path, revision, "interact-error-before=1") as house:
        call = await house.call(says("goodbye"), habits=PATIENT)

        assert (call.end_reason, call.record["status"]) == ("api-error", "failed")
        assert call.heard_phrase(Phrase.APOLOGY)
        assert call.result.hung_up_by == "rest"
        api = await house.api()
        assert (len(api.requests("interact")), api.finishes) == (2, 1)


@both_revisions
async def test_an_error_after_completion_leaves_the_answer_standing_and_a_finish_to_pay(
    tmp_path: Path, revision: str
) -> None:
    async with a_house(tmp_path, revision, "interact-error-after=1:1") as house:
        house.expect("please call my sister")
        call = await house.call(says("goodbye"), habits=PATIENT)

        assert call.end_reason == "agent-ended"
        answer = call.turn("voice")
        assert answer["heard_text"] == answer["agent_text"]
        api = await house.api()
        assert len(api.requests("interact")) == 1
        assert api.statuses("finish") == [204]
        assert call.record["conversation_state"] == "finished"


async def test_where_the_connection_breaks_after_the_last_words_the_finish_is_paid_to_be_sure(
    tmp_path: Path,
) -> None:
    """The error that says so may have been lost with the connection."""
    faults = ("interact-error-after=1:1", "interact-cut-after-completion=1:1")
    async with a_house(tmp_path, "2026-04", *faults) as house:
        house.expect("please call my sister")
        call = await house.call(says("goodbye"), habits=PATIENT)

        assert call.end_reason == "agent-ended"
        assert (await house.api()).statuses("finish") == [204]
        assert call.record["conversation_state"] == "finished"


async def test_a_conversation_that_ended_by_itself_on_a_broken_connection_is_done_when_finish_says_so(
    tmp_path: Path,
) -> None:
    async with a_house(
        tmp_path, "2026-04", "interact-cut-after-completion=1:1", allowed=(GONE_OR_BUSY,)
    ) as house:
        house.expect("goodbye")
        call = await house.call(says("goodbye"), habits=PATIENT)

        assert call.end_reason == "agent-ended"
        assert len((await house.api()).statuses("finish")) == 1
        assert call.record["conversation_state"] == "auto-finished"


@either_revision("fault", "cut-before-reply", "cut-mid-reply")
async def test_a_connection_cut_during_the_answer_is_tried_again(
    tmp_path: Path, revision: str, fault: str
) -> None:
    async with a_house(
        tmp_path, revision, f"interact-{fault}=1:1", allowed=(BUSY_CONVERSATION,)
    ) as house:
        house.expect("please call my sister", "goodbye")
        call = await house.call(says("goodbye"), habits=PATIENT)

        assert call.end_reason == "agent-ended"
        assert same_words_twice(house)
        answer = call.turn("voice")
        assert answer["heard_text"] == answer["agent_text"]


@either_revision(
    "fault, kept",
    ("error-before", "remove"),
    ("error-mid", "remove"),
    ("error-mid", "keep"),
    ("error-before", "keep"),
    ("eof-early", "remove"),
    ("eof-early", "keep"),
)
async def test_a_greeting_that_fails_is_begun_anew(
    tmp_path: Path, revision: str, fault: str, kept: str
) -> None:
    async with a_house(
        tmp_path,
        revision,
        f"create-{fault}=1:1",
        allowed=(GONE_OR_BUSY,),
        sandbox={"failed_create": kept, "piece_ms": 300},
    ) as house:
        house.expect("goodbye")
        call = await house.call(says("goodbye"), habits=PATIENT)

        assert call.end_reason == "agent-ended"
        assert call.turn("greeting")["heard_text"] == call.turn("greeting")["agent_text"]
        assert (await house.api()).statuses("create") == [201, 201]


@either_revision("fault", "cut-create", "cut-mid-reply")
async def test_a_create_that_was_cut_off_leaves_nothing_behind(
    tmp_path: Path, revision: str, fault: str
) -> None:
    async with a_house(
        tmp_path,
        revision,
        f"create-{fault}=1:1",
        think_ms=300,
        allowed=(GONE_OR_BUSY, UNFINISHED_CONVERSATION, "9"),
    ) as house:
        house.expect("goodbye")
        call = await house.call(says("goodbye"), habits=PATIENT)

        assert call.end_reason == "agent-ended"
        api = await house.api()
        assert len(api.log["conversations"]) == 2
        assert api.finishes == 1


@both_revisions
async def test_a_create_that_fails_for_good_ends_with_an_apology(
    tmp_path: Path, revision: str
) -> None:
    async with a_house(
        tmp_path, revision, "create-error-before=1", allowed=(GONE_OR_BUSY, NO_TRANSCRIPT)
    ) as house:
        call = await house.call(habits=PATIENT)

        assert (call.end_reason, call.record["status"]) == ("api-error", "failed")
        assert call.heard_phrase(Phrase.APOLOGY)
        assert (await house.api()).log["conversations"] == []
