"""Create and interact on a real wire: what is sent, when, and what becomes of a cut one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from email.parser import BytesParser
from email.policy import HTTP

import pytest
from aiohttp import web

from gateway.amigo import AmigoClient, InteractionStream
from gateway.amigo.stream import (
    ConversationCreated,
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
    NDJSON,
    SERVICE,
    USER,
    Connect,
    Seen,
    Speaking,
    Spoken,
    Witness,
    client_tasks,
    raw_serving,
    read_body,
    refuse,
    stream,
)

pytestmark = pytest.mark.timeout(20)

HEARD = b'{"type":"user-message-available","message_id":"u","user_message":"yes"}\n'
VOICE = [("request_format", "voice"), ("response_format", "voice")]
OLD_ACTIONS = [
    ("emit_current_agent_action_event", "true"),
    ("current_agent_action_type", "^action-too-long$"),
]
NEW_ACTIONS = [("current_agent_action_type", "^action-too-long$")]


async def read(stream: InteractionStream) -> list[InteractionEvent]:
    return [event async for event in stream]


async def speak(client: AmigoClient, voice: Spoken) -> list[InteractionEvent]:
    async with client.interact_voice(USER, CID, voice) as answer:
        return await read(answer)


def form(seen: Seen) -> list[tuple[str, str | None, str, bytes]]:
    """Name, file name, type and content of each part, as an independent parser sees them."""
    head = f"Content-Type: {seen.headers['Content-Type']}\r\n\r\n".encode()
    parts = []
    for part in BytesParser(policy=HTTP).parsebytes(head + seen.body).iter_parts():
        content = part.get_payload(decode=True)
        assert isinstance(content, bytes)
        name = str(part.get_param("name", header="content-disposition"))
        parts.append((name, part.get_filename(), str(part.get("Content-Type", "")), content))
    return parts


# ---------------------------------------------------------------------- what is sent


@pytest.mark.parametrize(
    ("revision", "actions"), [("2025-06", OLD_ACTIONS), ("2026-04", NEW_ACTIONS)]
)
async def test_create_asks_for_voice_and_fillers(
    connect: Connect, witness: Witness, revision: str, actions: list[tuple[str, str]]
) -> None:
    witness.on("create", stream(GREETING, status=201))
    client = await connect(revision=revision)

    async with client.create(USER, SERVICE, "release") as answer:
        events = await read(answer)

    assert events[0] == ConversationCreated(CID)
    (seen,) = witness.of("create")
    assert (seen.method, seen.path) == ("POST", "/v1/org%20one/conversation/")
    assert seen.query == [("response_format", "voice"), *actions]
    assert json.loads(seen.body) == {
        "service_id": SERVICE,
        "service_version_set_name": "release",
    }
    assert seen.headers["Content-Type"] == "application/json"
    assert seen.headers["Accept"] == NDJSON
    assert seen.headers["Authorization"] == "Bearer token-1"


async def test_in_2025_06_the_recording_is_the_whole_body(
    client: AmigoClient, witness: Witness
) -> None:
    witness.on("interact", stream(HEARD, COMPLETE))

    await speak(client, Spoken(b"RIFF....", b"\x01\x02", b"\x03"))

    (seen,) = witness.of("interact")
    assert seen.path == f"/v1/org%20one/conversation/{CID}/interact"
    assert seen.query == [*VOICE, *OLD_ACTIONS]
    assert seen.headers["Content-Type"] == "audio/wav"
    assert seen.headers["Transfer-Encoding"] == "chunked"
    assert seen.pieces == [b"RIFF....", b"\x01\x02", b"\x03"]


async def test_in_2026_04_the_recording_is_the_second_part_of_a_form(
    connect: Connect, witness: Witness
) -> None:
    witness.on("interact", stream(HEARD, COMPLETE))
    client = await connect(revision="2026-04")

    await speak(client, Spoken(b"RIFF....", b"\r\n--\r\n", b"\x03"))

    (seen,) = witness.of("interact")
    config = '{"type":"pcm","frame_rate":8000,"n_channels":1,"sample_width":2}'
    assert seen.query == [*VOICE, *NEW_ACTIONS, ("request_audio_config", config)]
    assert "%5Eaction-too-long%24" in seen.target
    assert seen.headers["Content-Type"].startswith("multipart/form-data; boundary=")
    assert form(seen) == [
        ("initial_message_type", None, "", b"user-message"),
        ("recorded_message", "audio.wav", "audio/wav", b"RIFF....\r\n--\r\n\x03"),
    ]


async def test_a_text_turn_has_one_field_in_2025_06(client: AmigoClient, witness: Witness) -> None:
    witness.on("interact", stream(HEARD, COMPLETE))

    async with client.interact_text(USER, CID, "12 ½") as answer:
        await read(answer)

    (seen,) = witness.of("interact")
    assert seen.query == [("request_format", "text"), ("response_format", "voice"), *OLD_ACTIONS]
    assert form(seen) == [("recorded_message", None, "", "12 ½".encode())]


async def test_a_text_turn_has_two_fields_in_2026_04(connect: Connect, witness: Witness) -> None:
    witness.on("interact", stream(HEARD, COMPLETE))
    client = await connect(revision="2026-04")

    async with client.interact_text(USER, CID, "12") as answer:
        await read(answer)

    (seen,) = witness.of("interact")
    assert seen.query == [("request_format", "text"), ("response_format", "voice"), *NEW_ACTIONS]
    assert form(seen) == [
        ("initial_message_type", None, "", b"user-message"),
        ("recorded_message", "message.txt", 'text/plain; charset="utf-8"', b"12"),
    ]


async def test_extra_query_and_cluster_go_with_create_and_interact(
    connect: Connect, witness: Witness
) -> None:
    witness.on("create", stream(GREETING))
    witness.on("interact", stream(COMPLETE))
    extra = (("audio_format", "pcm"), ("current_agent_action_type", "^$"))
    client = await connect(extra_query=extra, cluster_name="blue")

    async with client.create(USER, SERVICE, "release") as answer:
        await read(answer)
    await speak(client, Spoken(b"RIFF"))

    for seen in (witness.of("create")[0], witness.of("interact")[0]):
        assert seen.query[-2:] == list(extra)
        assert [name for name, _ in seen.query].count("current_agent_action_type") == 1
        assert seen.headers["x-mongo-cluster-name"] == "blue"
    assert witness.of("sign-in")[0].headers["x-mongo-cluster-name"] == "blue"


# ---------------------------------------------------------------------- while it is spoken


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


# ---------------------------------------------------------------------- leaving


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


# ---------------------------------------------------------------------- cut answers


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
