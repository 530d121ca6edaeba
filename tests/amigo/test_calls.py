"""Requests with whole answers: finish, lists, look-ups."""

from __future__ import annotations

import pytest
from aiohttp import web

from gateway.amigo import AmigoClient, FinishResult
from gateway.errors import AmigoError
from gateway.ids import ConversationId

from .witness import (
    CID,
    SERVICE,
    USER,
    Seen,
    Witness,
    page,
    refuse,
)

pytestmark = pytest.mark.timeout(20)


def conversation(finished: bool, **more: object) -> dict[str, object]:
    return {"id": CID, "user_id": USER, "service_id": SERVICE, "is_finished": finished, **more}


async def test_finish_posts_nothing_to_the_exact_path(
    client: AmigoClient, witness: Witness
) -> None:
    witness.on("finish", refuse(204, ""))

    assert await client.finish(USER, CID) is FinishResult.FINISHED
    (seen,) = witness.of("finish")
    assert (seen.method, seen.target) == ("POST", f"/v1/org%20one/conversation/{CID}/finish/")
    assert seen.headers["Content-Length"] == "0"
    assert seen.headers["Authorization"] == "Bearer token-1"


async def test_an_unknown_conversation_needs_no_finish(
    client: AmigoClient, witness: Witness
) -> None:
    witness.on("finish", refuse(404))

    assert await client.finish(USER, CID) is FinishResult.GONE


async def test_a_409_of_a_finished_conversation_is_looked_up(
    client: AmigoClient, witness: Witness
) -> None:
    witness.on("finish", refuse(409))
    witness.on("conversations", page("conversations", [conversation(True)]))

    assert await client.finish(USER, CID) is FinishResult.ALREADY_FINISHED
    (seen,) = witness.of("conversations")
    assert ("id", CID) in seen.query


@pytest.mark.parametrize("listed", [[conversation(False, num_messages=4)], []])
async def test_a_409_of_an_open_conversation_is_to_be_tried_again(
    client: AmigoClient, witness: Witness, listed: list[object]
) -> None:
    witness.on("finish", refuse(409, {"detail": "busy"}))
    witness.on("conversations", page("conversations", listed))

    with pytest.raises(AmigoError) as busy:
        await client.finish(USER, CID)

    assert (busy.value.status, busy.value.retryable, busy.value.detail) == (409, True, "busy")


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        ([], FinishResult.GONE),
        ([conversation(False, num_messages=0)], FinishResult.GONE),
        ([conversation(False)], FinishResult.GONE),
        ([conversation(True)], FinishResult.ALREADY_FINISHED),
    ],
)
async def test_a_400_of_an_empty_conversation_needs_no_finish(
    client: AmigoClient, witness: Witness, listed: list[object], expected: FinishResult
) -> None:
    witness.on("finish", refuse(400, {"detail": "no interactions"}))
    witness.on("conversations", page("conversations", listed))

    assert await client.finish(USER, CID) is expected


async def test_a_400_of_a_conversation_with_messages_is_told(
    client: AmigoClient, witness: Witness
) -> None:
    witness.on("finish", refuse(400))
    witness.on("conversations", page("conversations", [conversation(False, num_messages=2)]))

    with pytest.raises(AmigoError) as refusal:
        await client.finish(USER, CID)

    assert (refusal.value.status, refusal.value.retryable) == (400, False)


@pytest.mark.parametrize("status", [429, 503])
async def test_a_service_under_pressure_is_told_at_once_with_the_wait_it_asks_for(
    client: AmigoClient, witness: Witness, status: int
) -> None:
    witness.on("finish", refuse(status, headers={"Retry-After": "17"}))

    with pytest.raises(AmigoError) as refusal:
        await client.finish(USER, CID)

    assert (refusal.value.status, refusal.value.retry_after) == (status, 17.0)
    assert refusal.value.retryable
    assert len(witness.of("finish")) == 1


async def test_conversations_are_filtered_and_all_pages_are_read(
    client: AmigoClient, witness: Witness
) -> None:
    other = {"id": "66a1b2c3d4e5f60718293a4c", "is_finished": None, "user_id": None}
    witness.on(
        "conversations",
        page("conversations", [conversation(False, tags={"a": None}, created_at="x")], 150),
        page("conversations", [other]),
    )

    found = await client.conversations(
        USER, service_id=SERVICE, is_finished=False, ids=(CID, ConversationId("b"))
    )

    assert [(one.id, one.is_finished) for one in found] == [(CID, False), (other["id"], False)]
    first, second = witness.of("conversations")
    assert first.path == "/v1/org%20one/conversation/"
    assert first.query == [
        ("user_id", USER),
        ("id", CID),
        ("id", "b"),
        ("service_id", SERVICE),
        ("is_finished", "false"),
        ("limit", "150"),
        ("continuation_token", "0"),
    ]
    assert second.query[-1] == ("continuation_token", "150")


