"""The store's SQL: what is done inside one transaction of a lane, as plain functions of a connection."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from gateway.errors import Fenced, Forgotten
from gateway.ids import CallSid, ConversationId, UserId
from gateway.store.forms import as_json
from gateway.store.port import (
    HEARTBEAT_TTL,
    SETTLED_STATES,
    Admitted,
    Known,
    NewCall,
    NoUserFree,
    StoredCall,
)
from gateway.store.replica import proven_dead

if TYPE_CHECKING:
    import sqlite3

    Page = tuple[list[dict[str, object]], str | None]

_STATES: Final = ", ".join(f"'{state}'" for state in SETTLED_STATES)
_SETTLED: Final = f"(ended = 1 AND conversation_state IN ({_STATES}))"

# Never-used users come first: SQLite sorts NULL before numbers. A lease whose call is settled
# counts as free: its holder died between the call's last record and the lease's end.
_FREE_USER: Final = f"""
SELECT wanted.value
FROM json_each(:candidates) AS wanted
LEFT JOIN leases ON leases.organization = :organization AND leases.service_id = :service_id
  AND leases.user_id = wanted.value
LEFT JOIN calls ON calls.call_sid = leases.call_sid
WHERE leases.call_sid IS NULL OR calls.call_sid IS NULL OR {_SETTLED}
ORDER BY leases.used_at, wanted.key
LIMIT 1
"""  # noqa: S608 - put together from constants of this file
_INSERT: Final = """
INSERT INTO calls (call_sid, account_sid, direction, caller, called, route, organization,
  service_id, user_id, replica, admitted_at, status, token_digest, token_expires, answer, record)
VALUES (:call_sid, :account_sid, :direction, :caller, :called, :route, :organization,
  :service_id, :user_id, :replica, :now, :status, :token_digest, :token_expires, :answer, :record)
"""
_TURN_AWAY: Final = """
INSERT INTO calls (call_sid, account_sid, direction, caller, called, route, organization,
  service_id, user_id, replica, admitted_at, status, end_reason, ended, token_digest,
  token_expires, answer, record)
VALUES (:call_sid, :account_sid, :direction, :caller, :called, :route, :organization,
  :service_id, '', :replica, :now, :status, :end_reason, 1, '', 0, '', :record)
ON CONFLICT DO NOTHING
"""
_LEASE: Final = """
INSERT INTO leases (organization, service_id, user_id, call_sid, used_at)
VALUES (:organization, :service_id, :user_id, :call_sid, :now)
ON CONFLICT DO UPDATE SET call_sid = excluded.call_sid, used_at = excluded.used_at
"""
_BEAT: Final = """
INSERT INTO replicas (replica, beat, address) VALUES (?, ?, ?)
ON CONFLICT DO UPDATE SET beat = excluded.beat,
  address = coalesce(excluded.address, address)
"""
_REMEMBER: Final = """
INSERT INTO facts (key, value) VALUES (?, ?)
ON CONFLICT DO UPDATE SET value = excluded.value
"""
_RENEW: Final = """
UPDATE calls SET token_digest = ?, token_expires = ?, token_used = 0, answer = ?
WHERE call_sid = ? AND ended = 0
"""
_SAVE: Final = """
UPDATE calls SET record = ?, status = ?, end_reason = ?, conversation_id = ?,
  conversation_state = ?, ended = ?
WHERE call_sid = ? AND replica = ?
"""
_OWNED: Final = f"""
SELECT call_sid FROM calls WHERE NOT {_SETTLED} AND replica = ? ORDER BY number
"""  # noqa: S608 - put together from constants of this file
_RELEASE: Final = """
UPDATE leases SET call_sid = NULL, used_at = max(used_at, :now)
WHERE call_sid = :call_sid
  AND EXISTS (SELECT 1 FROM calls WHERE call_sid = :call_sid AND replica = :replica)
