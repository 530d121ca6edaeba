"""What only the SQLite store has: files, locks, transactions, schema versions."""

from __future__ import annotations

import asyncio
import resource
import sqlite3
import stat
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import Forgotten, StoreError
from gateway.ids import CallSid
from gateway.store import SETTLED_STATES, Admitted, Order, open_store, sql, store_path
from gateway.store.lane import Lane
from gateway.store.schema import STEPS, upgrade
from gateway.store.sqlite import open_sqlite

from .support import HERE, JumpClock, leased, new_call, whole_life_with_owners


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "calls.db"


@pytest.fixture
def url(path: Path) -> str:
    return f"sqlite:///{path}"


async def test_the_file_is_made_with_its_folders_and_is_private(
    tmp_path: Path, clock: JumpClock
) -> None:
    path = tmp_path / "new" / "deep" / "calls.db"

    async with open_store(f"sqlite:///{path}", clock) as store:
        await store.remember("key", "value")
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}

    assert modes == {"calls.db": 0o600, "calls.db-wal": 0o600, "calls.db-shm": 0o600}


async def test_commits_are_synced_and_readers_do_not_wait(path: Path, clock: JumpClock) -> None:
    async with open_sqlite(path, clock) as store:
        level = await store._write(lambda c: c.execute("PRAGMA synchronous").fetchone()[0])
        with closing(sqlite3.connect(path)) as other:
            mode = other.execute("PRAGMA journal_mode").fetchone()[0]

    assert (level, mode) == (2, "wal")


@pytest.mark.parametrize("content", [b"this is not a database, whatever its name says" * 20])
async def test_a_file_that_is_no_database_is_refused_and_left_alone(
    path: Path, url: str, clock: JumpClock, content: bytes
) -> None:
    path.write_bytes(content)

    with pytest.raises(StoreError, match="not a database"):
        async with open_store(url, clock):
            pass

    assert path.read_bytes() == content


async def test_a_place_that_cannot_hold_a_file_is_refused_in_words(
    tmp_path: Path, clock: JumpClock
) -> None:
    (tmp_path / "file").write_text("")

    for place in (tmp_path, tmp_path / "file" / "calls.db"):
        with pytest.raises(StoreError, match="cannot open"):
            async with open_store(f"sqlite:///{place}", clock):
                pass


async def test_whatever_keeps_a_file_from_opening_reaches_the_one_who_opens(
    clock: JumpClock,
) -> None:
    with pytest.raises(ValueError, match="null byte"):
        async with open_sqlite(Path("a\0b.db"), clock):
            pass


async def test_who_only_looks_makes_no_file(path: Path, url: str, clock: JumpClock) -> None:
    with pytest.raises(StoreError, match="no store"):
        async with open_store(url, clock, must_exist=True):
            pass

    assert not path.exists()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("sqlite:///calls.db", Path("calls.db")),
        ("sqlite:////var/lib/calls.db", Path("/var/lib/calls.db")),
        ("sqlite:///with space/ü.db", Path("with space/ü.db")),
    ],
)
def test_a_store_url_names_a_file(url: str, expected: Path) -> None:
    assert store_path(url) == expected


@pytest.mark.parametrize(
    "url",
    ["", "calls.db", "sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite:///a/", "x:///y"],
)
def test_a_url_without_a_file_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"expected sqlite:///PATH|names no file"):
        store_path(url)


@pytest.mark.parametrize("url", ["sqlite:///a?mode=ro", "sqlite:///a#b", "sqlite:///a\0b"])
def test_a_url_with_more_than_a_file_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="query, a fragment or control"):
        store_path(url)


async def test_changes_that_wait_together_are_committed_together(
    path: Path, clock: JumpClock
) -> None:
    async with open_sqlite(path, clock) as store:
        statements: list[str] = []
        gate = threading.Event()
        await store._write(lambda c: c.set_trace_callback(statements.append))
        blocking = asyncio.create_task(store._write(lambda _: gate.wait()))
        asked = [asyncio.create_task(store.remember(f"k{n}", "v")) for n in range(500)]
        await asyncio.sleep(0)
        gate.set()
        await asyncio.gather(blocking, *asked)
        await store._write(lambda c: c.set_trace_callback(None))

    assert statements.count("COMMIT") <= 6
    assert sum("INSERT INTO facts" in text for text in statements) == 500


async def test_a_change_that_fails_takes_no_other_with_it(path: Path, clock: JumpClock) -> None:
    async with open_sqlite(path, clock) as store:
        answers = await asyncio.gather(
            store.remember("a", "1"),
            store.renew_token(CallSid("CA404"), "digest", 0.0, ""),
            store._write(lambda c: c.execute("INSERT INTO nowhere VALUES (1)")),
            store.admit(new_call("CA1")),
            return_exceptions=True,
        )

        assert [type(answer) for answer in answers] == [
            type(None),
            Forgotten,
            StoreError,
            Admitted,
        ]
        assert await store.recall("a") == "1"


