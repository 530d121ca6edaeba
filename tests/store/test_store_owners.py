"""Who owns a call: fencing, claims, addresses. The contract every store keeps."""

from __future__ import annotations

import asyncio

import pytest

from gateway.errors import Fenced, StoreError
from gateway.ids import CallSid
from gateway.store import HEARTBEAT_TTL, CallStore, NoUserFree

from .support import Backend, JumpClock, end, leased, new_call, save, stored

A, B, C = "a:1:1:x", "b:1:1:y", "c:1:1:z"
CA1 = CallSid("CA1")
SILENT = HEARTBEAT_TTL + 1


@pytest.fixture
async def held(store: CallStore) -> CallStore:
    """A store in which A holds CA1."""
    await store.admit(new_call("CA1", replica=A))
    await save(store, "CA1", replica=A, record={"by": "A"})
    return store


# ---------------------------------------------------------------- fencing


async def test_only_the_owner_changes_a_call(held: CallStore) -> None:
    with pytest.raises(Fenced):
        await save(held, "CA1", "finished", replica=B, ended=True, record={"by": "B"})

    call = await stored(held, "CA1")
    assert (call.record, call.ended, call.conversation_state) == ({"by": "A"}, False, "open")


async def test_fenced_is_no_failure_of_the_store(held: CallStore) -> None:
    with pytest.raises(Fenced, match="CA1") as caught:
        await save(held, "CA1", replica=B)

    assert not isinstance(caught.value, StoreError)
    assert caught.value.call_sid == "CA1"


async def test_who_lost_a_call_is_fenced_and_who_got_it_is_not(
    held: CallStore, clock: JumpClock
) -> None:
    await held.claim(CA1, B, clock.time)

    with pytest.raises(Fenced):
        await save(held, "CA1", replica=A, record={"by": "A, late"})
    await save(held, "CA1", replica=B, record={"by": "B"})
    assert (await stored(held, "CA1")).record == {"by": "B"}


async def test_the_heir_of_an_orphan_fences_the_dead_that_wakes(
    held: CallStore, clock: JumpClock
) -> None:
    assert await held.adopt(CA1, A, B, clock.time + SILENT)

    with pytest.raises(Fenced):
        await save(held, "CA1", "finished", replica=A, ended=True)
    await save(held, "CA1", "finished", replica=B, ended=True)


async def test_a_fenced_change_takes_none_of_those_beside_it_with_it(held: CallStore) -> None:
    answers = await asyncio.gather(
        save(held, "CA1", replica=B, record={"by": "B"}),
        save(held, "CA1", replica=A, record={"by": "A", "turn": 2}),
        held.remember("key", "value"),
        return_exceptions=True,
    )

    assert [type(answer) for answer in answers] == [Fenced, type(None), type(None)]
    assert (await stored(held, "CA1")).record == {"by": "A", "turn": 2}
    assert await held.recall("key") == "value"


async def test_a_user_is_released_by_the_owner_of_its_call_only(
    held: CallStore, clock: JumpClock
) -> None:
    await held.claim(CA1, B, clock.time)

    await held.release_user(CA1, A)
    assert await held.admit(new_call("CA2")) == NoUserFree()
    await held.release_user(CA1, B)
    assert await held.admit(new_call("CA2")) == leased("u1")


# ---------------------------------------------------------------- claims


@pytest.mark.parametrize("later", [0.0, SILENT])
async def test_a_call_is_claimed_from_whoever_has_it_dead_or_alive(
    held: CallStore, clock: JumpClock, later: float
) -> None:
    call = await held.claim(CA1, B, clock.time + later)

    assert call is not None
    assert (call.replica, call.record) == (B, {"by": "A"})
    assert await stored(held, "CA1") == call


async def test_ones_own_call_may_be_claimed(held: CallStore, clock: JumpClock) -> None:
    call = await held.claim(CA1, A, clock.time)

    assert call == await stored(held, "CA1")
    await save(held, "CA1", replica=A)


