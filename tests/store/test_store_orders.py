"""Orders to the owner of a call: the contract every store keeps."""

from __future__ import annotations

import asyncio

import pytest

from gateway.errors import StoreError
from gateway.ids import CallSid
from gateway.store import HEARTBEAT_TTL, MAX_ORDERS, ORDER_SECONDS, CallStore, Order

from .support import Backend, JumpClock, new_call, save

A, B, C = "a:1:1:x", "b:1:1:y", "c:1:1:z"
CA1 = CallSid("CA1")
HANG_LIMIT = 10.0
"""Seconds; ten times what an order may take to arrive."""


def order(number: int = 1, call_sid: str = "CA1") -> Order:
    return Order(
        call_sid=CallSid(call_sid), kind="transfer", body={"number": number, "to": "ü\ud800"}
    )


@pytest.fixture
async def held(store: CallStore) -> CallStore:
    """A store in which A holds CA1."""
    await store.admit(new_call("CA1", replica=A))
    return store


async def take(store: CallStore, replica: str) -> list[Order]:
    return await store.take_orders(replica, 0)


async def test_an_order_reaches_the_owner_as_it_was_given_and_once(
    backend: Backend, clock: JumpClock
) -> None:
    async with backend.open() as one, backend.open() as two:
        await one.admit(new_call("CA1", replica=A))
        assert await two.order(order(), clock.time)

        assert await take(two, B) == []
        assert await take(one, A) == [order()]
        assert await take(one, A) == []


async def test_orders_come_in_the_order_they_were_given(held: CallStore, clock: JumpClock) -> None:
    await held.admit(new_call("CA2", ("u2",), replica=A))
    given = [order(n, f"CA{1 + n % 2}") for n in range(12)]
    for one in given:
        await held.order(one, clock.time)

    assert await take(held, A) == given


async def test_there_are_no_orders_to_a_call_that_is_unknown_or_over(
    held: CallStore, clock: JumpClock
) -> None:
    await save(held, "CA1", "open", replica=A, ended=True)
    await held.turn_away(new_call("CA2", (), replica=A, token_digest="", answer=""))

    for call_sid in ("CA1", "CA2", "CA404"):
        assert not await held.order(order(call_sid=call_sid), clock.time)
    assert await take(held, A) == []


async def test_an_order_dies_with_its_call(held: CallStore, clock: JumpClock) -> None:
    await held.order(order(), clock.time)
    await save(held, "CA1", "finished", replica=A, ended=True)

    assert await take(held, A) == []


@pytest.mark.parametrize(("age", "left"), [(ORDER_SECONDS - 1, 1), (ORDER_SECONDS + 1, 0)])
async def test_an_order_nobody_took_is_dropped_after_an_hour(
    held: CallStore, clock: JumpClock, age: float, left: int
) -> None:
    await held.order(order(), clock.time)
    clock.time += age

    assert len(await take(held, A)) == left


async def test_orders_have_a_bound_and_those_of_the_past_do_not_count(
    held: CallStore, clock: JumpClock
) -> None:
    for start in range(0, MAX_ORDERS, 100):
        await asyncio.gather(*(held.order(order(start + n), clock.time) for n in range(100)))
    with pytest.raises(StoreError, match="too many orders"):
        await held.order(order(), clock.time)

    clock.time += ORDER_SECONDS + 1
    assert await held.order(order(7), clock.time)
    assert await take(held, A) == [order(7)]


# ---------------------------------------------------------------- calls that change hands


async def test_what_was_not_taken_goes_to_who_claims_the_call(
    backend: Backend, clock: JumpClock
) -> None:
    async with backend.open() as one, backend.open() as two:
        await one.admit(new_call("CA1", replica=A))
        await one.order(order(1), clock.time)
        assert await take(one, A) == [order(1)]
        await one.order(order(2), clock.time)
        await two.claim(CA1, B, clock.time)
        await one.order(order(3), clock.time)

        assert await take(one, A) == []
        assert await take(two, B) == [order(2), order(3)]


async def test_what_was_not_taken_goes_to_the_heir_of_an_orphan(
    held: CallStore, clock: JumpClock
) -> None:
    await held.order(order(), clock.time)
    assert await held.adopt(CA1, A, B, clock.time + HEARTBEAT_TTL + 1)

    assert await take(held, A) == []
    assert await take(held, B) == [order()]