async def test_a_list_that_never_ends_is_left_in_the_end(
    client: AmigoClient, witness: Witness
) -> None:
    async def endless(request: web.Request, seen: Seen) -> web.StreamResponse:
        token = len(witness.of("conversations"))
        return await page("conversations", [conversation(False)], token)(request, seen)

    witness.on("conversations", endless)

    assert len(await client.conversations(USER)) == 50


async def test_a_page_that_points_to_itself_is_the_last(
    client: AmigoClient, witness: Witness
) -> None:
    witness.on("conversations", page("conversations", [conversation(False)], 0))

    assert len(await client.conversations(USER)) == 1


@pytest.mark.parametrize(
    "body", ["", "[]", "{}", '{"conversations": {}}', '{"conversations": [{"is_finished": true}]}']
)
async def test_a_list_that_is_none_is_an_error_without_its_content(
    client: AmigoClient, witness: Witness, body: str
) -> None:
    witness.on("conversations", refuse(200, body))

    with pytest.raises(AmigoError, match="unexpected answer") as refusal:
        await client.conversations(USER)

    assert (refusal.value.status, refusal.value.retryable) == (200, False)


async def test_messages_of_both_revisions_come_oldest_first(
    client: AmigoClient, witness: Witness
) -> None:
    newest = {"id": "3", "message": "Bye", "created_at": "2026-01-31T09:30:02.5Z"}
    oldest = {
        "id": "1",
        "message": "Hi",
        "timestamp": "2026-01-31T09:30:00Z",
        "message_metadata": ["x"],
        "message_type": "agent-message",
        "format": "voice",
        "sender": "agent",
        "interaction_id": "i",
    }
    middle = {"id": "2", "message": None, "created_at": "2026-01-31T11:30:00.250+02:00"}
    witness.on("messages", page("messages", [newest], 500), page("messages", [middle, oldest]))

    said = await client.messages(USER, CID)

    assert [(one.id, one.text) for one in said] == [("1", "Hi"), ("2", ""), ("3", "Bye")]
    assert (said[0].kind, said[0].format, said[0].sender) == ("agent-message", "voice", "agent")
    assert said[0].interaction_id == "i"
    assert "Hi" not in repr(said[0])
    assert witness.of("messages")[0].path == f"/v1/org%20one/conversation/{CID}/messages/"


async def test_messages_without_readable_dates_keep_their_order(
    client: AmigoClient, witness: Witness
) -> None:
    witness.on("messages", page("messages", [{"id": "1", "created_at": "?"}, {"id": "2"}]))

    assert [one.id for one in await client.messages(USER, CID)] == ["1", "2"]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (page("services", [{"id": SERVICE, "name": "front desk"}]), [()]),
        (page("services", [{"id": SERVICE, "version_sets": {"a": {}, "b": None}}]), [("a", "b")]),
        (page("services", [{"id": SERVICE, "version_sets": None}]), [()]),
        (page("services", [{"id": SERVICE, "version_sets": ["a"]}]), [()]),
        (page("services", []), []),
        (page("services", [{"id": "another"}]), []),
        (refuse(422), []),
        (refuse(403), None),
    ],
)
async def test_a_service_exists_or_not_or_may_not_be_known(
    client: AmigoClient, witness: Witness, answer: object, expected: list[tuple[str, ...]] | None
) -> None:
    witness.on("service", answer)  # type: ignore[arg-type]

    found = await client.find_service(USER, SERVICE)
    assert (None if found is None else [one.version_sets for one in found]) == expected
    (seen,) = witness.of("service")
    assert seen.target == f"/v1/org%20one/service/?id={SERVICE}"


async def test_a_service_that_cannot_be_asked_is_told(
    client: AmigoClient, witness: Witness
) -> None:
    witness.on("service", refuse(404, {"detail": "organization unknown"}))

    with pytest.raises(AmigoError, match="organization unknown"):
        await client.find_service(USER, SERVICE)
