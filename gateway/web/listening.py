"""The port: binds it, lets connections in through the gate, and takes them down in order.

aiohttp's own sites would hand a connection straight to its protocol; ours has a guard before it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from gateway.log import fact
from gateway.web.guard import Gate, Limits, Why

_log = logging.getLogger(__name__)

MAX_HEADERS: Final = 64
"""Fields of one request; the carrier sends some 15, a chain of proxies adds as many."""
LINGER_SECONDS: Final = 2.0
"""How long the rest of a refused body is read, so that the refusal is not lost with it."""
BACKLOG: Final = 512
LOOK_SECONDS: Final = 0.5
"""Between two looks for connections that are late."""
CLOSING_SECONDS: Final = 2.0
QUIET: Final[frozenset[Why]] = frozenset({"idle"})
"""What is in the order of things and worth no warning."""


class Port:
    """Takes connections for one application, on as many addresses as it is bound to."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._servers: list[asyncio.Server] = []

    async def bind(self, host: str, port: int, *, shared: bool = False) -> tuple[str, int]:
        """Listen there too; returns where. `shared`: other processes may listen on the same port.

        Raises OSError when the address cannot be had.
        """
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            self._gate, host, port, backlog=BACKLOG, reuse_port=shared or None
        )
        self._servers.append(server)
        bound = server.sockets[0].getsockname()
        return str(bound[0]), int(bound[1])

    def close(self) -> None:
        """Take no new connections."""
        for server in self._servers:
            server.close()


@asynccontextmanager
async def open_port(
    app: web.Application,
    *,
    limits: Limits | None = None,
    on_cut: Callable[[Why], None] | None = None,
) -> AsyncIterator[Port]:
    """Serve the application wherever the port is bound, for the time of the context.

    All its addresses share the limits. `on_cut` hears of every connection that was cut off.
    """
    loop = asyncio.get_running_loop()
    runner = web.AppRunner(
        app,
        access_log=None,
        handle_signals=False,
        shutdown_timeout=CLOSING_SECONDS,
        logger=_ProtocolLog(),
        max_headers=MAX_HEADERS,
        lingering_time=LINGER_SECONDS,
        # Nobody compresses a form of 2 KiB: what is not unpacked is no bomb.
        auto_decompress=False,
    )
    await runner.setup()
    try:
        assert runner.server is not None
        cut = Counter[Why]()

        def tell(why: Why) -> None:
            cut[why] += 1
            if on_cut is not None:
                on_cut(why)

        gate = Gate(runner.server, limits or Limits(), loop.time, tell)
        port = Port(gate)
        watch = loop.create_task(_watch(gate, cut), name="connection guard")
        try:
            yield port
        finally:
            port.close()
            watch.cancel()
            with suppress(asyncio.CancelledError):
                await watch
    finally:
        await runner.cleanup()


async def _watch(gate: Gate, cut: Counter[Why]) -> None:
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        gate.cut_late()
        # One line for all of them: a flood of connections must not become one of lines.
        for why, count in cut.items():
            level = logging.DEBUG if why in QUIET else logging.WARNING
            fact(_log, "http.cut-off", level=level, why=why, count=count)
        cut.clear()


class _ProtocolLog:
    """What aiohttp's protocol says, which would else print whatever a stranger sends, with a trace.

    Its complaint about a request that is none quotes the line at fault: a token may be in it.
    """

    def debug(self, message: str, *_args: object, **_kwargs: Any) -> None:
        """Say nothing: these are the comings and goings of single connections."""

    def exception(self, message: str, *_args: object, exc_info: object = None) -> None:
        if isinstance(exc_info, HttpProcessingError):
            kind = type(exc_info).__name__
            fact(_log, "http.malformed", level=logging.DEBUG, kind=kind)
            return
        error = exc_info if isinstance(exc_info, BaseException) else None
        fact(_log, "http.failed", level=logging.ERROR, exc=error, what=message)
