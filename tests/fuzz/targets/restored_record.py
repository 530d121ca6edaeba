"""A call's record as the store gives it to another process: any JSON at all, of whatever version."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from gateway.bridge.restore import restored
from gateway.call.record import CallRecord
from gateway.clock import iso
from gateway.store.forms import as_json

LONGEST = 4096
TEXTS = (
    *("call_sid", "direction", "from", "to", "organization", "service_id", "user_id", "route"),
    *("stream_sid", "conversation_id", "status", "end_reason", "conversation_state", "transfer_to"),
)
TIMES = ("started_at", "answered_at", "ended_at")
TURN = (
    *("kind", "interaction_id", "user_message_id", "agent_message_id", "user_text", "agent_text"),
    *("heard_text", "interrupted", "retries"),
)
WORDS = (
    *(f'"{name}":'.encode() for name in (*TEXTS, *TIMES, *TURN, "reconnects", "line", "rating")),
    *(b'"turns":[{', b'"timings_ms":{', b'"events":[{', b'"at":', b'"type":', b'"value":'),
    *(b'"2026-11-28T12:00:00.123Z"', b'"0001-01-01T00:00:00"', b'"9999-12-31T23:59:59-23:59"'),
    *(b"null", b"true", b"1e999", b"-1", b"NaN", b'"\\ud800"', b"{}", b"[]"),
)
WALL = 1_800_000_000.0
LATER = 100.0
"""Seconds between two processes taking the call up."""


def run(data: bytes) -> None:
    try:
        stored = json.loads(data)
    except (ValueError, RecursionError):
        return  # the store's line answers for that
    if not isinstance(stored, dict):
        return
    record = restored(stored, replica="b", now=50.0, wall=WALL)
    written = _written(record, WALL - 50.0)
    assert record.replica == "b"
    assert len(record.turns) <= data.count(b"{")
    assert record.reconnects >= 0
    again = restored(json.loads(written), replica="b", now=7.0, wall=WALL + LATER)
    assert _written(again, WALL + LATER - 7.0) == written


def _written(record: CallRecord, epoch: float) -> str:
    """As the books write it."""
    return as_json(record.as_json(lambda at: iso(epoch + at)))


def inputs() -> st.SearchStrategy[bytes]:
    text = st.text(max_size=6)
    odd: st.SearchStrategy[Any] = (
        st.none() | st.booleans() | st.integers() | st.floats() | text | st.just([]) | st.just({})
    )
    time = st.datetimes().map(lambda at: at.isoformat(timespec="milliseconds") + "Z") | odd
    turn = st.fixed_dictionaries(
        {},
        optional={
            **dict.fromkeys(TURN, text | odd),
            "timings_ms": st.dictionaries(text, st.integers() | odd, max_size=3) | odd,
        },
    )
    event = st.fixed_dictionaries(
        {}, optional={"at": time, "type": text | odd, "why": odd, "status": odd}
    )
    record = st.fixed_dictionaries(
        {},
        optional={
            **dict.fromkeys(TEXTS, text | odd),
            **dict.fromkeys(TIMES, time),
            "reconnects": odd,
            "line": st.dictionaries(text, odd, max_size=2) | odd,
            "rating": st.fixed_dictionaries({}, optional={"value": odd}) | odd,
            "turns": st.lists(turn | odd, max_size=3) | odd,
            "events": st.lists(event | odd, max_size=3) | odd,
        },
    )
    return record.map(lambda one: json.dumps(one).encode())
