"""The pulse of this process: how late its event loop runs, and whether it stood still.

A process that was stopped for a while (a paused container, a machine that slept) may find that its
calls were taken up elsewhere. It must not act on them before it has asked; `stalled` is how a call
knows, and costs one comparison.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Final

from gateway.clock import Clock
from gateway.log import fact

_log = logging.getLogger(__name__)

INTERVAL: Final = 0.25
"""Seconds between two beats."""
STALL_SECONDS: Final = 2.0
"""Without a beat for so long, the process stood still: others may have acted in its place."""
REMEMBERED: Final = 8
"""Beats that new calls are judged by: two seconds of them."""


class Pulse:
    """Beats four times a second on the event loop it watches."""

    def __init__(self, clock: Clock, observe: Callable[[float], None]) -> None:
        self._clock = clock
        self._observe = observe
        self._last = clock.now()
        self._lags = deque[float](maxlen=REMEMBERED)

    @property
    def lag(self) -> float:
        """How late the loop ran most of its timers lately, seconds.

        One long step (a start, a disk that paused) is over before a call could be refused for it: only
        lateness that lasts counts, so this is the median, and nothing before there are beats enough.
        """
        if len(self._lags) < REMEMBERED:
            return 0.0
        return sorted(self._lags)[REMEMBERED // 2 - 1]

    @property
    def stalled(self) -> bool:
        """The process stood still, and `woken` was not told yet."""
        return self._clock.now() - self._last > STALL_SECONDS

    async def run(self, woken: Callable[[], None]) -> None:
        """Beat for the life of the process; `woken` is called when it had stood still."""
        while True:
            due = self._clock.now() + INTERVAL
            await asyncio.sleep(INTERVAL)
            now = self._clock.now()
            late = max(0.0, now - due)
            self._observe(late)
            self._lags.append(late)
            if self.stalled:
                fact(_log, "process.stood-still", level=logging.WARNING, seconds=round(late, 1))
                woken()
            self._last = now
