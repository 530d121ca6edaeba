"""A turn while it is spoken: piece by piece, answered at any moment, left at any moment."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from gateway.amigo import AmigoClient
from gateway.amigo.stream import (
    InteractionCompleted,
    UserMessage,
)
from gateway.errors import AmigoError

from .witness import (
    CID,
    COMPLETE,
    HEARD,
    USER,
    Connect,
    Seen,
    Speaking,
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


@pytest.mark.parametrize("revision", ["2025-06", "2026-04"])
async def test_each_piece_is_on_the_wire_before_the_next_one_is_spoken(
    connect: Connect, witness: Witness, revision: str
) -> None:
    witness.on("interact", stream(COMPLETE))
    client = await connect(revision=revision)
    voice = Speaking(b"RIFF")
    turn = asyncio.create_task(speak(client, voice))
    seen = await witness.wait_for("interact")

    for number in range(5):
        # The next piece exists only after the server has the one before.
        while not seen.body.endswith(b"RIFF" if number == 0 else b"piece %d" % number):
            await seen.arrived.get()
        voice.next.put_nowait(b"piece %d" % (number + 1))
    voice.next.put_nowait(None)

    assert [type(event) for event in await turn] == [InteractionCompleted]
    assert seen.ended.is_set()


@pytest.mark.parametrize("status", [401, 404, 409, 422, 429])
@pytest.mark.parametrize("revision", ["2025-06", "2026-04"])
async def test_a_refusal_is_told_at_once_though_the_caller_still_speaks(
    connect: Connect, witness: Witness, status: int, revision: str
) -> None:
    witness.on("interact", refuse(status, {"detail": "no"}, early=True))
    client = await connect(revision=revision)
    voice = Speaking(b"RIFF")

    with pytest.raises(AmigoError) as refusal:
        await speak(client, voice)

    assert refusal.value.status == status
    assert refusal.value.detail == "no"
    assert voice.closed == voice.readings
    assert client_tasks() == []


async def test_events_are_read_while_the_caller_still_speaks(
    client: AmigoClient, witness: Witness
) -> None:
    async def echo(request: web.Request, seen: Seen) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while piece := (await request.content.readchunk())[0]:
            text = json.dumps({"type": "user-message-available", "user_message": piece.decode()})
            await response.write(text.encode() + b"\n")
        return response

    witness.on("interact", echo)
    voice = Speaking(b"one")

    async with client.interact_voice(USER, CID, voice) as answer:
        assert await anext(answer) == UserMessage("", "one")
        voice.next.put_nowait(b"two")
        assert await anext(answer) == UserMessage("", "two")
        voice.next.put_nowait(None)
        assert await read(answer) == []


async def test_an_answer_that_ends_before_the_caller_does_stops_the_upload(
    client: AmigoClient, witness: Witness
) -> None:
    async def hasty(request: web.Request, seen: Seen) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b'{"type":"error","http_error_code":400}\n')
        return response

    witness.on("interact", hasty)
    voice = Speaking(b"RIFF")

    events = await speak(client, voice)

    assert len(events) == 1
    assert voice.closed == 1


@pytest.mark.parametrize("revision", ["2025-06", "2026-04"])
async def test_giving_up_before_an_answer_resets_the_upload(
    connect: Connect, revision: str
) -> None:
    async with raw_serving() as (peer, base_url):
        client = await connect(base_url=base_url, revision=revision)
        voice = Speaking(b"RIFF")
        turn = asyncio.create_task(speak(client, voice))
        reader, _ = await peer.next_connection()
        await peer.read_until(reader, b"RIFF")

        turn.cancel()
        with pytest.raises(asyncio.CancelledError):
            await turn

        assert client_tasks() == []
        assert voice.closed == 1
        assert await peer.read_to_end(reader) == "reset"
        assert peer.received.endswith(b"4\r\nRIFF\r\n")


@pytest.mark.parametrize("revision", ["2025-06", "2026-04"])
async def test_leaving_an_answer_in_the_middle_of_the_upload_resets_it(
    connect: Connect, revision: str
) -> None:
    async with raw_serving() as (peer, base_url):
        client = await connect(base_url=base_url, revision=revision)
        voice = Speaking(b"RIFF")

        async def answer_early() -> asyncio.StreamReader:
            reader, writer = await peer.next_connection()
            await peer.read_until(reader, b"RIFF")
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            return reader

        async with asyncio.TaskGroup() as tasks:
            served = tasks.create_task(answer_early())
            async with client.interact_voice(USER, CID, voice):
                pass

        assert client_tasks() == []
        assert voice.closed == 1
        assert await peer.read_to_end(served.result()) == "reset"
        assert peer.received.endswith(b"4\r\nRIFF\r\n")


async def test_an_upload_the_peer_does_not_read_is_reset_without_waiting_for_it(
    connect: Connect,
) -> None:
    async with raw_serving() as (peer, base_url):
        client = await connect(base_url=base_url)
        voice = Spoken(*[b"x" * 100_000] * 200)
        turn = asyncio.create_task(speak(client, voice))
        reader, writer = await peer.next_connection()
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await voice.begun.wait()

        turn.cancel()
        with pytest.raises(asyncio.CancelledError):
            await turn

        assert client_tasks() == []
        assert voice.closed == 1
        writer.transport.resume_reading()  # type: ignore[attr-defined]
        assert await peer.read_to_end(reader) == "reset"


class Stubborn(Speaking):
    """A recording that takes its cancellation for the end of the speech."""

    async def chunks(self) -> AsyncIterator[bytes]:
        try:
            async for piece in super().chunks():
                yield piece
        except asyncio.CancelledError:
            return


@pytest.mark.parametrize("revision", ["2025-06", "2026-04"])
async def test_a_recording_that_swallows_its_cancellation_still_never_ends_cleanly(
    connect: Connect, revision: str
) -> None:
    async with raw_serving() as (peer, base_url):
        client = await connect(base_url=base_url, revision=revision)
        turn = asyncio.create_task(speak(client, Stubborn(b"RIFF")))
        reader, _ = await peer.next_connection()
        await peer.read_until(reader, b"RIFF")

        turn.cancel()
        with pytest.raises(asyncio.CancelledError):
            await turn

        assert await peer.read_to_end(reader) == "reset"
        assert peer.received.endswith(b"4\r\nRIFF\r\n")


class Slow(Speaking):
    """A recording that needs a while to be let go of."""

    async def chunks(self) -> AsyncIterator[bytes]:
        try:
            async for piece in super().chunks():
                yield piece
        finally:
            await asyncio.sleep(0.01)
            self.closed += 10


async def test_when_a_turn_is_left_nobody_uses_its_recording_any_more(
    client: AmigoClient, witness: Witness
) -> None:
    witness.on("interact", stream(COMPLETE))
    voice = Slow(b"RIFF")
    turn = asyncio.create_task(speak(client, voice))
    await witness.wait_for("interact")

    turn.cancel()
    with pytest.raises(asyncio.CancelledError):
        await turn

    assert voice.closed == 11
    assert client_tasks() == []


async def test_a_connection_whose_upload_was_complete_is_later_closed_in_order(
    connect: Connect,
) -> None:
    async with raw_serving() as (peer, base_url):
        client = await connect(base_url=base_url)
        turn = asyncio.create_task(speak(client, Spoken(b"RIFF")))
        reader, writer = await peer.next_connection()
        await peer.read_until(reader, b"0\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(COMPLETE) + COMPLETE)
        await turn

        await client.__aexit__(None, None, None)

        assert await peer.read_to_end(reader) == "closed"


class Lost(Spoken):
    """A recording that breaks in the middle."""

    async def chunks(self) -> AsyncIterator[bytes]:
        yield b"RIFF"
        raise LookupError("the tape is gone")


async def test_a_recording_that_breaks_is_told_to_the_reader_and_cuts_the_upload(
    connect: Connect,
) -> None:
    async with raw_serving() as (peer, base_url):
        client = await connect(base_url=base_url)
        turn = asyncio.create_task(speak(client, Lost()))
        reader, _ = await peer.next_connection()

        with pytest.raises(LookupError, match="the tape is gone"):
            await turn

        assert await peer.read_to_end(reader) == "reset"
        assert not peer.received.endswith(b"0\r\n\r\n")


async def test_a_recording_that_breaks_after_the_answer_began_is_told_too(
    client: AmigoClient, witness: Witness
) -> None:
    begun = asyncio.Event()

    async def early(request: web.Request, seen: Seen) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(HEARD)
        await read_body(request, seen)
        return response

    class LostLater(Spoken):
        async def chunks(self) -> AsyncIterator[bytes]:
            yield b"RIFF"
            await begun.wait()
            raise LookupError("the tape is gone")

    witness.on("interact", early)
    async with client.interact_voice(USER, CID, LostLater()) as answer:
        assert await anext(answer) == UserMessage("u", "yes")
        begun.set()
        with pytest.raises(LookupError):
            await anext(answer)
