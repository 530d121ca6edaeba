"""Run every benchmark: python -m benchmarks [NAME...], a name being what follows `bench_`."""

from __future__ import annotations

import importlib
import pkgutil
import sys

import benchmarks

PREFIX = "bench_"


def names() -> list[str]:
    """The benchmarks there are, without the prefix."""
    modules = (module.name for module in pkgutil.iter_modules(benchmarks.__path__))
    return sorted(name.removeprefix(PREFIX) for name in modules if name.startswith(PREFIX))


def main(asked: list[str]) -> int:
    """Run those asked for, or all; the exit status says whether one of them failed."""
    known = names()
    unknown = [name for name in asked if name not in known]
    if unknown:
        print(f"no benchmark {', '.join(unknown)}; there are {', '.join(known)}", file=sys.stderr)
        return 2
    failed = 0
    for name in asked or known:
        print(f"--- {name}", flush=True)
        failed |= importlib.import_module(f"benchmarks.{PREFIX}{name}").main() or 0
        print(flush=True)
    return int(bool(failed))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
