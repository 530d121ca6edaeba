"""Records, replicas and remembered facts: the contract every store keeps."""

from __future__ import annotations

import asyncio

import pytest

from gateway.errors import StoreError
from gateway.ids import CallSid, ConversationId
from gateway.store import HEARTBEAT_TTL, CallStore

from .support import Backend, JumpClock, new_call, save, stored

C1 = ConversationId("c1")


async def test_the_record_kept_is_the_one_of_the_moment_it_was_given(store: CallStore) -> None:
    await store.admit(new_call("CA1"))
    turns: list[str] = []

    saving = asyncio.create_task(save(store, "CA1", record={"call_sid": "CA1", "turns": turns}))
    await asyncio.sleep(0)
    turns.append("later")
    await saving

    call = await stored(store, "CA1")
    assert call.record == {"call_sid": "CA1", "turns": []}
    assert (call.status, call.conversation_id, call.conversation_state) == (
        "listening",
        "c1",
        "open",
    )


@pytest.mark.parametrize("text", ["\ud800 half a character", "\x00", "日本語 🎧", ""])
async def test_any_text_a_caller_may_say_comes_back_as_it_was(store: CallStore, text: str) -> None:
    await store.admit(new_call("CA1"))

    await save(store, "CA1", record={"turns": [{"user_text": text}]})

    assert (await stored(store, "CA1")).record == {"turns": [{"user_text": text}]}


async def test_saving_an_unknown_call_is_an_error_not_a_new_call(store: CallStore) -> None:
    with pytest.raises(StoreError, match="no such call"):
        await save(store, "CA404")
    with pytest.raises(StoreError, match="no such call"):
        await store.renew_token(CallSid("CA404"), "digest", 0.0, "")
    assert await store.calls(10) == ([], None)


async def test_pages_hold_every_call_once_newest_first(store: CallStore) -> None:
    for n in range(7):
        await store.admit(new_call(f"CA{n}", (f"u{n}",)))

    seen: list[object] = []
    cursor: str | None = None
    pages = 0
    while True:
        records, cursor = await store.calls(3, cursor)
        seen += [record["call_sid"] for record in records]
        pages += 1
        if pages == 1:
            await store.admit(new_call("CA-new", ("u-new",)))
        if cursor is None:
            break

    assert seen == [f"CA{n}" for n in reversed(range(7))]
    assert pages == 3


@pytest.mark.parametrize("cursor", ["", "-1", "x", "1" * 30, "٣", "1 OR 1"])
async def test_a_cursor_that_is_not_ours_is_refused(store: CallStore, cursor: str) -> None:
    with pytest.raises(ValueError, match="not a cursor"):
        await store.calls(3, cursor)


async def test_a_call_of_a_replica_that_fell_silent_is_an_orphan(
    store: CallStore, clock: JumpClock
) -> None:
    await store.admit(new_call("CA1", replica="a:1:1:x"))
    await save(store, "CA1", replica="a:1:1:x")

    assert await store.orphans(clock.time + HEARTBEAT_TTL, "b:1:1:y") == []
    late = clock.time + HEARTBEAT_TTL + 0.1
    assert [call.call_sid for call in await store.orphans(late, "b:1:1:y")] == ["CA1"]

    await store.heartbeat("a:1:1:x", late)
    assert await store.orphans(late, "b:1:1:y") == []


async def test_own_calls_are_never_orphans(store: CallStore, clock: JumpClock) -> None:
    await store.admit(new_call("CA1", replica="a:1:1:x"))

    assert await store.orphans(clock.time + 1000, "a:1:1:x") == []


@pytest.mark.parametrize(
    ("state", "ended", "orphan"),
    [
        ("none", False, True),
        ("open", False, True),
        ("finishing", False, True),
        ("finished", False, True),
        ("open", True, True),
        ("finishing", True, True),
        ("finish-failed", True, True),
        ("none", True, False),
        ("finished", True, False),
        ("auto-finished", True, False),
    ],
)
async def test_what_is_not_settled_is_found(
    store: CallStore, clock: JumpClock, state: str, ended: bool, orphan: bool
) -> None:
    await store.admit(new_call("CA1"))
    await save(store, "CA1", state, ended=ended)

    found = await store.orphans(clock.time + 1000, "b:1:1:y")

    assert bool(found) is orphan


async def test_one_of_two_replicas_adopts_an_orphan(store: CallStore, clock: JumpClock) -> None:
    await store.admit(new_call("CA1", replica="a:1:1:x"))
    late = clock.time + 13

    taken = await asyncio.gather(
        store.adopt(CallSid("CA1"), "a:1:1:x", "b:1:1:y", late),
        store.adopt(CallSid("CA1"), "a:1:1:x", "c:1:1:z", late),
    )

    assert sorted(taken) == [False, True]
    heir = ("b:1:1:y", "c:1:1:z")[taken.index(True)]
    assert (await stored(store, "CA1")).replica == heir
    assert await store.orphans(late, "d:1:1:w") == []


async def test_a_replica_that_came_back_keeps_its_calls(store: CallStore, clock: JumpClock) -> None:
    await store.admit(new_call("CA1", replica="a:1:1:x"))
    await store.heartbeat("a:1:1:x", clock.time + 13)

    assert not await store.adopt(CallSid("CA1"), "a:1:1:x", "b:1:1:y", clock.time + 14)
    assert (await stored(store, "CA1")).replica == "a:1:1:x"


async def test_a_conversation_is_held_by_a_live_call_of_a_living_replica_only(
    store: CallStore, clock: JumpClock
) -> None:
    await store.admit(new_call("CA1"))
    await save(store, "CA1")

    assert await store.live_holder(C1, clock.time) == await stored(store, "CA1")
    assert await store.live_holder(C1, clock.time + 13) is None
    assert await store.live_holder(ConversationId("c2"), clock.time) is None

    await save(store, "CA1", "finishing", ended=True)
    assert await store.live_holder(C1, clock.time) is None


async def test_a_conversation_is_found_by_the_latest_call_that_had_it(store: CallStore) -> None:
    for n in (1, 2):
        await store.admit(new_call(f"CA{n}", (f"u{n}",)))
        await save(store, f"CA{n}")

    assert await store.find_conversation(C1) == await stored(store, "CA2")
    assert await store.find_conversation(ConversationId("foreign")) is None


async def test_facts_are_remembered_until_replaced(backend: Backend) -> None:
    async with backend.open() as store:
        assert await store.recall("revision") is None
        await store.remember("revision", "2025-06")
        await store.remember("revision", "2026-04")
    async with backend.open() as store:
        assert await store.recall("revision") == "2026-04"


async def test_a_second_process_sees_what_the_first_has_written(
    backend: Backend, clock: JumpClock
) -> None:
    async with backend.open() as first, backend.open() as second:
        await first.admit(new_call("CA1"))

        assert await second.use_token("digest-of-CA1", clock.time) is not None
        assert await first.use_token("digest-of-CA1", clock.time) is None


async def test_what_was_asked_for_before_closing_is_done(backend: Backend) -> None:
    async with backend.open() as store:
        asked = [asyncio.create_task(store.admit(new_call(f"CA{n}", (f"u{n}",)))) for n in range(9)]
        await asyncio.sleep(0)
    await asyncio.gather(*asked)

    async with backend.open() as store:
        assert len((await store.calls(20))[0]) == 9


async def test_a_closed_store_says_so(backend: Backend) -> None:
    async with backend.open() as store:
        await store.ping()

    with pytest.raises(StoreError, match="closed"):
        await store.ping()
