"""The carrier's webhooks and upgrades, signed by its own package, and a network that can be unplugged."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import secrets
import socket
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
from twilio.request_validator import RequestValidator
from yarl import URL

from tests.support.stack import ACCOUNT, PUBLIC, TOKEN

Message = dict[str, Any]


def new_call_sid() -> str:
    return f"CA{secrets.token_hex(16)}"


async def eventually(holds: Callable[[], Any], seconds: float = 10.0, what: str = "") -> Any:
    """Wait until something holds, at once or when awaited; returns what it gave."""
    try:
        async with asyncio.timeout(seconds):
            while True:
                found = holds()
                if inspect.isawaitable(found):
                    found = await found
                if found:
                    return found
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"not within {seconds:g} s: {what or holds}") from None


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
