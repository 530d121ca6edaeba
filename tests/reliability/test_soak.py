"""A soak of one minute: it works, and finds nothing; half an hour is for `make soak MINUTES=30`."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.reliability.soak import Look, Report, soak


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_a_minute_of_calls_and_chaos_leaves_nothing_behind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seed = random.SystemRandom().randrange(10**9)
    report = await soak(tmp_path, 1.0, seed, print)
    with capsys.disabled():
        print(f"\nsoak, seed {seed}", *report.lines(), sep="\n")
    assert report.failures == []
    assert report.told.outcomes["caller-hangup"] > 0
    taken = report.told.calls - report.told.outcomes["rejected"]  # all are, while Redis is away
    assert report.told.answered > taken / 2
    assert sum(report.troubles.values()) > 2


@pytest.mark.parametrize(
    ("megabytes", "seconds", "failures"),
    [
        ([100.0] * 20 + [150.0] * 20 + [151.0] * 20, 300.0, []),
        ([100.0] * 40 + [130.0] * 20, 300.0, ["memory grew from 100.0 to 130.0 MB"]),
        ([0.0, 109.6], 60.0, []),
        ([100.0, 200.0], 300.0, ["only 2 looks in 300 s"]),
    ],
    ids=["warms up, then flat", "grows", "a minute says nothing", "too few looks at a long soak"],
)
def test_memory_is_judged_where_there_are_looks_enough(
    megabytes: list[float], seconds: float, failures: list[str]
) -> None:
    looks = [Look(5.0 * number, held, 10.0, 8.0) for number, held in enumerate(megabytes)]
    report = Report(seconds=seconds, looks=looks)
    report.check_memory()
    assert report.failures == failures
