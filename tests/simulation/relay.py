"""The way from one gateway process to another (`gateway.web.relay.Relay`), without sockets."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, Final, cast

from aiohttp import web

from gateway.web.relay import ANSWER_SECONDS, CONNECT_SECONDS, RELAYED
from tests.simulation import doors
from tests.simulation.carrier import Carrier, Gateway
from tests.simulation.loop import WORLD, Process

LOOK: Final = 0.02


class SimRelay:
    """Passes requests on to other processes; one that is stopped does not answer, one that is gone refuses."""

    def __init__(self, carrier: Carrier, process: Process) -> None:
        self._carrier = carrier
        self._process = process
        self.streams = 0

    async def alive(self, address: str, replica: str) -> bool:
        gateway = self._carrier.at(address)
        await asyncio.sleep(LOOK)
        if gateway.process.gone or not gateway.listening:
            return False
        if not gateway.process.running:
            await asyncio.sleep(CONNECT_SECONDS)
            return False
        return gateway.name == replica

    async def request(self, request: Any, address: str) -> web.Response | None:
        gateway = self._carrier.at(address)
        self._carrier.world.facts["relayed requests"] += 1
        try:
            status, text = await self._carrier.ask(
                gateway, _passed_on(request, request.peer), ANSWER_SECONDS
            )
        except (ConnectionError, TimeoutError):
            return None
        answer = cast("web.Response", SimpleNamespace(status=status, text=text))
        return None if status >= 500 else answer

    async def socket(self, request: Any, address: str) -> web.StreamResponse | None:
        self.streams += 1
        try:
            return await self._stream(request, address)
        finally:
            self.streams -= 1

    async def _stream(self, request: Any, address: str) -> web.StreamResponse | None:
        carrier, loop = self._carrier, asyncio.get_running_loop()
        gateway = carrier.at(address)
        peer = _Passage(request.peer, gateway)
        asking = carrier.world.loop.world(
            carrier.ask(gateway, _passed_on(request, peer), 10_000.0), "relayed media"
        )
        until = loop.time() + ANSWER_SECONDS
        while not peer.through and not asking.done() and loop.time() < until:
            await asyncio.sleep(LOOK)
        if not peer.through:
            peer.dead = True
            asking.cancel()
            await asyncio.wait([asking])
            if not asking.cancelled() and asking.exception() is None:
                raise web.HTTPForbidden
            return None
        carrier.world.facts["relayed streams"] += 1
        asking.add_done_callback(_looked_at, context=WORLD)
        try:
            await asyncio.wait([asking])
        finally:
            if not asking.done():
                # this process lets go of the connection: the carrier's side breaks
                request.peer.lose()
        return cast("web.StreamResponse", SimpleNamespace(status=101))


class _Passage:
    """The carrier's end of a socket that leads through another process."""

    def __init__(self, stream: Any, gateway: Gateway) -> None:
        self._stream = stream
        self._gateway = gateway
        self.through = False
        self.dead = False

    def accepted(self, socket: doors.SimSocket) -> None:
        if self.dead:
            socket.broke()
            return
        self.through = True
        self._stream.process = self._gateway.process
        self._gateway.process.watch(self._stream.lose)
        self._stream.accepted(socket)

    def take(self, text: str) -> None:
        self._stream.take(text)

    def closed(self, code: int) -> Any:
        return self._stream.closed(code)


def _passed_on(request: Any, peer: Any) -> doors.SimRequest:
    made = doors.SimRequest(request.method, request.url, request.form, peer)
    made.headers = {RELAYED: "1"}
    return made


def _looked_at(task: asyncio.Task[tuple[int, str]]) -> None:
    if not task.cancelled():
        task.exception()
