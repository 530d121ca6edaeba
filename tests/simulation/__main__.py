"""`python -m tests.simulation`: run seeds, or one of them with its whole log.

Every run begins with the seeds that ever failed (`failed_seeds.txt`); a fresh one that fails is added.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import sys
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from time import monotonic
from typing import Final

from tests.simulation.run import Outcome, run_seed

FAILED: Final = Path(__file__).with_name("failed_seeds.txt")
CHUNK: Final = 25
"""Seeds that a process takes at a time."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="make simulate", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many fresh seeds to run")
    parser.add_argument("--seed", type=int, help="run this one only, and print its log")
    parser.add_argument("--first", type=int, help="the first seed, in place of one by chance")
    parser.add_argument(
        "--by-code",
        action="store_true",
        help="seeds that are new with every change of the code, and the same for the same code",
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    args = parser.parse_args()
    if args.seed is not None:
        return one(args.seed)
    first = args.first if args.first is not None else random.SystemRandom().randrange(10**9)
    return many(first_by_code() if args.by_code else first, args.seeds, args.jobs)


def first_by_code() -> int:
    """A seed that every change of the code makes another one."""
    root, digest = Path(__file__).parents[2], hashlib.sha256()
    for folder in ("gateway", "audio", "tests/simulation"):
        for path in sorted((root / folder).rglob("*.py")):
            digest.update(path.read_bytes())
    return int.from_bytes(digest.digest()[:4])


def one(seed: int) -> int:
    """Run one seed; its log goes to stdout, whole and the same every time."""
    outcome = run_seed(seed, facts=True)
    print(outcome.log, end="")
    print(*outcome.violations, sep="\n", file=sys.stderr)
    return 1 if outcome.violations else 0


def many(first: int, count: int, jobs: int) -> int:
    """Run the seeds that ever failed, and `count` fresh ones from `first` on."""
    began = monotonic()
    kept = kept_seeds()
    print(f"{len(kept)} seeds that failed once, {count} from {first} on", flush=True)
    faults: Counter[str] = Counter()
    failed: list[Outcome] = []
    for outcome in run_seeds([*kept, *range(first, first + count)], jobs):
        faults.update(outcome.faults)
        if outcome.violations:
            failed.append(outcome)
            print(f"seed {outcome.seed}:", *outcome.violations[:3], sep="\n  ", flush=True)
    keep(outcome.seed for outcome in failed)
    seconds = monotonic() - began
    print(f"{sum(faults.values())} faults of {len(faults)} kinds, {seconds:.0f} s")
    if failed:
        print(f"{len(failed)} seeds failed; `make simulate SEED={failed[0].seed}` shows the log")
        return 1
    print("every promise was kept")
    return 0


def run_seeds(seeds: Iterable[int], jobs: int) -> Iterator[Outcome]:
    """Run these in several processes, in their order."""
    ordered = list(seeds)
    chunks = [ordered[at : at + CHUNK] for at in range(0, len(ordered), CHUNK)]
    if jobs <= 1:
        for chunk in chunks:
            yield from _chunk(chunk)
        return
    with ProcessPoolExecutor(jobs) as pool:
        for outcomes in pool.map(_chunk, chunks):
            yield from outcomes


def _chunk(seeds: list[int]) -> list[Outcome]:
    warnings.simplefilter("ignore")  # a killed process leaves coroutines that were never awaited
    return [run_seed(seed) for seed in seeds]


def kept_seeds() -> list[int]:
    """Every seed that ever failed."""
    lines = FAILED.read_text().splitlines() if FAILED.exists() else []
    return [int(line.split("#")[0]) for line in lines if line.split("#")[0].strip()]


def keep(seeds: Iterable[int]) -> None:
    """Add seeds to the file; those that are there stay as they are."""
    known = set(kept_seeds())
    new = [seed for seed in seeds if seed not in known]
    if new:
        with FAILED.open("a") as file:
            file.writelines(f"{seed}\n" for seed in new)


if __name__ == "__main__":
    sys.exit(main())