"""


# ---------------------------------------------------------------- admission


def admission(new: NewCall) -> dict[str, object]:
    """Return the values `admit` works with, the record as it is now."""
    return {
        "call_sid": new.call_sid,
        "account_sid": new.account_sid,
        "direction": new.direction,
        "caller": new.caller,
        "called": new.called,
        "route": new.route,
        "organization": new.organization,
        "service_id": new.service_id,
        "candidates": json.dumps(new.candidates),
        "replica": new.replica,
        "token_digest": new.token_digest,
        "token_expires": new.token_expires,
        "answer": new.answer,
        "record": as_json(new.record),
        "status": str(new.record.get("status", "ringing")),
        "end_reason": new.record.get("end_reason"),
        "now": new.now,
    }


def admit(
    connection: sqlite3.Connection, values: dict[str, object]
) -> Admitted | Known | NoUserFree:
    call = get(connection, CallSid(str(values["call_sid"])))
    if call is not None and not call.turned_away:
        return Known(call)
    row = connection.execute(_FREE_USER, values).fetchone()
    if row is None:
        return NoUserFree()
    stored = {**values, "user_id": row[0]}
    if call is not None:
        connection.execute("DELETE FROM calls WHERE call_sid = :call_sid", stored)
    connection.execute(_LEASE, stored)
    connection.execute(_INSERT, stored)
    # A replica is alive when it admits; without this, its first call could be taken for an orphan.
    connection.execute(_BEAT, (values["replica"], values["now"], None))
    return Admitted(UserId(row[0]))


def turn_away(connection: sqlite3.Connection, values: dict[str, object]) -> None:
    connection.execute(_TURN_AWAY, values)


def withdraw(connection: sqlite3.Connection, call_sid: CallSid, replica: str, digest: str) -> None:
    """Undo an admission nobody learned of; one that went on since (same webhook again) stays."""
    statement = """
        DELETE FROM calls WHERE call_sid = ? AND replica = ? AND token_digest = ?
          AND token_used = 0 AND conversation_id IS NULL
    """
    if connection.execute(statement, (call_sid, replica, digest)).rowcount:
        connection.execute("UPDATE leases SET call_sid = NULL WHERE call_sid = ?", (call_sid,))


def release_user(
    connection: sqlite3.Connection, call_sid: CallSid, replica: str, now: float
) -> None:
    connection.execute(_RELEASE, {"call_sid": call_sid, "replica": replica, "now": now})


# ---------------------------------------------------------------- users of callers


def user_of(connection: sqlite3.Connection, organization: str, caller: str) -> UserId | None:
    statement = "SELECT user_id FROM callers WHERE organization = ? AND caller = ?"
    row = connection.execute(statement, (organization, caller)).fetchone()
    return None if row is None else UserId(row["user_id"])


def keep_user(
    connection: sqlite3.Connection, organization: str, caller: str, user: UserId
) -> UserId:
    statement = "INSERT INTO callers VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
    connection.execute(statement, (organization, caller, user))
    return user_of(connection, organization, caller) or user


def forget_user(
    connection: sqlite3.Connection, organization: str, caller: str, user: UserId
) -> None:
    statement = "DELETE FROM callers WHERE organization = ? AND caller = ? AND user_id = ?"
    connection.execute(statement, (organization, caller, user))


# ---------------------------------------------------------------- one call


def save(
    connection: sqlite3.Connection, call_sid: CallSid, replica: str, facts: tuple[object, ...]
) -> None:
    """Write record, status, end reason, conversation, its state and `ended` of a call of `replica`."""
    if connection.execute(_SAVE, (*facts, call_sid, replica)).rowcount == 1:
        return
    if get(connection, call_sid) is None:
        raise Forgotten("no such call")
    raise Fenced(call_sid)


def renew_token(
    connection: sqlite3.Connection, call_sid: CallSid, digest: str, expires: float, answer: str
) -> bool:
    if connection.execute(_RENEW, (digest, expires, answer, call_sid)).rowcount == 1:
        return True
    if get(connection, call_sid) is None:
        raise Forgotten("no such call")
    return False


def token_call(connection: sqlite3.Connection, digest: str, now: float) -> StoredCall | None:
    where = "token_digest = ? AND token_used = 0 AND token_expires > ? AND ended = 0"
    return _first(connection, where, (digest, now))


def use_token(connection: sqlite3.Connection, digest: str, now: float) -> StoredCall | None:
    call = token_call(connection, digest, now)
    if call is None:
        return None
    connection.execute("UPDATE calls SET token_used = 1 WHERE call_sid = ?", (call.call_sid,))
    return get(connection, call.call_sid)


def get(connection: sqlite3.Connection, call_sid: CallSid) -> StoredCall | None:
    return _first(connection, "call_sid = ?", (call_sid,))


def page(connection: sqlite3.Connection, limit: int, before: int) -> Page:
    statement = "SELECT number, record FROM calls WHERE number < ? ORDER BY number DESC LIMIT ?"
    rows = connection.execute(statement, (before, limit + 1)).fetchall()
    more = str(rows[limit - 1]["number"]) if len(rows) > limit else None
    return [json.loads(row["record"]) for row in rows[:limit]], more


# ---------------------------------------------------------------- replicas and conversations


def heartbeat(
    connection: sqlite3.Connection, replica: str, now: float, address: str | None = None
) -> None:
    connection.execute(_BEAT, (replica, now, address))


def address_of(connection: sqlite3.Connection, replica: str, now: float | None) -> str | None:
    if now is not None and _is_dead(connection, replica, now):
        return None
    statement = "SELECT address FROM replicas WHERE replica = ?"
    row = connection.execute(statement, (replica,)).fetchone()
    return None if row is None else row["address"] or ""


def orphans(connection: sqlite3.Connection, now: float, replica: str) -> list[StoredCall]:
    found = _every(connection, f"NOT {_SETTLED} AND replica <> ? ORDER BY number", (replica,))
    dead = {name for name in {call.replica for call in found} if _is_dead(connection, name, now)}
    return [call for call in found if call.replica in dead]


def owned(connection: sqlite3.Connection, replica: str) -> list[CallSid]:
    return [CallSid(row["call_sid"]) for row in connection.execute(_OWNED, (replica,))]


def adopt(
    connection: sqlite3.Connection, call_sid: CallSid, holder: str, heir: str, now: float
) -> bool:
    if holder == heir or not _is_dead(connection, holder, now):
        return False
    statement = "UPDATE calls SET replica = ? WHERE call_sid = ? AND replica = ?"
    if connection.execute(statement, (heir, call_sid, holder)).rowcount == 0:
        return False
    heartbeat(connection, heir, now)
    return True


def claim(
    connection: sqlite3.Connection,
    call_sid: CallSid,
    heir: str,
    now: float,
    holder: str | None,
) -> StoredCall | None:
    statement = """
        UPDATE calls SET replica = :heir
        WHERE call_sid = :call AND ended = 0 AND coalesce(:holder, replica) IN (replica, :heir)
    """
    values = {"heir": heir, "call": call_sid, "holder": holder}
    if connection.execute(statement, values).rowcount:
        heartbeat(connection, heir, now)
    call = get(connection, call_sid)
    return None if call is None or call.ended else call


def live_holder(
    connection: sqlite3.Connection, conversation_id: ConversationId, now: float
) -> StoredCall | None:
    where = "conversation_id = ? AND ended = 0 ORDER BY number DESC"
    calls = _every(connection, where, (conversation_id,))
    return next((call for call in calls if not _is_dead(connection, call.replica, now)), None)


def find_conversation(
    connection: sqlite3.Connection, conversation_id: ConversationId
) -> StoredCall | None:
    return _first(connection, "conversation_id = ? ORDER BY number DESC", (conversation_id,))


def _is_dead(connection: sqlite3.Connection, replica: str, now: float) -> bool:
    # a beat from the future is as old as one from the past: the clocks were set back since
    statement = "SELECT beat FROM replicas WHERE replica = ?"
    row = connection.execute(statement, (replica,)).fetchone()
    return row is None or abs(now - row["beat"]) > HEARTBEAT_TTL or proven_dead(replica)


# ---------------------------------------------------------------- facts and rows


def remember(connection: sqlite3.Connection, key: str, value: str) -> None:
    connection.execute(_REMEMBER, (key, value))


def recall(connection: sqlite3.Connection, key: str) -> str | None:
    row = connection.execute("SELECT value FROM facts WHERE key = ?", (key,)).fetchone()
    return None if row is None else str(row["value"])


def _first(
    connection: sqlite3.Connection, where: str, values: tuple[object, ...]
) -> StoredCall | None:
    return next(iter(_every(connection, f"{where} LIMIT 1", values)), None)


def _every(
    connection: sqlite3.Connection, where: str, values: tuple[object, ...]
) -> list[StoredCall]:
    statement = f"SELECT * FROM calls WHERE {where}"  # noqa: S608 - `where` is text of this file
    return [_stored(row) for row in connection.execute(statement, values)]


def _stored(row: sqlite3.Row) -> StoredCall:
    conversation = row["conversation_id"]
    return StoredCall(
        call_sid=CallSid(row["call_sid"]),
        account_sid=row["account_sid"],
        user_id=UserId(row["user_id"]),
        route=row["route"],
        organization=row["organization"],
        service_id=row["service_id"],
        conversation_id=None if conversation is None else ConversationId(conversation),
        conversation_state=row["conversation_state"],
        status=row["status"],
        replica=row["replica"],
        ended=bool(row["ended"]),
        token_digest=row["token_digest"],
        token_expires=row["token_expires"],
        token_used=bool(row["token_used"]),
        answer=row["answer"],
        record=json.loads(row["record"]),
    )
