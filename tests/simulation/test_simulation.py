"""The simulation itself: repeatable, rich in faults, and able to find a bug."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.simulation import plan
from tests.simulation.mutants import MUTANTS, ROOT, planted
from tests.simulation.run import run_seed

RICH = range(1, 700)
"""Seeds that strike with every kind of fault there is."""


def _module(
    command: str, *arguments: str, hash_seed: str = "0"
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-m", command, *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.parametrize("seed", [18, 216, 1242, 51034])
def test_a_seed_gives_the_same_log_byte_for_byte_in_any_process(seed: int) -> None:
    first, second = (
        _module("tests.simulation", "--seed", str(seed), hash_seed=hash_seed)
        for hash_seed in ("1", "2")
    )

    assert (first.returncode, first.stderr.strip()) == (0, "")
    assert len(first.stdout.splitlines()) > 20
    assert first.stdout == second.stdout


def test_every_kind_of_fault_strikes_and_every_promise_is_kept() -> None:
    missing = Counter(
        [f"api-{kind}" for kind in plan.API_FAULTS]
        + [f"store-{kind}" for kind in plan.STORE_FAULTS]
        + [f"carrier-{kind}" for kind in plan.CARRIER_FAULTS]
        + [f"process-{kind}" for kind in plan.PROCESS_FAULTS]
        + ["clock-step", "store-outage", "api-outage"]
    )
    wanted = {
        "phrase reconnected",
        "relayed streams",
        "clears",
        "order transfer 202",
        "ended drain",
    }
    for seed in RICH:
        outcome = run_seed(seed)
        assert not outcome.violations, f"seed {seed}"
        for kind in outcome.faults:
            del missing[kind]
        wanted -= set(outcome.facts)
        if not missing and not wanted:
            break
    assert not missing, "never struck"
    assert not wanted, "never happened"


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda one: one.name)
def test_a_planted_bug_still_has_its_place(mutant: object) -> None:
    (chosen,) = [one for one in MUTANTS if one is mutant]
    for edit in chosen.edits:
        text = (ROOT / Path(*edit.module.split("."))).with_suffix(".py").read_text()
        changed = planted(text, [edit])
        assert changed != text
        compile(changed, edit.module, "exec")


@pytest.mark.parametrize("name", ["finish-early", "reply-after-clear", "token-twice"])
def test_a_planted_bug_is_found(name: str) -> None:
    hunt = _module("tests.simulation.mutants", "--hunt", name, "--seeds", "60")

    assert hunt.returncode == 0, hunt.stdout + hunt.stderr
    assert hunt.stdout.startswith("seed ")
