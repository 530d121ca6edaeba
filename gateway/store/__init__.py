"""What survives a crash: calls, leases of users, heartbeats of replicas."""

from __future__ import annotations

from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.errors import StoreError
from gateway.store.port import (
    HEARTBEAT_TTL,
    SETTLED_STATES,
    Admitted,
    CallStore,
    Known,
    NewCall,
    NoUserFree,
    StoredCall,
)
from gateway.store.replica import make_replica, proven_dead

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway.clock import Clock

__all__ = [
    "HEARTBEAT_TTL",
    "SETTLED_STATES",
    "Admitted",
    "CallStore",
    "Known",
    "NewCall",
    "NoUserFree",
    "StoredCall",
    "make_replica",
    "open_store",
    "proven_dead",
    "store_path",
]

SQLITE = "sqlite:///"


def store_path(url: str) -> Path:
    """Return the file of `sqlite:///PATH` (four slashes: an absolute path); ValueError says what is wrong."""
    if url.startswith(("redis:", "rediss:")):
        raise ValueError("needs Redis, which is not part of this version; use sqlite:///PATH")
    if not url.startswith(SQLITE):
        raise ValueError("is not a store; expected sqlite:///PATH")
    path = url.removeprefix(SQLITE)
    if not path or path == ":memory:" or path.endswith("/"):
        raise ValueError("names no file; calls must survive this process")
    if "?" in path or "#" in path or not path.isprintable():
        raise ValueError("must not have a query, a fragment or control characters")
    return Path(path)


@asynccontextmanager
async def open_store(
    url: str, clock: Clock, *, must_exist: bool = False
) -> AsyncIterator[CallStore]:
    """Open the store of this URL for the time of the context; `StoreError` when it cannot be used.

    `must_exist` is for those who only look: they leave no empty file behind.
    """
    from gateway.store.sqlite import open_sqlite

    path = store_path(url)
    if must_exist and not path.is_file():
        raise StoreError(f"there is no store at {str(path)!r} yet")
    async with open_sqlite(path, clock) as store:
        yield store
