"""Sound must stay cheap: one call's ears may take a thousandth of a core, not a tenth."""

from __future__ import annotations

from benchmarks.bench_audio import best, line, steps


def test_judging_a_frame_costs_a_small_part_of_its_twenty_milliseconds():
    measured = [step for step in steps(line()[:64_000]) if step.name == "endpointer with vad"]

    [microseconds] = best(measured, 400)

    # The goal is 15; ten times that still tells a mistake from a busy machine.
    assert microseconds < 150
