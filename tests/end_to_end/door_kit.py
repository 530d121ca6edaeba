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
import socket
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import aiohttp
import numpy as np

from audio.types import Pcm
from gateway.app import Gateway, run_gateway
from gateway.sandbox.engines import Recogniser, Voice
from gateway.sandbox.options import SandboxOptions
from gateway.settings import Needs, load_settings
from gateway.simulator import GatewayTarget, RestDouble
from tests.end_to_end.door_carrier import Cable, Carrier, Message, eventually, new_call_sid
from tests.end_to_end.door_order import in_order_afterwards, leased, store_in_order
from tests.end_to_end.door_process import Served
from tests.end_to_end.door_stream import Stream
from tests.support.stack import ACCOUNT, TOKEN, Stack, environment, run_sandbox


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


@dataclass
class House(Stack):
    """A running gateway, sandbox and carrier, with the carrier's voice in the test's hands."""

    carrier: Carrier
    cable: Cable
    """Between the gateway and the API, in a house that was opened unplugged."""
    store_path: Path
    forgiven: frozenset[str] = frozenset()
    """Rules of the API that this test makes us run into."""

    async def answered(self, call_sid: str | None = None, **fields: str) -> tuple[str, str]:
        """A call the gateway has taken: its sid and the URL of its stream."""
        sid = call_sid or new_call_sid()
        answer = await self.carrier.voice(sid, **fields)
        if self.gateway is None:
            # a process of its own, in the hurry of the field: on a busy machine its store is late
            for _ in range(20):
                if not answer.busy:
                    break
                await asyncio.sleep(0.1)
                answer = await self.carrier.voice(sid, **fields)
        return sid, answer.stream_url

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
    async def dead_line(self, url: str, call_sid: str, *, felt: bool = True) -> AsyncIterator[None]:
        """A stream whose peer starts it and then does nothing any more, not even read.

        Buffers on the way are made small; `felt`: so small that whoever writes feels it at once.
        """
        at = self.carrier.reach(url)
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        sock.connect((at.host, at.port))
        reader, writer = await asyncio.open_connection(sock=sock)
        try:
            await self.start_by_hand(reader, writer, url, call_sid)
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            await self.until(call_sid, lambda record: record["stream_sid"] == "MZ1")
            self._shrink(call_sid, felt=felt)
            yield
        finally:
            writer.transport.abort()

    async def start_by_hand(
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
        await self.looks_in_order()

    async def looks_in_order(self) -> None:
        """Nothing is open at the API, nothing is owed in the store."""
        log = await self.log()
        assert [one for one in log["conversations"] if not one["finished"]] == []
        broken = [one for one in log["violations"] if one["rule"] not in self.forgiven]
        assert broken == [], (broken, log["requests"])
        assert max((await self.finishes()).values(), default=0) <= 1, "finished twice"
        await eventually(lambda: not leased(self.store_path), 5.0, "every user free")
        store_in_order(self.store_path)


@dataclass
class Grounds:
    """Sandbox, carrier and a folder for the store: all a gateway needs, for one or several in a row."""

    folder: Path
    sandbox_url: str
    cable: Cable
    rest: RestDouble
    http: aiohttp.ClientSession
    environ: dict[str, str]

    @asynccontextmanager
    async def inside(self, *, token_seconds: float = 60.0) -> AsyncIterator[House]:
        """A gateway in this process."""
        settings = load_settings(needs=Needs.SERVE, environ=self.environ, dotenv=None)
        async with run_gateway(settings, token_seconds=token_seconds) as gateway:
            yield self._house(f"http://127.0.0.1:{gateway.address[1]}", gateway)

    @asynccontextmanager
    async def served(self) -> AsyncIterator[tuple[House, Served]]:
        """A gateway as it is run: `voice-gateway serve`, a process of its own."""
        process = await Served.start(self.folder, self.environ)
        try:
            # none of this process: the house is looked at through its doors only
            nobody: Any = None
            yield self._house(await process.ready(), nobody), process
        finally:
            await process.end()

    def _house(self, base: str, gateway: Gateway) -> House:
        public = self.environ["GATEWAY_PUBLIC_URL"]
        return House(
            gateway=gateway,
            sandbox_url=self.sandbox_url,
            rest=self.rest,
            target=GatewayTarget(
                connect_to=base, public_url=public, account_sid=ACCOUNT, auth_token=TOKEN
            ),
            http=self.http,
            carrier=Carrier(self.http, base, public),
            cable=self.cable,
            store_path=self.folder / "calls.db",
        )


@asynccontextmanager
async def open_grounds(
    tmp_path: Path,
    options: SandboxOptions | None = None,
    *,
    recogniser: Recogniser | None = None,
    voice: Voice | None = None,
    rest_url: str | None = None,
    unplugged: bool = False,
    expected: Iterable[str] = (),
    env: Mapping[str, str] = MappingProxyType({}),
) -> AsyncIterator[Grounds]:
    """Everything but the gateway; left with no task of ours behind and no error in the log but `expected`."""
    async with in_order_afterwards(frozenset(expected)), AsyncExitStack() as stack:
        sandbox_url = await stack.enter_async_context(
            run_sandbox(options or SandboxOptions(think_ms=30), recogniser, voice or BriefVoice())
        )
        cable = Cable(sandbox_url)
        stack.push_async_callback(cable.unplug)
        rest = await stack.enter_async_context(RestDouble(ACCOUNT, TOKEN))
        api_url = cable.url if unplugged else sandbox_url
        environ = environment(tmp_path, api_url, rest_url or rest.base_url, **env)
        http = await stack.enter_async_context(aiohttp.ClientSession())
        yield Grounds(tmp_path, sandbox_url, cable, rest, http, environ)


@asynccontextmanager
async def open_house(
    tmp_path: Path,
    options: SandboxOptions | None = None,
    *,
    token_seconds: float = 60.0,
    recogniser: Recogniser | None = None,
    voice: Voice | None = None,
    rest_url: str | None = None,
    unplugged: bool = False,
    expected: Iterable[str] = (),
    env: Mapping[str, str] = MappingProxyType({}),
) -> AsyncIterator[House]:
    """Sandbox, carrier and a gateway in this process; left in order, or the test fails."""
    async with (
        open_grounds(
            tmp_path,
            options,
            recogniser=recogniser,
            voice=voice,
            rest_url=rest_url,
            unplugged=unplugged,
            expected=expected,
            env=env,
        ) as grounds,
        grounds.inside(token_seconds=token_seconds) as house,
    ):
        yield house
        await house.in_order()
