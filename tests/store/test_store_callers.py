"""Users kept for callers: the first stays, whichever replica is quicker."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

from gateway.ids import UserId
from gateway.store import CallStore, open_store
from gateway.store.schema import STEPS, upgrade

from .support import Backend, JumpClock, leased, new_call

ANN, BEN = UserId("ann"), UserId("ben")
CALLER = "caller:0123"


async def test_nobody_is_known_at_first(store: CallStore) -> None:
    assert await store.user_of("org", CALLER) is None


async def test_a_caller_has_a_user_in_each_organization(store: CallStore) -> None:
    assert await store.keep_user("org", CALLER, ANN) == ANN
    assert await store.keep_user("other", CALLER, BEN) == BEN

    assert await store.user_of("org", CALLER) == ANN
    assert await store.user_of("other", CALLER) == BEN


async def test_replicas_that_made_a_user_at_the_same_time_agree_on_one(backend: Backend) -> None:
    async with backend.open() as one, backend.open() as two:
        kept = await asyncio.gather(
            one.keep_user("org", CALLER, ANN), two.keep_user("org", CALLER, BEN)
        )

        assert kept[0] == kept[1]
        assert await one.user_of("org", CALLER) == kept[0]


async def test_only_the_user_who_is_gone_is_forgotten(store: CallStore) -> None:
    await store.keep_user("org", CALLER, ANN)
    await store.forget_user("org", CALLER, BEN)
    assert await store.user_of("org", CALLER) == ANN

    await store.forget_user("org", CALLER, ANN)
    assert await store.user_of("org", CALLER) is None


async def test_a_caller_is_leased_like_a_user_one_call_per_service(backend: Backend) -> None:
    async with backend.open() as one, backend.open() as two:
        assert await one.admit(new_call("CA1", (CALLER,))) == leased(CALLER)
        again = await two.admit(new_call("CA2", (CALLER,)))
        elsewhere = await two.admit(new_call("CA3", (CALLER,), service_id="b" * 24))

        assert type(again).__name__ == "NoUserFree"
        assert elsewhere == leased(CALLER)


async def test_a_file_of_the_first_version_is_upgraded_and_keeps_its_calls(
    tmp_path: Path, clock: JumpClock
) -> None:
    path = tmp_path / "old.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        upgrade(connection, STEPS[:1])
        connection.execute(
            "INSERT INTO leases VALUES ('org', '5a9db0c55a9db0c55a9db0c5', 'u1', 'CA0', 7)"
        )

    async with open_store(f"sqlite:///{path}", clock) as store:
        await store.keep_user("org", CALLER, ANN)

        assert await store.user_of("org", CALLER) == ANN
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT call_sid FROM leases").fetchall() == [("CA0",)]
