"""A witness of the wire: a real HTTP server that writes down what it is sent and answers as told.

It knows nothing of the API's rules; each test says what to answer. `RawPeer` is the same below
HTTP, for what no decent server would do.
"""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import formatdate
from urllib.parse import parse_qsl

from aiohttp import web

from gateway.amigo import AmigoClient, AmigoOptions, InteractionStream
from gateway.amigo.models import RevisionSetting
from gateway.amigo.stream import InteractionEvent
from gateway.ids import ConversationId, UserId

USER = UserId("user-1")
SERVICE = "5a9db0c55a9db0c55a9db0c5"
CID = ConversationId("66a1b2c3d4e5f60718293a4b")
WALL = 1_770_000_000.0
SECRET = "the-api-key"

NDJSON = "application/x-ndjson"
COMPLETE = (
    b'{"type":"interaction-complete","message_id":"m","interaction_id":"i","full_message":"Hi"}\n'
)
HEARD = b'{"type":"user-message-available","message_id":"u","user_message":"yes"}\n'
GREETING = (
    b'{"type":"conversation-created","conversation_id":"66a1b2c3d4e5f60718293a4b"}\n' + COMPLETE
)


class HandClock:
    """Time that stands still until a test moves it."""

    def __init__(self) -> None:
        self.seconds = 1000.0
        self.skew = 0.0

    def now(self) -> float:
        return self.seconds

    def wall(self) -> float:
        return WALL + self.seconds - 1000.0 + self.skew


@dataclass
class Seen:
    """One request as it came over the wire."""

    operation: str
    method: str
    target: str
    headers: dict[str, str]
    peer: tuple[str, int]
    pieces: list[bytes] = field(default_factory=list)
    arrived: asyncio.Queue[bytes] = field(default_factory=asyncio.Queue)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    cut: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> list[tuple[str, str]]:
        return parse_qsl(self.target.partition("?")[2], keep_blank_values=True)

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)


Answer = Callable[[web.Request, Seen], Awaitable[web.StreamResponse]]


async def read_body(request: web.Request, seen: Seen) -> None:
    """Read to the end of the body, chunk by chunk as the client cut it."""
    try:
        while request.can_read_body and not request.content.at_eof():
            piece, _ = await request.content.readchunk()
            if piece:
                seen.pieces.append(piece)
                seen.arrived.put_nowait(piece)
    except BaseException:
        seen.cut.set()
        raise
    seen.ended.set()


