"""The API refuses: signed in again, waited out, or given up, each with the caller's words kept."""

from __future__ import annotations

import asyncio
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import pytest

from gateway.bridge.phrases import load_phrases
from gateway.call.commands import Phrase
from tests.end_to_end.talk_sounds import says
from tests.end_to_end.talk_views import Api
from tests.end_to_end.talking import PATIENT, a_house, both_revisions, either_revision


def pauses(api: Api, operation: str) -> list[float]:
    """Seconds between the beginnings of requests."""
    begun = [datetime.fromisoformat(entry["at"]) for entry in api.requests(operation)]
    return [(later - sooner).total_seconds() for sooner, later in pairwise(begun)]


@both_revisions
@pytest.mark.parametrize("operation", ["create", "interact"])
async def test_a_refused_token_is_renewed_once(
    tmp_path: Path, revision: str, operation: str
) -> None:
    async with a_house(tmp_path, revision, f"{operation}-401=1:1") as house:
        house.expect("goodbye")
        call = await house.call(says("goodbye"), habits=PATIENT)

        assert call.end_reason == "agent-ended"
        api = await house.api()
        assert api.statuses("sign-in") == [200, 200]
        assert api.statuses(operation)[0] == 401
        assert len(api.requests(operation)) == 2
        assert house.heard_by_the_api(says("goodbye"), 0)
        assert call.phrases == []


@either_revision(
    "fault, at_least",
    ("interact-409=1:2", [0.5, 1.0]),
    ("interact-409=1:1", [0.5]),
    ("interact-429=1:1@1000", [1.0]),
    ("interact-503=1:1@1000", [1.0]),
    ("interact-500=1:1", [0.0]),
    ("interact-408=1:1", [0.0]),
)
async def test_a_refused_turn_is_sent_again_with_the_kept_words(
    tmp_path: Path, revision: str, fault: str, at_least: list[float]
) -> None:
    async with a_house(tmp_path, revision, fault) as house:
        house.expect("goodbye")
        call = await house.call(says("goodbye"), habits=PATIENT)

        assert call.end_reason == "agent-ended"
        api = await house.api()
        assert api.statuses("interact")[-1] == 200
        waited = pauses(api, "interact")
        assert len(waited) == len(at_least)
        assert all(pause >= least * 0.95 for pause, least in zip(waited, at_least, strict=True))
        assert house.heard_by_the_api(says("goodbye"), 0)
        assert call.turn("voice")["retries"] == len(at_least)
        assert not call.heard_phrase(Phrase.APOLOGY)


@either_revision(
    "fault", "create-429=1:1@1000", "create-503=1:1@1000", "create-409=1:1", "create-500=1:1"
)
async def test_a_refused_create_is_asked_again_while_the_caller_waits(
    tmp_path: Path, revision: str, fault: str
) -> None:
    async with a_house(tmp_path, revision, fault) as house:
        house.expect("goodbye")
        call = await house.call(says("goodbye"), habits=PATIENT)

        assert call.end_reason == "agent-ended"
        api = await house.api()
        assert len(api.statuses("create")) == 2
        assert api.statuses("create")[1] == 201
        assert len(api.log["conversations"]) == 1


@either_revision("fault", "sign-in-503=1:1@1000", "sign-in-429=1:1@1000", "sign-in-500=1:1")
async def test_a_sign_in_that_is_refused_for_now_is_tried_again(
    tmp_path: Path, revision: str, fault: str
) -> None:
    async with a_house(tmp_path, revision, fault) as house:
        house.expect("goodbye")
        call = await house.call(says("goodbye"), habits=PATIENT)

        assert call.end_reason == "agent-ended"
        assert (await house.api()).statuses("sign-in")[-1] == 200


@both_revisions
async def test_a_key_that_is_not_accepted_ends_the_call_with_an_apology(
    tmp_path: Path, revision: str
) -> None:
    async with a_house(tmp_path, revision, allowed=("1",), AMIGO_API_KEY="wrong") as house:
        call = await house.call(habits=PATIENT)

        assert (call.end_reason, call.record["conversation_state"]) == ("api-error", "none")
        assert call.heard_phrase(Phrase.APOLOGY)
        api = await house.api()
        assert api.log["conversations"] == []


@both_revisions
async def test_a_turn_that_is_forbidden_ends_the_call_with_an_apology(
    tmp_path: Path, revision: str
) -> None:
    async with a_house(tmp_path, revision, "interact-403=1") as house:
        call = await house.call(says("goodbye"), habits=PATIENT)

        assert (call.end_reason, call.record["status"]) == ("api-error", "failed")
        assert call.heard_phrase(Phrase.APOLOGY)
        assert (await house.api()).finishes == 1


async def test_the_apology_that_ships_is_spoken_where_there_is_no_other(tmp_path: Path) -> None:
    none = tmp_path / "no-phrases"
    none.mkdir()
    async with a_house(
        tmp_path, "2026-04", "create-403=1", GATEWAY_PLAYBACK__PHRASES_DIR=str(none)
    ) as house:
        call = await house.call(habits=PATIENT)

        assert call.end_reason == "api-error"
        assert call.heard_phrase(Phrase.APOLOGY, load_phrases())
        assert not call.heard_phrase(Phrase.APOLOGY)


@both_revisions
async def test_a_retry_after_beyond_the_callers_patience_is_not_waited_for(
    tmp_path: Path, revision: str
) -> None:
    async with a_house(
        tmp_path, revision, "interact-503=1@30000", AMIGO_PATIENCE_SECONDS="3"
    ) as house:
        call = await house.call(says("goodbye"), habits=PATIENT)

        assert call.end_reason == "api-error"
        assert call.heard_phrase(Phrase.APOLOGY)
        api = await house.api()
        assert (len(api.requests("interact")), api.finishes) == (1, 1)


@both_revisions
async def test_a_conversation_that_was_finished_behind_our_back_ends_the_call(
    tmp_path: Path, revision: str
) -> None:
    async with a_house(tmp_path, revision, allowed=("14",)) as house:
        calling = asyncio.create_task(house.call(says("one-moment-please"), habits=PATIENT))
        await house.stranger("sandbox-caller").finish(await house.conversation_created())
        call = await calling

        assert call.end_reason == "agent-ended"
        assert call.heard_phrase(Phrase.CLOSING)
        assert call.record["conversation_state"] == "auto-finished"
        assert (await house.api()).finishes == 1
