"""A soak of one minute: it works, and finds nothing; half an hour is for `make soak MINUTES=30`."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.reliability.soak import soak


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
    assert report.told.answered > report.told.calls / 2
    assert sum(report.troubles.values()) > 2
