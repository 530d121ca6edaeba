"""Who may keep a connection open, and for how long: strangers must not crowd out live calls.

aiohttp bounds lines, fields and bodies, but not the time in which they come, nor the number of
connections. A `Guard` stands before its protocol on every connection: it knows when the first byte
of a request came, the middleware `timed` tells it when the head was whole and when the answer was
made. Whoever is late is cut off. A media stream is not: once the upgrade is answered the guard
takes itself out of the transport, so fifty messages a second pass it by.

When all places are taken, room is made for whoever comes by cutting off the connection that has
waited longest without a request; those that never made one go first. So a flood of half-open
connections pushes out itself, and a webhook, whose request comes with the connection, gets in.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Final, Literal, cast

from aiohttp import web

Why = Literal["slow-head", "slow-request", "idle", "crowded", "full"]
"""Why a connection was cut off; `full`: it was not even let in."""

WHYS: Final[tuple[Why, ...]] = ("slow-head", "slow-request", "idle", "crowded", "full")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds for connections that carry no media stream; seconds unless said otherwise."""

    connections: int = 512
    """Open at once. The carrier's webhooks last milliseconds: 200 calls use a few of them."""
    head: float = 10.0
    """From the connection, or from the first byte of a later request, to the end of its head."""
    request: float = 20.0
    """From there to the answer, the body included; the carrier itself waits 15."""
    idle: float = 75.0
    """Between two requests. Proxies keep a connection 60 by default, and should be the first to close."""


class Gate:
    """Makes the protocol of each new connection, and knows all that carry no media stream.

    `now` is the event loop's clock, `make_protocol` aiohttp's own factory, `tell` hears of every
    connection that was cut off.
    """

    def __init__(
        self,
        make_protocol: Callable[[], asyncio.Protocol],
        limits: Limits,
        now: Callable[[], float],
        tell: Callable[[Why], None],
    ) -> None:
        self.limits = limits
        self.now = now
        self._make_protocol = make_protocol
        self._tell = tell
        # Ordered as they began to wait: the first is the one that has waited longest.
        self._new: dict[Guard, None] = {}
        self._idle: dict[Guard, None] = {}
        self._busy: dict[Guard, None] = {}

    def __call__(self) -> asyncio.Protocol:
        return Guard(self, self._make_protocol())

    @property
    def count(self) -> int:
        """Connections that take up room."""
        return len(self._new) + len(self._idle) + len(self._busy)

    def admit(self, guard: Guard) -> bool:
        """Give a new connection a place, if need be another's; False when none can be had."""
        if self.count >= self.limits.connections:
            oldest = next(iter(self._new), None) or next(iter(self._idle), None)
            if oldest is None:
                self._tell("full")
                return False
            self._cut(oldest, "crowded")
        self._new[guard] = None
        return True

    def forget(self, guard: Guard) -> None:
        """It is closed, or carries a media stream now."""
        for place in (self._new, self._idle, self._busy):
            place.pop(guard, None)

    def busy(self, guard: Guard) -> None:
        self.forget(guard)
        self._busy[guard] = None

    def idle(self, guard: Guard) -> None:
        self.forget(guard)
        self._idle[guard] = None

    def cut_late(self) -> None:
        """Cut off whoever has had more time than is allowed."""
        now = self.now()
        for guard in [one for one in self._all() if one.deadline <= now]:
            self._cut(guard, guard.late)

    def _all(self) -> Iterator[Guard]:
        for place in (self._new, self._idle, self._busy):
            yield from place

    def _cut(self, guard: Guard, why: Why) -> None:
        self.forget(guard)
        guard.cut()
        self._tell(why)


class Guard(asyncio.Protocol):
    """One connection: hands everything on to aiohttp's protocol and minds the time."""

    def __init__(self, gate: Gate, protocol: asyncio.Protocol) -> None:
        self.deadline = 0.0
        """By the loop's clock; checked now and then, so it is passed by up to that much."""
        self.late: Why = "slow-head"
        """What it is to be cut off for, once the deadline has passed."""
        self._gate = gate
        self._protocol = protocol
        self._transport: asyncio.Transport | None = None
        self._waiting = False
        self._inside = False
        self._outside = False
        """Closed, or let through: its handler may still be at work, but it takes up no room."""

    # ------------------------------------------------------------ what the transport tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one by its methods only
        if not self._gate.admit(self):
            self.cut()
            return
        self._inside = True
        self._until(self._gate.limits.head, "slow-head")
        self._protocol.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if self._waiting:
            self._waiting = False
            self._until(self._gate.limits.head, "slow-head")
        if self._inside:
            self._protocol.data_received(data)

    def eof_received(self) -> bool | None:
        return self._protocol.eof_received() if self._inside else None

    def connection_lost(self, exc: Exception | None) -> None:
        self._outside = True
        self._gate.forget(self)
        if self._inside:
            self._protocol.connection_lost(exc)

    def pause_writing(self) -> None:
        if self._inside:
            self._protocol.pause_writing()

    def resume_writing(self) -> None:
        if self._inside:
            self._protocol.resume_writing()

    # ------------------------------------------------------------ what the application tells

    def began(self) -> None:
        """The head of a request is whole."""
        if self._outside:
            return
        self._waiting = False
        self._gate.busy(self)
        self._until(self._gate.limits.request, "slow-request")

    def ended(self) -> None:
        """Its answer is made; a client too slow to take it in has as long as an idle one."""
        if self._outside:
            return
        self._waiting = True
        self._gate.idle(self)
        self._until(self._gate.limits.idle, "idle")

    def let_through(self) -> None:
        """The answer is a stream that may last: from now on nothing here concerns it."""
        self._outside = True
        self._gate.forget(self)
        if self._transport is not None:
            self._transport.set_protocol(self._protocol)

    # ------------------------------------------------------------ what the gate does

    def cut(self) -> None:
        """Close without a farewell: whoever does not read would keep that waiting too."""
        self._outside = True
        if self._transport is not None:
            self._transport.abort()

    def _until(self, seconds: float, why: Why) -> None:
        self.deadline = self._gate.now() + seconds
        self.late = why


def guard_of(request: web.Request) -> Guard | None:
    """The guard of the connection that a request came on; None where none stands, as in tests."""
    protocol = request.transport.get_protocol() if request.transport is not None else None
    return protocol if isinstance(protocol, Guard) else None


@web.middleware
async def timed(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Tell the guard when a request is being answered, and when it has been."""
    guard = guard_of(request)
    if guard is None:
        return await handler(request)
    guard.began()
    try:
        return await handler(request)
    finally:
        guard.ended()


async def let_streams_through(request: web.Request, response: web.StreamResponse) -> None:
    """For `on_response_prepare`: a media socket, or any answer that is not whole yet, may last."""
    guard = None if isinstance(response, web.Response) else guard_of(request)
    if guard is not None:
        guard.let_through()
