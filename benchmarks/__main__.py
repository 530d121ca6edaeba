"""`python -m benchmarks [NAME ...]`: all benchmarks of this folder, or those named; 1 if one fails."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path


def main(names: list[str]) -> int:
    found = sorted(path.stem for path in Path(__file__).parent.glob("bench_*.py"))
    found += ["endpointing", "patience"]
    chosen = [name for name in found if not names or name.removeprefix("bench_") in names]
    if not chosen:
        print(f"no such benchmark; there are {', '.join(found)}", file=sys.stderr)
        return 2
    status = 0
    for name in chosen:
        print(f"== {name}")
        status |= importlib.import_module(f"benchmarks.{name}").main()
    return status


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
