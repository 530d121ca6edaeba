"""The only home of the HTTP session: sends one request, hands back its answer or `AmigoError`.

No repetition of any kind happens here, and no redirect is followed.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self, TypeAlias

import aiohttp
from yarl import URL

from gateway.amigo.refusal import refusal, request_id
from gateway.amigo.requests import Recording, Request
from gateway.amigo.upload import Upload
from gateway.errors import AmigoError, AmigoUnreachable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from gateway.amigo.models import AmigoOptions
    from gateway.clock import Clock

Observer: TypeAlias = "Callable[[str, int | None, float], None]"
"""Told of every request: operation, status or None if no answer came, seconds to its headers."""

_READ_AHEAD: Final = 256 * 1024
"""Bytes aiohttp buffers before it stops reading: some seconds of the agent's speech."""
_ERROR_BYTES: Final = 16 * 1024
_ERROR_SECONDS: Final = 2.0
"""An error's status is news at once; its body is only for the log and gets this long."""
_ANSWER_BYTES: Final = 32 * 1024 * 1024
_DNS_SECONDS: Final = 60


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Exchange:
    """A request whose answer has begun. `close` it on every path."""

    def __init__(
        self, request: Request, response: aiohttp.ClientResponse, upload: Upload | None
    ) -> None:
        self._operation = request.operation
        self._response = response
        self._upload = upload
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        self.request_id = request_id(response.headers, request.secrets)

    async def read(self) -> bytes:
        """What has arrived of the body, at least one byte; empty at its end.

        Raises `AmigoError` when the answer is cut off, or what the uploaded recording raised.
        Safe to cancel: nothing is lost.
        """
        try:
            return await self._response.content.readany()
        except (aiohttp.ClientError, OSError) as problem:
            raise self._failure(problem) from problem

    def salvage(self) -> bytes:
        """After `read` has raised: what had arrived before the cut and was not read yet."""
        content = self._response.content
        # aiohttp refuses to hand out a broken stream's buffer until the exception is taken off.
        content.set_exception(None)  # type: ignore[arg-type]
        return content.read_nowait()

    async def close(self) -> None:
        """Let go of the connection: kept for others after a complete exchange, else reset."""
        if self._upload is not None:
            self._upload.cut()
        connection = self._response.connection
        if connection is not None and connection.transport is not None:
            # Still held, so the answer has not ended and nobody will read the rest. An orderly
            # close would first flush, and over TLS wait for the peer's farewell.
            connection.transport.abort()
        self._response.close()
        if self._upload is not None:
            await self._upload.settled()

    def _failure(self, problem: Exception) -> Exception:
        if self._upload is not None and self._upload.failure is not None:
            return self._upload.failure
        return AmigoUnreachable(
            self._operation,
            detail=f"answer cut off: {_complaint(problem)}",
            request_id=self.request_id,
            retryable=True,
        )


