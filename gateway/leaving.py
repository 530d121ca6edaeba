"""The end of a process that carries calls: drained, settled, and what is left told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Final

from gateway.bridge.aftermath import Aftermath
from gateway.bridge.drain import HURRIED_SECONDS
from gateway.bridge.finisher import Finisher
from gateway.bridge.recovery import Recovery
from gateway.bridge.switchboard import Switchboard

SETTLE_SECONDS: Final = 20.0
"""After the last call: how long owed finishes are tried before the process gives them to the store."""
AFTERMATH_SECONDS: Final = 5.0
"""At the very end: how long what follows settled calls is waited for."""


async def leave(
    switchboard: Switchboard,
    recovery: Recovery,
    finisher: Finisher,
    aftermath: Aftermath,
    seconds: float,
    hurried: asyncio.Event,
    carries: Callable[[], bool],
) -> bool:
    """Have these parts of a process come to their end (`Gateway.leave`)."""
    await switchboard.drain(seconds, hurried, carries)
    await recovery.part()
    if not await finisher.wait_paid(HURRIED_SECONDS):
        await _unless(hurried, finisher.wait_paid(SETTLE_SECONDS - HURRIED_SECONDS))
    await aftermath.wait_done(AFTERMATH_SECONDS)
    return bool(switchboard.unsettled or finisher.owed)


async def _unless(hurried: asyncio.Event, work: Coroutine[None, None, bool]) -> None:
    """Do the work for as long as nobody hurries."""
    async with asyncio.TaskGroup() as tasks:
        both = [tasks.create_task(work), tasks.create_task(hurried.wait())]
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        for task in both:
            task.cancel()
