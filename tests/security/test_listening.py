"""The port on loopback: slow, silent, broken and too many clients, beside one that behaves."""

from __future__ import annotations

import asyncio
import io
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from gateway.log import logging_to
from gateway.web.guard import Limits, let_streams_through
from gateway.web.headers import add_headers
from gateway.web.listening import MAX_HEADERS, open_port
from gateway.web.middleware import MAX_BODY_BYTES, MIDDLEWARES
from tests.end_to_end.door_carrier import eventually
from tests.security.raw import answered, connected, everything, status

PLACES = 20
LONG = 60.0
"""Beyond what a busy machine needs. A test shortens the limit it waits for, and measures only that
the end comes, and for what."""
QUICK = 0.5


class Port:
    def __init__(self, number: int, cut: Counter[str]) -> None:
        self.number = number
        self.cut = cut


def application() -> web.Application:
    async def alive(_request: web.Request) -> web.Response:
        return web.Response(text="alive")

    async def length(request: web.Request) -> web.Response:
        return web.Response(text=str(len(await request.read())))

    async def echo(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(message.data)
        return socket

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await asyncio.sleep(2.0)
        await response.write(b"still here")
        return response

    app = web.Application(middlewares=MIDDLEWARES, client_max_size=MAX_BODY_BYTES)
    app.on_response_prepare.extend((let_streams_through, add_headers))
    app.router.add_get("/alive", alive)
    app.router.add_post("/length", length)
    app.router.add_get("/echo", echo)
    app.router.add_get("/stream", stream)
    return app


@asynccontextmanager
async def opened(
    head: float = LONG, request: float = LONG, idle: float = LONG
) -> AsyncIterator[Port]:
    cut = Counter[str]()
    limits = Limits(connections=PLACES, head=head, request=request, idle=idle)
    async with open_port(application(), limits=limits, on_cut=lambda why: cut.update([why])) as one:
        _, number = await one.bind("127.0.0.1", 0)
        yield Port(number, cut)


@pytest.fixture
async def port() -> AsyncIterator[Port]:
    async with opened() as port:
        yield port


# ---------------------------------------------------------------- slow


async def test_a_head_that_comes_byte_by_byte_is_cut() -> None:
    async with opened(head=QUICK) as port:
        async with connected(port.number) as (reader, writer):

            async def dribble() -> None:
                for byte in b"GET /alive HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 10_000:
                    writer.write(bytes([byte]))
                    await asyncio.sleep(0.05)

            dribbling = asyncio.create_task(dribble())
            assert await everything(reader) == b""
            dribbling.cancel()

        assert port.cut == {"slow-head": 1}


async def test_a_connection_that_never_says_anything_is_cut() -> None:
    async with opened(head=QUICK) as port:
        async with connected(port.number) as (reader, _):
            assert await everything(reader) == b""

        assert port.cut == {"slow-head": 1}


async def test_a_body_that_comes_byte_by_byte_is_cut_and_is_no_fault_of_ours() -> None:
    async with opened(request=QUICK) as port:
        log = io.StringIO()
        with logging_to(log, format="json"):
            async with connected(port.number) as (reader, writer):
                writer.write(b"POST /length HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\n")

                async def dribble() -> None:
                    for _ in range(499):
                        writer.write(b"x")
                        await asyncio.sleep(0.05)

                dribbling = asyncio.create_task(dribble())
                assert await everything(reader) == b""
                dribbling.cancel()
            await eventually(lambda: "http.cut-off" in log.getvalue(), 20)

        assert port.cut == {"slow-request": 1}
        lines = [json.loads(line) for line in log.getvalue().splitlines()]
        assert [line["event"] for line in lines if line["level"] == "error"] == []
        assert {"why": "slow-request", "count": 1}.items() <= next(
            line for line in lines if line["event"] == "http.cut-off"
        ).items()


async def test_a_client_that_leaves_in_the_middle_of_its_body_is_no_fault_of_ours(
    port: Port,
) -> None:
    log = io.StringIO()
    with logging_to(log, format="json", level="debug"):
        async with connected(port.number) as (reader, writer):
            head = b"POST /length HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n"
            writer.write(head + b"Expect: 100-continue\r\n\r\nabc")
            assert (await asyncio.wait_for(reader.readline(), 20)).split()[1] == b"100"
        await eventually(lambda: "http.request" in log.getvalue(), 20)

    events = [json.loads(line)["event"] for line in log.getvalue().splitlines()]
    assert "http.failed" not in events


async def test_an_idle_connection_is_closed_after_its_answer() -> None:
    async with opened(idle=QUICK) as port:
        async with connected(port.number) as (reader, writer):
            writer.write(b"GET /alive HTTP/1.1\r\nHost: x\r\n\r\n")

            assert (await everything(reader)).endswith(b"alive")
        assert port.cut == {"idle": 1}


async def test_a_client_that_does_not_read_its_answers_is_cut() -> None:
    async with opened(idle=QUICK) as port, connected(port.number) as (_, writer):
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(b"GET /alive HTTP/1.1\r\nHost: x\r\n\r\n" * 2000)
        await eventually(lambda: port.cut, 20)


# ---------------------------------------------------------------- streams


async def test_a_media_socket_outlives_every_limit() -> None:
    async with opened(request=QUICK, idle=QUICK) as port:
        async with (
            aiohttp.ClientSession() as http,
            http.ws_connect(f"http://127.0.0.1:{port.number}/echo") as socket,
        ):
            await asyncio.sleep(2.0)  # four times the limit, and four looks of the watch
            await socket.send_str("still here")

            assert (await socket.receive_str(timeout=10)) == "still here"
        assert port.cut == {}


async def test_a_long_answer_outlives_every_limit() -> None:
    async with (
        opened(request=QUICK, idle=QUICK) as port,
        aiohttp.ClientSession() as http,
        http.get(f"http://127.0.0.1:{port.number}/stream") as answer,
    ):
        assert await answer.text() == "still here"


# ---------------------------------------------------------------- too many


async def test_a_flood_of_half_open_connections_keeps_no_request_out(port: Port) -> None:
    async with AsyncExitStack() as stack, aiohttp.ClientSession() as http:
        socket = await stack.enter_async_context(
            http.ws_connect(f"http://127.0.0.1:{port.number}/echo")
        )
        for _ in range(5):
            for _ in range(PLACES):
                _, writer = await stack.enter_async_context(connected(port.number))
                writer.write(b"POST /length HTTP/1.1\r\nHost")
            async with http.get(f"http://127.0.0.1:{port.number}/alive") as answer:
                assert answer.status == 200
        await socket.send_str("x")

        assert (await socket.receive_str(timeout=10)) == "x"
    assert port.cut["crowded"] >= 4 * PLACES


# ---------------------------------------------------------------- broken


HEAD = b"GET /alive HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
BROKEN = {
    "not http": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hush-hush\r\n\r\n",
    "a line beyond measure": b"GET /" + b"hush-hush" * 1200 + b" HTTP/1.1\r\n\r\n",
    "a field beyond measure": HEAD + b"X: " + b"hush-hush" * 1200 + b"\r\n\r\n",
    "too many fields": HEAD + b"X: hush-hush\r\n" * (MAX_HEADERS + 1) + b"\r\n",
    "nul in a field": HEAD + b"Authorization: Bearer hush-hush\x00\r\n\r\n",
    "a field without colon": HEAD + b"hush-hush\r\n\r\n",
    "a space before the colon": HEAD + b"X-Hush : hush-hush\r\n\r\n",
    "two lengths": HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "length and chunks": HEAD + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a length that is none": HEAD + b"Content-Length: +1\r\n\r\na",
    "a length below zero": HEAD + b"Content-Length: -1\r\n\r\na",
    "a chunk that is none": HEAD.replace(b"GET /alive", b"POST /length")
    + b"Transfer-Encoding: chunked\r\n\r\nhush\r\n\r\n",
    "an unknown coding": HEAD + b"Transfer-Encoding: hush\r\n\r\n",
}


@pytest.mark.parametrize("name", BROKEN)
async def test_a_request_that_is_none_is_refused_and_leaves_nothing_of_it_in_the_log(
    port: Port, name: str
) -> None:
    log = io.StringIO()
    with logging_to(log, format="json", level="debug"):
        answer = await answered(port.number, BROKEN[name])

    assert status(answer) in {0, 400, 431}, answer
    assert "hush" not in log.getvalue()
    assert [line for line in log.getvalue().splitlines() if '"error"' in line] == []


async def test_as_many_fields_as_are_allowed_are_taken(port: Port) -> None:
    fields = b"".join(b"X-%d: y\r\n" % n for n in range(MAX_HEADERS - 3))

    assert status(await answered(port.number, HEAD + fields + b"\r\n")) == 200


async def test_a_packed_body_is_not_unpacked(port: Port) -> None:
    async with aiohttp.ClientSession() as http:
        url = f"http://127.0.0.1:{port.number}/length"
        # 200 KB of zeros, of which some 200 bytes are sent
        async with http.post(url, data=b"0" * 200_000, compress="deflate") as answer:
            assert answer.status == 200
            assert int(await answer.text()) < 1000


# ---------------------------------------------------------------- what every answer says


@pytest.mark.parametrize("path", ["/alive", "/nowhere", "/v1/nowhere"])
async def test_every_answer_is_kept_nowhere_sniffed_by_nobody_and_names_no_version(
    port: Port, path: str
) -> None:
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"http://127.0.0.1:{port.number}{path}") as answer,
    ):
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert answer.headers["Server"] == "voice-gateway"
