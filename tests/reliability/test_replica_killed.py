"""`kill -9` of a replica with fifty callers on the line: they go on at the other one."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic

import pytest

from gateway.simulator import CallResult
from tests.end_to_end.door_carrier import eventually
from tests.reliability.field import Field, open_field
from tests.reliability.phones import Phone, plan
from tests.support.redis_server import RedisServer

CALLS = 50
ENOUGH = 48
"""So many must be back and answered again ..."""
GOAL = 15.0
"""... within so many seconds; a busy machine gets ten times that."""


@asynccontextmanager
async def on_the_line(
    field: Field, count: int, *, waits_when_lost: bool = True
) -> AsyncIterator[tuple[list[Phone], list[asyncio.Task[CallResult]]]]:
    """So many callers, all of whom were answered once; cancelled where a test leaves early."""
    phones = [Phone() for _ in range(count)]
    wanted = plan(waits_when_lost=waits_when_lost)
    calls = []
    for phone in phones:
        calls.append(asyncio.create_task(phone.run(field.target, field.rest, wanted)))
        # people do not ring in the same millisecond
        await asyncio.sleep(0.05)
    try:
        await eventually(lambda: all(one.answered for one in phones), 60.0, "every caller answered")
        yield phones, calls
    finally:
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)


async def until_so_many(
    phones: list[Phone], holds: Callable[[Phone], object], count: int, since: float
) -> float:
    """Seconds until something holds of so many."""

    def enough() -> bool:
        return sum(bool(holds(one)) for one in phones) >= count

    await eventually(enough, GOAL * 10, f"{count} of {len(phones)}")
    return monotonic() - since


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_fifty_calls_of_a_killed_replica_go_on_at_the_other(
    tmp_path: Path, redis_server: RedisServer, capsys: pytest.CaptureFixture[str]
) -> None:
    env = {"GATEWAY_STORE_URL": redis_server.url}
    async with open_field(tmp_path, users=CALLS, env=env) as field:
        here = await field.start()
        there = await field.start(in_turn=False)
        async with on_the_line(field, CALLS) as (phones, calls):
            before = await field.count()
            assert len(before.conversations) == CALLS
            assert (await here.numbers(field.http))["calls_active"] == CALLS
            field.balancer.add(there.url)
            killed = monotonic()
            await field.kill(here)
            back = await until_so_many(phones, lambda one: one.back, ENOUGH, killed)
            answered = await until_so_many(phones, lambda one: one.answered_after, ENOUGH, killed)
            for phone in phones:
                phone.leave.set()
            results = await asyncio.gather(*calls)
        ledger = await field.all_finished(CALLS)
        returned = [one for one in phones if one.answered_after]
        with capsys.disabled():
            print(
                f"\n{CALLS} calls, kill -9: {ENOUGH} back after {back:.1f} s, answered again after"
                f" {answered:.1f} s (goal {GOAL:g} s); {len(returned)} in all"
            )
        assert len(returned) >= ENOUGH
        # in the same conversation: none was begun
        assert len(ledger.conversations) == CALLS
        assert sorted(ledger.finished.values()) == [1] * CALLS, ledger.refused
        assert ledger.violations == {}
        assert [one.violations for one in results if one.violations] == []
        for phone in returned:
            assert phone.result is not None
            record = await there.record(field.http, phone.result.call_sid)
            assert (record["end_reason"], record["reconnects"]) == ("caller-hangup", 1)
        there.process.signal(signal.SIGTERM)
        assert await there.process.exit_status(60.0) == 0, "nothing owed"
        assert there.process.complaints() == []


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_twenty_calls_of_a_killed_gateway_whose_callers_hang_up_are_finished_by_the_next(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with open_field(tmp_path, users=20) as field:
        first = await field.start()
        async with on_the_line(field, 20, waits_when_lost=False) as (_, calls):
            await field.kill(first)
            field.balancer.remove(first.url)
            # nobody is there to be told of their end
            await asyncio.gather(*calls)
        assert len((await field.count()).open) == 20
        started = monotonic()
        second = await field.start()
        ledger = await field.all_finished(20)
        with capsys.disabled():
            print(f"\n20 calls, kill -9, started again: finished in {monotonic() - started:.1f} s")
        assert sorted(ledger.finished.values()) == [1] * 20
        assert not ledger.refused
        assert ledger.violations == {}
        assert (await second.numbers(field.http))["orphans_finished_total"] == 20
        second.process.signal(signal.SIGTERM)
        assert await second.process.exit_status(60.0) == 0
        assert second.process.complaints() == []
