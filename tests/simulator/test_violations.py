"""Misbehaving gateways on real sockets: each broken rule fails the call and is named."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
from collections.abc import AsyncIterator

import pytest
from yarl import URL

from gateway.simulator import CallPlan, CallResult, GatewayTarget, Habits, Utterance, place_call
from gateway.simulator.media_socket import open_socket
from gateway.simulator.webhook import CallFailed
from tests.simulator.switchboard import (
    ACCOUNT,
    ANSWER,
    AUTH_TOKEN,
    PUBLIC,
    Manner,
    Socket,
    switchboard,
    tone,
)

BRISK = Habits(
    quiet_ms=80, doubt_ms=0, linger_seconds=0.1, patience_seconds=1, barge_in_after_ms=200
)


async def call(manner: Manner, *items: Utterance, **answers: str) -> CallResult:
    async with switchboard(manner, **answers) as board:
        plan = CallPlan(items=items, habits=BRISK, clear_within_ms=300)
        return await place_call(plan, board.target)


def broken(result: CallResult) -> list[str]:
    assert not result.ok
    return [violation.rule for violation in result.violations]


def greeting_with(send) -> Manner:
    """A gateway that is well-behaved but for what `send` does after the first sound."""

    async def manner(socket: Socket) -> None:
        await socket.until("start")
        await socket.play(tone(220))
        await send(socket)
        await socket.until("stop")

    return manner


def sends(message) -> Manner:
    async def send(socket: Socket) -> None:
        await socket.send(message(socket) if callable(message) else message)

    return greeting_with(send)


def mark(name: object, sid: str) -> dict[str, object]:
    return {"event": "mark", "streamSid": sid, "mark": {"name": name}}


WRONG_MESSAGES = {
    "text that is not JSON": ("not json", "S2", 31951),
    "a list": ("[1]", "S2", 31951),
    "a message only the carrier sends": (
        lambda s: {"event": "stop", "streamSid": s.stream_sid},
        "S3",
        31951,
    ),
    "an extra field": (lambda s: s.media(tone(20), sequenceNumber="7"), "S4", 31951),
    "a mark without its object": (
        lambda s: {"event": "mark", "streamSid": s.stream_sid, "name": "x"},
        "S4",
        31951,
    ),
    "another stream's name": (lambda s: mark("x", "MZ" + "0" * 32), "S5", 31951),
    "an empty payload": (lambda s: s.media(b""), "S7", 31951),
    "a payload that is not base64": (
        lambda s: {"event": "media", "streamSid": s.stream_sid, "media": {"payload": "?"}},
        "S7",
        31951,
    ),
    "a WAV header": (lambda s: s.media(b"RIFF" + tone(20)[4:]), "S8", 31924),
    "a mark without a name": (lambda s: mark("", s.stream_sid), "S9", 31951),
    "an unfilled last frame": (lambda s: s.media(tone(5)), "S15", None),
    "zeros for silence": (lambda s: s.media(bytes(160)), "S15", None),
}


async def test_a_wrong_message_is_named():
    # All at once: each is a call of its own, in real time.
    results = await asyncio.gather(
        *(call(sends(message)) for message, _, _ in WRONG_MESSAGES.values())
    )

    found = {
        name: [(violation.rule, violation.code) for violation in result.violations]
        for name, result in zip(WRONG_MESSAGES, results, strict=True)
    }
    assert found == {name: [(rule, code)] for name, (_, rule, code) in WRONG_MESSAGES.items()}
    assert not any(result.ok for result in results)


async def test_a_binary_frame_is_named():
    async def send(socket: Socket) -> None:
        await socket.ws.send_bytes(tone(20))

    result = await call(greeting_with(send))

    assert broken(result) == ["S1"]
    assert result.violations[0].code == 31950


async def test_a_mark_name_used_twice_is_named():
    async def send(socket: Socket) -> None:
        await socket.send(mark("m", socket.stream_sid))
        await socket.send(mark("m", socket.stream_sid))

    assert broken(await call(greeting_with(send))) == ["S9"]


async def test_speaking_before_start_is_named():
    async def manner(socket: Socket) -> None:
        await socket.send({"event": "clear", "streamSid": "MZ0"})
        await greeting_with(lambda s: asyncio.sleep(0))(socket)

    assert sorted(broken(await call(manner))) == ["S5", "S6"]


async def test_speaking_after_stop_is_named():
    async def manner(socket: Socket) -> None:
        await greeting_with(lambda s: asyncio.sleep(0))(socket)
        await asyncio.sleep(0.2)
        await socket.send(socket.media(tone(20)))

    assert broken(await call(manner)) == ["S6"]


async def test_sending_far_ahead_of_real_time_is_named_and_the_rest_is_still_played():
    async def send(socket: Socket) -> None:
        await socket.play(tone(5000))
        await socket.until("media", 5)
        await socket.clear()

    result = await call(greeting_with(send))

    assert broken(result)[0] == "S10"


async def test_keeping_the_socket_open_after_stop_is_named():
    async def manner(socket: Socket) -> None:
        await greeting_with(lambda s: asyncio.sleep(0))(socket)
        await asyncio.sleep(2.5)

    assert broken(await call(manner)) == ["S25"]


async def test_talking_on_through_an_interruption_is_named():
    async def manner(socket: Socket) -> None:
        await socket.until("start")
        await socket.play(tone(900))
        await socket.until("stop")

    result = await call(manner, Utterance(tone(200), interrupts=True))

    assert "S17" in broken(result)


async def test_old_sound_after_clear_is_named():
    async def manner(socket: Socket) -> None:
        await socket.until("start")
        await socket.play(tone(1500))
        await socket.until("media", 22)
        await socket.clear()
        await socket.play(tone(300))
        await socket.until("stop")

    result = await call(manner, Utterance(tone(600), interrupts=True))

    assert broken(result) == ["S17"]


async def test_clearing_an_empty_line_is_named():
    async def send(socket: Socket) -> None:
        await socket.send(mark("end", socket.stream_sid))
        await socket.until_marked("end")
        await asyncio.sleep(0.3)
        await socket.clear()

    async with switchboard(greeting_with(send)) as board:
        habits = Habits(quiet_ms=100, linger_seconds=0.8)
        result = await place_call(CallPlan(habits=habits), board.target)

    assert broken(result) == ["S18"]


async def test_a_flaw_in_the_markup_is_named():
    manner = greeting_with(lambda s: asyncio.sleep(0))
    result = await call(manner, voice=ANSWER.replace("<Hangup/>", '<Pause length="40"/>'))

    assert broken(result) == ["S35"]


async def test_a_hole_inside_a_word_is_counted_but_breaks_no_rule():
    async def send(socket: Socket) -> None:
        await socket.send(mark("dry", socket.stream_sid))
        await socket.until_marked("dry")
        await asyncio.sleep(0.12)
        await socket.play(tone(100))

    async with switchboard(greeting_with(send)) as board:
        habits = Habits(quiet_ms=500, linger_seconds=0.5)
        result = await place_call(CallPlan(habits=habits), board.target)

    assert result.ok, (result.problems, result.violations)
    (underrun,) = result.underruns
    assert 80 <= underrun.gap_ms <= 500


# ---------------------------------------------------------------- broken WebSocket framing


@contextlib.asynccontextmanager
async def raw_gateway(
    frames: bytes, *, then_close: bool = False, reads: bool = True
) -> AsyncIterator[GatewayTarget]:
    """Speaks just enough HTTP and WebSocket by hand to send frames no library would."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        if head.startswith("POST"):
            body = ANSWER.encode() if "/twilio/voice" in head else b"<Response/>"
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nConnection: close\r\n"
                b"Content-Length: %d\r\n\r\n" % len(body) + body
            )
        else:
            key = next(
                line.split(": ")[1]
                for line in head.split("\r\n")
                if line.lower().startswith("sec-websocket-key")
            )
            magic = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
            accept = base64.b64encode(hashlib.sha1((key + magic).encode()).digest())
            writer.write(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                b"Connection: Upgrade\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n"
            )
            await asyncio.sleep(0.1)
            writer.write(frames)
            if not reads:
                await asyncio.sleep(0.5)
            elif not then_close:
                await reader.read(-1)
        with contextlib.suppress(ConnectionError):
            await writer.drain()
            writer.close()
            await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        yield GatewayTarget(
            connect_to=f"http://127.0.0.1:{port}",
            public_url=PUBLIC,
            account_sid=ACCOUNT,
            auth_token=AUTH_TOKEN,
        )


@pytest.mark.parametrize(
    ("frames", "rule"),
    [
        (b"\x89\x7e\x00\x7e" + bytes(126), "S11"),
        (b"\x09\x01x", "S11"),
        (b"\x81\x02\xff\xfe", "S2"),
    ],
    ids=["a ping of 126 bytes", "a fragmented ping", "text that is not UTF-8"],
)
async def test_broken_framing_is_named(frames, rule):
    async with raw_gateway(frames) as target:
        result = await place_call(CallPlan(habits=BRISK), target)

    assert rule in broken(result)


async def test_a_socket_that_just_ends_has_close_code_1006():
    async with raw_gateway(b"", then_close=True) as target:
        result = await place_call(CallPlan(habits=BRISK), target)

    assert "the gateway closed the media socket with 1006" in result.problems


async def test_a_gateway_that_stops_reading_is_reported():
    async with raw_gateway(b"", reads=False) as target:
        url = URL(f"{target.connect_to}/twilio/media/t")
        async with open_socket(url, {}, reads_within=0.2) as socket:

            async def flood() -> None:
                for _ in range(100):
                    await socket.send("x" * 500_000)

            with pytest.raises(CallFailed, match="31930"):
                await flood()
