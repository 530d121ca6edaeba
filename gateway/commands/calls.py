"""`voice-gateway calls`: list the store's calls, or show one, turn by turn."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

HELP: Final = "list and show calls from the store; hang up or transfer a live one"
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


WIDEST: Final = 40
"""Characters of a column; a CallSid has 34."""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("call_sid", nargs="?", help="show this call; without it, list the latest")
    parser.add_argument("--limit", type=_count, default=20, help="calls to list (default 20)")
    parser.add_argument("--cursor", help="go on where an earlier list ended")
    orders = parser.add_mutually_exclusive_group()
    orders.add_argument("--hang-up", action="store_true", help="end this live call")
    orders.add_argument(
        "--transfer",
        type=_target,
        metavar="TO",
        help="hand this live call over: +15550001111 or sip:desk@host",
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="TOML file with settings")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(args: argparse.Namespace) -> int:
    """Print calls; 1 when the one asked for, or the store, does not exist."""
    from gateway.settings import load_settings

    url = load_settings(config=args.config).gateway_store_url
    if args.hang_up or args.transfer:
        if not args.call_sid:
            print("which call? give its CallSid", file=sys.stderr)
            return 2
        return asyncio.run(_order(url, args.call_sid, args.transfer))
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


async def _order(url: str, call_sid: str, transfer: str | None) -> int:
    """Leave the order with the store: whichever process has the call takes it within a second."""
    from gateway.bridge import orders
    from gateway.clock import SystemClock
    from gateway.ids import CallSid
    from gateway.store import Order, open_store

    kind, body = (orders.TRANSFER, {"to": transfer}) if transfer else (orders.HANG_UP, {})
    clock = SystemClock()
    async with open_store(url, clock, must_exist=True) as store:
        order = Order(call_sid=CallSid(call_sid), kind=kind, body=body)
        if await store.order(order, clock.wall()):
            print("ordered")
            return 0
        known = await store.get(CallSid(call_sid))
    problem = "no call {!r} in the store" if known is None else "call {!r} is over"
    print(problem.format(call_sid), file=sys.stderr)
    return 1


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
    rows += [[_short(_text(record.get(name))) for name in COLUMNS] for record in records]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    for row in rows:
        cells = (f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()


def _short(text: str) -> str:
    """Fit for a column: what a caller sends as his number may be anything."""
    return text if len(text) <= WIDEST else f"{text[: WIDEST - 1]}…"


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


def _target(text: str) -> str:
    from gateway.targets import checked_target

    try:
        return checked_target(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} {error}") from None


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 1000):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to 1000")
    return int(text)
