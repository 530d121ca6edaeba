"""A call that another replica has by now: the books are closed at once, and nothing of it is touched."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gateway.bridge.books import Books
from gateway.bridge.house import House
from gateway.call.record import CallRecord
from gateway.clock import SystemClock
from gateway.errors import StoreError
from gateway.ids import CallSid, ConversationId, UserId
from gateway.metrics import Metrics
from gateway.store import CallStore, NewCall, NoUserFree, open_store

HERE, THERE = "here:1:1:a", "there:1:1:b"
CA1 = CallSid("CA1")
HANG_LIMIT = 10.0


def new_call(call_sid: CallSid = CA1) -> NewCall:
    return NewCall(
        call_sid=call_sid, account_sid="AC1", direction="inbound", caller="", called="", route="", organization="org", service_id="s", candidates=(UserId("u1"),), replica=HERE, token_digest="", token_expires=0.0, answer="<Response/>", record={}, now=SystemClock().wall(),
    )  # fmt: skip


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[CallStore]:
    async with open_store(f"sqlite:///{tmp_path}/calls.db", SystemClock()) as store:
        await store.admit(new_call())
        yield store


class Nothing:
    def take(self, *_: object) -> None:
        raise AssertionError("what follows a call is its owner's")


@pytest.fixture
def told() -> list[str]:
    """What the bridge was told."""
    return []


@pytest.fixture
def books(store: CallStore, told: list[str]) -> Books:
    record = CallRecord(
        call_sid=CA1, direction="inbound", caller="", called="", organization="org",
        service_id="s", user_id="u1", replica=HERE, started_at=0.0, conversation_id="c1",
    )  # fmt: skip
    house: Any = SimpleNamespace(
        clock=SystemClock(), store=store, metrics=Metrics(), aftermath=Nothing(), account=None
    )
    return Books(record, new_call(), cast("House", house), lambda: told.append("fenced"))


def fenced_lines(caplog: pytest.LogCaptureFixture) -> int:
    return sum("call.fenced" in record.getMessage() for record in caplog.records)


async def test_the_saver_of_a_fenced_call_writes_nothing_and_tells_its_bridge(
    books: Books, store: CallStore, told: list[str]
) -> None:
    await store.claim(CA1, THERE, SystemClock().wall())
    saving = asyncio.create_task(books.run())
    books.ask()
    async with asyncio.timeout(HANG_LIMIT):
        while not told:  # noqa: ASYNC110 - what tells is a plain callback
            await asyncio.sleep(0.01)
        await books.conversation_opened(ConversationId("c1"))
        assert not await books.ours()
    saving.cancel()

    assert told == ["fenced"] * 3
    call = await store.get(CA1)
    assert call is not None
    assert (call.record, call.replica, call.conversation_id) == ({}, THERE, None)


async def test_a_store_that_is_away_leaves_the_call_ours(books: Books, told: list[str]) -> None:
    books._house.store.save = _away  # type: ignore[method-assign]

    assert await books.ours()
    assert told == []


async def _away(*_: object, **__: object) -> None:
    raise StoreError("away")


async def test_closing_the_books_of_a_fenced_call_ends_and_leaves_user_and_record(
    books: Books, store: CallStore, caplog: pytest.LogCaptureFixture
) -> None:
    await store.claim(CA1, THERE, SystemClock().wall())
    with caplog.at_level(logging.WARNING):
        await asyncio.wait_for(books.close(), HANG_LIMIT)

    assert fenced_lines(caplog) == 1
    assert await store.admit(new_call(CallSid("CA2"))) == NoUserFree()
