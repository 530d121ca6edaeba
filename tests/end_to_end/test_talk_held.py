"""Conversations held to the agent's goodbye, in every revision and way to find it out."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.end_to_end.talk_sounds import says
from tests.end_to_end.talking import a_house, both_revisions

LEDGER = (
    "endpoint_wait",
    "upload_tail",
    "transcription",
    "thinking",
    "first_audio_to_sent",
    "sent_to_played",
)


@both_revisions
async def test_the_agents_goodbye_is_heard_to_its_end_and_then_the_call_ends(
    tmp_path: Path, revision: str
) -> None:
    async with a_house(tmp_path, revision) as house:
        house.expect("goodbye")
        call = await house.call(says("goodbye"))

        assert call.result.ok, call.result.problems
        assert (call.end_reason, call.record["status"]) == ("agent-ended", "completed")
        goodbye = call.turn("voice")
        assert (
            goodbye["heard_text"] == goodbye["agent_text"] == "All right, no message then. Goodbye."
        )
        spoken, heard = house.voice.length_ms(goodbye["agent_text"]), call.result.agent_speech[-1]
        assert heard.until_ms - heard.from_ms >= spoken - 40
        # ended by the carrier's REST interface, once, and by then the conversation had ended itself
        assert call.result.hung_up_by == "rest"
        assert [request.answered for request in house.stack.rest.requests] == [200]
        assert call.record["conversation_state"] == "auto-finished"
        assert (await house.api()).requests("finish") == []


@both_revisions
async def test_every_turn_is_understood_answered_and_recorded(
    tmp_path: Path, revision: str
) -> None:
    async with a_house(tmp_path, revision) as house:
        house.expect("please call my sister", "goodbye")
        call = await house.call(says("one-moment-please"), says("goodbye"))

        assert call.result.ok, call.result.problems
        assert [turn["kind"] for turn in call.turns] == ["greeting", "voice", "voice"]
        assert (
            call.user_texts
            == (await house.api()).user_messages
            == ["please call my sister", "goodbye"]
        )
        for turn in call.turns:
            assert turn["heard_text"] == turn["agent_text"] != ""
            assert turn["interaction_id"] is not None
            assert not turn["interrupted"]


@both_revisions
async def test_the_ledger_of_every_turn_adds_up_and_the_numbers_move(
    tmp_path: Path, revision: str
) -> None:
    async with a_house(tmp_path, revision, think_ms=200) as house:
        house.expect("goodbye")
        call = await house.call(says("goodbye"))

        for turn in call.turns:
            timings = turn["timings_ms"]
            assert sum(timings[part] for part in LEDGER) == timings["response_gap"]
        timings = call.turn("voice")["timings_ms"]
        assert timings["endpoint_wait"] >= 300
        assert timings["thinking"] >= 150
        assert 500 <= timings["speech"] <= 5000

        ended = {"direction": "inbound", "end_reason": "agent-ended"}
        assert await house.metric("calls_total", **ended) == 1
        assert await house.metric("turns_total", kind="voice", interrupted="false") == 1
        assert await house.metric("turn_seconds_count", part="response_gap") == 2
        assert await house.metric("amigo_requests_total", operation="interact", status="200") == 1
        assert await house.metric("frames_total", direction="in") > 50
        assert await house.metric("frames_total", direction="out") > 10
        assert await house.metric("caller_silence_seconds_count") >= 1


@both_revisions
async def test_auto_learns_the_revision_from_the_services_own_description(
    tmp_path: Path, revision: str
) -> None:
    async with a_house(tmp_path, revision, AMIGO_API_REVISION="auto") as house:
        house.expect("goodbye")
        call = await house.call(says("goodbye"))

        assert call.end_reason == "agent-ended"
        api = await house.api()
        assert api.statuses("openapi") == [200]
        assert api.statuses("interact") == [200]


@pytest.mark.parametrize(("revision", "answers"), [("2025-06", [200]), ("2026-04", [422, 200])])
async def test_auto_without_a_description_finds_out_at_the_first_voice_turn(
    tmp_path: Path, revision: str, answers: list[int]
) -> None:
    refused_form = ("17",)
    async with a_house(
        tmp_path, revision, "openapi-404=1", allowed=refused_form, AMIGO_API_REVISION="auto"
    ) as house:
        house.expect("goodbye")
        call = await house.call(says("goodbye"))

        assert call.result.ok, call.result.problems
        assert call.end_reason == "agent-ended"
        assert (await house.api()).statuses("interact") == answers
        assert call.user_texts == ["goodbye"]