async def test_an_admission_cancelled_while_it_commits_is_undone(
    path: Path, clock: JumpClock
) -> None:
    async with open_sqlite(path, clock) as store:
        first, begun, gate = threading.Event(), threading.Event(), threading.Event()

        def hold(_connection: sqlite3.Connection) -> None:
            begun.set()
            gate.wait()

        # The admission and `hold` wait together, so they are one transaction.
        before = asyncio.create_task(store._write(lambda _: first.wait()))
        asking = asyncio.create_task(store.admit(new_call("CA1")))
        holding = asyncio.create_task(store._write(hold))
        await asyncio.sleep(0)
        first.set()
        await asyncio.to_thread(begun.wait)
        asking.cancel()
        gate.set()
        await asyncio.gather(before, holding)
        await store.flush()

        assert asking.cancelled()
        assert await store.get(CallSid("CA1")) is None
        assert await store.admit(new_call("CA2")) == leased("u1")


@pytest.mark.parametrize("claimed", [True, False])
async def test_an_admission_is_not_withdrawn_once_another_has_claimed_the_call(
    path: Path, clock: JumpClock, claimed: bool
) -> None:
    async with open_sqlite(path, clock) as store:
        new = new_call("CA1")
        await store.admit(new)
        if claimed:
            await store.claim(new.call_sid, "c:1:1:z", clock.time)
        await store._write(lambda c: sql.withdraw(c, new.call_sid, new.replica, new.token_digest))

        assert (await store.get(new.call_sid) is not None) is claimed


