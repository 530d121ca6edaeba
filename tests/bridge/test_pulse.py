"""The pulse of a process: its event loop's lag, and that it stood still."""

from __future__ import annotations

import asyncio

from gateway.bridge.pulse import INTERVAL, REMEMBERED, STALL_SECONDS, Pulse
from gateway.clock import SystemClock
from tests.support.virtual_time import LoopClock, VirtualLoop, run_virtual


def _stand_still(seconds: float) -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    loop.selector.now += seconds


async def _beating(*stands_still: float) -> tuple[list[float], int, bool, bool, float]:
    observed: list[float] = []
    woken: list[float] = []
    clock = LoopClock()
    pulse = Pulse(clock, observed.append)
    task = asyncio.create_task(pulse.run(lambda: woken.append(clock.now())))
    await asyncio.sleep(REMEMBERED * INTERVAL + INTERVAL / 2)
    stalled = False
    for seconds in stands_still:
        _stand_still(seconds)
        stalled = stalled or pulse.stalled
        await asyncio.sleep(INTERVAL / 2)
    after, lag = pulse.stalled, pulse.lag
    task.cancel()
    return observed, len(woken), stalled, after, lag


def test_a_process_that_stood_still_knows_before_anything_else_happens() -> None:
    observed, woken, stalled, after, _ = run_virtual(_beating(STALL_SECONDS + 1.0))

    assert (stalled, after, woken) == (True, False, 1)
    assert max(observed) > STALL_SECONDS


def test_a_loop_that_is_late_all_the_time_lags_and_is_not_asked_whose_its_calls_are() -> None:
    observed, woken, stalled, _, lag = run_virtual(_beating(*[0.5] * (REMEMBERED // 2 + 1)))

    assert (stalled, woken) == (False, 0)
    assert 0.2 < max(observed) < 0.6
    assert 0.2 < lag < 0.6


def test_one_long_step_is_no_lag_that_a_call_is_refused_for() -> None:
    observed, *_, lag = run_virtual(_beating(1.5))

    assert max(observed) > 1.0
    assert lag == 0.0


def test_a_process_that_has_just_started_is_not_judged_by_its_start() -> None:
    pulse = Pulse(SystemClock(), lambda _: None)
    pulse._lags.append(0.9)

    assert pulse.lag == 0.0


def test_an_idle_loop_has_no_lag() -> None:
    assert run_virtual(_beating())[4] == 0.0
