"""`voice-gateway config`: the effective settings and where each comes from; secrets are masked."""

from __future__ import annotations

import argparse
import json
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

    entries = read_settings(config=args.config).entries()
    if args.json:
        print(json.dumps({"settings": [asdict(entry) for entry in entries]}, indent=2))
        return 0
    rows = [(entry.variable, _text(entry.value), entry.source) for entry in entries]
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