def stream(*parts: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Answer:
    """Read the whole body, then stream the parts one by one."""

    async def answer(request: web.Request, seen: Seen) -> web.StreamResponse:
        await read_body(request, seen)
        response = web.StreamResponse(status=status, headers=headers)
        response.content_type = NDJSON
        await response.prepare(request)
        for part in parts:
            await response.write(part)
        await response.write_eof()
        return response

    return answer


def refuse(
    status: int, body: object = None, *, headers: dict[str, str] | None = None, early: bool = False
) -> Answer:
    """Answer an error; `early` means without reading the body."""

    async def answer(request: web.Request, seen: Seen) -> web.StreamResponse:
        if not early:
            await read_body(request, seen)
        text = body if isinstance(body, str) else json.dumps(body)
        return web.Response(status=status, text=text, headers=headers)

    return answer


def say(value: object, status: int = 200, headers: dict[str, str] | None = None) -> Answer:
    """Read the body and answer JSON."""

    async def answer(request: web.Request, seen: Seen) -> web.StreamResponse:
        await read_body(request, seen)
        return web.json_response(value, status=status, headers=headers)

    return answer


def page(name: str, items: list[object], token: int | None = None) -> Answer:
    more = token is not None
    return say({name: items, "has_more": more, "continuation_token": token})


def operation_of(method: str, path: str) -> str:
    for end, operation in (
        ("/signin_with_api_key", "sign-in"),
        ("/interact", "interact"),
        ("/finish/", "finish"),
        ("/messages/", "messages"),
        ("/service/", "service"),
        ("/openapi.json", "openapi"),
    ):
        if path.endswith(end):
            return operation
    if path.endswith("/conversation/"):
        return "create" if method == "POST" else "conversations"
    return "unknown"


class Witness:
    """Answers each operation from its own list; the last answer of a list repeats."""

    def __init__(self) -> None:
        self.requests: list[Seen] = []
        self.base_url = ""
        self.token_seconds = 3600.0
        self._answers: defaultdict[str, deque[Answer]] = defaultdict(deque)
        self._arrived = asyncio.Condition()

    def on(self, operation: str, *answers: Answer) -> None:
        self._answers[operation] = deque(answers)

    def of(self, operation: str) -> list[Seen]:
        return [seen for seen in self.requests if seen.operation == operation]

    async def wait_for(self, operation: str, count: int = 1) -> Seen:
        """The latest request of that operation, once there have been so many."""
        async with self._arrived:
            await self._arrived.wait_for(lambda: len(self.of(operation)) >= count)
        return self.of(operation)[-1]

    async def sign_in(self, request: web.Request, seen: Seen) -> web.StreamResponse:
        await read_body(request, seen)
        number = len(self.of("sign-in"))
        expires = formatted(WALL + self.token_seconds)
        token = {"id_token": f"token-{number}", "expires_at": expires}
        return web.json_response(token, headers={"Date": formatdate(WALL, usegmt=True)})

    async def handle(self, request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        seen = Seen(
            operation=operation_of(request.method, request.raw_path.partition("?")[0]),
            method=request.method,
            target=request.raw_path,
            headers=dict(request.headers),
            peer=request.transport.get_extra_info("peername"),
        )
        async with self._arrived:
            self.requests.append(seen)
            self._arrived.notify_all()
        answers = self._answers[seen.operation]
        if not answers:
            default = self.sign_in if seen.operation == "sign-in" else refuse(404)
            return await default(request, seen)
        return await (answers.popleft() if len(answers) > 1 else answers[0])(request, seen)


def formatted(wall: float) -> str:
    """ISO 8601 the way the API writes it."""
    return datetime.fromtimestamp(wall, UTC).isoformat().replace("+00:00", "Z")


@asynccontextmanager
async def serving() -> AsyncIterator[Witness]:
    witness = Witness()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", witness.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    witness.base_url = f"http://{host}:{port}"
    try:
        yield witness
    finally:
        await runner.cleanup()


def options(
    base_url: str,
    *,
    revision: RevisionSetting = "2025-06",
    cluster_name: str | None = None,
    extra_query: tuple[tuple[str, str], ...] = (),
    call_seconds: float = 5.0,
) -> AmigoOptions:
    return AmigoOptions(
        base_url=base_url,
        organization="org one",
        api_key=SECRET,
        api_key_id="the-key-id",
        revision=revision,
        cluster_name=cluster_name,
        extra_query=extra_query,
        connect_seconds=2.0,
        call_seconds=call_seconds,
    )


Connect = Callable[..., Awaitable[AmigoClient]]


class Spoken:
    """A recording whose pieces are said one after the other, from the start each time."""

    sample_rate = 8000

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = pieces
        self.readings = 0
        self.closed = 0
        self.begun = asyncio.Event()

    async def chunks(self) -> AsyncIterator[bytes]:
        self.readings += 1
        self.begun.set()
        try:
            for piece in self.pieces:
                yield piece
        finally:
            self.closed += 1


class Speaking(Spoken):
    """A recording that goes on for as long as the test feeds it; None ends it."""

    def __init__(self, *pieces: bytes) -> None:
        super().__init__(*pieces)
        self.next: asyncio.Queue[bytes | None] = asyncio.Queue()

    async def chunks(self) -> AsyncIterator[bytes]:
        self.readings += 1
        try:
            for piece in self.pieces:
                yield piece
            while (said := await self.next.get()) is not None:
                yield said
        finally:
            self.closed += 1


class RawPeer:
    """A TCP server driven by the test: what came in, and whether the end was a reset."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.writers: list[asyncio.StreamWriter] = []
        self.connections: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = (
            asyncio.Queue()
        )

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        self.connections.put_nowait((reader, writer))

    async def next_connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """The next connection, past the sign-in that opens every conversation of a client."""
        reader, writer = await self.connections.get()
        await reader.readuntil(b"\r\n\r\n")
        token = b'{"id_token":"token-1","expires_at":"2099-01-01T00:00:00Z"}'
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(token), token))
        return reader, writer

    async def read_until(self, reader: asyncio.StreamReader, mark: bytes) -> None:
        while mark not in self.received:
            piece = await reader.read(65_536)
            assert piece, "the connection ended too early"
            self.received += piece

    async def read_to_end(self, reader: asyncio.StreamReader) -> str:
        """`reset`, or `closed` for an orderly end."""
        try:
            while piece := await reader.read(65_536):
                self.received += piece
        except ConnectionResetError:
            return "reset"
        return "closed"


@asynccontextmanager
async def raw_serving() -> AsyncIterator[tuple[RawPeer, str]]:
    peer = RawPeer()
    server = await asyncio.start_server(peer.accept, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()[:2]
    try:
        yield peer, f"http://{host}:{port}"
    finally:
        server.close()
        for writer in peer.writers:
            writer.transport.abort()
        await asyncio.sleep(0)


def client_tasks() -> list[str]:
    """Tasks of the client that are still alive, by what they do."""
    names = (getattr(task.get_coro(), "__qualname__", "") for task in asyncio.all_tasks())
    return [name for name in names if "ClientRequest" in name or "Tokens" in name]


async def read(stream: InteractionStream) -> list[InteractionEvent]:
    return [event async for event in stream]


async def speak(client: AmigoClient, voice: Spoken) -> list[InteractionEvent]:
    async with client.interact_voice(USER, CID, voice) as answer:
        return await read(answer)
