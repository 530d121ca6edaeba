"""`make fuzz`: a coverage-guided run of the targets, one process each, and a table of what came of it.

`python -m tests.fuzz [--runs N] [TARGET ...]` spreads N inputs over the targets; `--keep` takes what opened new
paths into the corpus, made small. A crash is kept in `tests/fuzz/crashes/TARGET/`, where a test finds it again.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from tests.fuzz.targets import CORPUS, CRASHES, NAMES

ROOT = Path(__file__).parent.parent.parent
SECONDS_OF_AN_INPUT = 20
MOST_MEGABYTES = 1024
NOT_HERE = (
    "make fuzz needs atheris, which cannot be loaded here: its wheels are for Linux on x86-64 and Python"
    " 3.11 to 3.13. `make test` runs the same targets with hypothesis and the kept corpus."
)
SEEN = re.compile(r"#(\d+)\s+(\w+)\s+cov: (\d+) ft: (\d+) corp: (\d+)/.*?rss: (\d+)Mb")
SLOW = frozenset({"operator_api", "settings", "webhooks"})
SHARE = 3
"""How much more of the runs the others get: these three ask over a socket, or read files, for each input."""
LEAST = 100
"""Runs of a target below which there is no figure worth printing."""


@dataclass(frozen=True, slots=True)
class Outcome:
    target: str
    status: int
    runs: int
    seconds: float
    cov: tuple[int, int]
    """Paths known from the corpus, and at the end."""
    rss: tuple[int, int]
    """Megabytes at the start and at the end; the run's own corpus is held in memory too."""

    def row(self) -> str:
        per_second = self.runs / self.seconds if self.seconds else 0.0
        return (
            f"{self.target:17} {self.runs:9} {self.seconds:8.1f} {per_second:8.0f}"
            f" {self.cov[0]:6} {self.cov[1]:6} {self.rss[0]:5} {self.rss[1]:5}"
            f"  {'ok' if self.status == 0 else 'FAILED'}"
        )


def spread(runs: int, targets: Sequence[str]) -> list[tuple[str, int]]:
    """Each target and how many of the runs it gets: at least `LEAST`."""
    shares = {target: 1 if target in SLOW else SHARE for target in targets}
    return [
        (target, max(LEAST, -(-runs * share // sum(shares.values()))))
        for target, share in shares.items()
    ]


def attack(target: str, runs: int, found: Path, log: Path) -> Outcome:
    """Run one target in a process of its own; new inputs go to `found`, what it says to `log`."""
    for folder in (CORPUS, CRASHES):
        (folder / target).mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    with log.open("wb") as output:
        status = subprocess.run(
            _command(target, log, found, CORPUS / target, f"-runs={runs}"),
            cwd=ROOT,
            env=_environment(found.parent),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            check=False,
        ).returncode
    seconds = time.monotonic() - began
    text = log.read_text(errors="replace")
    seen = [match.groups() for match in SEEN.finditer(text)]
    first = next((one for one in seen if one[1] == "INITED"), seen[0] if seen else ("0",) * 6)
    last = seen[-1] if seen else first
    return Outcome(
        *(target, status, int(last[0]), seconds),
        cov=(int(first[2]), int(last[2])),
        rss=(int(first[5]), int(last[5])),
    )


def keep(target: str, found: Path) -> None:
    """Make the corpus anew: the fewest and shortest inputs that reach all that is reached.

    In a process of its own: what a target has open ends with it.
    """
    subprocess.run(
        [sys.executable, "-m", "tests.fuzz.fewest", target, str(found)],
        cwd=ROOT,
        env=_environment(found.parent),
        check=True,
    )


def _command(target: str, log: Path, *rest: object) -> list[str]:
    words = log.with_suffix(".words")
    return [
        *(sys.executable, "-m", "tests.fuzz.guided", target, str(words), *map(str, rest)),
        f"-timeout={SECONDS_OF_AN_INPUT}",
        f"-rss_limit_mb={MOST_MEGABYTES}",
        f"-artifact_prefix={CRASHES / target}/",
        "-use_value_profile=0",
    ]


def _environment(room: Path) -> dict[str, str]:
    """Without this machine's settings: some targets read the environment's names.

    libFuzzer ends its process at once: what a target has left in `room` goes with it.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AMIGO_", "TWILIO_", "GATEWAY_", "LOG_"))
    }
    return {**kept, "PYTHONHASHSEED": "0", "PYTHONPATH": str(ROOT), "TMPDIR": str(room)}


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="default: all")
    parser.add_argument("--runs", type=int, default=1_000_000, help="inputs in all")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="targets at once")
    parser.add_argument("--keep", action="store_true", help="take new inputs into the corpus")
    given = parser.parse_args(arguments)
    targets = given.targets or list(NAMES)
    if unknown := sorted(set(targets) - set(NAMES)):
        parser.error(f"no such target: {', '.join(unknown)}; there are {', '.join(NAMES)}")
    if find_spec("atheris") is None:
        print(NOT_HERE, file=sys.stderr)
        return 1
    print(
        f"{'target':17} {'runs':>9} {'seconds':>8} {'per s':>8} {'cov':>6} {'after':>6} {'rss':>5} {'after':>5}"
    )
    outcomes = []
    with (
        tempfile.TemporaryDirectory(prefix="fuzz-") as room,
        ThreadPoolExecutor(given.jobs) as jobs,
    ):

        def go(target: str, runs: int) -> tuple[Outcome, Path]:
            found, log = Path(room) / target, Path(room) / f"{target}.log"
            found.mkdir()
            outcome = attack(target, runs, found, log)
            if given.keep and outcome.status == 0:
                keep(target, found)
            return outcome, log

        for outcome, log in jobs.map(go, *zip(*spread(given.runs, targets), strict=True)):
            outcomes.append(outcome)
            print(outcome.row(), flush=True)
            if outcome.status:
                print(log.read_text(errors="replace")[-4000:], file=sys.stderr)
    total = sum(one.runs for one in outcomes)
    failed = [one.target for one in outcomes if one.status]
    print(f"{total} inputs, {sum(one.seconds for one in outcomes):.0f} s, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
