"""Insights, recommendations, simulation, starters: they follow the talk and leave no trace."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sandbox.house import SERVICE, Answer, Guest, open_house

REVISIONS = pytest.mark.parametrize("revision", ["2025-06", "2026-04"])
NOBODY = "0" * 24


async def said(guest: Guest, conversation: str, text: str) -> str:
    """The id of the interaction in which this was said."""
    answer = await guest.say(conversation, text)
    return str(answer.of("interaction-complete")[0]["interaction_id"])


def place(conversation: str, interaction: str, what: str) -> str:
    return f"/v1/sandbox/conversation/{conversation}/interaction/{interaction}/{what}"


@REVISIONS
async def test_insights_change_with_the_talk(revision):
    async with open_house(revision) as house:
        guest = await house.caller()
        conversation = await guest.begin()
        first = await said(guest, conversation, "an appointment for Oscar, please")
        second = await said(guest, conversation, "On Monday")
        before = (await guest.ask("GET", place(conversation, first, "insights"))).json
        after = (await guest.ask("GET", place(conversation, second, "insights"))).json

        assert before["current_state_name"] == "day"
        assert after["current_state_objective"] == "Agree on a time"
        assert [log["next_state"] for log in after["state_transition_logs"]] == ["time"]
        contents = [memory["content"] for memory in after["working_memory"]]
        assert contents == ["name: Oscar", "appointment: yes", "day: Monday"]
        assert ("engage_user_tool_call_logs" in after) == (revision == "2026-04")


async def test_a_question_not_answered_is_reflected_on():
    async with open_house() as house:
        guest = await house.caller()
        conversation = await guest.begin()
        await said(guest, conversation, "an appointment")
        vain = await said(guest, conversation, "what a lovely afternoon it is out there today")
        found = (await guest.ask("GET", place(conversation, vain, "insights"))).json

        assert found["reflections"] == [
            "The caller did not help to: learn who the appointment is for"
        ]


@pytest.mark.parametrize(
    ("revision", "right", "wrong"), [("2025-06", "GET", "POST"), ("2026-04", "POST", "GET")]
)
async def test_A36_recommendations_are_asked_for_by_one_method(revision, right, wrong):
    async with open_house(revision) as house:
        guest = await house.caller()
        conversation = await guest.begin()
        interaction = await said(guest, conversation, "an appointment")
        path = place(conversation, interaction, "recommend_responses")

        assert (await guest.ask(wrong, path)).status == 405
        found = await guest.ask(right, path)
        assert found.json["recommended_responses"] == ["My name is Oscar.", "Victor."]


async def test_A36_only_the_latest_interaction_of_an_open_conversation_has_any():
    async with open_house("2026-04") as house:
        guest = await house.caller()
        conversation = await guest.begin()
        old = await said(guest, conversation, "an appointment")
        new = await said(guest, conversation, "Oscar")

        paths = [place(conversation, iid, "recommend_responses") for iid in (old, new)]
        first, second = [await guest.ask("POST", p, json={"context": "in a hurry"}) for p in paths]
        await guest.finish(conversation)
        third = await guest.ask("POST", paths[1])
        assert (first.status, second.status, third.status) == (400, 200, 400)


@REVISIONS
async def test_unknown_interactions_are_404_and_wrong_ids_422(revision):
    async with open_house(revision) as house:
        guest = await house.caller()
        conversation = await guest.begin()

        assert (await guest.ask("GET", place(conversation, NOBODY, "insights"))).status == 404
        assert (await guest.ask("GET", place(conversation, "abc", "insights"))).status == 422


# ---------------------------------------------------------------- simulation


async def simulated(guest: Guest, path: str, **overrides: Any) -> Answer:
    return await guest.ask("POST", path, json=overrides)


async def test_A37_a_simulation_runs_the_interaction_again_and_keeps_nothing():
    async with open_house() as house:
        guest = await house.caller()
        conversation = await guest.begin()
        interaction = await said(guest, conversation, "Weasels are here.")
        before = await guest.messages(conversation)
        path = place(conversation, interaction, "simulate")
        plain = await simulated(guest, path)
        states = {"number": {"actions": ["Where can we find you?"]}}
        other = await simulated(guest, path, state_machine_version_override={"states": states})

        assert plain.json == {
            "agent_message": "I wrote down: Weasels are here. What number can we call you back on?",
            "conversation_ended": False,
        }
        assert other.json["agent_message"].endswith("Where can we find you?")
        assert await guest.messages(conversation) == before
        assert (await guest.say(conversation, "555 0192")).status == 200


async def test_A37_a_greeting_is_simulated_with_another_identity():
    async with open_house() as house:
        guest = await house.caller()
        begun = await guest.create()
        interaction = begun.of("interaction-complete")[0]["interaction_id"]
        path = place(begun.conversation_id, interaction, "simulate")
        identity = {"identity": {"name": "reception two"}}
        answer = await simulated(guest, path, agent_version_override=identity)

        assert answer.json["agent_message"].startswith("Hello, reception two.")


async def test_A37_an_override_without_sense_is_422():
    async with open_house() as house:
        guest = await house.caller()
        conversation = await guest.begin()
        interaction = await said(guest, conversation, "hello there")
        answer = await simulated(
            guest,
            place(conversation, interaction, "simulate"),
            state_machine_version_override={"new_user_initial_state": "nowhere"},
        )

        assert answer.status == 422
        assert "there is no state 'nowhere'" in answer.json["detail"][0]["msg"]


# ---------------------------------------------------------------- starters


def wish(**changes: Any) -> dict[str, Any]:
    return {
        "service_id": SERVICE,
        "facets": ["booking", "message"],
        "min_count": 1,
        "max_count": 3,
        "generation_instructions": "short sentences",
        **changes,
    }


@REVISIONS
async def test_starters_keep_to_counts_and_facets(revision):
    async with open_house(revision) as house:
        guest = await house.caller()
        path = "/v1/sandbox/conversation/conversation_starter"
        found = (await guest.ask("POST", path, json=wish())).json["prompts"]

        assert 1 <= len(found) <= 3
        assert all(set(one["facets"]) <= {"booking", "message"} and one["prompt"] for one in found)


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"facets": []}, 422),
        ({"facets": [" "]}, 422),
        ({"min_count": 0}, 422),
        ({"max_count": 11}, 422),
        ({"generation_instructions": ""}, 422),
        ({"service_id": "front desk"}, 422),
        ({"service_id": NOBODY}, 404),
        ({"service_version_set_name": "nightly"}, 404),
    ],
)
async def test_wrong_wishes_for_starters_are_refused(change, status):
    async with open_house() as house:
        guest = await house.caller()
        path = "/v1/sandbox/conversation/conversation_starter"

        assert (await guest.ask("POST", path, json=wish(**change))).status == status
