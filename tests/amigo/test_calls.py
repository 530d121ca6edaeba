"""Requests with whole answers: finish, lists, look-ups; and what is told when they fail."""

from __future__ import annotations

import asyncio
import socket

import pytest
from aiohttp import web

from gateway.amigo import AmigoClient, AmigoOptions, FinishResult
from gateway.errors import AmigoError
from gateway.ids import ConversationId

from .witness import (
    CID,
    COMPLETE,
    GREETING,
    SERVICE,
    USER,
    Connect,
    HandClock,
    Seen,
    Spoken,
    Witness,
    page,
    raw_serving,
    read_body,
    refuse,
    say,
    stream,
)

pytestmark = pytest.mark.timeout(20)


def conversation(finished: bool, **more: object) -> dict[str, object]:
    return {"id": CID, "user_id": USER, "service_id": SERVICE, "is_finished": finished, **more}


# ---------------------------------------------------------------------- finish


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


# ---------------------------------------------------------------------- lists


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
        (page("services", [{"id": SERVICE, "name": "front desk"}]), True),
        (page("services", []), False),
        (page("services", [{"id": "another"}]), False),
        (refuse(422), False),
        (refuse(403), None),
    ],
)
async def test_a_service_exists_or_not_or_may_not_be_known(
    client: AmigoClient, witness: Witness, answer: object, expected: bool | None
) -> None:
    witness.on("service", answer)  # type: ignore[arg-type]

    assert await client.service_exists(USER, SERVICE) is expected
    (seen,) = witness.of("service")
    assert seen.target == f"/v1/org%20one/service/?id={SERVICE}"


async def test_a_service_that_cannot_be_asked_is_told(
    client: AmigoClient, witness: Witness
) -> None:
    witness.on("service", refuse(404, {"detail": "organization unknown"}))

    with pytest.raises(AmigoError, match="organization unknown"):
        await client.service_exists(USER, SERVICE)


# ---------------------------------------------------------------------- failures


async def test_ids_are_encoded_into_the_path(client: AmigoClient, witness: Witness) -> None:
    witness.on("finish", refuse(204, ""))

    await client.finish(USER, ConversationId("../x?y"))

    assert witness.of("finish")[0].target == "/v1/org%20one/conversation/..%2Fx%3Fy/finish/"


async def test_a_base_url_may_have_a_prefix_and_a_slash(connect: Connect, witness: Witness) -> None:
    client = await connect(base_url=f"{witness.base_url}/amigo/")

    await client.sign_in(USER)

    assert witness.requests[0].target == "/amigo/v1/org%20one/user/signin_with_api_key"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(
    client: AmigoClient, witness: Witness, status: int
) -> None:
    witness.on("create", refuse(status, headers={"Location": "/v1/elsewhere"}))

    with pytest.raises(AmigoError, match="check the base URL") as refusal:
        async with client.create(USER, SERVICE, "release"):
            raise AssertionError

    assert (refusal.value.status, refusal.value.retryable) == (status, False)
    assert len(witness.requests) == 2


async def test_a_host_that_refuses_connections_is_told_as_no_answer(connect: Connect) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        told: list[tuple[str, int | None]] = []
        client = await connect(
            base_url=f"http://127.0.0.1:{port}",
            observe=lambda operation, status, _seconds: told.append((operation, status)),
        )

        with pytest.raises(AmigoError) as failure:
            await client.finish(USER, CID)

    assert (failure.value.operation, failure.value.status) == ("sign-in", None)
    assert failure.value.retryable
    assert told == [("sign-in", None)]


async def test_a_host_name_that_does_not_resolve_is_told(connect: Connect) -> None:
    client = await connect(base_url="http://no-such-host.invalid")

    with pytest.raises(AmigoError) as failure:
        await client.finish(USER, CID)

    assert (failure.value.status, failure.value.retryable) == (None, True)


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        (b"", "connection closed before an answer"),
        (b"SSH-2.0-server\r\n\r\n", "not an HTTP answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{", "answer cut off: incomplete body"),
    ],
)
async def test_a_peer_that_does_not_answer_properly_is_told(
    connect: Connect, answer: bytes, detail: str
) -> None:
    async with raw_serving() as (peer, base_url):
        client = await connect(base_url=base_url)
        waiting = asyncio.create_task(client.sign_in(USER))
        reader, writer = await peer.connections.get()
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

        with pytest.raises(AmigoError) as failure:
            await waiting

    assert (failure.value.detail, failure.value.retryable) == (detail, True)


