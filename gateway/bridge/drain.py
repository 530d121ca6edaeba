"""No more calls are taken; those there are end by themselves, and after a while politely."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from gateway.bridge.admission import Admission
from gateway.bridge.calls import Calls
from gateway.bridge.takeover import Takeovers
from gateway.call import events as ev
from gateway.clock import Clock

CLOSING_SECONDS: Final = 12.0
"""After the drain time: for the closing phrase, the hang-up and the finish of every call."""
HURRIED_SECONDS: Final = 3.0
"""How long ended calls may take to settle where the end is hurried."""


class Drain:
    """The last part of a process's life, as far as its calls are concerned."""

    def __init__(
        self, calls: Calls, takeovers: Takeovers, admission: Admission, clock: Clock
    ) -> None:
        self._calls = calls
        self._takeovers = takeovers
        self._admission = admission
        self._clock = clock

    async def run(
        self, seconds: float, hurry: asyncio.Event | None, carries: Callable[[], bool]
    ) -> None:
        """Wait for the calls, then end them (`Switchboard.drain`)."""

        def expects() -> bool:
            return bool(self._takeovers) or self._admission.coming > 0 or carries()

        def busy() -> bool:
            return bool(self._calls) or expects()

        def talking() -> bool:
            """A caller is on a line, or may still come to be."""
            return self._calls.live > 0 or expects()

        self._admission.closed = True
        await self._wait_while(busy, seconds, hurry)
        self._calls.part()
        await self._wait_while(talking, CLOSING_SECONDS)
        for bridge in self._calls:
            if bridge.live:
                bridge.feed(ev.CallerGone("drain"))
        await self._wait_while(busy, HURRIED_SECONDS)
        await self._wait_while(busy, CLOSING_SECONDS - HURRIED_SECONDS, hurry)

    async def _wait_while(
        self, busy: Callable[[], bool], seconds: float, hurry: asyncio.Event | None = None
    ) -> None:
        clock = self._clock
        until = clock.now() + seconds
        while busy() and clock.now() < until and not (hurry and hurry.is_set()):  # noqa: ASYNC110
            await asyncio.sleep(min(0.1, max(0.0, until - clock.now())))