@pytest.mark.parametrize("state", ["finished", "open", "finish-failed"])
async def test_a_call_that_is_unknown_or_over_is_not_claimed(
    held: CallStore, clock: JumpClock, state: str
) -> None:
    await save(held, "CA1", state, replica=A, ended=True)

    assert await held.claim(CA1, B, clock.time) is None
    assert await held.claim(CallSid("CA404"), B, clock.time) is None
    assert (await stored(held, "CA1")).replica == A
    assert await held.get(CallSid("CA404")) is None


async def test_a_call_turned_away_is_not_claimed(store: CallStore, clock: JumpClock) -> None:
    await store.turn_away(new_call("CA1", (), token_digest="", answer=""))

    assert await store.claim(CA1, B, clock.time) is None


async def test_who_claims_lives(held: CallStore, clock: JumpClock) -> None:
    clock.time += SILENT
    await held.claim(CA1, B, clock.time)

    assert await held.orphans(clock.time, C) == []
    found = await held.orphans(clock.time + SILENT, C)
    assert [call.replica for call in found] == [B]


async def test_a_replica_that_never_beat_is_dead(store: CallStore, clock: JumpClock) -> None:
    # the admission itself is a sign of life; long before anybody looks
    await store.admit(new_call("CA1", replica=A, now=clock.time - SILENT))

    assert [call.call_sid for call in await store.orphans(clock.time, B)] == ["CA1"]
    assert await store.adopt(CA1, A, B, clock.time)


async def test_a_claimed_call_is_not_adopted_from_who_had_it(
    held: CallStore, clock: JumpClock
) -> None:
    late = clock.time + SILENT
    await held.claim(CA1, B, late)

    assert not await held.adopt(CA1, A, C, late)
    assert (await stored(held, "CA1")).replica == B


async def test_of_two_claims_at_once_the_later_stays_and_both_are_answered(
    backend: Backend, clock: JumpClock
) -> None:
    async with backend.open() as one, backend.open() as two:
        for n in range(20):
            await one.admit(new_call(f"CA{n}", (f"u{n}",), replica=A))
            sid = CallSid(f"CA{n}")
            first, second = await asyncio.gather(
                one.claim(sid, B, clock.time), two.claim(sid, C, clock.time)
            )

            assert first is not None
            assert second is not None
            assert (first.replica, second.replica) == (B, C)
            owner = (await stored(one, f"CA{n}")).replica
            saved = await asyncio.gather(
                save(one, f"CA{n}", replica=B),
                save(two, f"CA{n}", replica=C),
                return_exceptions=True,
            )
            assert [isinstance(answer, Fenced) for answer in saved] == [owner == C, owner == B]


async def test_a_claim_beats_an_adoption_whichever_is_first(
    backend: Backend, clock: JumpClock
) -> None:
    async with backend.open() as one, backend.open() as two:
        for n in range(20):
            # each from a replica of its own: a claim brings its claimant to life, not the dead
            dead = f"dead:1:1:{n}"
            await one.admit(new_call(f"CA{n}", (f"u{n}",), replica=dead))
            late, sid = clock.time + SILENT, CallSid(f"CA{n}")
            _, claimed = await asyncio.gather(
                one.adopt(sid, dead, B, late), two.claim(sid, C, late)
            )

            assert claimed is not None
            assert claimed.replica == C
            assert (await stored(one, f"CA{n}")).replica == C
            with pytest.raises(Fenced):
                await save(one, f"CA{n}", replica=B)


async def test_a_save_and_a_claim_at_once_come_in_some_order(
    backend: Backend, clock: JumpClock
) -> None:
    async with backend.open() as one, backend.open() as two:
        for n in range(20):
            await one.admit(new_call(f"CA{n}", (f"u{n}",), replica=A, record={"by": "admit"}))
            told, claimed = await asyncio.gather(
                save(one, f"CA{n}", replica=A, record={"by": "A"}),
                two.claim(CallSid(f"CA{n}"), B, clock.time),
                return_exceptions=True,
            )

            assert not isinstance(claimed, BaseException)
            assert claimed is not None
            # what was saved before the claim is what the claimant goes on with
            assert claimed.record == {"by": "admit" if isinstance(told, Fenced) else "A"}
            assert (await stored(one, f"CA{n}")).record == claimed.record


