"""A call as Redis keeps it: a hash of texts, which a script answers as names and values in turn."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from gateway.ids import CallSid, ConversationId, UserId
from gateway.store.forms import as_json
from gateway.store.port import NewCall, StoredCall

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def scope(new: NewCall) -> str:
    """Name where a user may hold one call: a service of an organization."""
    return json.dumps([new.organization, new.service_id], separators=(",", ":"))


def fields(new: NewCall, *, ended: bool) -> list[object]:
    return pairs(
        {
            "call_sid": new.call_sid,
            "account_sid": new.account_sid,
            "direction": new.direction,
            "caller": new.caller,
            "called": new.called,
            "route": new.route,
            "organization": new.organization,
            "service_id": new.service_id,
            "user_id": "",
            "replica": new.replica,
            "admitted_at": new.now,
            "status": str(new.record.get("status", "ringing")),
            "end_reason": new.record.get("end_reason"),
            "ended": ended,
            "conversation_id": None,
            "conversation_state": "none",
            "token_digest": "" if ended else new.token_digest,
            "token_expires": 0.0 if ended else new.token_expires,
            "token_used": False,
            "answer": "" if ended else new.answer,
            "record": as_json(new.record),
        }
    )


def pairs(named: Mapping[str, object]) -> list[object]:
    return [word for pair in named.items() for word in pair]


def maybe(flat: Sequence[bytes]) -> StoredCall | None:
    return stored(flat) if flat else None


def stored(flat: Sequence[bytes]) -> StoredCall:
    row = {text(name): text(value) for name, value in couples(flat)}
    conversation = row["conversation_id"]
    return StoredCall(
        call_sid=CallSid(row["call_sid"]),
        account_sid=row["account_sid"],
        user_id=UserId(row["user_id"]),
        route=row["route"],
        organization=row["organization"],
        service_id=row["service_id"],
        conversation_id=ConversationId(conversation) if conversation else None,
        conversation_state=row["conversation_state"],
        status=row["status"],
        replica=row["replica"],
        ended=row["ended"] == "1",
        token_digest=row["token_digest"],
        token_expires=float(row["token_expires"]),
        token_used=row["token_used"] == "1",  # noqa: S105 - a flag
        answer=row["answer"],
        record=json.loads(row["record"]),
    )


def couples(flat: Sequence[Any]) -> list[tuple[Any, Any]]:
    return list(zip(flat[::2], flat[1::2], strict=True))


def text(value: Any) -> str:
    return value.decode("utf-8", "surrogatepass") if isinstance(value, bytes) else str(value)
