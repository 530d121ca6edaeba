"""The API is silent or gone: never dead air, an apology in the end, and nothing left owing."""

from __future__ import annotations

from pathlib import Path

from gateway.call.commands import Phrase
from tests.end_to_end.talk_sounds import says
from tests.end_to_end.talking import PATIENT, a_house, both_revisions

NOWHERE = "http://127.0.0.1:9"


@both_revisions
async def test_an_agent_that_stalls_is_covered_by_a_phrase_and_then_excused(
    tmp_path: Path, revision: str
) -> None:
    async with a_house(
        tmp_path,
        revision,
        "interact-stall-think=1@3500",
        AMIGO_PATIENCE_SECONDS="2",
        GATEWAY_SILENCE__MAX_DEAD_AIR_MS="500",
    ) as house:
        call = await house.call(says("goodbye"), habits=PATIENT)

        assert (call.end_reason, call.record["status"]) == ("api-error", "failed")
        assert call.phrases[0] == "one-moment"
        assert call.phrases[-1] == "apology"
        assert call.heard_phrase(Phrase.ONE_MOMENT)
        assert call.heard_phrase(Phrase.APOLOGY)
        assert call.result.hung_up_by == "rest"
        api = await house.api()
        assert api.requests("interact")[0]["client_gone_ms"] is None


@both_revisions
async def test_a_stall_shorter_than_the_callers_patience_is_only_covered(
    tmp_path: Path, revision: str
) -> None:
    async with a_house(
        tmp_path,
        revision,
        "interact-stall-think=1@1800",
        GATEWAY_SILENCE__MAX_DEAD_AIR_MS="500",
    ) as house:
        house.expect("goodbye")
        call = await house.call(says("goodbye"), habits=PATIENT)

        assert call.end_reason == "agent-ended"
        assert call.phrases[0] == "one-moment"
        assert "apology" not in call.phrases
        assert call.turn("voice")["heard_text"] == call.turn("voice")["agent_text"]


async def test_an_api_that_is_down_is_apologised_for_and_nothing_stays_owing(
    tmp_path: Path,
) -> None:
    async with a_house(
        tmp_path,
        AMIGO_BASE_URL=NOWHERE,
        AMIGO_PATIENCE_SECONDS="2",
        GATEWAY_SILENCE__MAX_DEAD_AIR_MS="500",
    ) as house:
        call = await house.call(habits=PATIENT)

        assert (call.end_reason, call.record["status"]) == ("api-error", "failed")
        assert call.record["conversation_state"] == "none"
        assert call.heard_phrase(Phrase.APOLOGY)
        assert call.result.hung_up_by == "rest"


@both_revisions
async def test_a_greeting_that_never_comes_is_apologised_for(tmp_path: Path, revision: str) -> None:
    async with a_house(
        tmp_path,
        revision,
        "late-create=1@4000",
        AMIGO_PATIENCE_SECONDS="2",
        GATEWAY_SILENCE__MAX_DEAD_AIR_MS="500",
    ) as house:
        call = await house.call(habits=PATIENT)

        assert call.end_reason == "api-error"
        assert call.heard_phrase(Phrase.APOLOGY)
        # the conversation came into being after all, and is finished
        assert call.record["conversation_state"] == "finished"
        assert (await house.api()).finishes == 1