@pytest.mark.parametrize("patience", [0, 1, 2, 3, 5, 8, 30])
async def test_a_claim_given_up_by_its_caller_leaves_a_call_with_one_owner(
    held: CallStore, clock: JumpClock, patience: int
) -> None:
    claiming = asyncio.create_task(held.claim(CA1, B, clock.time))
    for _ in range(patience):
        await asyncio.sleep(0)
    claiming.cancel()
    await asyncio.gather(claiming, return_exceptions=True)
    await held.flush()

    owner = (await stored(held, "CA1")).replica
    assert owner in ({A, B} if claiming.cancelled() else {B})
    await save(held, "CA1", replica=owner)


async def test_an_admission_given_up_does_not_take_the_call_from_who_claimed_it(
    backend: Backend, clock: JumpClock
) -> None:
    async with backend.open() as one, backend.open() as two:
        for n in range(30):
            sid = CallSid(f"CA{n}")
            asking = asyncio.create_task(one.admit(new_call(sid, (f"u{n}",), replica=A)))
            claimed = None
            while claimed is None:
                claimed = await two.claim(sid, B, clock.time)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            for _ in range(2):
                await one.flush()

            assert claimed.replica == B
            assert (await stored(two, sid)).replica == B
            await save(two, sid, replica=B)


# ---------------------------------------------------------------- tokens


async def test_any_replica_renews_a_token_which_fences_nobody(
    backend: Backend, clock: JumpClock
) -> None:
    async with backend.open() as one, backend.open() as two:
        await one.admit(new_call("CA1", replica=A))

        assert await two.renew_token(CA1, "new", clock.time + 60, "<Response/>")
        await save(one, "CA1", replica=A)
        assert await one.use_token("new", clock.time) is not None


async def test_the_token_of_an_ended_call_is_not_renewed(
    store: CallStore, clock: JumpClock
) -> None:
    await store.admit(new_call("CA1"))
    await end(store, "CA1")
    before = await stored(store, "CA1")

    assert not await store.renew_token(CA1, "new", clock.time + 60, "<Response/>")
    assert await stored(store, "CA1") == before
    assert await store.use_token("new", clock.time) is None


# ---------------------------------------------------------------- addresses


async def test_a_living_replica_is_reached_where_it_said(
    backend: Backend, clock: JumpClock
) -> None:
    async with backend.open() as one, backend.open() as two:
        await one.heartbeat(A, clock.time, "http://10.0.0.7:8080")

        assert await two.address_of(A, clock.time + HEARTBEAT_TTL) == "http://10.0.0.7:8080"
        assert await two.address_of(A, clock.time + SILENT) is None
        assert await two.address_of(B, clock.time) is None
        assert await two.address_of(A, None) == "http://10.0.0.7:8080"
        assert await two.address_of(B, None) is None


async def test_a_beat_without_an_address_keeps_it_and_one_with_another_replaces_it(
    store: CallStore, clock: JumpClock
) -> None:
    await store.heartbeat(A, clock.time)
    assert await store.address_of(A, clock.time) == "", "it lives, and never said"
    await store.heartbeat(A, clock.time, "http://one")
    await store.heartbeat(A, clock.time + 4)
    await store.admit(new_call("CA1", replica=A, now=clock.time + 5))
    assert await store.address_of(A, clock.time + 5) == "http://one"

    await store.heartbeat(A, clock.time + 8, "http://two")
    assert await store.address_of(A, clock.time + 8) == "http://two"


async def test_what_a_replica_owns_is_listed_until_it_is_settled(
    held: CallStore, clock: JumpClock
) -> None:
    await held.admit(new_call("CA2", ("u2",), replica=A))
    assert await held.owned(A) == ["CA1", "CA2"]
    assert await held.owned(B) == []

    await held.claim(CA1, B, clock.time)
    await save(held, "CA2", "finished", replica=A, ended=True)
    assert await held.owned(A) == []
    assert await held.owned(B) == ["CA1"]
