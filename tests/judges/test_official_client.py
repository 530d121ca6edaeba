"""The vendor's own client, unmodified, against the sandbox of its revision: its models judge every answer.

A42 of the protocol checklist. The client is a test dependency only; the gateway has its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from amigo_sdk import errors
from amigo_sdk.config import AmigoConfig
from amigo_sdk.generated.model import UserCreateInvitedUserRequest, UserUpdateUserInfoRequest
from amigo_sdk.models import (
    ConversationCreateConversationRequest,
    ConversationGenerateConversationStarterRequest,
    CreateConversationParametersQuery,
    GetConversationMessagesParametersQuery,
    GetConversationsParametersQuery,
    GetServicesParametersQuery,
    GetUsersParametersQuery,
    InteractWithConversationParametersQuery,
)
from amigo_sdk.sdk_client import AmigoClient, AsyncAmigoClient

from gateway.sandbox.wav import read_wav
from tests.sandbox.house import SERVICE, House, noise, open_house, recording

NOBODY = "0" * 24
CONFIG = {"type": "pcm", "frame_rate": 8000, "n_channels": 1, "sample_width": 2}


def config(house: House, user: str = "sandbox-caller", **changes: str) -> AmigoConfig:
    values: dict[str, Any] = {
        "api_key": "sandbox-key",
        "api_key_id": "sandbox-key-id",
        "user_id": user,
        "organization_id": "sandbox",
        "base_url": house.base,
    }
    return AmigoConfig(**(values | changes))


@asynccontextmanager
async def client(
    house: House, user: str = "sandbox-caller", **changes: str
) -> AsyncIterator[AsyncAmigoClient]:
    async with AsyncAmigoClient(config=config(house, user, **changes)) as sdk:
        yield sdk


async def create(sdk: AsyncAmigoClient, form: str = "text", **body: Any) -> list[Any]:
    wanted = ConversationCreateConversationRequest(service_id=SERVICE, **body)
    query = CreateConversationParametersQuery(response_format=form)
    return [
        event.root async for event in await sdk.conversations.create_conversation(wanted, query)
    ]


async def interact(
    sdk: AsyncAmigoClient, conversation: str, form: str = "text", **said: Any
) -> list[Any]:
    spoken = "audio_bytes" in said
    query = InteractWithConversationParametersQuery(
        request_format="voice" if spoken else "text",
        response_format=form,
        request_audio_config=CONFIG if spoken else None,
    )
    if spoken:
        said.setdefault("audio_content_type", "audio/wav")
    stream = await sdk.conversations.interact_with_conversation(conversation, query, **said)
    return [event.root async for event in stream]


def kinds(events: list[Any]) -> list[str]:
    """Types in order, runs told once; the events of a create come wrapped once more."""
    names = [getattr(event, "root", event).type for event in events]
    return [name for at, name in enumerate(names) if at == 0 or name != names[at - 1]]


def of(events: list[Any], kind: str) -> Any:
    return next(found for event in events if (found := getattr(event, "root", event)).type == kind)


async def begun(sdk: AsyncAmigoClient, **body: Any) -> str:
    return str(of(await create(sdk, **body), "conversation-created").conversation_id)


@pytest.mark.parametrize("form", ["text", "voice"])
async def test_A42_a_whole_conversation(form):
    async with open_house("2026-04") as house, client(house) as sdk:
        house.recogniser.expect("an appointment for Oscar")
        created = await create(sdk, form)
        conversation = of(created, "conversation-created").conversation_id
        typed = await interact(
            sdk, conversation, form, text_message="hello there, I have a question"
        )
        spoken = await interact(sdk, conversation, form, audio_bytes=recording())
        order = ["current-agent-action", "new-message", "interaction-complete"]

        assert kinds(created) == ["conversation-created", *order]
        assert kinds(typed) == kinds(spoken) == ["user-message-available", *order]
        assert of(spoken, "user-message-available").user_message == "an appointment for Oscar"
        assert of(spoken, "interaction-complete").conversation_completed is False
        await sdk.conversations.finish_conversation(conversation)


async def test_external_events_are_taken_in_before_the_words():
    async with open_house("2026-04") as house, client(house) as sdk:
        conversation = await begun(sdk)
        now = datetime.now(UTC)
        await interact(
            sdk,
            conversation,
            text_message="hello there, I have a question",
            external_event_message_content=["the caller did not hear the end"],
            external_event_message_timestamp=[now],
        )
        alone = await interact(
            sdk,
            conversation,
            text_message="the line was bad",
            initial_message_type="external-event",
        )
        query = GetConversationMessagesParametersQuery(message_type=["external-event"])
        found = await sdk.conversations.get_conversation_messages(conversation, query)

        assert [one.message for one in found.messages] == [
            "the caller did not hear the end",
            "the line was bad",
        ]
        assert of(alone, "interaction-complete").full_message.startswith("Thank you, I noted that.")


async def test_a_conversation_may_begin_with_the_callers_words():
    async with open_house("2026-04") as house, client(house) as sdk:
        events = await create(
            sdk, initial_message="an appointment, please", initial_message_type="user-message"
        )

        assert of(events, "interaction-complete").full_message == "What name may I put down?"


async def test_lists_are_filtered_sorted_and_paged():
    async with open_house("2026-04") as house, client(house) as sdk:
        ids = []
        for _ in range(3):
            ids.append(await begun(sdk))
            await sdk.conversations.finish_conversation(ids[-1])
        last = await begun(sdk)
        query = GetConversationsParametersQuery(
            service_id=[SERVICE], is_finished=True, limit=2, sort_by=["-created_at"]
        )
        page = await sdk.conversations.get_conversations(query)
        one = await sdk.conversations.get_conversations(GetConversationsParametersQuery(id=[last]))

        assert [item.id for item in page.conversations] == [ids[2], ids[1]]
        assert (page.has_more, page.continuation_token) == (True, 2)
        assert [item.is_finished for item in one.conversations] == [False]


async def test_what_lies_behind_a_turn_can_be_asked_for():
    async with open_house("2026-04") as house, client(house) as sdk:
        conversation = await begun(sdk)
        house.recogniser.expect("an appointment for Oscar on Monday")
        turn = await interact(sdk, conversation, audio_bytes=recording())
        interaction = of(turn, "interaction-complete").interaction_id
        message = of(turn, "user-message-available").message_id
        messages = await sdk.conversations.get_conversation_messages(
            conversation, GetConversationMessagesParametersQuery()
        )
        insights = await sdk.conversations.get_interaction_insights(conversation, interaction)
        advice = await sdk.conversations.recommend_responses_for_interaction(
            conversation, interaction
        )
        source = await sdk.conversations.get_message_source(conversation, message)
        async with house.http.get(str(source.url)) as answer:
            pcm, _ = read_wav(await answer.read())

        assert [one.message_type.value for one in messages.messages] == [
            "agent-message",
            "user-message",
            "agent-message",
        ]
        assert insights.current_state_name == "time"
        known = [one.content for one in insights.working_memory]
        assert known == ["day: Monday", "name: Oscar", "appointment: yes"]
        assert advice.recommended_responses == ["At ten o'clock.", "Half past nine."]
        assert pcm.tolist() == noise(400).tolist()


async def test_starters_are_generated():
    async with open_house("2026-04") as house, client(house) as sdk:
        wanted = ConversationGenerateConversationStarterRequest(
            service_id=SERVICE,
            facets=["booking"],
            min_count=2,
            max_count=3,
            generation_instructions="short",
        )
        found = await sdk.conversations.generate_conversation_starters(wanted)

        assert 2 <= len(found.prompts) <= 3


async def test_users_are_created_listed_changed_and_deleted():
    async with open_house("2026-04") as house, client(house, "sandbox-admin") as sdk:
        made = await sdk.users.create_user(
            UserCreateInvitedUserRequest(
                first_name="Phone",
                last_name="Caller",
                email="c1@callers.example.com",
                role_name="DefaultUserRole",
            )
        )
        await sdk.users.update_user(made.user_id, UserUpdateUserInfoRequest(first_name="New"))
        found = await sdk.users.get_users(GetUsersParametersQuery(user_id=[made.user_id]))
        await sdk.users.delete_user(made.user_id)

        assert [one.first_name for one in found.users] == ["New"]
        assert (await sdk.users.get_users()).users == []


async def test_services_are_listed():
    async with open_house("2026-04") as house, client(house) as sdk:
        found = await sdk.services.get_services(GetServicesParametersQuery())

        assert [one.id for one in found.services] == [SERVICE]


# ---------------------------------------------------------------- its error classes


async def test_400_a_second_unfinished_conversation():
    async with open_house("2026-04") as house, client(house) as sdk:
        await begun(sdk)
        with pytest.raises(errors.BadRequestError):
            await create(sdk)


async def test_401_a_wrong_key():
    async with open_house("2026-04") as house, client(house, api_key="wrong") as sdk:
        with pytest.raises(errors.AuthenticationError):
            await create(sdk)


async def test_403_somebody_elses_conversation():
    async with open_house("2026-04") as house, client(house) as ada, client(house, "bob") as bob:
        conversation = await begun(ada)
        with pytest.raises(errors.ForbiddenError):
            await bob.conversations.finish_conversation(conversation)


async def test_404_an_unknown_conversation():
    async with open_house("2026-04") as house, client(house) as sdk:
        with pytest.raises(errors.NotFoundError):
            await interact(sdk, NOBODY, text_message="hello")


async def test_409_a_finished_conversation():
    async with open_house("2026-04") as house, client(house) as sdk:
        conversation = await begun(sdk)
        await sdk.conversations.finish_conversation(conversation)
        with pytest.raises(errors.ConflictError):
            await sdk.conversations.finish_conversation(conversation)


async def test_422_an_id_that_is_none():
    async with open_house("2026-04") as house, client(house) as sdk:
        with pytest.raises(errors.ValidationError):
            await interact(sdk, "not-an-id", text_message="hello")


async def test_429_too_many_turns():
    faults = {"faults": ["finish-429=1@1"]}
    async with open_house("2026-04") as house, client(house) as sdk:
        conversation = await begun(sdk)
        async with house.http.post(f"{house.base}/_sandbox/faults", json=faults) as answer:
            assert answer.status == 200
        sdk._http._retry_cfg.max_attempts = 1
        with pytest.raises(errors.RateLimitError):
            await sdk.conversations.finish_conversation(conversation)


async def test_the_synchronous_client_talks_too():
    def talk(wanted: AmigoConfig) -> list[str]:
        with AmigoClient(config=wanted) as sdk:
            body = ConversationCreateConversationRequest(service_id=SERVICE)
            query = CreateConversationParametersQuery(response_format="text")
            events = [e.root for e in sdk.conversations.create_conversation(body, query)]
            conversation = of(events, "conversation-created").conversation_id
            asked = InteractWithConversationParametersQuery(
                request_format="text", response_format="text"
            )
            turn = sdk.conversations.interact_with_conversation(
                conversation, asked, text_message="Goodbye."
            )
            return kinds([event.root for event in turn])

    async with open_house("2026-04") as house:
        assert (await asyncio.to_thread(talk, config(house)))[-1] == "interaction-complete"
