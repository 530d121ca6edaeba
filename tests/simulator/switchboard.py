"""A small real gateway on loopback whose manners each test chooses: the other end of the simulator."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web
from twilio.request_validator import RequestValidator

from gateway.simulator import GatewayTarget

ACCOUNT = "AC00000000000000000000000000000001"
AUTH_TOKEN = "0123456789abcdef0123456789abcdef"
PUBLIC = "https://gw.example.com/voice"

ANSWER = (
    '<?xml version="1.0" encoding="UTF-8"?><Response>'
    f'<Connect action="{PUBLIC}/twilio/connected">'
    '<Stream url="wss://gw.example.com/voice/twilio/media/k3yT0ken">'
    '<Parameter name="purpose" value="a&amp;b&lt;&quot;"/></Stream></Connect><Hangup/></Response>'
)
HANGUP = "<Response><Hangup/></Response>"


def tone(ms: int, hertz: float = 440.0) -> bytes:
    """A mu-law tone, about -12 dBFS, without the project's own encoder."""
    samples = (0.35 * math.sin(2 * math.pi * hertz * n / 8000) for n in range(ms * 8))
    return bytes(_ulaw(round(sample * 32767)) for sample in samples)


def _ulaw(sample: int) -> int:
    magnitude = min(abs(sample), 32635) + 132
    exponent = magnitude.bit_length() - 8
    code = exponent << 4 | magnitude >> (exponent + 3) & 15
    return ~(code | (0x80 if sample < 0 else 0)) & 0xFF


class Socket:
    """The gateway's end of one media socket, in the words of the tests."""

    def __init__(self, ws: web.WebSocketResponse) -> None:
        self.ws = ws
        self.stream_sid = ""
        self.start: dict[str, Any] = {}
        self.received: list[dict[str, Any]] = []

    async def next(self) -> dict[str, Any] | None:
        """The next message; None when the carrier has closed."""
        message = await self.ws.receive()
        if message.type is not WSMsgType.TEXT:
            return None
        found: dict[str, Any] = json.loads(message.data)
        self.received.append(found)
        if found["event"] == "start":
            self.start = found["start"]
            self.stream_sid = found["streamSid"]
        return found

    async def until(self, event: str, count: int = 1) -> dict[str, Any] | None:
        """Read on until so many messages of this kind came; None when the carrier closed first."""
        while (message := await self.next()) is not None:
            count -= message["event"] == event
            if not count:
                return message
        return None

    async def until_marked(self, name: str) -> bool:
        while (message := await self.until("mark")) is not None:
            if message["mark"]["name"] == name:
                return True
        return False

    async def send(self, message: object) -> None:
        text = message if isinstance(message, str) else json.dumps(message)
        with contextlib.suppress(ConnectionError):
            await self.ws.send_str(text)

    def media(self, sound: bytes, **extra: object) -> dict[str, object]:
        payload = {"payload": base64.b64encode(sound).decode()}
        return {"event": "media", "streamSid": self.stream_sid, "media": payload, **extra}

    async def play(self, sound: bytes, mark: str | None = None) -> None:
        """Send sound at once, in messages of 100 ms, and a mark behind it."""
        for at in range(0, len(sound), 800):
            await self.send(self.media(sound[at : at + 800]))
        if mark is not None:
            await self.send({"event": "mark", "streamSid": self.stream_sid, "mark": {"name": mark}})

    async def clear(self) -> None:
        await self.send({"event": "clear", "streamSid": self.stream_sid})

    def caller_sound(self) -> bytes:
        return b"".join(
            base64.b64decode(message["media"]["payload"])
            for message in self.received
            if message["event"] == "media"
        )


Manner = Callable[[Socket], Awaitable[None]]


