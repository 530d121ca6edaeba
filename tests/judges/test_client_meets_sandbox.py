"""Our client against our sandbox, which share no code: a field that one of them misreads fails here."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal

import aiohttp
import pytest

from gateway.amigo import AmigoClient, AmigoOptions
from gateway.amigo.answers import NewUser, StarterRequest, UserUpdate
from gateway.amigo.stream import (
    AgentPiece,
    ConversationCreated,
    InteractionCompleted,
    UserMessage,
)
from gateway.amigo.wishes import ExternalEvent, Opening
from gateway.clock import SystemClock
from gateway.errors import AmigoConflict, AmigoForbidden, AmigoRejected
from gateway.ids import ConversationId, UserId
from gateway.sandbox.wav import read_wav
from tests.sandbox.house import SERVICE, House, noise, open_house, recording

REVISIONS = pytest.mark.parametrize("revision", ["2025-06", "2026-04"])
CALLER, ADMIN = UserId("sandbox-caller"), UserId("sandbox-admin")
Name = Literal["2025-06", "2026-04"]


@dataclass(frozen=True)
class Voice:
    """A recording ready to be uploaded."""

    sample_rate: int = 8000

    async def chunks(self) -> AsyncIterator[bytes]:
        yield recording()


@asynccontextmanager
async def meeting(revision: Name) -> AsyncIterator[tuple[AmigoClient, House]]:
    async with open_house(revision) as house:
        options = AmigoOptions(
            base_url=house.base,
            organization="sandbox",
            api_key="sandbox-key",
            api_key_id="sandbox-key-id",
            revision=revision,
        )
        async with AmigoClient(options, SystemClock()) as client:
            yield client, house


async def begun(client: AmigoClient) -> tuple[ConversationId, str]:
    """A new conversation and its greeting's interaction."""
    async with client.create(CALLER, SERVICE, "release") as stream:
        events = [event async for event in stream]
    made, done = events[0], _last(events)
    assert isinstance(made, ConversationCreated)
    return made.conversation_id, done.interaction_id


def _last(events: list[Any]) -> InteractionCompleted:
    return next(event for event in events if isinstance(event, InteractionCompleted))


async def spoken(client: AmigoClient, conversation: ConversationId) -> tuple[str, str]:
    """The interaction and the user message of a voice turn."""
    async with client.interact_voice(CALLER, conversation, Voice()) as stream:
        events = [event async for event in stream]
    heard = next(event for event in events if isinstance(event, UserMessage))
    return _last(events).interaction_id, heard.message_id


@REVISIONS
async def test_what_lies_behind_a_turn(revision: Name):
    async with meeting(revision) as (client, house):
        conversation, _ = await begun(client)
        house.recogniser.expect("an appointment for Oscar on Monday")
        interaction, message = await spoken(client, conversation)
        insights = await client.insights(CALLER, conversation, interaction)
        advice = await client.recommend_responses(CALLER, conversation, interaction)
        source = await client.message_source(CALLER, conversation, message)
        async with aiohttp.ClientSession() as http, http.get(source.url) as answer:
            pcm, _ = read_wav(await answer.read())

        assert (insights.state, insights.objective) == ("time", "Agree on a time")
        known = [one.content for one in insights.memory]
        assert known == ["day: Monday", "name: Oscar", "appointment: yes"]
        assert [step.next for step in insights.transitions] == ["name", "day", "time"]
        assert insights.transitions[0].reason == "The caller wants an appointment"
        assert advice == ("At ten o'clock.", "Half past nine.")
        assert source.content_type == "audio/wav"
        assert pcm.tolist() == noise(400).tolist()


@REVISIONS
async def test_a_text_answer_to_text(revision: Name):
    async with meeting(revision) as (client, _):
        opening = Opening(response="text")
        async with client.create(CALLER, SERVICE, "release", opening) as stream:
            greeting = [event async for event in stream]
        made = greeting[0]
        assert isinstance(made, ConversationCreated)
        turn = client.interact_text(CALLER, made.conversation_id, "an appointment", response="text")
        async with turn as stream:
            events = [event async for event in stream]

        pieces = [event for event in events if isinstance(event, AgentPiece)]
        assert "".join(piece.text for piece in pieces) == "What name may I put down?"
        assert all(piece.audio is None for piece in pieces)


async def test_a_conversation_is_opened_with_words_tags_and_a_mark():
    async with meeting("2026-04") as (client, house):
        opening = Opening(message="an appointment", tags={"line": "+15550002222"}, is_test=True)
        async with client.create(CALLER, SERVICE, "release", opening) as stream:
            events = [event async for event in stream]

        assert _last(events).text == "What name may I put down?"
        assert (await (await house.caller()).listed())[0]["tags"] == {"line": "+15550002222"}
        assert len(await client.conversations(CALLER, tags=["line:*"], limit=1)) == 1


