"""The caller rates the call by keypad, and the API learns of it."""

from __future__ import annotations

from pathlib import Path

from gateway.call.commands import Phrase
from tests.end_to_end.talk_sounds import presses, says
from tests.end_to_end.talking import PATIENT, a_house, both_revisions


@both_revisions
async def test_a_key_after_the_agents_goodbye_is_feedback_or_a_tag(
    tmp_path: Path, revision: str
) -> None:
    async with a_house(tmp_path, revision, GATEWAY_RATING="true") as house:
        house.expect("goodbye")
        call = await house.call(says("goodbye"), presses("4"), habits=PATIENT)
        record = await house.stack.until(
            call.result.call_sid, lambda record: record["transcript_state"] == "fetched"
        )

        assert call.heard_phrase(Phrase.RATE)
        assert call.heard_phrase(Phrase.THANKS)
        assert call.end_reason == "agent-ended"
        assert record["rating"]["value"] == 4
        assert record["rating"]["sent_as"] == {"2025-06": "feedback", "2026-04": "tag"}[revision]
        assert (record["rating"]["feedback_id"] is None) == (revision == "2026-04")
        operation = {"2025-06": "feedback-create", "2026-04": "tags"}[revision]
        requests = (await house.api()).log["requests"]
        assert [one["status"] for one in requests if one["operation"] == operation] in (
            [200],
            [204],
        )


async def test_nobody_is_asked_unless_it_is_wanted(tmp_path: Path) -> None:
    async with a_house(tmp_path, "2025-06") as house:
        house.expect("goodbye")
        call = await house.call(says("goodbye"), habits=PATIENT)

        assert call.record["rating"] is None
        assert Phrase.RATE.value not in call.phrases