class Transport:
    """One HTTP session to one service. An async context manager."""

    def __init__(self, options: AmigoOptions, clock: Clock, observe: Observer) -> None:
        self._options = options
        self._clock = clock
        self._observe = observe
        self._closing = AsyncExitStack()
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        options = self._options
        connector = aiohttp.TCPConnector(
            # Every live call may hold a stream; a limit would make calls wait for each other.
            limit=0,
            limit_per_host=0,
            keepalive_timeout=options.keep_alive_seconds,
            ttl_dns_cache=_DNS_SECONDS,
        )
        session = aiohttp.ClientSession(
            connector=connector,
            # No jar: a cookie given to one user must not travel with another's request.
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(
                total=None, connect=options.connect_seconds, sock_connect=options.connect_seconds
            ),
            read_bufsize=_READ_AHEAD,
            headers={"User-Agent": "voice-gateway"},
            skip_auto_headers=("Content-Type",),
        )
        self._session = await self._closing.enter_async_context(session)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._session = None
        await self._closing.aclose()

    async def open(self, request: Request) -> Exchange:
        """Send; return as soon as a success status is there, however much is still to upload.

        Raises `AmigoError` for any other status and when no answer comes. There is no time limit
        beyond that of connecting: whoever waits decides how long. Safe to cancel: the connection
        is reset before the cancellation goes on.
        """
        exchange = await self._send(request)
        if 200 <= exchange.status < 300:
            return exchange
        try:
            body = await _error_body(exchange)
        finally:
            await exchange.close()
        raise refusal(
            request.operation,
            exchange.status,
            exchange.headers,
            body,
            wall=self._clock.wall(),
            secrets=request.secrets,
        )

    async def fetch(self, request: Request) -> Reply:
        """Send and read the whole answer, within the options' `call_seconds`."""
        seconds = self._options.call_seconds
        try:
            async with asyncio.timeout(seconds):
                exchange = await self.open(request)
                try:
                    body = await _whole_body(request.operation, exchange)
                finally:
                    await exchange.close()
        except TimeoutError:
            detail = f"no complete answer within {seconds:g} s"
            raise AmigoUnreachable(request.operation, detail=detail, retryable=True) from None
        return Reply(exchange.status, exchange.headers, body)

    async def _send(self, request: Request) -> Exchange:
        if self._session is None:
            raise AmigoUnreachable(request.operation, detail="the client is closed")
        body = request.body
        upload = Upload(body) if isinstance(body, Recording) else None
        started = self._clock.now()
        status = None
        try:
            response = await self._session.request(
                request.method,
                URL(request.url, encoded=True),
                headers=request.headers,
                data=upload if upload is not None else body,
                allow_redirects=False,
            )
            status = response.status
        except (aiohttp.ClientError, OSError, ValueError) as problem:
            if upload is not None and upload.failure is not None:
                raise upload.failure from None
            raise _no_answer(request.operation, problem) from problem
        finally:
            self._observe(request.operation, status, self._clock.now() - started)
            if status is None and upload is not None:
                await upload.settled()
        return Exchange(request, response, upload)


async def _error_body(exchange: Exchange) -> bytes:
    """The beginning of an error's body, as far as it comes in time."""
    body = bytearray()
    try:
        async with asyncio.timeout(_ERROR_SECONDS):
            while len(body) < _ERROR_BYTES and (piece := await exchange.read()):
                body += piece
    except (TimeoutError, AmigoError):
        pass  # the status is what matters; the body only explains it
    return bytes(body[:_ERROR_BYTES])


async def _whole_body(operation: str, exchange: Exchange) -> bytes:
    body = bytearray()
    while piece := await exchange.read():
        body += piece
        if len(body) > _ANSWER_BYTES:
            raise AmigoError(operation, status=exchange.status, detail="answer too large")
    return bytes(body)


def _no_answer(operation: str, problem: Exception) -> AmigoError:
    hopeless = isinstance(
        problem,
        aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError | ValueError,
    )
    unsent = isinstance(
        problem,
        aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError | ValueError,
    )
    return AmigoUnreachable(
        operation, detail=_complaint(problem), retryable=not hopeless, asked=not unsent
    )


def _complaint(problem: Exception) -> str:
    """What the transport suffered, without its text: that may hold URLs and header values."""
    match problem:
        case aiohttp.ServerTimeoutError() | TimeoutError():
            return "timed out"
        case aiohttp.ClientConnectorDNSError():
            return "the host name cannot be resolved"
        case aiohttp.ClientConnectorCertificateError():
            return "the host's certificate is not trusted"
        case aiohttp.ClientSSLError():
            return "no secure connection can be agreed on"
        case aiohttp.ServerDisconnectedError():
            return "connection closed before an answer"
        case aiohttp.ClientPayloadError():
            return "incomplete body"
        case aiohttp.ClientResponseError():
            return "not an HTTP answer"
        case aiohttp.InvalidURL():
            return "the URL is not valid"
        case OSError():
            return problem.strerror or type(problem).__name__
        case ValueError():
            return "a header is not valid"
        case _:
            return type(problem).__name__
