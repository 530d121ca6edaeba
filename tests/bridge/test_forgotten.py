"""A store that lost its memory: it is told of a live call again, and a call that is over ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gateway.bridge.books import Books
from gateway.bridge.house import House
from gateway.call.record import CallRecord
from gateway.clock import SystemClock
from gateway.errors import Forgotten
from gateway.metrics import Metrics
from gateway.store import Admitted, CallStore, Known, NoUserFree, open_store
from tests.store.support import new_call

CALL = new_call(token_digest="digest")
SID = CALL.call_sid
HANG_LIMIT = 10.0


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[CallStore]:
    """One that has never heard of the call."""
    async with open_store(f"sqlite:///{tmp_path}/calls.db", SystemClock()) as store:
        yield store


@pytest.fixture
def record() -> CallRecord:
    return CallRecord(
        call_sid=SID, direction="inbound", caller="", called="", organization="org",
        service_id="s", user_id="u1", replica=CALL.replica, started_at=0.0, conversation_id="c1",
    )  # fmt: skip


@pytest.fixture
def books(store: CallStore, record: CallRecord) -> Books:
    house: Any = SimpleNamespace(
        clock=SystemClock(),
        store=store,
        metrics=Metrics(),
        aftermath=SimpleNamespace(take=lambda *_: None),
        account=None,
    )
    return Books(record, CALL, cast("House", house), lambda: None)


async def test_such_a_store_says_so(store: CallStore) -> None:
    with pytest.raises(Forgotten):
        await store.renew_token(SID, "d", 0.0, "<Response/>")


async def test_a_live_call_is_stored_anew_with_its_user_and_what_was_written(
    books: Books, store: CallStore
) -> None:
    assert await books.ours()

    call = await store.get(SID)
    assert call is not None
    assert (call.user_id, call.conversation_id, call.replica) == ("u1", "c1", CALL.replica)
    assert call.record["conversation_id"] == "c1"
    assert isinstance(await store.admit(CALL), Known)
    assert await store.admit(new_call("CA2")) == NoUserFree()


@pytest.mark.parametrize("stream", [None, "MZ1"])
async def test_a_token_that_was_used_opens_no_second_stream(
    books: Books, store: CallStore, record: CallRecord, stream: str | None
) -> None:
    record.stream_sid = stream
    assert await books.ours()

    opened = await store.use_token("digest", CALL.now)
    assert (opened is not None) == (stream is None)


async def test_a_call_that_is_over_ends_and_frees_its_user(
    books: Books, store: CallStore, record: CallRecord
) -> None:
    record.ended_at, record.status, record.conversation_state = 1.0, "completed", "finished"
    await asyncio.wait_for(books.close(), HANG_LIMIT)

    call = await store.get(SID)
    assert call is not None
    assert (call.ended, call.status, call.conversation_state) == (True, "completed", "finished")
    assert isinstance(await store.admit(new_call("CA2")), Admitted)


async def test_where_its_user_is_another_calls_by_now_only_the_record_is_kept(
    books: Books, store: CallStore, record: CallRecord
) -> None:
    other = replace(new_call("CA2"), token_digest="other")
    assert isinstance(await store.admit(other), Admitted)
    assert await books.ours(), "nobody else can know of it"
    assert await store.get(SID) is None

    record.ended_at, record.status, record.conversation_state = 1.0, "completed", "finished"
    await asyncio.wait_for(books.close(), HANG_LIMIT)

    call = await store.get(SID)
    assert call is not None
    assert (call.ended, call.status) == (True, "completed")
    assert await store.admit(new_call("CA3")) == NoUserFree(), "the lease is the other call's"
