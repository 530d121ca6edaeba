"""What the tests of the gateway's doors stand on: a house on loopback, and a carrier spoken by hand.

The simulator places whole calls; here a test says every request and every message itself. Signatures
are the twilio package's own. Whoever leaves a house finds it in order: no task left, nothing open at
the API, no user still leased, nothing in the log at error level.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import logging
import secrets
import socket
import sqlite3
import struct
import xml.etree.ElementTree as ET
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
from twilio.request_validator import RequestValidator
from yarl import URL

from audio.types import Pcm
from gateway.app import run_gateway
from gateway.sandbox.engines import Recogniser, Voice
from gateway.sandbox.options import SandboxOptions
from gateway.settings import Needs, load_settings
from gateway.simulator import GatewayTarget, RestDouble
from gateway.simulator.playback import Playback
from gateway.simulator.sound import frames, noise_frame
from gateway.simulator.wire import Media, Wrong, read
from tests.support.stack import (
    ACCOUNT,
    PUBLIC,
    TOKEN,
    Stack,
    environment,
    run_sandbox,
    spoken,
)

TICK = 0.02
WEASELS = spoken("weasels").sound
GOODBYE = spoken("goodbye").sound

Message = dict[str, Any]


def new_call_sid() -> str:
    return f"CA{secrets.token_hex(16)}"


async def eventually(holds: Callable[[], Any], seconds: float = 10.0, what: str = "") -> Any:
    """Wait until something holds; returns what it gave."""
    try:
        async with asyncio.timeout(seconds):
            while not (found := holds()):
                await asyncio.sleep(0.01)
            return found
    except TimeoutError:
        raise AssertionError(f"not within {seconds:g} s: {what or holds}") from None


class BriefVoice:
    """A voice for tests in a hurry: each sentence is one tone of a quarter of a second."""

    def __init__(self, ms: int = 250) -> None:
        self._ms = ms

    @property
    def rate(self) -> int:
        return 16_000

    def speak(self, text: str) -> Iterator[Pcm]:
        at = np.arange(self.rate * self._ms // 1000)
        yield np.asarray(np.sin(at * 0.16) * 4500, dtype=np.int16)


# ---------------------------------------------------------------- the carrier


@dataclass(frozen=True)
class Answer:
    """What a webhook answered."""

    status: int
    content_type: str
    text: str

    @property
    def root(self) -> ET.Element:
        assert self.status == 200, (self.status, self.text)
        return ET.fromstring(self.text)

    @property
    def verbs(self) -> list[str]:
        return [verb.tag for verb in self.root]

    @property
    def stream_url(self) -> str:
        stream = self.root.find("./Connect/Stream")
        assert stream is not None, self.text
        return str(stream.attrib["url"])

    @property
    def busy(self) -> bool:
        reject = self.root.find("Reject")
        return reject is not None and reject.get("reason") == "busy"


@dataclass
class Carrier:
    """Signs and sends what the carrier sends; `public` is where it believes the gateway to be."""

    http: aiohttp.ClientSession
    reached_at: str
    public: str = PUBLIC
    token: str = TOKEN
    account: str = ACCOUNT

    def form(self, call_sid: str, **fields: str) -> dict[str, str]:
        """The fields of a voice webhook, empty ones included."""
        return {
            "CallSid": call_sid,
            "AccountSid": self.account,
            "ApiVersion": "2010-04-01",
            "CallStatus": "ringing",
            "Direction": "inbound",
            "From": "+15550001111",
            "To": "+15550002222",
            "CallerName": "",
            "FromCity": "",
        } | fields

    def sign(self, url: str, fields: Mapping[str, str] | None = None) -> str:
        return str(RequestValidator(self.token).compute_signature(url, dict(fields or {})))

    def reach(self, url: str) -> URL:
        """Where a public URL really leads: the proxy in front strips the prefix."""
        for base in (self.public, self.public.replace("http", "ws", 1)):
            if url.startswith(base):
                return URL(self.reached_at + url[len(base) :], encoded=True)
        raise AssertionError(f"{url} is not under {self.public}")

    async def post(
        self,
        path: str,
        fields: Mapping[str, str],
        *,
        signature: str | None = "right",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        url = self.public + path
        sent = dict(headers or {})
        if signature is not None:
            sent["X-Twilio-Signature"] = (
                self.sign(url, fields) if signature == "right" else signature
            )
        async with self.http.post(self.reach(url), data=fields, headers=sent) as answer:
            return Answer(answer.status, answer.content_type, await answer.text())

    async def voice(self, call_sid: str, **fields: str) -> Answer:
        return await self.post("/twilio/voice", self.form(call_sid, **fields))

    async def status(self, call_sid: str, status: str = "completed") -> Answer:
        fields = self.form(call_sid, CallStatus=status, CallDuration="3", SequenceNumber="0")
        return await self.post("/twilio/status", fields)

    async def connected(self, call_sid: str) -> Answer:
        """The `<Connect action>`: the stream is over, what next?"""
        return await self.post("/twilio/connected", self.form(call_sid, CallStatus="in-progress"))

    async def upgrade(
        self, url: str, *, signature: str | None = "right"
    ) -> aiohttp.ClientWebSocketResponse:
        """Open the media socket; raises `WSServerHandshakeError` when it is refused."""
        headers = {}
        if signature is not None:
            headers["X-Twilio-Signature"] = self.sign(url) if signature == "right" else signature
        return await self.http.ws_connect(
            self.reach(url), headers=headers, compress=0, max_msg_size=1 << 22
        )

    async def refusal(self, url: str, *, signature: str | None = "right") -> int:
        """The status an upgrade is refused with; 101 when it is not."""
        try:
            ws = await self.upgrade(url, signature=signature)
        except aiohttp.WSServerHandshakeError as error:
            return error.status
        await ws.close()
        return 101


class Stream:
    """One media socket: what it sends is up to the test, between that it keeps the line alive."""

    def __init__(
        self, ws: aiohttp.ClientWebSocketResponse, call_sid: str, account: str = ACCOUNT
    ) -> None:
        self.ws = ws
        self.call_sid = call_sid
        self.account = account
        self.sid = f"MZ{secrets.token_hex(16)}"
        self.received: list[Message] = []
        self.wrong: list[Wrong] = []
        self.hung_up = asyncio.Event()
        """The gateway asked for the end of the call over REST."""
        self.closed = asyncio.Event()
        self.sound_heard = 0
        """Bytes of agent sound that have begun to play."""
        self._playback = Playback()
        self._sequence = 0
        self._chunk = 0
        self._to_say: deque[bytes] = deque()
        self._said = asyncio.Event()
        self._started = False
        self._mute = False

    # -------------------------------------------------------- sending

    async def send(self, message: Message | str | bytes) -> None:
        """Send one message as it is; a socket that is gone takes it too."""
        with contextlib.suppress(ConnectionError, aiohttp.ClientError):
            if isinstance(message, bytes):
                await self.ws.send_bytes(message)
            else:
                await self.ws.send_str(message if isinstance(message, str) else json.dumps(message))

    def message(self, event: str, body: object, **changes: object) -> Message:
        """A message as the carrier writes it; a change to None leaves the field out."""
        self._sequence += 1
        found = {
            "event": event,
            "sequenceNumber": str(self._sequence),
            "streamSid": self.sid,
            event: body,
        } | changes
        return {name: value for name, value in found.items() if value is not None}

    def media(self, sound: bytes, **changes: object) -> Message:
        self._chunk += 1
        body = {
            "track": "inbound",
            "chunk": str(self._chunk),
            "timestamp": str(self._chunk * 20),
            "payload": base64.b64encode(sound).decode(),
        } | changes
        return self.message("media", {k: v for k, v in body.items() if v is not None})

    def start_message(self, **changes: object) -> Message:
        body = {
            "streamSid": self.sid,
            "accountSid": self.account,
            "callSid": self.call_sid,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": {},
        } | changes
        return self.message("start", {k: v for k, v in body.items() if v is not None})

    async def start(self, **changes: object) -> None:
        await self.send({"event": "connected", "protocol": "Call", "version": "1.0.0"})
        await self.send(self.start_message(**changes))
        self._started = True

    async def stop(self) -> None:
        self.mute()
        await self.send(
            self.message("stop", {"accountSid": self.account, "callSid": self.call_sid})
        )

    async def say(self, sound: bytes) -> None:
        """Speak in real time; returns when the last frame is out."""
        self._to_say.extend(frames(sound))
        self._said.clear()
        await self._said.wait()

    def mute(self) -> None:
        """Send nothing by itself any more."""
        self._mute = True

    async def reset(self) -> None:
        """Lose the connection as a network does: a TCP reset, no close frame."""
        self.mute()
        raw = self.ws.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport = self.ws.get_extra_info("transport")
        if transport is not None:
            transport.abort()
        elif self.ws._response.connection is not None:
            self.ws._response.connection.transport.abort()

    # -------------------------------------------------------- receiving

    def of(self, event: str) -> list[Message]:
        return [message for message in self.received if message["event"] == event]

    async def hears(self, more: int = 1, seconds: float = 10.0) -> None:
        """Wait until the agent is heard (again): so many bytes beyond what was heard before."""
        wanted = self.sound_heard + more
        await eventually(lambda: self.sound_heard >= wanted, seconds, "agent sound")

    async def ends(self, seconds: float = 10.0) -> int | None:
        """Wait for the gateway's close; returns its code."""
        await eventually(self.closed.is_set, seconds, "the close of the media socket")
        return self.ws.close_code

    async def run(self) -> None:
        """Read, play and keep the line alive until the socket closes."""
        pump = asyncio.create_task(self._pump(), name="test pump")
        try:
            async for message in self.ws:
                assert message.type is aiohttp.WSMsgType.TEXT, message
                await self._take(message.data)
        finally:
            self.closed.set()
            self._said.set()
            pump.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await pump

    async def _take(self, text: str) -> None:
        judged = read(text, self.sid)
        if isinstance(judged, Wrong):
            self.wrong.append(judged)
            return
        message = json.loads(text)
        self.received.append(message)
        match message["event"]:
            case "media" if isinstance(judged, Media):
                self._playback.play(judged.payload)
            case "mark":
                await self._echo(self._playback.mark(message["mark"]["name"]))
            case "clear":
                await self._echo(self._playback.clear())

    async def _echo(self, names: tuple[str, ...]) -> None:
        for name in names:
            await self.send(self.message("mark", {"name": name}))

    async def _pump(self) -> None:
        loop = asyncio.get_running_loop()
        due, number = loop.time(), 0
        while True:
            played = self._playback.tick()
            self.sound_heard += len(played.frame or b"")
            await self._echo(played.marks)
            if self.hung_up.is_set() and not self._mute:
                await self.stop()
            if self._started and not self._mute:
                frame = self._to_say.popleft() if self._to_say else noise_frame(number)
                await self.send(self.media(frame))
            if not self._to_say:
                self._said.set()
            number += 1
            due += TICK
            await asyncio.sleep(max(0.0, due - loop.time()))


