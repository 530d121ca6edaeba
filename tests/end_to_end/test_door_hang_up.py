"""Our own hang-up: last words, one order over REST, the socket closed; and a carrier that takes no orders."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from gateway.sandbox.engines.tones import TonesRecogniser
from gateway.sandbox.options import SandboxOptions
from tests.end_to_end.door_carrier import eventually
from tests.end_to_end.door_kit import open_house
from tests.end_to_end.door_stream import GOODBYE, Stream

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def rest_that(handler: Handler) -> AsyncIterator[tuple[str, list[str]]]:
    """A carrier's REST interface that answers everything in one way; and what it was asked."""
    asked: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        return await handler(request)

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", asked
    finally:
        await runner.cleanup()


async def has_said_goodbye(stream: Stream) -> None:
    """All that was to be heard was played before the end: the last mark came back."""
    marks = [message["mark"]["name"] for message in stream.of("mark")]
    assert marks
    assert stream._playback.playing is False


async def says_goodbye(house, stream: Stream) -> None:
    await house.listening(stream.call_sid)
    await stream.say(GOODBYE)
    await house.until(stream.call_sid, lambda r: r["status"] in {"speaking", "ending"})


@pytest.mark.parametrize("revision", ["2025-06", "2026-04"])
async def test_the_gateway_hangs_up_once_after_the_last_word_and_then_closes(
    tmp_path: Path, revision
) -> None:
    options = SandboxOptions(revision=revision, think_ms=30)
    ears = TonesRecogniser(["goodbye"])
    async with open_house(tmp_path, options, recogniser=ears) as house:
        async with house.on_the_line() as stream:
            await says_goodbye(house, stream)
            assert await stream.ends() == 1000
            await has_said_goodbye(stream)
        record = await house.settled(stream.call_sid)

        assert record["end_reason"] == "agent-ended"
        assert record["conversation_state"] == "auto-finished"
        assert [one.answered for one in house.rest.requests] == [200]
        assert house.rest.requests[0].fields == {"Status": "completed"}
        assert (await house.carrier.connected(stream.call_sid)).verbs == ["Hangup"]


async def _never(request: web.Request) -> web.StreamResponse:
    while request.transport is not None:  # noqa: ASYNC110 - aiohttp tells nobody
        await asyncio.sleep(0.02)
    return web.Response()


async def _breaks(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def _gone(_request: web.Request) -> web.StreamResponse:
    return web.json_response({"code": 20404, "message": "not found"}, status=404)


async def _slow_down(_request: web.Request) -> web.StreamResponse:
    return web.json_response({"code": 20429}, status=429, headers={"Retry-After": "60"})


async def _fails(_request: web.Request) -> web.StreamResponse:
    return web.Response(status=500, text="<html>oops")


async def _forbids(_request: web.Request) -> web.StreamResponse:
    return web.json_response({"code": 20003}, status=401)


async def _redirects(_request: web.Request) -> web.StreamResponse:
    return web.Response(status=302, headers={"Location": "http://127.0.0.1:9/"})


ANSWERS: dict[str, tuple[Handler, int]] = {
    "gone": (_gone, 1),
    "slow down": (_slow_down, 3),
    "fails": (_fails, 3),
    "forbids": (_forbids, 1),
    "redirects": (_redirects, 1),
    "breaks": (_breaks, 6),
    "never answers": (_never, 3),
}


@pytest.mark.parametrize("how", ANSWERS)
async def test_a_carrier_that_takes_no_order_gets_an_orderly_end_all_the_same(
    tmp_path: Path, how: str
) -> None:
    handler, most = ANSWERS[how]
    ears = TonesRecogniser(["goodbye"])
    async with rest_that(handler) as (url, asked):
        async with open_house(tmp_path, recogniser=ears, rest_url=url) as house:
            async with house.on_the_line() as stream:
                await says_goodbye(house, stream)

                # the carrier goes on with the markup behind <Connect> once we close
                assert await stream.ends(12.0) == 1000
                assert (await house.carrier.connected(stream.call_sid)).verbs == ["Hangup"]
            record = await house.settled(stream.call_sid)

        assert record["end_reason"] == "agent-ended"
        assert record["status"] == "completed"
        assert 1 <= len(asked) <= most


async def test_a_carrier_whose_rest_cannot_be_reached_gets_an_orderly_end_too(
    tmp_path: Path,
) -> None:
    ears = TonesRecogniser(["goodbye"])
    async with open_house(tmp_path, recogniser=ears, rest_url="http://127.0.0.1:9") as house:
        async with house.on_the_line() as stream:
            await says_goodbye(house, stream)
            assert await stream.ends(12.0) == 1000
        assert (await house.settled(stream.call_sid))["end_reason"] == "agent-ended"


async def test_marks_that_never_come_back_do_not_keep_the_call(tmp_path: Path) -> None:
    ears = TonesRecogniser(["goodbye"])
    async with open_house(tmp_path, recogniser=ears) as house:
        async with house.on_the_line() as stream:
            stream.echoes = False
            await says_goodbye(house, stream)
            assert await stream.ends() == 1000
        assert (await house.settled(stream.call_sid))["end_reason"] == "agent-ended"


async def test_a_caller_who_hangs_up_while_we_hang_up_is_one_end(tmp_path: Path) -> None:
    async def late(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.5)
        return await _gone(request)

    ears = TonesRecogniser(["goodbye"])
    async with rest_that(late) as (url, asked):
        async with open_house(tmp_path, recogniser=ears, rest_url=url) as house:
            async with house.on_the_line() as stream:
                await says_goodbye(house, stream)
                await eventually(lambda: asked)
                await asyncio.gather(stream.stop(), house.carrier.status(stream.call_sid))
                await stream.ends()
            record = await house.settled(stream.call_sid)
            assert record["end_reason"] == "agent-ended"
        assert len(asked) == 1