async def test_events_before_a_spoken_turn_and_alone_and_a_skip():
    async with meeting("2026-04") as (client, house):
        conversation, _ = await begun(client)
        house.recogniser.expect("an appointment")
        event = ExternalEvent("the end of the greeting was not heard", house.clock.wall())
        async with client.interact_voice(CALLER, conversation, Voice(), events=(event,)) as stream:
            events = [one async for one in stream]
        for kind, text in (("external-event", "the line was bad"), ("skip", "")):
            turn = client.interact_text(CALLER, conversation, text, kind=kind)  # type: ignore[arg-type]
            async with turn as stream:
                assert _last([one async for one in stream]).text.endswith("put down?")
        kept = await client.messages(CALLER, conversation, kinds=["external-event"])

        assert _last(events).text == "What name may I put down?"
        assert [one.text for one in kept] == [event.content, "the line was bad"]


@REVISIONS
async def test_lists_are_chosen_from(revision: Name):
    async with meeting(revision) as (client, _):
        first, greeting = await begun(client)
        await client.finish(CALLER, first)
        second, _ = await begun(client)
        newest = await client.conversations(CALLER, sort=["-created_at"], limit=1)
        everybodys = await client.conversations(ADMIN, of_users=())
        told = await client.messages(CALLER, first, interaction_ids=[greeting], limit=1)

        assert [one.id for one in newest] == [second, first]
        assert {one.id for one in everybodys} == {first, second}
        assert [one.kind for one in told] == ["agent-message"]


async def test_feedback_lives_and_dies():
    async with meeting("2025-06") as (client, _):
        conversation, interaction = await begun(client)
        whole = await client.create_conversation_feedback(CALLER, conversation, "good")
        part = await client.create_interaction_feedback(CALLER, conversation, interaction, "slow")
        await client.update_conversation_feedback(CALLER, conversation, whole, "very good")
        await client.update_interaction_feedback(
            CALLER, conversation, interaction, part, "slow", resolved=True
        )
        with pytest.raises(AmigoRejected):
            await client.update_interaction_feedback(
                CALLER, conversation, interaction, part, "fast", resolved=True
            )
        on_talk = await client.feedbacks(CALLER, "conversation", conversation_ids=[conversation])
        on_turn = await client.feedbacks(CALLER, "interaction", limit=1)
        await client.delete_conversation_feedback(CALLER, conversation, whole)
        await client.delete_interaction_feedback(CALLER, conversation, interaction, part)

        assert [one.content.comment for one in on_talk] == ["very good"]
        assert [(one.content.interaction_id, one.content.resolved) for one in on_turn] == [
            (interaction, True)
        ]
        assert await client.feedbacks(CALLER, "conversation") == []


async def test_a_simulation_takes_the_override():
    async with meeting("2025-06") as (client, _):
        conversation, interaction = await begun(client)
        other = {"identity": {"name": "reception two"}}
        found = await client.simulate(CALLER, conversation, interaction, agent=other)

        assert found.agent_message.startswith("Hello, reception two.")
        assert not found.conversation_ended


@REVISIONS
async def test_starters(revision: Name):
    async with meeting(revision) as (client, _):
        wanted = StarterRequest(service_id=SERVICE, facets=("booking",), min_count=2)
        found = await client.starters(CALLER, wanted)

        assert 2 <= len(found) <= 3
        assert all(one.prompt and one.facets == ("booking",) for one in found)


async def test_tags():
    async with meeting("2026-04") as (client, house):
        conversation, _ = await begun(client)
        await client.modify_tags(CALLER, conversation, {"rating": "4"})

        assert (await (await house.caller()).listed())[0]["tags"] == {"rating": "4"}


@REVISIONS
async def test_users_are_created_once_and_found_again(revision: Name):
    async with meeting(revision) as (client, _):
        new = NewUser(first_name="Phone", last_name="Caller", email="c1@callers.example.com")
        made = await client.create_user(ADMIN, new)
        with pytest.raises(AmigoConflict):
            await client.create_user(ADMIN, new)
        with pytest.raises(AmigoForbidden):
            await client.create_user(made, new)
        await client.update_user(ADMIN, made, UserUpdate(last_name="New"))
        by_address = await client.users(ADMIN, emails=["c1@callers.example.com"])
        by_text = await client.search_users(ADMIN, "c1@callers")

        assert [one.id for one in by_address] == [one.id for one in by_text] == [made]
        assert (by_address[0].last_name, by_address[0].role) == ("New", "DefaultUserRole")
        await client.delete_user(ADMIN, made)
        assert await client.users(ADMIN) == []


@REVISIONS
async def test_services(revision: Name):
    async with meeting(revision) as (client, _):
        found = await client.services(CALLER, ids=[SERVICE])

        assert [(one.id, one.name, one.is_active) for one in found] == [
            (SERVICE, "front desk", True)
        ]
