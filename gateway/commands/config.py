"""`voice-gateway config`: the effective settings and where each comes from; secrets are masked."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Final

HELP: Final = "the effective settings and where each comes from"
WIDEST_VALUE: Final = 48
"""Characters of a value in the table; `--json` has all of it."""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, metavar="FILE", help="TOML file with settings")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(args: argparse.Namespace) -> int:
    """Print every setting; wrong ones raise `ConfigError`."""
    from gateway.settings import read_settings

    effective = read_settings(config=args.config)
    for ignored in effective.ignored:
        print(f"warning: {ignored}", file=sys.stderr)
    entries, routes = effective.entries(), effective.route_entries()
    if args.json:
        document: dict[str, object] = {"settings": [asdict(entry) for entry in entries]}
        if routes:
            document["routes"] = {
                number: [asdict(entry) for entry in own] for number, own in routes.items()
            }
        print(json.dumps(document, indent=2))
        return 0
    rows = [(entry.variable, _text(entry.value), entry.source) for entry in entries]
    rows += [
        (f"{number} {entry.key}", _text(entry.value), entry.source)
        for number, own in routes.items()
        for entry in own
    ]
    name_width = max(len(name) for name, _, _ in rows)
    value_width = max(len(value) for _, value, _ in rows)
    for name, value, source in rows:
        print(f"{name:<{name_width}}  {value:<{value_width}}  {source}")
    return 0


def _text(value: object) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "true" if value else "false"
    text = str(value)
    return text if len(text) <= WIDEST_VALUE else f"{text[: WIDEST_VALUE - 1]}…"
