"""A call's record with texts and numbers from outside: through the stores' forms and back, explained, paged."""

from __future__ import annotations

from hypothesis import strategies as st

from gateway.call.record import CallRecord, TurnRecord, heard_text
from gateway.ids import CallSid, UserId
from gateway.rca.rules import explain
from gateway.store.forms import position
from gateway.store.port import NewCall
from gateway.store.redis_rows import fields, stored
from tests.fuzz.draw import Draw

LONGEST = 2048
KINDS = (
    *("turn-failed", "refused", "barge-in", "phrase", "utterance-full", "broken", "digit"),
    "hold",
)
ENDS = (None, "api-error", "rejected", "caller-hangup", "silence", "drain", "replica-lost")
WORDS = (
    b"9223372036854775807",
    b"-1",
    b"\xed\xa0\x80",
    b"\xff",
    b"\0",
    *(k.encode() for k in KINDS),
)


def run(data: bytes) -> None:
    draw = Draw(data)
    record = _record(draw)
    value = record.as_json(str)
    new = _new(draw, value)
    restored = stored(_as_redis_answers(fields(new, ended=False)))
    assert restored.record == value
    assert (restored.call_sid, restored.organization) == (new.call_sid, new.organization)
    assert not restored.turned_away or not new.answer
    for finding in explain(restored.record):
        assert finding.what
        assert finding.change
    alignment = tuple((draw.byte() * 10, chr(65 + draw.below(20))) for _ in range(draw.below(9)))
    text = "".join(character for _, character in alignment) or draw.text()
    heard = heard_text(text, alignment, draw.byte() * 10 - 20, draw.byte() * 10)
    assert len(heard) <= len(text)
    try:
        place = position(draw.text())
    except ValueError:
        pass
    else:
        assert 0 <= place < 2**63


def _record(draw: Draw) -> CallRecord:
    record = CallRecord(
        call_sid=draw.text(),
        direction="inbound",
        caller=draw.text(),
        called=draw.text(),
        organization=draw.text(),
        service_id="s",
        user_id=draw.text(),
        replica="r",
        started_at=0.0,
        conversation_id=draw.text() or None,
        end_reason=ENDS[draw.below(len(ENDS))],
        conversation_state=draw.text(),
    )
    for index in range(draw.below(4)):
        turn = TurnRecord(index, ("voice", "silence", "dtmf")[draw.below(3)])
        turn.user_text, turn.agent_text = draw.text() or None, draw.text()
        turn.interrupted, turn.retries = draw.flag(), draw.below(3)
        times = turn.times
        times.began, times.last = draw.byte() / 8, draw.byte() / 8
        for name in ("declared", "body_sent", "understood", "first_audio", "sent", "played"):
            setattr(times, name, draw.byte() / 8 or None)
        ledger = times.ledger()
        assert all(part >= 0 for part in ledger.values())
        if "response_gap" in ledger:
            parts = {
                name: ms for name, ms in ledger.items() if name not in {"speech", "response_gap"}
            }
            parts.pop("filler_started", None)
            assert sum(parts.values()) == ledger["response_gap"]
        record.turns.append(turn)
    for _ in range(draw.below(6)):
        record.note(
            draw.byte() / 8,
            KINDS[draw.below(len(KINDS))],
            why=draw.text(),
            status=draw.byte() or None,
            name="comfort" if draw.flag() else draw.text(),
        )
    assert record.events == sorted(record.events, key=lambda event: event[0])
    return record


def _new(draw: Draw, value: dict[str, object]) -> NewCall:
    return NewCall(
        call_sid=CallSid(draw.text()),
        account_sid=draw.text(),
        direction="inbound",
        caller=draw.text(),
        called=draw.text(),
        route=draw.text(),
        organization=draw.text(),
        service_id="s",
        candidates=(UserId("u"),),
        replica="r",
        token_digest="d",
        token_expires=1.0,
        answer=draw.text(),
        record=value,
        now=0.0,
    )


def _as_redis_answers(row: list[object]) -> list[bytes]:
    """As the store's line sends and gets it: `None` is empty, truth is a digit, text is UTF-8 or nearly."""
    return [
        b"" if one is None
        else str(int(one)).encode() if isinstance(one, bool)
        else str(one).encode("utf-8", "surrogatepass")
        for one in row
    ]  # fmt: skip


def inputs() -> st.SearchStrategy[bytes]:
    piece = st.text(max_size=6).map(lambda text: text.encode("utf-8", "replace"))
    sized = piece.map(lambda one: bytes([len(one)]) + one)
    return st.lists(sized | st.binary(max_size=3), max_size=40).map(b"".join)
