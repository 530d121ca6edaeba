"""Feedback on conversations and interactions: a part of 2025-06 that later revisions do not have."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.sandbox.house import Answer, Guest, open_house

NOBODY = "0" * 24


@asynccontextmanager
async def talk(**options: Any) -> AsyncIterator[tuple[Guest, str, str]]:
    """A guest, a conversation, and the id of its greeting's interaction."""
    async with open_house(**options) as house:
        guest = await house.caller()
        begun = await guest.create()
        interaction = begun.of("interaction-complete")[0]["interaction_id"]
        yield guest, f"/v1/sandbox/conversation/{begun.conversation_id}", interaction


async def listed(guest: Guest, kind: str, **query: Any) -> list[dict[str, Any]]:
    path = "/v1/sandbox/conversation/feedback/"
    answer = await guest.ask("GET", path, params={"type": kind, **query})
    found: list[dict[str, Any]] = answer.json["feedbacks"]
    return found


def remark(comment: str, **more: Any) -> dict[str, Any]:
    return {"feedback": {"type": "interaction_comment", "comment": comment, **more}}


async def test_A37_a_conversations_feedback_is_made_listed_changed_and_deleted():
    async with talk() as (guest, root, _):
        made = await guest.ask("POST", f"{root}/feedback", json={"comment": "quick"})
        place = f"{root}/feedback/{made.json['conversation_feedback_id']}"
        first = await listed(guest, "conversation")
        changed = await guest.ask("POST", place, json={"feedback": "very quick"})
        second = await listed(guest, "conversation")
        gone = await guest.ask("DELETE", place)

        assert (made.status, changed.status, gone.status) == (200, 204, 204)
        assert first[0]["feedback_content"] == {"type": "conversation", "comment": "quick"}
        assert second[0]["feedback_content"]["comment"] == "very quick"
        assert second[0]["user_id"] == "sandbox-caller"
        assert await listed(guest, "conversation") == []
        assert (await guest.ask("DELETE", place)).status == 404


async def test_A37_a_resolved_comment_keeps_its_words():
    async with talk() as (guest, root, interaction):
        made = await guest.ask(
            "POST", f"{root}/interaction/{interaction}/feedback", json=remark("too slow")
        )
        fid = made.json["interaction_feedback_id"]
        place = f"{root}/interaction/{interaction}/feedback/{fid}"
        resolved = await guest.ask("POST", place, json=remark("too slow", resolved=True))
        changed = await guest.ask("POST", place, json=remark("fast", resolved=True))
        reopened = await guest.ask("POST", place, json=remark("too slow", resolved=False))
        again = await guest.ask("POST", place, json=remark("fast", resolved=False))

        assert [a.status for a in (resolved, changed, reopened, again)] == [204, 400, 204, 204]
        content = (await listed(guest, "interaction"))[0]["feedback_content"]
        assert content == {
            "type": "interaction_comment",
            "interaction_id": interaction,
            "comment": "fast",
            "resolved": False,
        }


async def test_A37_lists_are_filtered_sorted_and_paged():
    async with talk() as (guest, root, interaction):
        for number in range(3):
            await guest.ask("POST", f"{root}/feedback", json={"comment": f"no {number}"})
        await guest.ask("POST", f"{root}/interaction/{interaction}/feedback", json=remark("hm"))
        path = "/v1/sandbox/conversation/feedback/"
        params = {"type": "conversation", "limit": "2", "sort_by": "-created_at"}
        page = (await guest.ask("GET", path, params=params)).json

        assert [one["feedback_content"]["comment"] for one in page["feedbacks"]] == ["no 2", "no 1"]
        assert (page["has_more"], page["continuation_token"]) == (True, 2)
        assert await listed(guest, "conversation", conversation_id=NOBODY) == []
        assert len(await listed(guest, "interaction", interaction_id=interaction)) == 1


@pytest.mark.parametrize(
    "query",
    [{}, {"type": "opinion"}, {"type": "conversation", "limit": "51"},
     {"type": "conversation", "sort_by": "+feedback_content.interaction_id"}],
)  # fmt: skip
async def test_A37_wrong_list_queries_are_422(query):
    async with talk() as (guest, _, _):
        path = "/v1/sandbox/conversation/feedback/"

        assert (await guest.ask("GET", path, params=query)).status == 422


@pytest.mark.parametrize("body", [{}, {"comment": ""}, {"comment": "  "}, {"comment": 3}])
async def test_A37_an_empty_comment_is_422(body):
    async with talk() as (guest, root, _):
        answer: Answer = await guest.ask("POST", f"{root}/feedback", json=body)

        assert answer.status == 422
        assert answer.json["detail"][0]["loc"] == ["body", "comment"]


async def test_A37_unknown_places_are_404():
    async with talk() as (guest, root, interaction):
        elsewhere = f"/v1/sandbox/conversation/{NOBODY}/feedback"

        assert (await guest.ask("POST", elsewhere, json={"comment": "x"})).status == 404
        on_nothing = f"{root}/interaction/{NOBODY}/feedback"
        assert (await guest.ask("POST", on_nothing, json=remark("x"))).status == 404
        unknown = f"{root}/interaction/{interaction}/feedback/{NOBODY}"
        assert (await guest.ask("DELETE", unknown)).status == 404


async def test_A37_the_later_revision_has_none_of_it():
    async with talk(revision="2026-04") as (guest, root, interaction):
        paths = (f"{root}/feedback", f"{root}/interaction/{interaction}/feedback",
                 f"{root}/interaction/{interaction}/simulate")  # fmt: skip
        statuses = [(await guest.ask("POST", path, json={})).status for path in paths]
        statuses.append((await guest.ask("GET", "/v1/sandbox/conversation/feedback/")).status)

        assert statuses == [404] * 4