# ---------------------------------------------------------------- a network that fails


class Cable:
    """A TCP connection to somewhere that is refused until it is plugged in."""

    def __init__(self, url: str) -> None:
        self._to = URL(url)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = int(probe.getsockname()[1])
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    async def plug(self) -> None:
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", self._port)

    async def unplug(self) -> None:
        """Refuse connections from now on, and cut those there are."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        far_reader, far_writer = await asyncio.open_connection(self._to.host, self._to.port)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(_copy(reader, far_writer))
                both.create_task(_copy(far_reader, writer))
        finally:
            for end in (writer, far_writer):
                end.transport.abort()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
        writer.write_eof()


# ---------------------------------------------------------------- the house


@dataclass
class House(Stack):
    """A running gateway, sandbox and carrier, with the carrier's voice in the test's hands."""

    carrier: Carrier
    cable: Cable
    """Between the gateway and the API, in a house that was opened unplugged."""
    store_path: Path

    async def answered(self, call_sid: str | None = None) -> tuple[str, str]:
        """A call the gateway has taken: its sid and the URL of its stream."""
        sid = call_sid or new_call_sid()
        return sid, (await self.carrier.voice(sid)).stream_url

    @asynccontextmanager
    async def socket(self, url: str, call_sid: str) -> AsyncIterator[Stream]:
        """The media socket at this URL, open and silent; it must have obeyed the wire's rules."""
        stream = Stream(await self.carrier.upgrade(url), call_sid)
        running = asyncio.create_task(stream.run(), name="test stream")
        try:
            with self.rest.line(call_sid, stream.hung_up.set):
                yield stream
        finally:
            await stream.ws.close()
            await asyncio.wait([running], timeout=5)
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running
        assert stream.wrong == []

    @asynccontextmanager
    async def on_the_line(self, call_sid: str | None = None) -> AsyncIterator[Stream]:
        """A call with its stream started."""
        sid, url = await self.answered(call_sid)
        async with self.socket(url, sid) as stream:
            await stream.start()
            yield stream

    @asynccontextmanager
    async def dead_line(
        self, url: str, call_sid: str, *, felt: bool = True
    ) -> AsyncIterator[None]:
        """A stream whose peer starts it and then does nothing any more, not even read.

        Buffers on the way are made small; `felt`: so small that whoever writes feels it at once.
        """
        at = self.carrier.reach(url)
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        sock.connect((at.host, at.port))
        reader, writer = await asyncio.open_connection(sock=sock)
        try:
            await self._start_by_hand(reader, writer, url, call_sid)
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            await self.until(call_sid, lambda record: record["stream_sid"] == "MZ1")
            self._shrink(call_sid, felt=felt)
            yield
        finally:
            writer.transport.abort()

    async def _start_by_hand(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, url: str, call_sid: str
    ) -> None:
        upgrade = [
            f"GET {self.carrier.reach(url).raw_path} HTTP/1.1",
            "Host: gateway",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {base64.b64encode(bytes(16)).decode()}",
            f"X-Twilio-Signature: {self.carrier.sign(url)}",
        ]
        writer.write("\r\n".join([*upgrade, "", ""]).encode())
        assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
        named = {"streamSid": "MZ1", "accountSid": ACCOUNT, "callSid": call_sid}
        start = json.dumps({"event": "start", "streamSid": "MZ1", "start": named}).encode()
        # one text frame, masked with zeros
        writer.write(b"\x81\xfe" + len(start).to_bytes(2, "big") + bytes(4) + start)

    def _shrink(self, call_sid: str, *, felt: bool) -> None:
        bridge = self.gateway.switchboard.find(call_sid)
        assert bridge is not None
        ws: Any = bridge._line._socket  # type: ignore[union-attr]
        transport = ws._req.transport
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2048)
        transport.set_write_buffer_limits(high=1024)
        if felt:
            ws._writer._limit = 1024

    async def listening(self, call_sid: str) -> Message:
        """The greeting was heard: it is the caller's turn."""
        return await self.until(call_sid, lambda record: record["status"] == "listening")

    async def metric(self, name: str, **labels: str) -> float:
        """A number of `/metrics`; 0 where there is none."""
        wanted = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
        line = f"voice_gateway_{name}{{{wanted}}} " if labels else f"voice_gateway_{name} "
        async with self.http.get(f"{self.target.connect_to}/metrics") as answer:
            for text in (await answer.text()).splitlines():
                if text.startswith(line):
                    return float(text.removeprefix(line))
        return 0.0

    async def media_errors(self, kind: str) -> float:
        return await self.metric("media_errors_total", kind=kind)

    async def readiness(self) -> tuple[int, list[str]]:
        async with self.http.get(f"{self.target.connect_to}/readyz") as answer:
            return answer.status, list((await answer.json())["reasons"])

    async def finishes(self) -> Counter[str]:
        """How often each conversation was finished (answered 204)."""
        requests = (await self.log())["requests"]
        return Counter(
            one["conversation_id"]
            for one in requests
            if one["operation"] == "finish" and one["status"] == 204
        )

    async def conversations(self) -> list[Message]:
        return list((await self.log())["conversations"])

    async def in_order(self, seconds: float = 15.0) -> None:
        """Wait until nothing is owed any more, then look whether that is true."""
        gateway = self.gateway
        await eventually(
            lambda: not gateway.switchboard.unsettled and not gateway.finisher.owed,
            seconds,
            "every call settled",
        )
        log = await self.log()
        assert [one for one in log["conversations"] if not one["finished"]] == []
        assert log["violations"] == []
        assert max((await self.finishes()).values(), default=0) <= 1, "finished twice"
        store_in_order(self.store_path)


