"""Orders in SQLite: who takes one is whoever owns its call in that very transaction."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from gateway.errors import StoreError
from gateway.ids import CallSid
from gateway.store.port import MAX_ORDERS, ORDER_SECONDS, Order

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

    Row = tuple[object, ...]
    """An order as it lies in the table, its number first."""

_PRUNE: Final = """
DELETE FROM orders WHERE given_at < ?
  OR NOT EXISTS (SELECT 1 FROM calls WHERE calls.call_sid = orders.call_sid AND ended = 0)
"""
_GIVE: Final = """
INSERT INTO orders (call_sid, kind, body, given_at)
SELECT call_sid, :kind, :body, :now FROM calls WHERE call_sid = :call_sid AND ended = 0
"""
_MINE: Final = """
FROM orders JOIN calls USING (call_sid)
WHERE replica = ? AND ended = 0 AND given_at >= ?
"""
_ROWS: Final = (
    f"SELECT orders.number, orders.call_sid, kind, body, given_at {_MINE} ORDER BY orders.number"
)
_PUT_BACK: Final = (
    "INSERT INTO orders (number, call_sid, kind, body, given_at) VALUES (?, ?, ?, ?, ?)"
)


def give(connection: sqlite3.Connection, values: Mapping[str, object], now: float) -> bool:
    """Keep an order of `call_sid`, `kind` and `body` (JSON); False where the call is unknown or over."""
    connection.execute(_PRUNE, (now - ORDER_SECONDS,))
    if connection.execute("SELECT count(*) FROM orders").fetchone()[0] >= MAX_ORDERS:
        raise StoreError("too many orders wait")
    return connection.execute(_GIVE, {**values, "now": now}).rowcount == 1


def waiting(connection: sqlite3.Connection, replica: str, now: float) -> bool:
    """Look whether `take` would find something, without the file's write lock."""
    statement = f"SELECT 1 {_MINE} LIMIT 1"
    return connection.execute(statement, (replica, now - ORDER_SECONDS)).fetchone() is not None


def take(connection: sqlite3.Connection, replica: str, now: float) -> list[Row]:
    rows = [tuple(row) for row in connection.execute(_ROWS, (replica, now - ORDER_SECONDS))]
    connection.executemany("DELETE FROM orders WHERE number = ?", [row[:1] for row in rows])
    return rows


def put_back(connection: sqlite3.Connection, rows: list[Row]) -> None:
    """Undo a `take` nobody learned of; by their numbers the orders keep their places."""
    connection.executemany(_PUT_BACK, rows)


def order_of(row: Row) -> Order:
    _, call_sid, kind, body, _ = row
    return Order(call_sid=CallSid(str(call_sid)), kind=str(kind), body=json.loads(str(body)))
