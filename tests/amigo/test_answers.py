"""The streamed answer: read to its end, left early, cut off, or no stream at all."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest
from aiohttp import web

from gateway.amigo import AmigoClient, InteractionStream
from gateway.amigo.stream import (
    InteractionCompleted,
    InteractionEvent,
    MalformedLine,
    SessionEnded,
    UserMessage,
)
from gateway.errors import AmigoError

from .scenes import SCENES, transcript
from .witness import (
    CID,
    COMPLETE,
    GREETING,
    HEARD,
    SERVICE,
    USER,
    Connect,
    Seen,
    Spoken,
    Witness,
    client_tasks,
    raw_serving,
    read,
    read_body,
    refuse,
    speak,
    stream,
)

pytestmark = pytest.mark.timeout(20)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


@dataclass
class Cut:
    """What was read of an answer whose server died, and how reading ended."""

    events: list[InteractionEvent]
    answer: InteractionStream
    failure: AmigoError | None = None


async def read_cut(connect: Connect, body: bytes, *, slow: bool) -> Cut:
    """`slow` lets the server die before the first read."""
    async with raw_serving() as (peer, base_url):
        client = await connect(base_url=base_url)

        async def die() -> None:
            reader, writer = await peer.next_connection()
            await reader.readuntil(b"}")
            head = b"HTTP/1.1 200 OK\r\nX-Request-Id: r-1\r\nTransfer-Encoding: chunked\r\n\r\n"
            writer.write(head + chunk(body))
            await writer.drain()
            writer.close()
            await writer.wait_closed()

        async with asyncio.TaskGroup() as tasks:
            dead = tasks.create_task(die())
            async with client.create(USER, SERVICE, "release") as answer:
                if slow:
                    await dead
                    await asyncio.sleep(0.05)
                cut = Cut([], answer)
                try:
                    async for event in answer:
                        cut.events.append(event)
                except AmigoError as failure:
                    cut.failure = failure
                return cut


@pytest.mark.parametrize("slow", [False, True])
async def test_an_answer_cut_before_completion_gives_all_it_held_and_then_fails(
    connect: Connect, slow: bool
) -> None:
    cut = await read_cut(connect, HEARD + HEARD[:30], slow=slow)

    assert cut.events == [UserMessage("u", "yes"), MalformedLine(30, "cut off")]
    assert cut.failure is not None
    assert (cut.failure.status, cut.failure.retryable) == (None, True)
    assert cut.failure.request_id == "r-1"


@pytest.mark.parametrize("slow", [False, True])
async def test_an_answer_cut_after_completion_counts_as_ended(connect: Connect, slow: bool) -> None:
    cut = await read_cut(connect, HEARD + COMPLETE, slow=slow)

    assert [type(event) for event in cut.events] == [UserMessage, InteractionCompleted]
    assert cut.failure is None
    assert cut.answer.cut


@pytest.mark.parametrize("scene", SCENES)
async def test_every_transcript_comes_through_the_client_unchanged(
    client: AmigoClient, witness: Witness, scene: str
) -> None:
    data = transcript(scene)
    third = len(data) // 3
    witness.on("interact", stream(data[:third], data[third:-third], data[-third:]))

    async with client.interact_text(USER, CID, "hello") as answer:
        assert await read(answer) == SCENES[scene]
        assert not answer.cut


async def test_an_answer_may_end_without_completion_and_the_reader_judges(
    client: AmigoClient, witness: Witness
) -> None:
    witness.on("interact", stream(HEARD))

    assert await speak(client, Spoken(b"RIFF")) == [UserMessage("u", "yes")]


async def test_an_answer_that_is_no_stream_at_all_is_malformed_lines(
    client: AmigoClient, witness: Witness
) -> None:
    witness.on("interact", refuse(200, "<html>\nlogin\n</html>"))

    events = await speak(client, Spoken(b"RIFF"))

    assert [type(event) for event in events] == [MalformedLine] * 3


@pytest.mark.parametrize("status", [200, 201])
async def test_either_success_status_will_do(
    client: AmigoClient, witness: Witness, status: int
) -> None:
    witness.on("create", stream(GREETING, status=status))
    witness.on("interact", stream(b'{"type":"end-session"}', status=status))

    async with client.create(USER, SERVICE, "release") as answer:
        assert len(await read(answer)) == 2
    assert await speak(client, Spoken(b"RIFF")) == [SessionEnded()]


async def test_a_hundred_and_thirty_calls_stream_at_once(
    client: AmigoClient, witness: Witness
) -> None:
    everybody = asyncio.Barrier(130)

    async def together(request: web.Request, seen: Seen) -> web.StreamResponse:
        await read_body(request, seen)
        await everybody.wait()
        return web.Response(body=COMPLETE)

    witness.on("interact", together)

    async with asyncio.TaskGroup() as calls:
        for _ in range(130):
            calls.create_task(speak(client, Spoken(b"RIFF")))

    assert len(witness.of("interact")) == 130
    assert len(witness.of("sign-in")) == 1


async def test_the_request_id_is_passed_on(client: AmigoClient, witness: Witness) -> None:
    witness.on("create", stream(GREETING, headers={"X-Request-ID": "abc-1"}))

    async with client.create(USER, SERVICE, "release") as answer:
        assert answer.request_id == "abc-1"


async def test_leaving_before_the_end_of_the_answer_closes_the_connection(
    connect: Connect,
) -> None:
    async with raw_serving() as (peer, base_url):
        client = await connect(base_url=base_url)

        async def half_an_answer() -> asyncio.StreamReader:
            reader, writer = await peer.next_connection()
            await reader.readuntil(b"}")
            head = b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n"
            writer.write(head + b"%x\r\n%s\r\n" % (len(HEARD), HEARD))
            return reader

        async with asyncio.TaskGroup() as tasks:
            served = tasks.create_task(half_an_answer())
            async with client.create(USER, SERVICE, "release") as answer:
                await anext(answer)

        assert await peer.read_to_end(served.result()) in ("reset", "closed")
        assert client_tasks() == []


async def test_a_finished_turn_leaves_its_connection_to_the_next(
    client: AmigoClient, witness: Witness
) -> None:
    witness.on("interact", stream(HEARD, COMPLETE))

    for _ in range(3):
        await speak(client, Spoken(b"RIFF"))

    assert len({seen.peer for seen in witness.requests}) == 1


async def test_cancelling_a_read_loses_no_event(client: AmigoClient, witness: Witness) -> None:
    go_on = asyncio.Event()

    async def slow(request: web.Request, seen: Seen) -> web.StreamResponse:
        await read_body(request, seen)
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(HEARD[:20])
        await go_on.wait()
        await response.write(HEARD[20:] + COMPLETE)
        return response

    witness.on("interact", slow)
    async with client.interact_voice(USER, CID, Spoken(b"RIFF")) as answer:
        waiting = asyncio.ensure_future(anext(answer))
        await asyncio.sleep(0.01)
        waiting.cancel()
        await asyncio.wait((waiting,))
        go_on.set()

        assert len(await read(answer)) == 2