async def greet_and_answer(socket: Socket) -> None:
    """A polite gateway: greets, answers whatever is loud for a while, goes when the carrier stops."""
    await socket.until("start")
    await socket.play(tone(240), mark=f"greeting-{socket.stream_sid}")
    loud, quiet, turn = 0, 0, 0
    while (message := await socket.next()) is not None:
        match message["event"]:
            case "media":
                is_loud = (
                    min(b & 0x7F for b in base64.b64decode(message["media"]["payload"])) < 0x50
                )
                loud, quiet = (loud + 1, 0) if is_loud else (loud, quiet + 1)
            case "dtmf":
                loud, quiet = 10, 0
            case "stop":
                return
        if loud >= 5 and quiet == 8:
            loud, turn = 0, turn + 1
            await socket.play(tone(240), mark=f"reply-{turn}-{socket.stream_sid}")


@dataclass
class Switchboard:
    """A running gateway; what it received, and what it answers to each webhook."""

    manner: Manner
    url: str = ""
    record: dict[str, Any] | None = None
    """What `/v1/calls/{sid}` shows; None: it is not there."""
    answers: dict[str, Any] = field(default_factory=dict)
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    sockets: list[Socket] = field(default_factory=list)
    unsigned: list[str] = field(default_factory=list)
    upgrade_headers: dict[str, str] = field(default_factory=dict)

    @property
    def target(self) -> GatewayTarget:
        return GatewayTarget(
            connect_to=self.url, public_url=PUBLIC, account_sid=ACCOUNT, auth_token=AUTH_TOKEN
        )

    def posted(self, path: str) -> list[dict[str, str]]:
        return [fields for at, fields in self.requests if at == path]

    async def webhook(self, request: web.Request) -> web.StreamResponse:
        fields = {name: str(value) for name, value in (await request.post()).items()}
        self.requests.append((request.path, fields))
        signature = request.headers.get("X-Twilio-Signature", "")
        validator = RequestValidator(AUTH_TOKEN)
        if not validator.validate(PUBLIC + request.raw_path, fields, signature):
            self.unsigned.append(request.path)
        answer = self.answers.get(request.path, HANGUP)
        if isinstance(answer, web.StreamResponse):
            return answer
        if isinstance(answer, list):
            answer = answer.pop(0)
        return web.Response(text=answer, content_type="text/xml")

    async def status(self, request: web.Request) -> web.StreamResponse:
        await self.webhook(request)
        return web.Response(status=204)

    async def show(self, _request: web.Request) -> web.StreamResponse:
        if self.record is None:
            return web.Response(status=404)
        return web.json_response(self.record)

    async def media(self, request: web.Request) -> web.StreamResponse:
        signature = request.headers.get("X-Twilio-Signature", "")
        url = PUBLIC.replace("https", "wss") + request.raw_path
        if not RequestValidator(AUTH_TOKEN).validate(url, {}, signature):
            self.unsigned.append(request.path)
            return web.Response(status=403)
        self.upgrade_headers = dict(request.headers)
        ws = web.WebSocketResponse(compress=False)
        await ws.prepare(request)
        socket = Socket(ws)
        self.sockets.append(socket)
        await self.manner(socket)
        await ws.close()
        return ws


@contextlib.asynccontextmanager
async def switchboard(
    manner: Manner = greet_and_answer,
    *,
    record: Any = None,
    **answers: object,
) -> AsyncIterator[Switchboard]:
    """Run a gateway with these manners; keywords override the answer of `/twilio/KEYWORD`."""
    board = Switchboard(manner, record=record)
    board.answers = {"/twilio/voice": ANSWER} | {
        f"/twilio/{name}": answer for name, answer in answers.items()
    }
    app = web.Application()
    app.router.add_post("/twilio/status", board.status)
    app.router.add_post("/twilio/stream-status", board.status)
    app.router.add_post("/twilio/{hook}", board.webhook)
    app.router.add_get("/twilio/media/{token}", board.media)
    app.router.add_get("/twilio/{hook}", board.webhook)
    app.router.add_get("/v1/calls/{sid}", board.show)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    board.url = f"http://{host}:{port}"
    try:
        yield board
    finally:
        async with asyncio.timeout(5):
            await runner.cleanup()
