"""The calls of this process: a task for each, found by CallSid, their lines watched, given up at the end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Final, Self

from gateway.bridge.bridge import Bridge
from gateway.call import events as ev
from gateway.call.phases import Phase
from gateway.clock import Clock
from gateway.log import fact
from gateway.metrics import Metrics

_log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 1.0
"""Between two looks at the lines."""
LINE_SILENCE: Final = 5.0
"""Seconds without any message after which a media socket is dead: sound comes 50 times a second."""


class Calls:
    """Owns every call held here, from the carrier's question until nothing is owed; an async context manager."""

    def __init__(self, clock: Clock, metrics: Metrics, on_over: Callable[[Bridge], None]) -> None:
        """`on_over` is told of each call that this process no longer holds."""
        self._clock = clock
        self._metrics = metrics
        self._on_over = on_over
        self._closing = AsyncExitStack()
        self._tasks: asyncio.TaskGroup | None = None
        self._own: list[asyncio.Task[None]] = []
        self._bridges: dict[str, Bridge] = {}
        self._held: set[asyncio.Task[None]] = set()
        self.parting = False
        """This process is about to end: whoever is still here, or comes yet, hears the closing phrase."""

    async def __aenter__(self) -> Self:
        self._tasks = await self._closing.enter_async_context(asyncio.TaskGroup())
        self.run(self._watch_lines(), "watch lines")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for task in self._own:
            task.cancel()
        await self._closing.aclose()

    @property
    def tasks(self) -> asyncio.TaskGroup | None:
        """For work about calls of this process, which ends before they are let go; None: there are none yet."""
        return self._tasks

    def run(self, work: Coroutine[None, None, None], name: str) -> None:
        """Have this done for as long as there are calls."""
        if self._tasks is None:
            raise AssertionError("not entered")
        self._own.append(self._tasks.create_task(work, name=name))

    # ------------------------------------------------------------ which there are

    def __iter__(self) -> Iterator[Bridge]:
        """Every call as of now, whatever happens to them meanwhile."""
        return iter(list(self._bridges.values()))

    def __len__(self) -> int:
        """Calls not yet settled, those without a caller included."""
        return len(self._bridges)

    def __contains__(self, call_sid: object) -> bool:
        return call_sid in self._bridges

    def get(self, call_sid: str) -> Bridge | None:
        """The call, live or settling."""
        return self._bridges.get(call_sid)

    @property
    def live(self) -> int:
        """Calls whose caller is, or may come to be, on the line."""
        return sum(1 for bridge in self._bridges.values() if bridge.live)

    # ------------------------------------------------------------ from begin to end

    def begin(self, bridge: Bridge) -> None:
        """Hold this call to its end."""
        if self._tasks is None:
            raise AssertionError("not entered")
        sid = bridge.record.call_sid
        self._bridges[sid] = bridge
        task = self._tasks.create_task(self._hold(bridge), name=f"call {sid}")
        self._held.add(task)
        task.add_done_callback(self._held.discard)
        if self.parting:
            bridge.feed(ev.EndRequested("drain"))

    async def _hold(self, bridge: Bridge) -> None:
        """One call to its end; what breaks in it stays in it."""
        metrics, record = self._metrics, bridge.record
        metrics.calls_active.inc()
        try:
            await bridge.run()
        except Exception:  # noqa: BLE001 - the door of a call: logged and counted
            _log.exception("call.failed")
            record.end_reason = record.end_reason or "api-error"
        finally:
            metrics.calls_active.dec()
            if not bridge.disowned:
                metrics.calls_total.labels(
                    direction=record.direction, end_reason=record.end_reason or "api-error"
                ).inc()
            if self._bridges.get(record.call_sid) is bridge:
                del self._bridges[record.call_sid]
            self._on_over(bridge)

    def stop(self) -> None:
        """Give up what has not settled: the store knows what is owed."""
        for bridge in self:
            if bridge.session.phase is not Phase.ENDED:
                sid = bridge.record.call_sid
                fact(_log, "call.left-owing", level=logging.WARNING, call_sid=sid)
        for task in list(self._held):
            task.cancel()

    # ------------------------------------------------------------ all of them

    def part(self) -> None:
        """End every call politely, and those that come yet."""
        self.parting = True
        for bridge in self:
            bridge.feed(ev.EndRequested("drain"))

    def check_owners(self) -> None:
        """This process stood still: whose our calls are is asked before anything is decided."""
        for bridge in self:
            bridge.check_owner()

    async def _watch_lines(self) -> None:
        """A line that says nothing at all is a line that is gone.

        While this process stood still it heard nobody; what came meanwhile waits in the sockets.
        """
        due = self._clock.now() + LOOK_SECONDS
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            now = self._clock.now()
            late, due = max(0.0, now - due), now + LOOK_SECONDS
            for bridge in self:
                bridge.last_heard = min(now, bridge.last_heard + late)
                if bridge.line_silent(now, LINE_SILENCE):
                    sid = bridge.record.call_sid
                    fact(_log, "line.silent", level=logging.WARNING, call_sid=sid)
                    bridge.line_broke()
