"""Does a target keep anything? Memory and objects of this process before and after many inputs.

`python -m tests.fuzz.leaks [--runs N] [TARGET ...]` (`make fuzz-leaks RUNS=N`) tries each target in a process of
its own with kept inputs and changes of them by chance. A tenth of the runs comes first: caches fill in them.
"""

from __future__ import annotations

import argparse
import gc
import os
import random
import subprocess
import sys
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.seeds import seeds
from tests.fuzz.targets import CORPUS, CRASHES, NAMES, Target, kept, opened
from tests.fuzz.words import changed

MOST_KILOBYTES = 8 * 1024
"""Growth above which a target is said to leak, whatever the number of runs: an allocator is never quite still."""
MOST_OBJECTS = 2000
"""A thousand remembered calls (`MAX_APOLOGIES`) and what hangs on them are no leak."""
SEEDS = 100


@dataclass(frozen=True, slots=True)
class Size:
    kilobytes: int
    objects: int


@dataclass(frozen=True, slots=True)
class Growth:
    target: str
    runs: int
    seconds: float
    before: Size
    after: Size

    @property
    def leaks(self) -> bool:
        more = self.after.kilobytes - self.before.kilobytes
        return more > MOST_KILOBYTES or self.after.objects - self.before.objects > MOST_OBJECTS

    def row(self) -> str:
        return (
            f"{self.target:17} {self.runs:9} {self.seconds:8.1f}"
            f" {self.before.kilobytes:9} {self.after.kilobytes:9}"
            f" {self.before.objects:9} {self.after.objects:9}  {'LEAKS' if self.leaks else 'ok'}"
        )


def growth(target: Target, runs: int) -> Growth:
    """Run the target `runs` times after a tenth as many; raises what it raises."""
    chance = random.Random(target.name)
    known = [
        path.read_bytes() for folder in (CORPUS, CRASHES) for path in kept(folder, target.name)
    ]
    known += seeds(target, SEEDS)

    def go(count: int) -> None:
        for _ in range(count):
            target.run(changed(chance, known, target.words, target.longest))

    go(runs // 10)
    before, began = _size(), time.monotonic()
    go(runs)
    return Growth(target.name, runs, time.monotonic() - began, before, _size())


def _size() -> Size:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return Size(pages * os.sysconf("SC_PAGE_SIZE") // 1024, len(gc.get_objects()))


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.leaks", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", choices=[[], *NAMES])
    parser.add_argument("--runs", type=int, default=100_000, help="inputs for each target")
    given = parser.parse_args(arguments)
    if len(given.targets) == 1:
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ResourceWarning)
        with opened(given.targets[0]) as target:
            found = growth(target, given.runs)
        print(found.row(), flush=True)
        return 1 if found.leaks else 0
    print(
        f"{'target':17} {'runs':>9} {'seconds':>8} {'rss kB':>9} {'after':>9} {'objects':>9} {'after':>9}",
        flush=True,
    )
    command = [sys.executable, "-m", "tests.fuzz.leaks", "--runs", str(given.runs)]
    statuses = [
        subprocess.run([*command, name], check=False).returncode for name in given.targets or NAMES
    ]
    return 1 if any(statuses) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