def store_rows(path: Path, query: str) -> list[tuple[Any, ...]]:
    """What really stands in the store's file."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


def store_in_order(path: Path) -> None:
    """Every call ended and settled, no user leased."""
    unsettled = "SELECT call_sid, status, conversation_state FROM calls WHERE NOT ended OR conversation_state NOT IN ('none', 'finished', 'auto-finished')"
    assert store_rows(path, unsettled) == []
    assert store_rows(path, "SELECT user_id FROM leases WHERE call_sid IS NOT NULL") == []
    statuses = dict(store_rows(path, "SELECT call_sid, status FROM calls"))
    assert set(statuses.values()) <= {"completed", "failed"}, statuses


@contextmanager
def complaints() -> Iterator[list[logging.LogRecord]]:
    """Everything logged at error level meanwhile, by us or by the event loop."""
    found: list[logging.LogRecord] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(record)

    listener = Listener(logging.ERROR)
    loggers = [logging.getLogger(name) for name in ("gateway", "asyncio", "aiohttp")]
    for logger in loggers:
        logger.addHandler(listener)
    try:
        yield found
    finally:
        for logger in loggers:
            logger.removeHandler(listener)


@asynccontextmanager
async def in_order_afterwards() -> AsyncIterator[None]:
    """Nothing logged as an error inside, no task left behind."""
    before = asyncio.all_tasks()
    with complaints() as errors:
        yield
        left: set[asyncio.Task[Any]] = set()
        for _ in range(50):
            left = {task for task in asyncio.all_tasks() - before if not task.done()}
            if not left:
                break
            await asyncio.sleep(0.02)
        assert left == set(), "tasks left behind"
    assert [record.getMessage() for record in errors] == []


@asynccontextmanager
async def open_house(
    tmp_path: Path,
    options: SandboxOptions | None = None,
    *,
    recogniser: Recogniser | None = None,
    voice: Voice | None = None,
    rest_url: str | None = None,
    token_seconds: float = 60.0,
    unplugged: bool = False,
    **changes: str,
) -> AsyncIterator[House]:
    """Sandbox, gateway and carrier in this process; left in order, or the test fails."""
    async with in_order_afterwards(), AsyncExitStack() as stack:
        sandbox_url = await stack.enter_async_context(
            run_sandbox(options or SandboxOptions(think_ms=30), recogniser, voice or BriefVoice())
        )
        cable = Cable(sandbox_url)
        stack.push_async_callback(cable.unplug)
        rest = await stack.enter_async_context(RestDouble(ACCOUNT, TOKEN))
        environ = environment(tmp_path, cable.url if unplugged else sandbox_url, rest_url or rest.base_url, **changes)
        settings = load_settings(needs=Needs.SERVE, environ=environ, dotenv=None)
        gateway = await stack.enter_async_context(
            run_gateway(settings, token_seconds=token_seconds)
        )
        http = await stack.enter_async_context(aiohttp.ClientSession())
        base, public = f"http://127.0.0.1:{gateway.address[1]}", environ["GATEWAY_PUBLIC_URL"]
        house = House(
            gateway=gateway,
            sandbox_url=sandbox_url,
            rest=rest,
            target=GatewayTarget(
                connect_to=base, public_url=public, account_sid=ACCOUNT, auth_token=TOKEN
            ),
            http=http,
            carrier=Carrier(http, base, public),
            cable=cable,
            store_path=tmp_path / "calls.db",
        )
        yield house
        await house.in_order()
