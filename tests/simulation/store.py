"""The real SQL of the SQLite store on one database in memory, without threads, with faults.

A `SimLane` stands where the store has its worker thread: what is asked is done in order, in one
transaction each, after some virtual time. Triggers tell the judge of every change that could break a
promise, whoever makes it.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextvars import Context
from functools import cache
from typing import Any, Final, TypeVar

from gateway.errors import StoreError
from gateway.store.schema import upgrade
from gateway.store.sqlite import SqliteStore
from tests.simulation.loop import WORLD, Process
from tests.simulation.plan import Plan
from tests.simulation.world import MachineClock, World

T = TypeVar("T")

Work = Callable[[sqlite3.Connection], Any]
Told = Callable[..., None]

_TRIGGERS: Final = (
    """
    CREATE TRIGGER told_end AFTER UPDATE ON calls
    WHEN old.end_reason IS NOT NULL AND new.end_reason IS NOT old.end_reason
    BEGIN SELECT tell('end-reason', new.call_sid, old.end_reason, new.end_reason); END
    """,
    """
    CREATE TRIGGER told_revived AFTER UPDATE ON calls WHEN old.ended = 1 AND new.ended = 0
    BEGIN SELECT tell('revived', new.call_sid, old.status, new.status); END
    """,
    """
    CREATE TRIGGER told_owner AFTER UPDATE ON calls WHEN old.replica <> new.replica
    BEGIN SELECT tell('owner', new.call_sid, old.replica, new.replica); END
    """,
    """
    CREATE TRIGGER told_status AFTER UPDATE ON calls
    WHEN old.status <> new.status OR old.conversation_state <> new.conversation_state
    BEGIN SELECT tell('status', new.call_sid, new.status, new.conversation_state); END
    """,
    """
    CREATE TRIGGER told_forgotten AFTER UPDATE ON calls
    WHEN old.conversation_id IS NOT NULL AND new.conversation_id IS NOT old.conversation_id
    BEGIN SELECT tell('conversation', new.call_sid, old.conversation_id, new.conversation_id); END
    """,
    """
    CREATE TRIGGER told_beat AFTER UPDATE ON replicas
    BEGIN SELECT tell('beat', new.replica, '', ''); END
    """,
    """
    CREATE TRIGGER told_first_beat AFTER INSERT ON replicas
    BEGIN SELECT tell('beat', new.replica, '', ''); END
    """,
    """
    CREATE TRIGGER told_lease AFTER UPDATE ON leases
    WHEN new.call_sid IS NOT NULL AND old.call_sid IS NOT NULL AND old.call_sid <> new.call_sid
      AND EXISTS (SELECT 1 FROM calls WHERE call_sid = old.call_sid AND NOT (ended = 1
        AND conversation_state IN ('none', 'finished', 'auto-finished')))
    BEGIN SELECT tell('leased-twice', new.user_id, old.call_sid, new.call_sid); END
    """,
)


@cache
def _template() -> bytes:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.create_function("tell", 4, lambda *_: None)
    upgrade(connection)
    for trigger in _TRIGGERS:
        connection.execute(trigger)
    image = connection.serialize()
    connection.close()
    return image


def open_database(tell: Told) -> sqlite3.Connection:
    """A new database; `tell(what, of, before, after)` hears of the changes the triggers name."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.deserialize(_template())
    connection.row_factory = sqlite3.Row
    connection.create_function("tell", 4, tell)
    return connection


class SimLane:
    """Stands for `gateway.store.lane.Lane`."""

    def __init__(
        self, world: World, plan: Plan, process: Process, database: sqlite3.Connection, name: str
    ) -> None:
        self._world = world
        self._plan = plan
        self._process = process
        self._database = database
        self._chance = world.chance(f"store {process.name} {name}")
        self._last = 0.0

    async def run(self, work: Callable[[sqlite3.Connection], T], undo: Work | None = None) -> T:
        """As the lane: cancelled before it began, the work is left out; cancelled later, `undo` follows."""
        loop = self._world.loop
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        fate, wait = self._fate()
        at = max(loop.time() + wait, self._last + 1e-6)
        self._last = at
        loop.call_at(at, self._perform, work, undo, future, fate, context=self._context())
        return await future

    def _context(self) -> Context:
        """Whose work a request is once it was sent."""
        return WORLD if self._plan.store_server else self._process.context()

    def _fate(self) -> tuple[str, float]:
        world, chance = self._world, self._chance
        wait = chance.uniform(0.0005, 0.01)
        if world.calm:
            return "done", wait
        now, who = world.now(), self._process.name
        for outage in self._plan.store_outages:
            if outage.holds(now):
                world.fault("store-outage", who)
                return "error-before", 2.0 if outage.how == "very-slow" else wait
        for kind, rate in self._plan.store.items():
            if chance.random() < rate:
                if kind == "answer-lost" and not self._plan.store_server:
                    continue  # a file answers whoever lives
                world.fault(f"store-{kind}", who)
                match kind:
                    case "slow":
                        wait += chance.uniform(0.02, 0.5)
                    case "very-slow":
                        return "done", chance.uniform(1.0, 4.0)
                    case _:
                        return kind, wait
        return "done", wait

    def _perform(
        self, work: Work, undo: Work | None, future: asyncio.Future[Any], fate: str
    ) -> None:
        if future.cancelled():
            return
        if fate == "error-before":
            future.set_exception(StoreError("not now"))
            return
        try:
            result = self._transaction(work)
        except Exception as error:  # noqa: BLE001 - it is the one who asked whom it concerns
            translated = StoreError(str(error)) if isinstance(error, sqlite3.Error) else error
            future.set_exception(translated)
            return
        loop = self._world.loop
        wait = self._chance.uniform(0.0005, 0.005)
        loop.call_later(wait, self._deliver, result, undo, future, fate, context=self._context())

    def _deliver(
        self, result: object, undo: Work | None, future: asyncio.Future[Any], fate: str
    ) -> None:
        unwanted = future.cancelled()
        if not unwanted and fate != "answer-lost":
            future.set_result(result)
            return
        if not unwanted:
            future.set_exception(StoreError("no answer"))
        if undo is not None:
            self._world.loop.call_later(
                self._chance.uniform(0.001, 0.3),
                lambda: self._transaction(undo),
                context=self._context(),
            )

    def _transaction(self, work: Work) -> object:
        database = self._database
        database.execute("BEGIN IMMEDIATE")
        try:
            result = work(database)
        except BaseException:
            database.execute("ROLLBACK")
            raise
        database.execute("COMMIT")
        return result


def make_store(
    world: World,
    plan: Plan,
    process: Process,
    database: sqlite3.Connection,
    clock: MachineClock,
) -> SqliteStore:
    """The product's store for one process."""
    writer: Any = SimLane(world, plan, process, database, "writer")
    reader: Any = SimLane(world, plan, process, database, "reader")
    return SqliteStore(writer, reader, clock)
