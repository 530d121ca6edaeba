"""`python -m tests.reliability`: a soak. Two gateways, Redis, an API with faults, callers, and chaos."""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
from pathlib import Path
from time import monotonic

from tests.reliability.soak import soak


def main() -> int:
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, help="of callers and troubles; by chance without it")
    parser.add_argument("--calm", action="store_true", help="leave the processes in peace")
    parser.add_argument("--keep", type=Path, help="an empty folder for all logs, which are kept")
    args = parser.parse_args()
    seed = args.seed if args.seed is not None else random.SystemRandom().randrange(10**9)
    began = monotonic()

    def tell(what: str) -> None:
        print(f"{monotonic() - began:7.1f} s  {what}", flush=True)

    tell(f"seed {seed}")
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        folder = args.keep or Path(name)
        report = asyncio.run(soak(folder, args.minutes, seed, tell, calm=args.calm))
    print(*report.lines(), sep="\n")
    if report.told.problems or report.told.violations:
        print("What callers met:")
        for what, times in (report.told.problems + report.told.violations).most_common(20):
            print(f"  {times:4} {what}")
    for failure in report.failures:
        print(f"FAILED: {failure}", file=sys.stderr)
    if not report.failures:
        print("every conversation was finished once, nothing is owed, nothing grew")
    return 1 if report.failures else 0


if __name__ == "__main__":
    sys.exit(main())
