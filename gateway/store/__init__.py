"""What survives a crash: calls and their owners, orders, leases of users, heartbeats of replicas."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from gateway.errors import StoreError
from gateway.store.place import RedisPlace, store_path, store_place
from gateway.store.port import (
    HEARTBEAT_TTL,
    MAX_ORDERS,
    ORDER_SECONDS,
    SETTLED_STATES,
    Admitted,
    CallStore,
    Known,
    NewCall,
    NoUserFree,
    Order,
    Risk,
    StoredCall,
)
from gateway.store.replica import make_replica, proven_dead

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway.clock import Clock

__all__ = [
    "HEARTBEAT_TTL",
    "MAX_ORDERS",
    "ORDER_SECONDS",
    "SETTLED_STATES",
    "Admitted",
    "CallStore",
    "Known",
    "NewCall",
    "NoUserFree",
    "Order",
    "RedisPlace",
    "Risk",
    "StoredCall",
    "make_replica",
    "open_store",
    "proven_dead",
    "store_path",
    "store_place",
]


@asynccontextmanager
async def open_store(
    url: str, clock: Clock, *, must_exist: bool = False
) -> AsyncIterator[CallStore]:
    """Open the store of this URL for the time of the context; `StoreError` when it cannot be used.

    `must_exist` is for those who only look: they leave no empty file behind.
    """
    place = store_place(url)
    if isinstance(place, RedisPlace):
        from gateway.store.redis import open_redis

        async with open_redis(place, clock, must_exist=must_exist) as redis:
            yield redis
        return
    from gateway.store.sqlite import open_sqlite

    if must_exist and not place.is_file():
        raise StoreError(f"there is no store at {str(place)!r} yet")
    async with open_sqlite(place, clock) as sqlite:
        yield sqlite
