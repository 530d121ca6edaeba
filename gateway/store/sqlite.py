"""Calls in one SQLite file: write-ahead log, full sync, a writing thread and a reading thread."""

from __future__ import annotations

import asyncio
import os
import secrets
import sqlite3
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from gateway.errors import StoreError
from gateway.store import sql, sql_orders
from gateway.store.forms import as_json, position
from gateway.store.lane import Lane
from gateway.store.schema import upgrade

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from gateway.clock import Clock
    from gateway.ids import CallSid, ConversationId, UserId
    from gateway.store.port import Admitted, Known, NewCall, NoUserFree, Order, Risk, StoredCall

MAX_GIVEN_UP: Final = 1000
"""Given-up admissions remembered; older ones are long undone."""
BUSY_SECONDS: Final = 5.0
"""How long one process waits for another's transaction."""
LOOK_SECONDS: Final = 0.2
"""Between looks for orders: another process of this machine may have written one."""


@asynccontextmanager
async def open_sqlite(path: Path, clock: Clock) -> AsyncIterator[SqliteStore]:
    """Open the file, made with its folders where missing; leaving waits for what was asked for."""
    async with (
        Lane("store-writer", lambda: _connect_writer(path), "BEGIN IMMEDIATE") as writer,
        Lane("store-reader", lambda: _connect_reader(path), "BEGIN") as reader,
    ):
        yield SqliteStore(writer, reader, clock)


