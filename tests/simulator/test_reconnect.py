"""A phone whose media socket breaks: the carrier asks what is next, and the caller goes on or does not."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web

from gateway.simulator import CallPlan, CallResult, GatewayTarget, Habits, Utterance, place_call
from gateway.simulator.streams import MAX_STREAMS
from tests.simulator.switchboard import (
    ACCOUNT,
    ANSWER,
    AUTH_TOKEN,
    HANGUP,
    PUBLIC,
    Socket,
    Switchboard,
    greet_and_answer,
    switchboard,
    tone,
)

BRISK = Habits(quiet_ms=120, doubt_ms=0, linger_seconds=0.2, patience_seconds=2)
WORD = Utterance(tone(200), text="word")


async def call(board: Switchboard, *items: Utterance, **plan: object) -> CallResult:
    wanted = CallPlan(items=items, **{"habits": BRISK} | plan)  # type: ignore[arg-type]
    return await place_call(wanted, board.target)


def breaks(socket: Socket) -> None:
    """As a killed process does: no close frame."""
    request: Any = socket.ws._req
    request.transport.abort()


class Breaking:
    """Greets and answers, but breaks the first sockets."""

    def __init__(self, times: int, *, after_frames: int) -> None:
        self._times = times
        self._after = after_frames

    async def __call__(self, socket: Socket) -> None:
        if not self._times:
            await greet_and_answer(socket)
            return
        self._times -= 1
        await socket.until("start")
        await socket.play(tone(240))
        await socket.until("media", self._after)
        breaks(socket)


async def test_a_broken_socket_is_followed_by_a_new_stream_and_unanswered_words_are_said_again():
    # the caller speaks from about frame 20 on: the words are out, or half out, when it breaks
    async with switchboard(Breaking(1, after_frames=26), connected=ANSWER) as board:
        result = await call(board, WORD, WORD)

    assert result.ok, (result.problems, result.violations)
    assert len(result.stream_sids) == len(set(result.stream_sids)) == 2
    assert [socket.start["callSid"] for socket in board.sockets] == [result.call_sid] * 2
    assert (len(result.reconnects), result.repeated) == (1, 1)
    assert result.answered_after_reconnect == 2
    (gap,) = result.reconnects
    assert gap.lost_at_ms <= gap.back_at_ms
    (asked,) = board.posted("/twilio/connected")
    assert (asked["CallSid"], asked["CallStatus"]) == (result.call_sid, "in-progress")
    assert board.unsigned == []


async def test_a_call_that_is_reconnected_for_ever_goes_in_circles():
    async with switchboard(Breaking(99, after_frames=3), connected=ANSWER) as board:
        result = await call(board, WORD)

    assert len(result.stream_sids) == MAX_STREAMS
    assert "goes in circles" in result.problems[0]
    assert len(board.posted("/twilio/status")) == 1


async def test_a_gateway_that_does_not_take_the_call_back_ends_it():
    async with switchboard(Breaking(1, after_frames=26), connected=HANGUP) as board:
        result = await call(board, WORD)

    assert result.reconnects == ()
    assert "the gateway closed the media socket with 1006" in result.problems
    assert len(board.posted("/twilio/status")) == 1


async def test_a_caller_who_does_not_wait_is_gone_when_the_line_breaks():
    async with switchboard(Breaking(1, after_frames=26), connected=ANSWER) as board:
        result = await call(board, WORD, waits_when_lost=False)

    assert board.posted("/twilio/connected") == []
    assert len(board.posted("/twilio/status")) == 1
    assert result.notes == ("the caller hung up",)


async def test_a_refused_socket_is_followed_by_the_question_what_is_next():
    refused = ANSWER.replace("/media/", "/no-media/")
    async with switchboard(voice=refused, connected=ANSWER) as board:
        result = await call(board, WORD)

    assert len(board.posted("/twilio/connected")) == 1
    assert result.ok, (result.problems, result.violations)


# ---------------------------------------------------------------- webhooks nobody answers


def hung_up_on(request: web.Request) -> web.Response:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


@pytest.mark.parametrize(("failures", "held"), [(1, True), (2, False)])
async def test_a_webhook_that_found_nobody_is_sent_once_more(failures: int, *, held: bool):
    tries: list[str] = []

    async def voice(request: web.Request) -> web.Response:
        tries.append(str((await request.post())["CallSid"]))
        if len(tries) <= failures:
            return hung_up_on(request)
        return web.Response(text=HANGUP, content_type="text/xml")

    async with raw_gateway(voice) as target:
        result = await place_call(CallPlan(habits=BRISK), target)

    assert tries == [result.call_sid] * 2
    assert any("11200" in problem for problem in result.problems) is not held


async def test_a_document_that_could_not_be_had_is_asked_for_at_the_fallback():
    asked: list[dict[str, str]] = []

    async def voice(request: web.Request) -> web.Response:
        return web.Response(status=503)

    async def fallback(request: web.Request) -> web.Response:
        asked.append({name: str(value) for name, value in (await request.post()).items()})
        return web.Response(text=HANGUP, content_type="text/xml")

    async with raw_gateway(voice, fallback) as target:
        result = await place_call(CallPlan(habits=BRISK), target)

    assert not any("11200" in problem for problem in result.problems)
    (fields,) = asked
    assert (fields["ErrorCode"], fields["ErrorUrl"]) == ("11200", f"{PUBLIC}/twilio/voice")


async def _status(_: web.Request) -> web.Response:
    return web.Response(status=204)


class raw_gateway:  # noqa: N801 - used as a context manager
    """A gateway that consists of a voice webhook, its fallback and the status callback."""

    def __init__(self, voice, fallback=None) -> None:
        app = web.Application()
        app.router.add_post("/twilio/voice", voice)
        if fallback is not None:
            app.router.add_post("/twilio/fallback", fallback)
        self._fallback_path = "/twilio/fallback" if fallback else ""
        app.router.add_post("/twilio/status", _status)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)

    async def __aenter__(self) -> GatewayTarget:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        return GatewayTarget(
            connect_to=f"http://{host}:{port}",
            public_url=PUBLIC,
            account_sid=ACCOUNT,
            auth_token=AUTH_TOKEN,
            fallback_path=self._fallback_path,
        )

    async def __aexit__(self, *error: object) -> None:
        await self._runner.cleanup()
