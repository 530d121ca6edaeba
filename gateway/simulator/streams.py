"""The media streams of one call, one after the other: most calls have one, a lost socket makes another."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from gateway.clock import Clock
from gateway.simulator.line import Line, LineEnd, Witness
from gateway.simulator.media_socket import MediaSocket, NotOpened, open_socket
from gateway.simulator.plan import CallPlan, GatewayTarget
from gateway.simulator.result import Reconnect
from gateway.simulator.twiml import ConnectStream
from gateway.simulator.webhook import CallFailed, Webhooks
from gateway.simulator.wire import StreamWriter

MAX_STREAMS: Final = 10
"""A call whose sockets end more often, and which is still connected again, goes in circles."""


@dataclass(frozen=True, slots=True)
class Reports:
    """Whom a stream tells what happens."""

    moment: Callable[[str], None]
    problem: Callable[[str | None], None]
    status: Callable[[], Awaitable[None]]
    """Send the call's final status callback."""


class Streams:
    """Opens one stream at a time; what outlives a stream is in the witness."""

    def __init__(
        self,
        plan: CallPlan,
        target: GatewayTarget,
        webhooks: Webhooks,
        witness: Witness,
        clock: Clock,
        reports: Reports,
    ) -> None:
        self._plan = plan
        self._target = target
        self._webhooks = webhooks
        self._witness = witness
        self._clock = clock
        self._reports = reports
        self._tries = 0
        self._ended_ms = 0
        self.began: float | None = None
        """When the first stream started: the zero of the call's time line."""
        self.sids: list[str] = []
        self.ends: list[LineEnd] = []
        self.reconnects: list[Reconnect] = []
        self.unopened = ""
        """Why the last try to open one failed, if it did."""

    def at_ms(self) -> int:
        """Now, on the call's time line."""
        return 0 if self.began is None else round((self._clock.now() - self.began) * 1000)

    async def hold(self, verb: ConnectStream, call_sid: str, hang_up: asyncio.Event) -> str:
        """Open a stream and hold it to its end; who ended it, or `nobody` where it never came up.

        Raises `CallFailed` where the carrier would give up.
        """
        if self._tries == MAX_STREAMS:
            raise CallFailed(f"more than {MAX_STREAMS} media streams: the call goes in circles")
        self._tries += 1
        url, headers = self._webhooks.socket(verb.url)
        stream_sid = f"MZ{secrets.token_hex(16)}"
        try:
            async with open_socket(url, headers) as socket:
                end = await self._hold(socket, verb, call_sid, stream_sid, hang_up)
        except NotOpened as failure:
            self.unopened = str(failure)
            self._reports.moment(str(failure))
            await self._tell(verb, "stream-error", stream_sid, error=str(failure))
            return "nobody"
        self.ends.append(end)
        self._ended_ms = self.at_ms()
        if end.by == "lost":
            self._witness.caller.stay()
        self._reports.moment(_farewell(end))
        await self._tell(verb, "stream-stopped", stream_sid)
        return end.by

    async def _hold(
        self,
        socket: MediaSocket,
        verb: ConnectStream,
        call_sid: str,
        stream_sid: str,
        hang_up: asyncio.Event,
    ) -> LineEnd:
        self.began = self._clock.now() if self.began is None else self.began
        self.sids.append(stream_sid)
        self.unopened = ""
        if self.ends:
            self._go_on()
        await self._tell(verb, "stream-started", stream_sid)
        line = Line(
            socket,
            StreamWriter(stream_sid, call_sid, self._target.account_sid),
            self._witness,
            stream_sid=stream_sid,
            clock=self._clock,
            offset_ms=self.at_ms(),
            hang_up=hang_up,
            max_seconds=self._plan.max_seconds,
        )
        # A socket is lost on purpose once; the stream that follows is ended by a caller who hangs up.
        lost_before = any(end.by == "lost" for end in self.ends)
        ending = "stop" if lost_before and self._plan.ending == "lost" else self._plan.ending
        return await line.run(verb.parameters, ending, self._reports.status)

    def _go_on(self) -> None:
        """The call has a stream again."""
        at_ms = self.at_ms()
        self.reconnects.append(Reconnect(self._ended_ms, at_ms))
        self._witness.caller.reconnected(at_ms)
        if self._witness.tape is not None:
            self._witness.tape.skip_to(at_ms)
        self._reports.moment(f"is connected again after {(at_ms - self._ended_ms) / 1000:.1f} s")

    async def _tell(
        self, verb: ConnectStream, event: str, stream_sid: str, *, error: str = ""
    ) -> None:
        if verb.status_callback is None:
            return
        problem = await self._webhooks.stream_status(
            verb.status_callback,
            event,
            stream_sid,
            self._clock.wall(),
            name=verb.name,
            error=error,
        )
        self._reports.problem(problem)


def _farewell(end: LineEnd) -> str:
    match end.by:
        case "caller":
            return "the caller hung up"
        case "rest":
            return "the gateway hung up through the carrier's REST interface"
        case "lost":
            return "the media socket was lost"
        case "gateway":
            return f"the gateway closed the media socket ({end.close_code})"
