"""SIGTERM with callers on the line: each keeps their call to its own end, and the status is 0."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.end_to_end.door_carrier import eventually, new_call_sid
from tests.reliability.callers import answered_again, hung_up, on_the_line
from tests.reliability.field import open_field

CALLS = 3


@pytest.mark.slow
async def test_three_calls_go_on_after_sigterm_and_the_next_caller_reaches_another_replica(
    tmp_path: Path,
) -> None:
    async with open_field(tmp_path, users=CALLS + 1) as field:
        here = await field.start()
        async with on_the_line(field, CALLS) as (phones, calls):
            there = await field.start()
            here.process.signal(signal.SIGTERM)

            async def leaves() -> bool:
                return await here.readiness(field.http) == 503

            await eventually(leaves, 10.0, "readyz")
            assert (await field.carrier(here).voice(new_call_sid())).busy
            async with on_the_line(field, 1) as later:
                assert (await there.numbers(field.http))["calls_active"] == 1
                await answered_again(phones, 60.0, times=3)
                await hung_up(later)
            assert here.process.process.returncode is None
            results = await hung_up((phones, calls))
        assert await here.process.exit_status(60.0) == 0
        ledger = await field.all_finished(CALLS + 1)
        assert sorted(ledger.finished.values()) == [1] * (CALLS + 1)
        assert ledger.violations == {}
        assert here.process.complaints() == []
        for result in results:
            assert result.ok, result.problems
            assert result.reconnects == ()
            record = await there.record(field.http, result.call_sid)
            assert record["end_reason"] == "caller-hangup"
