"""`voice-gateway calls`: list the store's calls, or show one, turn by turn."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

HELP: Final = "list and show calls from the store"
Record = Mapping[str, Any]
"""A call record as interface.md section 4 has it; Any: it is read back from JSON."""

COLUMNS: Final = {
    "call_sid": "call",
    "started_at": "started",
    "from": "from",
    "to": "to",
    "status": "status",
    "end_reason": "end",
    "conversation_state": "conversation",
}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("call_sid", nargs="?", help="show this call; without it, list the latest")
    parser.add_argument("--limit", type=_count, default=20, help="calls to list (default 20)")
    parser.add_argument("--cursor", help="go on where an earlier list ended")
    parser.add_argument("--config", type=Path, metavar="FILE", help="TOML file with settings")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(args: argparse.Namespace) -> int:
    """Print calls; 1 when the one asked for, or the store, does not exist."""
    from gateway.settings import load_settings

    url = load_settings(config=args.config).gateway_store_url
    if args.call_sid:
        return asyncio.run(_show(url, args.call_sid, as_json=args.json))
    return asyncio.run(_list(url, args.limit, args.cursor, as_json=args.json))


async def _show(url: str, call_sid: str, *, as_json: bool) -> int:
    from gateway.clock import SystemClock
    from gateway.ids import CallSid
    from gateway.log import printable
    from gateway.store import open_store

    async with open_store(url, SystemClock(), must_exist=True) as store:
        call = await store.get(CallSid(call_sid))
    if call is None:
        print(f"no call {call_sid!r} in the store", file=sys.stderr)
        return 1
    print(
        json.dumps(call.record, indent=2)
        if as_json
        else "\n".join(map(printable, describe(call.record)))
    )
    return 0


async def _list(url: str, limit: int, cursor: str | None, *, as_json: bool) -> int:
    from gateway.clock import SystemClock
    from gateway.log import printable
    from gateway.store import open_store

    async with open_store(url, SystemClock(), must_exist=True) as store:
        try:
            records, following = await store.calls(limit, cursor)
        except ValueError as error:
            print(f"--cursor {cursor!r}: {error}", file=sys.stderr)
            return 2
    if as_json:
        print(json.dumps({"calls": records, "next_cursor": following}, indent=2))
        return 0
    print("\n".join(map(printable, table(records))) if records else "no calls yet")
    if following is not None:
        print(f"older ones: --cursor {following}")
    return 0


def table(records: Sequence[Record]) -> Iterator[str]:
    """Yield a line of headings and a line for each call, in columns."""
    rows = [list(COLUMNS.values())]
    rows += [[_text(record.get(name)) for name in COLUMNS] for record in records]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    for row in rows:
        cells = (f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()


def describe(record: Record) -> Iterator[str]:
    """Yield one call for reading: its facts, then each turn with words and times."""
    lists = ("turns", "events", "transcript", "rating")
    facts = {name: value for name, value in record.items() if name not in lists}
    if rating := record.get("rating"):
        facts["rating"] = f"{rating['value']} of 5"
    for event in record.get("events") or ():
        if event.get("type") == "refused":
            to = event.get("handed_to")
            facts["refused"] = f"{event.get('why')}, handed to {to}" if to else event.get("why")
    width = max((len(name) for name in facts), default=0)
    for name, value in facts.items():
        yield f"{name:<{width}}  {_text(value)}"
    for turn in record.get("turns", ()):
        yield from _describe_turn(turn)


def _describe_turn(turn: Record) -> Iterator[str]:
    interrupted = ", interrupted" if turn.get("interrupted") else ""
    times: Record = turn.get("timings_ms") or {}
    gap = f", answered after {times['response_gap']} ms" if "response_gap" in times else ""
    yield ""
    yield f"turn {turn.get('index')} ({turn.get('kind')}{interrupted}{gap})"
    if turn.get("user_text"):
        yield f"  caller  {turn['user_text']}"
    if turn.get("agent_text"):
        yield f"  agent   {turn['agent_text']}"
    if turn.get("interrupted") and turn.get("heard_text") is not None:
        yield f"  heard   {turn['heard_text']}"
    parts = (f"{name} {ms}" for name, ms in times.items() if name != "response_gap")
    if line := ", ".join(parts):
        yield f"  ms      {line}"


def _text(value: object) -> str:
    return "-" if value in (None, "") else str(value)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 1000):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to 1000")
    return int(text)
