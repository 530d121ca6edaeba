"""A call's record as another process wrote it: taken up again, on this process's clock.

An older version may have written it, or a newer one: a field that is missing or is not what it
should be gets its default, and nothing here raises.
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.call.record import CallRecord, TurnRecord
from gateway.clock import wall_time

_ROUNDING = 0.0005
"""Seconds: stored times are cut off to whole ms; in the middle of one they are cut off to the same again."""

_ABSURD = 2.0**35
"""A wall time (some 1000 years on) that no clock of ours shows."""


def restored(stored: Mapping[str, object], *, replica: str, now: float, wall: float) -> CallRecord:
    """The record of a call that `replica` goes on with; `now` and `wall` are the same moment.

    What is not stored is not known: which replies were cut off unheard, and of the running turn
    nothing but what was saved.
    """

    def moment(value: object) -> float | None:
        at = _wall_time(value)
        return None if at is None else at + _ROUNDING - wall + now

    started = moment(stored.get("started_at"))
    rating = _mapping(stored.get("rating")).get("value")
    line = stored.get("line")
    record = CallRecord(
        call_sid=_text(stored.get("call_sid")) or "",
        direction=_text(stored.get("direction")) or "inbound",
        caller=_text(stored.get("from")) or "",
        called=_text(stored.get("to")) or "",
        organization=_text(stored.get("organization")) or "",
        service_id=_text(stored.get("service_id")) or "",
        user_id=_text(stored.get("user_id")) or "",
        replica=replica,
        started_at=now if started is None else started,
        route=_text(stored.get("route")),
        stream_sid=_text(stored.get("stream_sid")),
        conversation_id=_text(stored.get("conversation_id")) or None,
        status=_text(stored.get("status")) or "ringing",
        end_reason=_text(stored.get("end_reason")),
        answered_at=moment(stored.get("answered_at")),
        ended_at=moment(stored.get("ended_at")),
        conversation_state=_text(stored.get("conversation_state")) or "none",
        transfer_to=_text(stored.get("transfer_to")),
        reconnects=_count(stored.get("reconnects")),
        line=dict(_mapping(line)) if isinstance(line, Mapping) else None,
        rating=_whole(rating),
        turns=[_turn(index, turn) for index, turn in enumerate(_mappings(stored.get("turns")))],
    )
    for event in _mappings(stored.get("events")):
        at = moment(event.get("at"))
        facts = {name: fact for name, fact in event.items() if name not in {"at", "type"}}
        # not `note`: the order and the bound are the writer's
        record.events.append(
            (record.started_at if at is None else at, _text(event.get("type")) or "", facts)
        )
    _told(record.turns)
    return record


def _turn(index: int, stored: Mapping[str, object]) -> TurnRecord:
    parts = _mapping(stored.get("timings_ms"))
    return TurnRecord(
        index,
        _text(stored.get("kind")) or "voice",
        interaction_id=_text(stored.get("interaction_id")),
        user_message_id=_text(stored.get("user_message_id")),
        agent_message_id=_text(stored.get("agent_message_id")),
        user_text=_text(stored.get("user_text")),
        agent_text=_text(stored.get("agent_text")),
        heard_text=_text(stored.get("heard_text")),
        interrupted=stored.get("interrupted") is True,
        retries=_count(stored.get("retries")),
        restored_ms={
            part: ms for part, value in parts.items() if (ms := _whole(value)) is not None
        },
    )


def _told(turns: list[TurnRecord]) -> None:
    """What was cut off before the caller's last turn was told with it: the agent need not hear it twice."""
    last = max((turn.index for turn in turns if turn.kind in {"voice", "dtmf"}), default=0)
    for turn in turns[:last]:
        turn.told = turn.interrupted


def _wall_time(value: object) -> float | None:
    seconds = wall_time(value)
    return seconds if seconds is not None and 0 <= seconds < _ABSURD else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _count(value: object) -> int:
    return max(0, _whole(value) or 0)


def _mapping(value: object) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        return {}
    return {name: one for name, one in value.items() if isinstance(name, str)}


def _mappings(value: object) -> list[Mapping[str, object]]:
    return (
        [_mapping(one) for one in value if isinstance(one, Mapping)]
        if isinstance(value, list)
        else []
    )
