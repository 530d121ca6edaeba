"""A store that is late, locked or broken: the caller hears busy, calls that live go on, nothing stays behind."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

import gateway.app
from gateway.bridge import admission, refusals
from gateway.errors import StoreError
from gateway.store import CallStore, open_store
from tests.end_to_end.door_carrier import eventually, new_call_sid
from tests.end_to_end.door_kit import House, open_house
from tests.end_to_end.door_order import store_rows

STORE_PATIENCE = admission.STORE_PATIENCE
REFUSED = "SELECT call_sid FROM calls WHERE end_reason = 'rejected'"


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another process writes, and does not come to an end."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            other.execute("ROLLBACK")


class FaultyStore:
    """The real store behind one method that hangs or fails for as long as a test wants."""

    def __init__(self, store: CallStore) -> None:
        self._store = store
        self.hanging: set[str] = set()
        self.failing: set[str] = set()
        self.asked: list[str] = []

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._store, name)

        async def asked(*args: Any, **kwargs: Any) -> Any:
            self.asked.append(name)
            while name in self.hanging:  # noqa: ASYNC110 - a set the test changes
                await asyncio.sleep(0.01)
            if name in self.failing:
                raise StoreError("a fault was asked for")
            return await real(*args, **kwargs)

        return asked


@pytest.fixture
def hurry(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Call it to set the bound as it is in the field."""
    return lambda: monkeypatch.setattr(admission, "STORE_PATIENCE", STORE_PATIENCE)


@pytest.fixture
def stores(monkeypatch: pytest.MonkeyPatch) -> list[FaultyStore]:
    """The stores that gateways of this test open, faults at hand."""
    opened: list[FaultyStore] = []

    @asynccontextmanager
    async def open_faulty(*args: Any, **kwargs: Any) -> AsyncIterator[FaultyStore]:
        async with open_store(*args, **kwargs) as store:
            opened.append(FaultyStore(store))
            yield opened[-1]

    monkeypatch.setattr(gateway.app, "open_store", open_faulty)
    return opened


async def creates(house: House) -> int:
    return sum(one["operation"] == "create" for one in (await house.log())["requests"])


async def test_a_locked_store_makes_new_calls_hear_busy_at_once_and_leaves_nothing_behind(
    tmp_path: Path, hurry: Callable[[], None]
) -> None:
    async with open_house(tmp_path) as house:
        hurry()
        loop = asyncio.get_running_loop()
        with locked(house.store_path):
            for _ in range(3):
                began = loop.time()
                answer = await house.carrier.voice(new_call_sid())
                assert answer.busy
                assert loop.time() - began < 10 * STORE_PATIENCE
        # the writer gets through now, and has to undo what nobody waits for any more
        sid = new_call_sid()
        await eventually_taken(house, sid)

        held = "SELECT call_sid FROM calls WHERE NOT ended"
        assert store_rows(house.store_path, held) == [(sid,)]
        await house.until(sid, lambda record: record["conversation_id"] is not None)
        assert await creates(house) == 1
        assert await house.metric("calls_total", direction="inbound", end_reason="rejected") >= 3
        await house.carrier.status(sid)


async def eventually_taken(house: House, sid: str) -> None:
    """Ask as the carrier does, until the call is taken."""
    for _ in range(200):
        if (await house.carrier.voice(sid)).verbs == ["Connect", "Hangup"]:
            return
        await asyncio.sleep(0.05)
    raise AssertionError("the call was never taken")


async def test_a_store_that_answers_too_late_is_the_same_as_one_that_does_not(
    tmp_path: Path, stores: list[FaultyStore], hurry: Callable[[], None]
) -> None:
    async with open_house(tmp_path) as house:
        hurry()
        stores[0].hanging = {"admit"}
        first, second = new_call_sid(), new_call_sid()
        answers = await asyncio.gather(
            *(house.carrier.voice(sid) for sid in (first, first, second))
        )
        stores[0].hanging = set()

        assert [answer.busy for answer in answers] == [True, True, True]
        assert store_rows(house.store_path, "SELECT call_sid FROM calls WHERE NOT ended") == []
        await eventually_taken(house, first)
        await house.carrier.status(first)