async def test_a_call_without_an_answer_is_given_up_in_time(
    connect: Connect, witness: Witness
) -> None:
    stuck = asyncio.Event()

    async def never(request: web.Request, seen: Seen) -> web.StreamResponse:
        await read_body(request, seen)
        await stuck.wait()
        raise AssertionError

    told: list[tuple[str, int | None]] = []
    witness.on("finish", never)
    client = await connect(
        call_seconds=0.1,
        observe=lambda operation, status, _seconds: told.append((operation, status)),
    )

    with pytest.raises(AmigoError, match="no complete answer within") as failure:
        await client.finish(USER, CID)

    assert (failure.value.status, failure.value.retryable) == (None, True)
    assert told == [("sign-in", 200), ("finish", None)]
    stuck.set()


async def test_an_error_whose_body_never_comes_is_still_an_error(
    connect: Connect,
) -> None:
    async with raw_serving() as (peer, base_url):
        client = await connect(base_url=base_url)
        waiting = asyncio.create_task(client.finish(USER, CID))
        reader, writer = await peer.next_connection()
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 503 Busy\r\nContent-Length: 50\r\n\r\nmaintenance")
        writer.close()

        with pytest.raises(AmigoError) as failure:
            await waiting

    assert (failure.value.status, failure.value.detail) == (503, "maintenance")


async def test_every_request_is_told_to_the_observer_with_its_time(
    connect: Connect, witness: Witness, clock: HandClock
) -> None:
    told: list[tuple[str, int | None, float]] = []

    async def two_seconds(request: web.Request, seen: Seen) -> web.StreamResponse:
        await read_body(request, seen)
        clock.seconds += 2
        return web.Response(status=201, body=GREETING)

    witness.on("create", two_seconds)
    witness.on("interact", refuse(409))
    client = await connect(observe=lambda *fact: told.append(fact))

    async with client.create(USER, SERVICE, "release") as answer:
        assert [event async for event in answer]
    with pytest.raises(AmigoError):
        async with client.interact_voice(USER, CID, Spoken(b"RIFF")):
            raise AssertionError

    assert told == [("sign-in", 200, 0.0), ("create", 201, 2.0), ("interact", 409, 0.0)]


async def test_a_header_that_cannot_be_sent_is_an_error_without_its_value(
    witness: Witness, clock: HandClock
) -> None:
    options = AmigoOptions(
        base_url=witness.base_url,
        organization="org",
        api_key="key\r\nx-evil: 1",
        api_key_id="id",
    )
    async with AmigoClient(options, clock) as client:
        with pytest.raises(AmigoError) as failure:
            await client.sign_in(USER)

    assert (failure.value.detail, failure.value.retryable) == ("a header is not valid", False)


async def test_a_closed_client_says_so(connect: Connect, witness: Witness) -> None:
    witness.on("interact", stream(COMPLETE))
    client = await connect()
    await client.__aexit__(None, None, None)

    with pytest.raises(AmigoError, match="closed"):
        await client.sign_in(USER)


async def test_an_answer_without_bounds_is_not_kept(client: AmigoClient, witness: Witness) -> None:
    async def flood(request: web.Request, _seen: Seen) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            for _ in range(40):
                await response.write(b" " * 1024 * 1024)
        except ConnectionError:
            pass
        return response

    witness.on("openapi", flood)

    assert await client.detect_revision() is None


async def test_cookies_of_one_user_are_never_sent_for_another(
    client: AmigoClient, witness: Witness
) -> None:
    witness.on("finish", say({}, headers={"Set-Cookie": "session=1; Path=/"}))

    await client.finish(USER, CID)
    await client.finish(USER, CID)

    assert all("Cookie" not in seen.headers for seen in witness.requests)
