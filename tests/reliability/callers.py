"""Calls that are held while a test does something terrible to those who hold them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from time import monotonic

from gateway.simulator import CallResult
from tests.end_to_end.door_carrier import eventually
from tests.reliability.field import Field
from tests.reliability.phones import Phone, plan

Calls = tuple[list[Phone], list["asyncio.Task[CallResult]"]]


@asynccontextmanager
async def on_the_line(
    field: Field, count: int, *, waits_when_lost: bool = True
) -> AsyncIterator[Calls]:
    """So many callers, all of whom were answered once; cancelled where a test leaves early."""
    phones = [Phone() for _ in range(count)]
    wanted = plan(waits_when_lost=waits_when_lost)
    calls = []
    try:
        for phone in phones:
            calls.append(asyncio.create_task(phone.run(field.target, field.rest, wanted)))
            # people do not ring in the same millisecond
            await asyncio.sleep(0.05)
        await eventually(
            lambda: all(one.answered for one in phones), 150.0, "every caller answered"
        )
        yield phones, calls
    finally:
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)


async def hung_up(calls: Calls) -> list[CallResult]:
    """Have every caller hang up; what became of their calls."""
    phones, tasks = calls
    for phone in phones:
        phone.leave.set()
    return await asyncio.gather(*tasks)


async def answered_again(phones: list[Phone], seconds: float, times: int = 1) -> None:
    """Wait until each caller was answered so many times more than by now."""
    wanted = [len(one.answered) + times for one in phones]

    def holds() -> bool:
        return all(len(one.answered) >= least for one, least in zip(phones, wanted, strict=True))

    await eventually(holds, seconds, f"{len(phones)} callers answered {times} times more")


async def until_so_many(
    phones: list[Phone],
    holds: Callable[[Phone], object],
    count: int,
    *,
    since: float,
    seconds: float,
) -> float:
    """Wait until something holds of so many; the seconds it took from `since` on (monotonic)."""

    def enough() -> bool:
        return sum(bool(holds(one)) for one in phones) >= count

    await eventually(enough, seconds, f"{count} of {len(phones)}")
    return monotonic() - since