@pytest.mark.parametrize("method", ["admit", "get"])
async def test_a_broken_store_makes_new_calls_hear_busy(
    tmp_path: Path, stores: list[FaultyStore], method: str
) -> None:
    async with open_house(tmp_path) as house:
        stores[0].failing = {method}
        house.gateway.switchboard.admission.closed = method == "get"

        assert (await house.carrier.voice(new_call_sid())).busy
        assert await creates(house) == 0
        stores[0].failing = set()


async def test_a_live_call_goes_on_while_the_store_is_locked(
    tmp_path: Path, hurry: Callable[[], None]
) -> None:
    async with open_house(tmp_path) as house:
        sid, url = await house.answered()
        hurry()
        loop = asyncio.get_running_loop()
        with locked(house.store_path):
            began = loop.time()
            async with house.socket(url, sid) as stream:
                # the upgrade does not wait for the store either
                assert loop.time() - began < 1.0
                await stream.start()
                await stream.hears()
                assert await house.carrier.refusal(url) == 403, "a token is used once, store or not"
                assert (await house.readiness()) == (503, ["store-unreachable"])
                await house.listening(sid)
                await stream.stop()
        record = await house.settled(sid)
        assert record["end_reason"] == "caller-hangup"
    assert store_rows(house.store_path, "SELECT token_used FROM calls") == [(1,)]


async def test_a_conversation_that_could_not_be_stored_at_once_is_stored_and_finished(
    tmp_path: Path, stores: list[FaultyStore]
) -> None:
    async with open_house(tmp_path) as house:
        stores[0].failing = {"save", "use_token"}
        async with house.on_the_line() as stream:
            await house.listening(stream.call_sid)
            await stream.stop()
        await eventually(lambda: stores[0].asked.count("save") >= 2)
        stores[0].failing = set()

        record = await house.settled(stream.call_sid)
        assert record["conversation_state"] == "finished"


async def test_a_live_call_gets_its_new_token_although_the_store_is_late(
    tmp_path: Path, stores: list[FaultyStore], hurry: Callable[[], None]
) -> None:
    async with open_house(tmp_path) as house, house.on_the_line() as stream:
        await stream.hears()
        hurry()
        stores[0].hanging = {"renew_token"}
        assert not (await house.carrier.voice(stream.call_sid)).busy
        stores[0].hanging = set()
        await house.listening(stream.call_sid)
        await stream.stop()


async def test_a_gateway_whose_store_does_not_answer_is_alive_but_not_ready(
    tmp_path: Path, stores: list[FaultyStore]
) -> None:
    async with open_house(tmp_path) as house:
        assert await house.readiness() == (200, [])
        stores[0].failing = {"ping"}

        assert await house.readiness() == (503, ["store-unreachable"])
        async with house.http.get(f"{house.target.connect_to}/healthz") as answer:
            assert answer.status == 200
        stores[0].failing = set()
        assert await house.readiness() == (200, [])


async def test_a_store_that_hangs_delays_no_refusal_and_a_flood_costs_little(
    tmp_path: Path,
    stores: list[FaultyStore],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(refusals, "MAX_WRITING", 3)
    monkeypatch.setattr(refusals, "GIVEN_UP", 0.2)
    async with open_house(tmp_path, env={"GATEWAY_MAX_CALLS": "1"}) as house:
        first, _ = await house.answered()
        stores[0].hanging.add("turn_away")
        answers = await asyncio.gather(*(house.carrier.voice(new_call_sid()) for _ in range(9)))

        assert all(answer.busy for answer in answers)
        assert stores[0].asked.count("turn_away") == 3
        await asyncio.sleep(0.3)
        stores[0].hanging.clear()
        stores[0].failing.add("turn_away")
        assert (await house.carrier.voice(new_call_sid())).busy
        assert store_rows(house.store_path, REFUSED) == []
        await house.carrier.status(first)


async def test_a_locked_store_says_busy_at_once_and_what_was_refused_is_told_later(
    tmp_path: Path,
    hurry: Callable[[], None],
) -> None:
    async with open_house(tmp_path) as house:
        hurry()
        sid, loop = new_call_sid(), asyncio.get_running_loop()
        with locked(house.store_path):
            began = loop.time()
            assert (await house.carrier.voice(sid)).busy
            assert loop.time() - began < 10 * admission.STORE_PATIENCE

        await eventually(lambda: store_rows(house.store_path, REFUSED) == [(sid,)])
        assert (await house.record(sid))["events"][0]["why"] == "store-late"
