"""What is told when a service cannot be reached, answers badly, or not at all."""

from __future__ import annotations

import asyncio
import socket

import pytest
from aiohttp import web

from gateway.amigo import AmigoClient, AmigoOptions
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
    raw_serving,
    read_body,
    refuse,
    say,
    stream,
)

pytestmark = pytest.mark.timeout(20)


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
