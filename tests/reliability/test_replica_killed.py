"""`kill -9` of a replica with fifty callers on the line: they go on at the other one."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from time import monotonic

import pytest

from tests.reliability.callers import hung_up, on_the_line, until_so_many
from tests.reliability.field import open_field
from tests.support.redis_server import RedisServer

CALLS = 50
ENOUGH = 48
"""So many must be back and answered again ..."""
GOAL = 15.0
"""... within so many seconds; a busy machine gets ten times that."""


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
            back = await until_so_many(
                phones, lambda one: one.back, ENOUGH, since=killed, seconds=GOAL * 10
            )
            answered = await until_so_many(
                phones, lambda one: one.answered_after, ENOUGH, since=killed, seconds=GOAL * 10
            )
            results = await hung_up((phones, calls))
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
