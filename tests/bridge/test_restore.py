"""A stored record is taken up as it was, and a damaged one as far as it goes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from gateway.bridge.restore import restored
from gateway.call.policy import Policy
from gateway.call.record import CallRecord, TurnRecord, TurnTimes
from gateway.call.session import CallSession
from gateway.clock import iso

NOW, WALL = 5_000.25, 1_790_000_000.123
TIMES = st.floats(0, 1e5)
TEXTS = st.none() | st.text(max_size=8)
FACTS = st.dictionaries(
    st.text(max_size=6).filter(lambda name: name not in {"at", "type", "self", "now", "kind"}),
    st.none() | st.integers() | st.text(max_size=5),
    max_size=3,
)
LEDGERS = st.builds(TurnTimes, *[st.none() | TIMES] * 9)


@st.composite
def turns(draw: st.DrawFn) -> list[TurnRecord]:
    made = draw(
        st.lists(
            st.builds(
                TurnRecord,
                st.just(0),
                st.sampled_from(["greeting", "voice", "dtmf", "silence"]),
                LEDGERS,
                *[TEXTS] * 6,
                interrupted=st.booleans(),
                retries=st.integers(0, 5),
            ),
            max_size=4,
        )
    )
    return [replace(turn, index=index) for index, turn in enumerate(made)]


RECORDS = st.builds(
    CallRecord,
    call_sid=st.just("CA1"),
    direction=st.sampled_from(["inbound", "outbound"]),
    caller=st.text(max_size=5),
    called=st.text(max_size=5),
    organization=st.just("org"),
    service_id=st.just("0" * 24),
    user_id=st.text(max_size=5),
    replica=st.just("first"),
    started_at=TIMES,
    route=TEXTS,
    stream_sid=TEXTS,
    conversation_id=st.none() | st.just("c1"),
    status=st.sampled_from(["ringing", "thinking", "ending"]),
    end_reason=st.none() | st.just("silence"),
    answered_at=st.none() | TIMES,
    ended_at=st.none() | TIMES,
    conversation_state=st.sampled_from(["none", "open", "finishing"]),
    transfer_to=TEXTS,
    reconnects=st.integers(0, 9),
    line=st.none() | st.just({"noise_floor_dbfs": -60.5, "echo_return_db": None}),
    rating=st.none() | st.integers(1, 5),
    turns=turns(),
    events=st.lists(st.tuples(TIMES, st.text(max_size=5), FACTS), max_size=4),
)


def clock(now: float, wall: float) -> Callable[[float], str]:
    return lambda at: iso(wall - now + at)


def stored(record: CallRecord, now: float, wall: float) -> dict[str, object]:
    written: dict[str, object] = json.loads(json.dumps(record.as_json(clock(now, wall))))
    return written


@given(RECORDS, st.floats(0, 1e6), st.floats(1.5e9, 2.5e9))
def test_what_was_written_is_read_back(record: CallRecord, now: float, wall: float) -> None:
    before = stored(record, NOW, WALL)

    again = restored(before, replica="second", now=now, wall=wall)

    assert stored(again, now, wall) == before | {"replica": "second"}


def test_times_are_told_on_the_new_clock() -> None:
    first = CallRecord(
        call_sid="CA1", direction="inbound", caller="", called="", organization="", service_id="",
        user_id="", replica="first", started_at=100.0,
    )  # fmt: skip

    again = restored(stored(first, 130.0, WALL), replica="second", now=7.0, wall=WALL + 5.0)

    assert abs(again.started_at - (7.0 - 35.0)) < 0.002


def test_a_cut_off_reply_is_told_of_once() -> None:
    record = CallRecord(
        call_sid="CA1", direction="inbound", caller="", called="", organization="", service_id="",
        user_id="", replica="first", started_at=0.0,
        turns=[TurnRecord(0, "greeting", interrupted=True), TurnRecord(1, "voice", interrupted=True)],
    )  # fmt: skip

    again = restored(stored(record, NOW, WALL), replica="second", now=NOW, wall=WALL)

    assert [turn.told for turn in again.turns] == [True, False]


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=8)
    | st.sampled_from(
        ["0001-01-01", "9999-12-31T23:59:59Z", "2026-01-01T00:00:00.5+02:00", "open"]
    ),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["at", "type", "kind", "value", "timings_ms", "retries", "x"]),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from([*CallRecord.__dataclass_fields__, "from"]), JSON))
def test_no_record_is_so_odd_that_its_call_is_lost(odd: dict[str, object]) -> None:
    record = restored(odd, replica="second", now=NOW, wall=WALL)

    json.dumps(record.as_json(clock(NOW, WALL)))
    CallSession(record, Policy()).resume(NOW)
    assert [turn.index for turn in record.turns] == list(range(len(record.turns)))
