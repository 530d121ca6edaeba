"""Connections from a gateway process to the API, with what aiohttp's client shows of them.

`Session` stands where `gateway.amigo.transport` has its `aiohttp.ClientSession`; everything above it
is the product's own. A connection has a latency, keeps the order of its bytes, and breaks when its
process dies.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Final, Self

import aiohttp

from gateway.amigo.models import AmigoOptions
from gateway.amigo.transport import Observer, Transport
from gateway.amigo.upload import Upload
from gateway.clock import Clock
from tests.simulation.loop import Process
from tests.simulation.world import World

STALL_SECONDS: Final = 10.0
"""An upload without a byte for so long is refused (408)."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as the server sees it."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    headers: Mapping[str, str]
    streamed: bool
    """The body comes as it is spoken."""


class Connection:
    """One request and its answer on the way between a process and the API."""

    def __init__(self, world: World, process: Process, latency: float) -> None:
        self.world = world
        self.process = process
        self.latency = latency
        self.began = world.loop.time()
        self.client_open = True
        """The truth about the client's end: it reads, or will."""
        self.broken = False
        """The server knows that the client is gone."""
        self.body = bytearray()
        self.ended = False
        """The body has ended cleanly."""
        self.read_to_end = False
        """The client has seen the answer's clean end."""
        self._written_at = 0.0
        self._server_waits: asyncio.Future[None] | None = None
        self.head: asyncio.Future[tuple[int, Mapping[str, str]]] | None = None
        self.answered = False
        """The server has begun to answer."""
        self.closed_by_server = False
        self.closed_at: float | None = None
        """When the client closed it by itself."""
        self._under_way: deque[Callable[[], None]] = deque()
        self._buffer = bytearray()
        self._eof = False
        self._error: Exception | None = None
        self._reader: asyncio.Future[None] | None = None
        self._watch = process.watch(self.client_gone)

    @property
    def recording(self) -> bytes:
        """The body from its first sample on; the few bytes after a WAV in a form are no frame."""
        begins = self.body.find(b"RIFF")
        return bytes(self.body[begins + 44 :]) if begins >= 0 else b""

    # ------------------------------------------------------------ the client's end

    def write(self, data: bytes) -> None:
        if self.client_open:
            self.body += data
            self._written_at = self.world.loop.time()

    def end_body(self) -> None:
        if self.client_open:
            self.world.loop.later(self.latency, self._body_ended)

    def client_gone(self) -> None:
        """The client's end is closed, reset, or its process dead."""
        if self.client_open:
            self.client_open = False
            self.closed_at = self.world.loop.time()
            self.process.unwatch(self._watch)
            self.world.loop.later(self.latency, self._reset)

    async def read(self) -> bytes:
        """As aiohttp's `StreamReader.readany`: an error hides what is still in the buffer."""
        if self._error is not None:
            raise self._error
        while not self._buffer and not self._eof:
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        data = bytes(self._buffer)
        self._buffer.clear()
        if self._eof and not data:
            self.read_to_end = True
            self.done()
        return data

    def done(self) -> None:
        """The answer was read to its end: the connection is the pool's again."""
        if self.client_open:
            self.client_open = False
            self.process.unwatch(self._watch)

    def take_off_error(self) -> None:
        self._error = None

    def salvage(self) -> bytes:
        data = bytes(self._buffer)
        self._buffer.clear()
        return data

    @property
    def at_end(self) -> bool:
        return self._eof and not self._buffer

    # ------------------------------------------------------------ the server's end

    async def whole_body(self) -> str:
        """Wait for the end of the body: `ended`, `reset` or `stalled`."""
        loop = self.world.loop
        self._written_at = max(self._written_at, loop.time())
        while not (self.ended or self.broken):
            left = self._written_at + STALL_SECONDS - loop.time()
            if left <= 0:
                return "stalled"
            self._server_waits = loop.create_future()
            handle = loop.later(left, self._wake_server)
            await self._server_waits
            handle.cancel()
        return "ended" if self.ended else "reset"

    def respond(self, status: int, headers: Mapping[str, str] | None = None) -> None:
        """The status and the headers of the answer."""
        self.answered = True
        self._send(lambda: self._take_head(status, headers or {}))

    def send(self, data: bytes) -> None:
        self._send(lambda: self._take(data))

    def end(self) -> None:
        """The answer ends cleanly."""
        if not self.closed_by_server:
            self._send(self._take_eof)
            self.closed_by_server = True

    def cut(self) -> None:
        """The connection breaks: a reset, or nothing but silence and then a reset."""
        if not self.closed_by_server:
            self._send(self._take_cut)
            self.closed_by_server = True

    def _send(self, effect: Callable[[], None]) -> None:
        if self.client_open and not self.closed_by_server:
            self._under_way.append(effect)
            self.world.loop.later(self.latency, self._arrive)

    # ------------------------------------------------------------ arrivals

    def _arrive(self) -> None:
        effect = self._under_way.popleft()
        if self.client_open:
            effect()

    def _take_head(self, status: int, headers: Mapping[str, str]) -> None:
        if self.head is not None and not self.head.done():
            self.head.set_result((status, headers))

    def _take(self, data: bytes) -> None:
        self._buffer += data
        self._wake_reader()

    def _take_eof(self) -> None:
        self._eof = True
        self._wake_reader()

    def _take_cut(self) -> None:
        if self.head is not None and not self.head.done():
            self.head.set_exception(aiohttp.ServerDisconnectedError())
            return
        self._error = aiohttp.ClientPayloadError("cut")
        reader = self._reader
        if reader is not None and not reader.done():
            reader.set_exception(self._error)

    def _wake_reader(self) -> None:
        reader = self._reader
        if reader is not None and not reader.done():
            reader.set_result(None)

    def _body_ended(self) -> None:
        if not self.broken:
            self.ended = True
            self._wake_server()

    def _reset(self) -> None:
        self.broken = True
        self._wake_server()

    def _wake_server(self) -> None:
        waits = self._server_waits
        if waits is not None and not waits.done():
            waits.set_result(None)