class SqliteStore:
    """The `CallStore` port over one file; several processes of one machine may share it."""

    def __init__(self, writer: Lane, reader: Lane, clock: Clock) -> None:
        self._write = writer.run
        self._read = reader.run
        self._clock = clock
        self._given_up: dict[CallSid, bool] = {}
        """Calls whose admission nobody waited for, until they are asked about again."""

    async def admit(self, new: NewCall) -> Admitted | Known | NoUserFree:
        values = sql.admission(new)
        await self._undone(new.call_sid)
        try:
            return await self._write(
                lambda connection: sql.admit(connection, values),
                undo=lambda c: sql.withdraw(c, new.call_sid, new.replica, new.token_digest),
            )
        except asyncio.CancelledError:
            self._given_up[new.call_sid] = True
            while len(self._given_up) > MAX_GIVEN_UP:
                del self._given_up[next(iter(self._given_up))]
            raise

    async def _undone(self, call_sid: CallSid) -> None:
        """A carrier that asks again at once must not be told of a call that is about to vanish."""
        if self._given_up.pop(call_sid, None):
            await self.flush()

    async def turn_away(self, new: NewCall) -> None:
        values = sql.admission(new)
        await self._undone(new.call_sid)
        await self._write(lambda connection: sql.turn_away(connection, values))

    async def renew_token(
        self, call_sid: CallSid, digest: str, expires: float, answer: str
    ) -> bool:
        return await self._write(lambda c: sql.renew_token(c, call_sid, digest, expires, answer))

    async def use_token(self, digest: str, now: float) -> StoredCall | None:
        return await self._write(lambda c: sql.use_token(c, digest, now))

    async def token_call(self, digest: str, now: float) -> StoredCall | None:
        return await self._read(lambda c: sql.token_call(c, digest, now))

    async def save(
        self,
        call_sid: CallSid,
        *,
        replica: str,
        record: Mapping[str, object],
        status: str,
        end_reason: str | None,
        conversation_id: ConversationId | None,
        conversation_state: str,
        ended: bool,
    ) -> None:
        # The text is made here, not in the thread: the record is the core's and may change meanwhile.
        text = as_json(record)
        facts = (text, status, end_reason, conversation_id, conversation_state, ended)
        await self._write(lambda c: sql.save(c, call_sid, replica, facts))

    async def release_user(self, call_sid: CallSid, replica: str) -> None:
        now = self._clock.wall()
        await self._write(lambda c: sql.release_user(c, call_sid, replica, now))

    async def user_of(self, organization: str, caller: str) -> UserId | None:
        return await self._read(lambda c: sql.user_of(c, organization, caller))

    async def keep_user(self, organization: str, caller: str, user: UserId) -> UserId:
        return await self._write(lambda c: sql.keep_user(c, organization, caller, user))

    async def forget_user(self, organization: str, caller: str, user: UserId) -> None:
        await self._write(lambda c: sql.forget_user(c, organization, caller, user))

    async def heartbeat(self, replica: str, now: float, address: str | None = None) -> None:
        await self._write(lambda c: sql.heartbeat(c, replica, now, address))

    async def address_of(self, replica: str, now: float | None) -> str | None:
        return await self._read(lambda c: sql.address_of(c, replica, now))

    async def orphans(self, now: float, replica: str) -> list[StoredCall]:
        return await self._read(lambda c: sql.orphans(c, now, replica))

    async def owned(self, replica: str) -> list[CallSid]:
        return await self._read(lambda c: sql.owned(c, replica))

    async def adopt(
        self, call_sid: CallSid, from_replica: str, to_replica: str, now: float
    ) -> bool:
        return await self._write(lambda c: sql.adopt(c, call_sid, from_replica, to_replica, now))

    async def claim(
        self, call_sid: CallSid, to_replica: str, now: float, holder: str | None = None
    ) -> StoredCall | None:
        return await self._write(lambda c: sql.claim(c, call_sid, to_replica, now, holder))

    async def order(self, order: Order, now: float) -> bool:
        values = {"call_sid": order.call_sid, "kind": order.kind, "body": as_json(order.body)}
        return await self._write(lambda c: sql_orders.give(c, values, now))

    async def take_orders(self, replica: str, wait: float) -> list[Order]:
        loop = asyncio.get_running_loop()
        until = loop.time() + wait
        while True:
            if await self._has_orders(replica) and (taken := await self._take(replica)):
                return taken
            left = until - loop.time()
            if left <= 0:
                return []
            await asyncio.sleep(min(LOOK_SECONDS, left))

    async def _has_orders(self, replica: str) -> bool:
        now = self._clock.wall()
        return await self._read(lambda c: sql_orders.waiting(c, replica, now))

    async def _take(self, replica: str) -> list[Order]:
        now = self._clock.wall()
        taken: list[sql_orders.Row] = []

        def take(connection: sqlite3.Connection) -> list[sql_orders.Row]:
            taken[:] = sql_orders.take(connection, replica, now)
            return taken

        rows = await self._write(take, undo=lambda c: sql_orders.put_back(c, taken))
        return [sql_orders.order_of(row) for row in rows]

    async def live_holder(self, conversation_id: ConversationId, now: float) -> StoredCall | None:
        return await self._read(lambda c: sql.live_holder(c, conversation_id, now))

    async def find_conversation(self, conversation_id: ConversationId) -> StoredCall | None:
        return await self._read(lambda c: sql.find_conversation(c, conversation_id))

    async def get(self, call_sid: CallSid) -> StoredCall | None:
        return await self._read(lambda c: sql.get(c, call_sid))

    async def calls(
        self, limit: int, cursor: str | None = None
    ) -> tuple[list[dict[str, object]], str | None]:
        before = position(cursor)
        return await self._read(lambda c: sql.page(c, limit, before))

    async def remember(self, key: str, value: str) -> None:
        await self._write(lambda c: sql.remember(c, key, value))

    async def recall(self, key: str) -> str | None:
        return await self._read(lambda c: sql.recall(c, key))

    async def risks(self) -> list[Risk]:
        return []  # every commit is synced to the disk before it is told

    async def ping(self) -> None:
        # A true write: readers go on where writers cannot, for another's lock or a full disk. SQLite
        # writes nothing where the value stays the same.
        value = secrets.token_hex(8)
        await self._write(lambda c: sql.remember(c, "ping", value))

    async def flush(self) -> None:
        await self._write(lambda _: None)


def _connect_writer(path: Path) -> sqlite3.Connection:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Records hold numbers and what was said: nobody else's to read. The log files inherit this.
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise StoreError(f"cannot open {str(path)!r}: {error.strerror or error}") from error
    connection = _connect(path)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        upgrade(connection)
    except (sqlite3.Error, StoreError) as error:
        connection.close()
        raise StoreError(f"cannot use {str(path)!r}: {error}") from error
    return connection


def _connect_reader(path: Path) -> sqlite3.Connection:
    connection = _connect(path)
    connection.execute("PRAGMA query_only = ON")
    return connection


def _connect(path: Path) -> sqlite3.Connection:
    # No implicit transactions: the lane begins and commits them.
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
    connection.row_factory = sqlite3.Row
    return connection
