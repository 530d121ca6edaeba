"""Known faults in the packages we lock, asked of osv.dev: `make audit`.

locks/dev.txt holds every package of the other two locks. Nothing is resolved or installed, and no
secret is needed. Exit status: 0 nothing is known, 1 something is, 3 the advisories could not be had,
which `--may-be-offline` forgives, as CI does: what could not be asked is said, and is no fault.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

LOCKS: Final = Path(__file__).parent.parent / "locks"
CLEAN: Final = 0
FOUND: Final = 1
NOT_ASKED: Final = 3
TIMEOUT: Final = 900.0


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make audit", description=__doc__)
    parser.add_argument(
        "--may-be-offline", action="store_true", help="status 0 where nobody answers"
    )
    parser.add_argument("--lock", type=Path, default=LOCKS / "dev.txt", help="what to ask about")
    parser.add_argument("--osv-url", help="a copy of the service")
    args = parser.parse_args(arguments)
    dependencies, why_not = _asked(args.lock, args.osv_url)
    if dependencies is None:
        print(f"audit: NOT DONE, osv.dev could not be asked ({why_not}).", file=sys.stderr)
        print("audit: run `make audit` on a machine that reaches it.", file=sys.stderr)
        return CLEAN if args.may_be_offline else NOT_ASKED
    faulty = [one for one in dependencies if one.get("vulns")]
    for one in faulty:
        print(_line(one))
    print(f"audit: {len(dependencies)} packages, {len(faulty)} with known faults")
    return FOUND if faulty else CLEAN


def _asked(lock: Path, url: str | None) -> tuple[list[dict[str, Any]] | None, str]:
    """What pip-audit was told of each package; None, and the reason, where it was told nothing."""
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(lock)]
    command += ["--require-hashes", "--disable-pip", "--vulnerability-service", "osv"]
    command += ["--format", "json", "--progress-spinner", "off"]
    command += ["--osv-url", url] if url else []
    try:
        ended = subprocess.run(
            command, capture_output=True, text=True, timeout=TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired:
        return None, f"no answer within {TIMEOUT:.0f} s"
    try:
        dependencies = json.loads(ended.stdout)["dependencies"]
    except (ValueError, KeyError):
        lines = ended.stderr.strip().splitlines() or [f"status {ended.returncode}"]
        return None, lines[-1][:300]
    assert isinstance(dependencies, list)
    return dependencies, ""


def _line(dependency: dict[str, Any]) -> str:
    told = (
        f"{fault['id']} (mended in {', '.join(fault['fix_versions']) or 'no version yet'})"
        for fault in dependency["vulns"]
    )
    shipped = (LOCKS / "gateway.txt").read_text(encoding="utf-8")
    where = "in the gateway" if f"\n{dependency['name']}==" in f"\n{shipped}" else "for development"
    return f"{dependency['name']} {dependency['version']}, {where}: {'; '.join(told)}"


if __name__ == "__main__":
    sys.exit(main())