async def test_what_was_taken_is_not_handed_out_again_when_the_call_comes_back(
    held: CallStore, clock: JumpClock
) -> None:
    await held.order(order(), clock.time)
    assert await take(held, A) == [order()]
    for replica in (B, C, A):
        await held.claim(CA1, replica, clock.time)
        assert await take(held, replica) == []


async def test_an_order_and_a_claim_and_two_takers_at_once_hand_it_out_once(
    backend: Backend, clock: JumpClock
) -> None:
    async with backend.open() as one, backend.open() as two:
        for n in range(30):
            sid = CallSid(f"CA{n}")
            await one.admit(new_call(sid, (f"u{n}",), replica=A))
            got = await asyncio.gather(
                one.take_orders(A, 0),
                one.order(order(n, sid), clock.time),
                two.claim(sid, B, clock.time),
                one.take_orders(A, 0),
                two.take_orders(B, 0),
            )
            rest = [*await take(one, A), *await take(two, B)]

            assert [*got[0], *got[3], *got[4], *rest] == [order(n, sid)]


# ---------------------------------------------------------------- waiting


async def test_a_taker_who_waits_is_woken_by_an_order(backend: Backend, clock: JumpClock) -> None:
    async with backend.open() as one, backend.open() as two:
        await one.admit(new_call("CA1", replica=A))
        waiting = asyncio.create_task(one.take_orders(A, 60))
        await asyncio.sleep(0.1)
        assert not waiting.done()
        await two.order(order(), clock.time)

        assert await asyncio.wait_for(waiting, HANG_LIMIT) == [order()]


async def test_a_taker_who_waits_is_woken_by_a_claim_of_a_call_with_orders(
    backend: Backend, clock: JumpClock
) -> None:
    async with backend.open() as one, backend.open() as two:
        await one.admit(new_call("CA1", replica=A))
        await one.order(order(), clock.time)
        waiting = asyncio.create_task(two.take_orders(B, 60))
        await asyncio.sleep(0.1)
        await two.claim(CA1, B, clock.time)

        assert await asyncio.wait_for(waiting, HANG_LIMIT) == [order()]


async def test_a_wait_in_vain_ends_in_time_with_nothing(held: CallStore) -> None:
    began = asyncio.get_running_loop().time()

    assert await asyncio.wait_for(held.take_orders(A, 0.3), HANG_LIMIT) == []
    assert asyncio.get_running_loop().time() - began >= 0.3


async def test_a_wait_does_not_keep_a_flush(held: CallStore) -> None:
    waiting = asyncio.create_task(held.take_orders(A, 60))
    await asyncio.sleep(0.05)
    await asyncio.wait_for(held.flush(), HANG_LIMIT)

    assert not waiting.done()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


async def test_a_store_that_closes_ends_the_waits_in_it(backend: Backend) -> None:
    async with backend.open() as store:
        waiting = asyncio.create_task(store.take_orders(A, 60))
        await asyncio.sleep(0.05)

    with pytest.raises(StoreError, match="closed"):
        await asyncio.wait_for(waiting, HANG_LIMIT)


@pytest.mark.parametrize("patience", [*range(12), 20, 40])
async def test_what_a_taker_who_left_was_about_to_get_is_handed_out_by_the_next_look(
    held: CallStore, clock: JumpClock, patience: int
) -> None:
    given = [order(n) for n in range(3)]
    for one in given:
        await held.order(one, clock.time)
    taking = asyncio.create_task(held.take_orders(A, 60))
    for _ in range(patience):
        await asyncio.sleep(0)
    taking.cancel()
    await asyncio.gather(taking, return_exceptions=True)
    for _ in range(2):  # the look itself, then what undoes it
        await held.flush()

    got = [] if taking.cancelled() else taking.result()
    assert got + await take(held, A) == given


async def test_a_taker_who_leaves_again_and_again_misses_nothing_and_gets_nothing_twice(
    held: CallStore, clock: JumpClock
) -> None:
    got: list[Order] = []

    async def give() -> None:
        for n in range(60):
            await held.order(order(n), clock.time)

    giving = asyncio.create_task(give())
    for n in range(10_000):
        taking = asyncio.create_task(held.take_orders(A, 60))
        for _ in range(n % 17):
            await asyncio.sleep(0)
        await asyncio.wait({taking}, timeout=0.001 * (n % 3))
        taking.cancel()
        await asyncio.gather(taking, return_exceptions=True)
        await held.flush()
        got += [] if taking.cancelled() else taking.result()
        if giving.done() and len(got) >= 60:
            break
    await giving

    assert got == [order(n) for n in range(60)]