async def test_an_admission_cancelled_as_its_answer_comes_leaves_nothing_behind(
    path: Path, clock: JumpClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_sqlite(path, clock) as store:
        asking = asyncio.create_task(store.admit(new_call("CA1")))
        deliver = Lane._deliver

        def deliver_late(lane: Lane, batch: list[Any]) -> None:
            deliver(lane, batch)
            asking.cancel()  # a time-out in the same step of the loop

        monkeypatch.setattr(Lane, "_deliver", deliver_late)
        await asyncio.wait([asking])
        monkeypatch.undo()

        assert asking.cancelled()
        assert await store.admit(new_call("CA2")) == leased("u1")
        assert await store.get(CallSid("CA1")) is None


async def test_a_call_refused_while_its_admission_is_under_way_leaves_its_record(
    path: Path, clock: JumpClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, gate, admit = threading.Event(), threading.Event(), sql.admit

    def admit_late(connection: sqlite3.Connection, values: dict[str, object]) -> object:
        begun.set()
        gate.wait()
        return admit(connection, values)

    monkeypatch.setattr(sql, "admit", admit_late)
    async with open_sqlite(path, clock) as store:
        asking = asyncio.create_task(store.admit(new_call("CA1")))
        await asyncio.to_thread(begun.wait)
        asking.cancel()
        await asyncio.wait([asking])
        refused = new_call("CA1", (), token_digest="", answer="", record={"status": "failed"})
        refusing = asyncio.create_task(store.turn_away(refused))
        await asyncio.sleep(0)
        gate.set()
        await refusing

        call = await store.get(CallSid("CA1"))
        assert call is not None
        assert call.turned_away


async def test_orders_taken_while_the_taker_leaves_are_put_back_in_their_places(
    path: Path, clock: JumpClock
) -> None:
    async with open_sqlite(path, clock) as store:
        await store.admit(new_call("CA1"))
        given = [Order(call_sid=CallSid("CA1"), kind="k", body={"n": n}) for n in range(3)]
        for order in given[:2]:
            await store.order(order, clock.time)
        begun, gate = threading.Event(), threading.Event()

        def hold(_connection: sqlite3.Connection) -> None:
            begun.set()
            gate.wait()

        # The look's change and `hold` wait together, so they are one transaction.
        first = threading.Event()
        before = asyncio.create_task(store._write(lambda _: first.wait()))
        taking = asyncio.create_task(store._take(HERE))
        holding = asyncio.create_task(store._write(hold))
        await asyncio.sleep(0)
        first.set()
        await asyncio.to_thread(begun.wait)
        taking.cancel()
        gate.set()
        await asyncio.gather(before, holding)
        await store.order(given[2], clock.time)

        assert taking.cancelled()
        assert await store.take_orders(HERE, 0) == given


async def test_waiting_for_orders_does_not_take_the_files_lock(
    url: str, path: Path, clock: JumpClock
) -> None:
    async with open_store(url, clock) as store:
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")

            assert await store.take_orders(HERE, 0) == []
            other.execute("ROLLBACK")


async def test_a_full_disk_fails_the_change_and_harms_nothing_else(
    path: Path, clock: JumpClock
) -> None:
    async with open_sqlite(path, clock) as store:
        await store.admit(new_call("CA1"))
        pages = await store._write(lambda c: c.execute("PRAGMA page_count").fetchone()[0])
        await store._write(lambda c: c.execute(f"PRAGMA max_page_count = {pages + 2}").fetchone())

        with pytest.raises(StoreError, match="full"):
            await store.remember("big", "x" * 100_000)

        await store._write(lambda c: c.execute("PRAGMA max_page_count = 10000").fetchone())
        await store.remember("big", "x" * 100_000)
        assert await store.get(CallSid("CA1")) is not None


async def test_ping_tells_of_a_disk_that_takes_no_more(path: Path, clock: JumpClock) -> None:
    async with open_sqlite(path, clock) as store:
        await store.ping()
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
        try:
            with pytest.raises(StoreError):
                await store.ping()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        await store.ping()


async def test_while_another_process_holds_the_file_readers_go_on_and_ping_waits(
    url: str, path: Path, clock: JumpClock
) -> None:
    async with open_store(url, clock) as store:
        await store.admit(new_call("CA1"))
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")

            assert await store.get(CallSid("CA1")) is not None
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await store.ping()
            other.execute("ROLLBACK")
        await store.ping()


async def test_too_many_waiting_changes_are_refused_at_once(
    url: str, clock: JumpClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.store.lane.MAX_WAITING", 3)
    async with open_store(url, clock) as store:
        answers = await asyncio.gather(
            *(store.remember(f"k{n}", "v") for n in range(5)), return_exceptions=True
        )

        assert [str(answer) for answer in answers if answer] == ["the store is overloaded"] * 2
        await store.ping()


async def test_finding_orphans_does_not_read_every_call_ever_made(
    path: Path, clock: JumpClock
) -> None:
    async with open_sqlite(path, clock) as store:
        states = ", ".join(f"'{state}'" for state in SETTLED_STATES)
        plan = await store._read(
            lambda c: c.execute(
                "EXPLAIN QUERY PLAN SELECT * FROM calls WHERE NOT"
                f" (ended = 1 AND conversation_state IN ({states})) AND replica <> ? ORDER BY number",
                ("a",),
            ).fetchall()
        )

    assert "calls_unsettled" in plan[0]["detail"]


# ---------------------------------------------------------------- schema versions


def version(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


async def test_a_new_file_has_the_newest_version(url: str, path: Path, clock: JumpClock) -> None:
    async with open_store(url, clock):
        pass

    assert version(path) == len(STEPS)


async def test_a_file_of_a_newer_program_is_refused(url: str, path: Path, clock: JumpClock) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")

    with pytest.raises(StoreError, match="schema version 99"):
        async with open_store(url, clock):
            pass


@pytest.mark.parametrize("older", range(1, len(STEPS)))
async def test_a_file_of_an_older_version_is_brought_to_ours_with_its_calls(
    url: str, path: Path, clock: JumpClock, older: int
) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        upgrade(connection, STEPS[:older])
        connection.execute(
            """
            INSERT INTO calls (call_sid, account_sid, direction, caller, called, route,
              organization, service_id, user_id, replica, admitted_at, status, conversation_id,
              conversation_state, token_digest, token_expires, answer, record)
            VALUES ('CA1', 'AC1', 'inbound', '', '', '', 'org', '5a9db0c55a9db0c55a9db0c5', 'u1',
              ?, 0, 'listening', 'c1', 'open', 'd', 0, '<Response/>', '{}')
            """,
            (HERE,),
        )
        connection.execute("INSERT INTO replicas (replica, beat) VALUES (?, 0)", (HERE,))
    assert version(path) == older

    async with open_store(url, clock) as store:
        await whole_life_with_owners(store, clock)
    assert version(path) == len(STEPS)


async def test_a_later_step_keeps_what_the_file_holds(
    url: str, path: Path, clock: JumpClock
) -> None:
    async with open_store(url, clock) as store:
        await store.admit(new_call("CA1"))
    later = (*STEPS, ("ALTER TABLE calls ADD COLUMN tenant TEXT NOT NULL DEFAULT 'us'",))

    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        upgrade(connection, later)
        upgrade(connection, later)
        rows = connection.execute("SELECT call_sid, tenant FROM calls").fetchall()

    assert rows == [("CA1", "us")]
    assert version(path) == len(later)


async def test_a_step_that_fails_changes_nothing(url: str, path: Path, clock: JumpClock) -> None:
    async with open_store(url, clock):
        pass
    broken = (*STEPS, ("CREATE TABLE extra (x)", "this is not SQL"))

    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        with pytest.raises(sqlite3.Error):
            upgrade(connection, broken)
        tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}

    assert "extra" not in tables
    assert version(path) == len(STEPS)


async def test_many_processes_may_open_a_new_file_at_the_same_moment(
    url: str, clock: JumpClock
) -> None:
    async def open_once(n: int) -> None:
        async with open_store(url, clock) as store:
            await store.remember(f"k{n}", "v")

    await asyncio.gather(*(open_once(n) for n in range(8)))

    async with open_store(url, clock) as store:
        assert [await store.recall(f"k{n}") for n in range(8)] == ["v"] * 8


async def test_opening_given_up_half_way_leaves_no_thread(url: str, clock: JumpClock) -> None:
    async def use() -> None:
        async with open_store(url, clock) as store:
            await store.ping()

    for patience in (0, 1, 3):
        opening = asyncio.create_task(use())
        for _ in range(patience):
            await asyncio.sleep(0)
        opening.cancel()
        await asyncio.gather(opening, return_exceptions=True)

    for thread in threading.enumerate():
        if thread.name.startswith("store-"):
            await asyncio.to_thread(thread.join, 10)
            assert not thread.is_alive()
