"""A load balancer on loopback, as plain as they come: TCP, in turn, and whoever is ill gets nobody.

Connections stay where they are; a WebSocket is one connection like any other.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import aiohttp
from yarl import URL

LOOK_EVERY = 0.5
"""Seconds between two questions for a member's health."""
PATIENCE = 1.0
"""Seconds a member has to answer that, or to take a connection."""

Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Balancer:
    """Listens at `url`; `members` may come and go at any time."""

    def __init__(self) -> None:
        self.url = ""
        self._members: list[str] = []
        self._ready: set[str] = set()
        self._turn = 0
        self._carrying: set[asyncio.Task[None]] = set()
        self._pipes: set[tuple[asyncio.Task[None], asyncio.Task[None]]] = set()

    def add(self, member: str) -> None:
        """It is ready until it says otherwise."""
        self._members.append(member)
        self._ready.add(member)

    def remove(self, member: str) -> None:
        self._members.remove(member)
        self._ready.discard(member)

    async def look(self, http: aiohttp.ClientSession) -> None:
        """Ask everybody for their health, for ever."""
        while True:
            members = tuple(self._members)
            healthy = await asyncio.gather(*(_is_ready(http, member) for member in members))
            self._ready = {one for one, ready in zip(members, healthy, strict=True) if ready}
            await asyncio.sleep(LOOK_EVERY)

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, from its beginning to its end."""
        task = asyncio.current_task()
        assert task is not None
        self._carrying.add(task)
        task.add_done_callback(self._carrying.discard)
        try:
            for member in self._candidates():
                with contextlib.suppress(OSError, TimeoutError):
                    async with asyncio.timeout(PATIENCE):
                        near = await asyncio.open_connection(member.host, member.port)
                    await self._join((reader, writer), near)
                    return
        finally:
            writer.transport.abort()

    def _candidates(self) -> Iterator[URL]:
        """Those that are ready, each time beginning with the next; the others where all else fails."""
        self._turn += 1
        ready = [one for one in self._members if one in self._ready]
        first = self._turn % len(ready) if ready else 0
        rest = [one for one in self._members if one not in self._ready]
        yield from map(URL, [*ready[first:], *ready[:first], *rest])

    def cut(self, chosen: Callable[[], bool] = lambda: True) -> int:
        """Reset every open connection of which `chosen` says so, at both ends; how many."""
        cut = [pipe for pipe in self._pipes if chosen()]
        for pipe in cut:
            for copy in pipe:
                copy.cancel()
        return len(cut)

    async def close(self) -> None:
        while self._carrying:
            self.cut()
            await asyncio.wait(self._carrying, timeout=0.1)

    async def _join(self, far: Ends, near: Ends) -> None:
        """Pass bytes both ways; a connection that breaks on one side breaks on the other."""
        pipe = (
            asyncio.create_task(_copy(far[0], near[1])),
            asyncio.create_task(_copy(near[0], far[1])),
        )
        self._pipes.add(pipe)
        try:
            done, _ = await asyncio.wait(pipe, return_when=asyncio.FIRST_EXCEPTION)
            for copy in done:
                with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                    copy.result()
        finally:
            self._pipes.discard(pipe)
            for copy in pipe:
                copy.cancel()
            await asyncio.wait(pipe)
            near[1].transport.abort()


@asynccontextmanager
async def running_balancer(http: aiohttp.ClientSession) -> AsyncIterator[Balancer]:
    balancer = Balancer()
    server = await asyncio.start_server(balancer.carry, "127.0.0.1", 0, backlog=512)
    host, port = server.sockets[0].getsockname()[:2]
    balancer.url = f"http://{host}:{port}"
    looking = asyncio.create_task(balancer.look(http), name="balancer's health checks")
    try:
        yield balancer
    finally:
        looking.cancel()
        await asyncio.wait([looking])
        server.close()
        await balancer.close()


async def _is_ready(http: aiohttp.ClientSession, member: str) -> bool:
    timeout = aiohttp.ClientTimeout(total=PATIENCE)
    try:
        async with http.get(f"{member}/readyz", timeout=timeout) as answer:
            return answer.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()
    writer.write_eof()
