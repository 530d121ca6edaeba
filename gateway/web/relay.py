"""The way to the replica that has a call: requests and sockets pass through as the carrier sent them.

The carrier's signature covers the public address and the path, not the machine it reached: the other
replica checks it itself, and needs to trust nobody.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import aiohttp
from aiohttp import WSMsgType, web

from gateway.log import fact

_log = logging.getLogger(__name__)

RELAYED: Final = "X-Voice-Gateway-Relayed"
"""Marks what was passed on once: it is not passed on again."""
CONNECT_SECONDS: Final = 1.0
ANSWER_SECONDS: Final = 2.0
"""How long the other replica may take; the carrier's own patience is 15 s, the caller's is less."""
MAX_FRAME_BYTES: Final = 16 * 1024 * 1024
NOT_PASSED_ON: Final = frozenset(
    {
        *("connection", "upgrade", "host", "content-length", "transfer-encoding", "keep-alive"),
        *("sec-websocket-key", "sec-websocket-version", "sec-websocket-extensions"),
    }
)
"""Headers of one connection, which say nothing about the request."""


@asynccontextmanager
async def open_relay() -> AsyncIterator[Relay]:
    """Connections to other replicas, for the time of the context."""
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(
        connector=connector,
        timeout=timeout,
        cookie_jar=aiohttp.DummyCookieJar(),
        middlewares=(_no_redirects,),
    ) as session:
        yield Relay(session)


async def _no_redirects(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """What the carrier signed goes to its replica and nowhere else; a handshake has no switch for that."""
    answer = await handler(request)
    if 300 <= answer.status < 400:
        answer.close()
        raise aiohttp.ClientError("answered with a redirect")
    return answer


class Relay:
    """Passes the carrier's requests on to other replicas."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session
        self.streams = 0
        """Media streams that are carried to other replicas now."""

    async def alive(self, address: str, replica: str) -> bool:
        """Whether the process that answers there is this very replica (`bridge.house.Probe`)."""
        try:
            async with (
                asyncio.timeout(CONNECT_SECONDS),
                self._session.get(f"{address}/healthz") as answer,
            ):
                said = await answer.json()
        except (aiohttp.ClientError, TimeoutError, ValueError, RecursionError):
            return False
        return isinstance(said, dict) and said.get("process") == process_mark(replica)

    async def request(self, request: web.Request, address: str) -> web.Response | None:
        """The other replica's answer; None: it cannot be reached, or does not answer in time."""
        try:
            async with (
                asyncio.timeout(ANSWER_SECONDS),
                self._session.post(
                    f"{address}{request.raw_path}",
                    data=await request.read(),
                    headers=_passed_on(request),
                ) as answer,
            ):
                body = await answer.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            _tell(address, error)
            return None
        if answer.status >= 500:
            return None
        return web.Response(
            body=body,
            status=answer.status,
            headers={"Content-Type": answer.headers.get("Content-Type", "text/plain")},
        )

    async def socket(self, request: web.Request, address: str) -> web.StreamResponse | None:
        """Carry a media stream to the other replica to its end; None: it cannot be reached.

        Where the other replica's side breaks, the carrier's is broken too, without a goodbye: it asks
        what is next.
        """
        self.streams += 1
        try:
            return await self._stream(request, address)
        finally:
            self.streams -= 1

    async def _stream(self, request: web.Request, address: str) -> web.StreamResponse | None:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                there = await self._session.ws_connect(
                    f"{address}{request.raw_path}",
                    headers=_passed_on(request),
                    max_msg_size=MAX_FRAME_BYTES,
                    autoclose=False,
                    autoping=True,
                )
        except aiohttp.WSServerHandshakeError as error:
            if error.status < 500:
                raise web.HTTPForbidden from None
            _tell(address, error)
            return None
        except (aiohttp.ClientError, TimeoutError) as error:
            _tell(address, error)
            return None
        here = web.WebSocketResponse(
            compress=False, max_msg_size=MAX_FRAME_BYTES, autoclose=False, timeout=1.0
        )
        async with there:
            await here.prepare(request)
            fact(_log, "media.relayed", to=address)
            await _both_ways(here, there, request.transport)
        return here


async def _both_ways(
    here: web.WebSocketResponse,
    there: aiohttp.ClientWebSocketResponse,
    transport: asyncio.Transport | None,
) -> None:
    """Until either side has ended; the other is told how."""
    out = asyncio.create_task(_carry(here, there), name="relay to the other replica")
    back = asyncio.create_task(_carry(there, here), name="relay to the carrier")
    try:
        await asyncio.wait({out, back}, return_when=asyncio.FIRST_COMPLETED)
        if back.done() and (there.close_code is None or there.close_code == 1006):
            if transport is not None:
                transport.abort()
            return
        if back.done():
            await here.close(code=there.close_code or 1000)
        else:
            await there.close(code=here.close_code or 1000)
    finally:
        for task in (out, back):
            task.cancel()
        await asyncio.gather(out, back, return_exceptions=True)


async def _carry(
    source: web.WebSocketResponse | aiohttp.ClientWebSocketResponse,
    sink: web.WebSocketResponse | aiohttp.ClientWebSocketResponse,
) -> None:
    while True:
        message = await source.receive()
        if message.type is WSMsgType.TEXT:
            await sink.send_str(message.data)
        elif message.type is WSMsgType.BINARY:
            await sink.send_bytes(message.data)
        else:
            return


def process_mark(replica: str) -> str:
    """Tells one process from another, and nothing else."""
    return hashlib.sha256(replica.encode()).hexdigest()[:16]


def _passed_on(request: web.Request) -> dict[str, str]:
    kept = {
        name: value for name, value in request.headers.items() if name.lower() not in NOT_PASSED_ON
    }
    return {**kept, RELAYED: "1"}


def _tell(address: str, error: Exception) -> None:
    fact(
        _log,
        "replica.unreachable",
        level=logging.WARNING,
        address=address,
        reason=str(error)[:100] or type(error).__name__,
    )
