"""What must hold when a test is over: nothing owed in the store, no error in the log, no task left."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any


def store_rows(path: Path, query: str) -> list[tuple[Any, ...]]:
    """What really stands in the store's file."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


def leased(path: Path) -> list[tuple[Any, ...]]:
    """Users that are taken, and by which call."""
    return store_rows(path, "SELECT user_id, call_sid FROM leases WHERE call_sid IS NOT NULL")


def store_in_order(path: Path) -> None:
    """Every call ended and settled, no user leased."""
    unsettled = "SELECT call_sid, status, conversation_state FROM calls WHERE NOT ended OR conversation_state NOT IN ('none', 'finished', 'auto-finished')"
    assert store_rows(path, unsettled) == []
    assert leased(path) == []
    statuses = dict(store_rows(path, "SELECT call_sid, status FROM calls"))
    assert set(statuses.values()) <= {"completed", "failed"}, statuses


@contextmanager
def complaints() -> Iterator[list[logging.LogRecord]]:
    """Everything logged at error level meanwhile, by us or by the event loop."""
    found: list[logging.LogRecord] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(record)

    listener = Listener(logging.ERROR)
    loggers = [logging.getLogger(name) for name in ("gateway", "asyncio", "aiohttp")]
    for logger in loggers:
        logger.addHandler(listener)
    try:
        yield found
    finally:
        for logger in loggers:
            logger.removeHandler(listener)


@asynccontextmanager
async def in_order_afterwards(expected: frozenset[str]) -> AsyncIterator[None]:
    """Nothing logged as an error inside but what is expected, no task left behind."""
    before = asyncio.all_tasks()
    with complaints() as errors:
        yield
        left: set[asyncio.Task[Any]] = set()
        for _ in range(50):
            left = {task for task in asyncio.all_tasks() - before if not task.done()}
            if not left:
                break
            await asyncio.sleep(0.02)
        assert left == set(), "tasks left behind"
    assert {record.getMessage() for record in errors} == expected
