"""Sound must stay cheap: one call's ears may take a thousandth or two of a core, not a tenth."""

from __future__ import annotations

import pytest

from benchmarks.bench_audio import best, line, steps


@pytest.mark.parametrize(
    ("ears", "goal_us"), [("endpointer, webrtc", 15), ("endpointer, hybrid, 50 calls", 35)]
)
def test_judging_a_frame_costs_a_small_part_of_its_twenty_milliseconds(ears: str, goal_us: int):
    measured = [step for step in steps(line()[:64_000]) if step.name == ears]

    [microseconds] = best(measured, 400)

    # Ten times the goal still tells a mistake from a busy machine.
    assert microseconds < 10 * goal_us