class _Writer:
    """What an upload writes to."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.transport = SimpleNamespace(
            abort=connection.client_gone, get_extra_info=lambda _name: None
        )

    async def write(self, data: bytes) -> None:
        self._connection.write(bytes(data))


class _Content:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def readany(self) -> bytes:
        return await self._connection.read()

    def set_exception(self, error: None) -> None:
        self._connection.take_off_error()

    def read_nowait(self) -> bytes:
        return self._connection.salvage()


class _Response:
    """As much of `aiohttp.ClientResponse` as the transport uses."""

    def __init__(
        self,
        status: int,
        headers: Mapping[str, str],
        connection: Connection,
        writer: asyncio.Task[None] | None,
    ) -> None:
        self.status = status
        self.headers = headers
        self.content = _Content(connection)
        self._connection = connection
        self._writer = writer

    @property
    def connection(self) -> object | None:
        if not self._connection.client_open:
            return None
        return SimpleNamespace(transport=SimpleNamespace(abort=self._connection.client_gone))

    def close(self) -> None:
        self._connection.client_gone()
        if self._writer is not None and not self._writer.done():
            self._writer.cancel()


class Fate:
    """What becomes of a request before the server has looked at it."""

    ARRIVES: Final = "arrives"
    REFUSED: Final = "connect-refused"
    NO_CONNECTION: Final = "connect-timeout"
    LOST: Final = "request-lost"


Server = Callable[[Asked, Connection], Awaitable[None]]


class Session:
    """Stands for `aiohttp.ClientSession` in one process."""

    def __init__(
        self,
        world: World,
        process: Process,
        serve: Server,
        fate: Callable[[Asked, str], str],
        latency: Callable[[], float],
        connect_seconds: float,
    ) -> None:
        self._world = world
        self._process = process
        self._serve = serve
        self._fate = fate
        self._latency = latency
        self._connect_seconds = connect_seconds

    async def request(
        self,
        method: str,
        url: Any,
        *,
        headers: tuple[tuple[str, str], ...],
        data: Upload | bytes | None,
        allow_redirects: bool,
    ) -> _Response:
        assert not allow_redirects
        streamed = isinstance(data, Upload)
        query = tuple(url.query.items())
        asked = Asked(method, url.path, query, dict(headers), streamed)
        latency = self._latency()
        fate = self._fate(asked, self._process.name)
        if fate == Fate.REFUSED:
            await asyncio.sleep(latency)
            key: Any = SimpleNamespace(ssl=None, host="api", port=443)
            raise aiohttp.ClientConnectorError(key, OSError(111, "refused"))
        if fate == Fate.NO_CONNECTION:
            await asyncio.sleep(self._connect_seconds)
            raise aiohttp.ConnectionTimeoutError
        connection = Connection(self._world, self._process, latency)
        loop = asyncio.get_running_loop()
        connection.head = loop.create_future()
        writer: asyncio.Task[None] | None = None
        if isinstance(data, Upload):
            writer = loop.create_task(_write(data, connection), name="upload")
        elif data:
            connection.write(data)
        if not streamed:
            connection.ended = True
        if fate == Fate.LOST:
            self._world.loop.later(3 * latency, connection.cut)
        else:
            self._world.loop.later(latency, self._arrived, asked, connection)
        try:
            status, answer = await connection.head
        except BaseException:
            connection.client_gone()
            if writer is not None and not writer.done():
                writer.cancel()
            raise
        return _Response(status, answer, connection, writer)

    def _arrived(self, asked: Asked, connection: Connection) -> None:
        self._world.loop.world(self._served(asked, connection), "api")

    async def _served(self, asked: Asked, connection: Connection) -> None:
        await self._serve(asked, connection)
        connection.end()

    async def close(self) -> None:
        """Nothing is kept alive here."""


async def _write(upload: Upload, connection: Connection) -> None:
    """As aiohttp's own writing task: a clean return ends the body."""
    writer: Any = _Writer(connection)
    await upload.write_with_length(writer, None)
    connection.end_body()


class SimTransport(Transport):
    """The product's transport over a `Session` of the simulation."""

    def __init__(
        self, options: AmigoOptions, clock: Clock, observe: Observer, session: Session
    ) -> None:
        super().__init__(options, clock, observe)
        self._stand_in = session

    async def __aenter__(self) -> Self:
        stand_in: Any = self._stand_in
        self._session = stand_in
        return self
