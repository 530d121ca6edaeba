"""Admission, leases and tokens: the contract every store keeps."""

from __future__ import annotations

import asyncio

import pytest

from gateway.ids import CallSid
from gateway.store import Admitted, CallStore, Known, NoUserFree

from .support import HERE, JumpClock, end, leased, new_call, stored


async def test_an_admitted_call_is_stored_as_it_was_announced(store: CallStore) -> None:
    assert await store.admit(new_call("CA1", ("u1", "u2"))) == leased("u1")

    call = await stored(store, "CA1")

    assert (call.user_id, call.status, call.conversation_state) == ("u1", "ringing", "none")
    assert (call.ended, call.token_used, call.conversation_id) == (False, False, None)
    assert call.answer == "<Response>CA1</Response>"
    assert call.record == {"call_sid": "CA1", "status": "ringing"}


async def test_the_same_call_again_is_known_and_takes_no_second_user(store: CallStore) -> None:
    await store.admit(new_call("CA1", ("u1", "u2")))

    again = await store.admit(new_call("CA1", ("u1", "u2"), answer="another", record={}))

    assert isinstance(again, Known)
    assert again.call.answer == "<Response>CA1</Response>"
    assert await store.admit(new_call("CA2", ("u1", "u2"))) == leased("u2")


async def test_with_every_user_on_a_call_nothing_is_stored(store: CallStore) -> None:
    await store.admit(new_call("CA1", ("u1",)))

    assert await store.admit(new_call("CA2", ("u1",))) == NoUserFree()
    assert await store.get(CallSid("CA2")) is None


OVER = {"call_sid": "CA2", "status": "failed", "end_reason": "rejected"}


async def test_a_call_turned_away_is_over_owes_nothing_and_may_be_admitted_later(
    store: CallStore, clock: JumpClock
) -> None:
    await store.admit(new_call("CA1", ("u1",)))
    refused = new_call("CA2", ("u1",), token_digest="", answer="", record=OVER)
    for _ in range(2):
        assert await store.admit(new_call("CA2", ("u1",))) == NoUserFree()
        await store.turn_away(refused)
    call = await stored(store, "CA2")

    assert (call.turned_away, call.ended, call.status, call.user_id) == (True, True, "failed", "")
    assert call.record == OVER
    assert [one.call_sid for one in await store.orphans(clock.time + 99, "another")] == ["CA1"]
    assert await store.admit(new_call("CA2", ("u2",))) == leased("u2")
    call = await stored(store, "CA2")
    assert (call.turned_away, call.ended, call.status) == (False, False, "ringing")
    records, _ = await store.calls(9)
    assert [one["call_sid"] for one in records] == ["CA2", "CA1"]


async def test_a_call_that_was_taken_is_not_turned_away(store: CallStore) -> None:
    await store.admit(new_call("CA2", ("u1",)))
    await store.turn_away(new_call("CA2", (), token_digest="", answer="", record=OVER))

    call = await stored(store, "CA2")
    assert (call.turned_away, call.ended, call.record["status"]) == (False, False, "ringing")


async def test_no_candidates_means_no_user(store: CallStore) -> None:
    assert await store.admit(new_call("CA1", ())) == NoUserFree()


async def test_users_never_used_come_first_then_the_one_unused_for_longest(
    store: CallStore, clock: JumpClock
) -> None:
    users = ("u1", "u2", "u3")
    for call_sid in ("CA1", "CA2"):
        await store.admit(new_call(call_sid, users))
    for call_sid in ("CA2", "CA1"):
        clock.time += 1
        await store.release_user(CallSid(call_sid), HERE)

    order = [await store.admit(new_call(f"CB{n}", users)) for n in range(3)]

    assert order == [leased("u3"), leased("u2"), leased("u1")]


async def test_a_user_may_hold_one_call_per_service_and_organization(store: CallStore) -> None:
    await store.admit(new_call("CA1"))

    assert await store.admit(new_call("CA2", service_id="other")) == leased("u1")
    assert await store.admit(new_call("CA3", organization="other")) == leased("u1")
    assert await store.admit(new_call("CA4")) == NoUserFree()


async def test_a_late_release_does_not_free_the_user_of_the_next_call(store: CallStore) -> None:
    await store.admit(new_call("CA1"))
    await store.release_user(CallSid("CA1"), HERE)
    await store.admit(new_call("CA2"))

    await store.release_user(CallSid("CA1"), HERE)

    assert await store.admit(new_call("CA3")) == NoUserFree()


async def test_a_lease_forgotten_by_a_crash_is_free_once_its_call_is_settled(
    store: CallStore,
) -> None:
    await store.admit(new_call("CA1"))
    await end(store, "CA1", "finished")

    assert await store.admit(new_call("CA2")) == leased("u1")


async def test_a_user_whose_conversation_is_owed_a_finish_is_not_free(store: CallStore) -> None:
    await store.admit(new_call("CA1"))
    for state in ("open", "finishing", "finish-failed"):
        await end(store, "CA1", state)

        assert await store.admit(new_call("CA2")) == NoUserFree()


async def test_calls_admitted_at_once_never_share_a_user(store: CallStore) -> None:
    users = tuple(f"u{n}" for n in range(20))

    answers = await asyncio.gather(
        *(store.admit(new_call(f"CA{n}", users)) for n in range(50)),
    )

    leased = [answer.user_id for answer in answers if isinstance(answer, Admitted)]
    assert sorted(leased) == sorted(users)
    assert answers.count(NoUserFree()) == 30


@pytest.mark.parametrize("patience", [0, 1, 2, 3, 5, 8, 30])
async def test_an_admission_given_up_by_its_caller_leaves_nothing_behind(
    store: CallStore, patience: int
) -> None:
    asking = asyncio.create_task(store.admit(new_call("CA1")))
    for _ in range(patience):
        await asyncio.sleep(0)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    for _ in range(2):  # the admission itself, then what undoes it
        await store.flush()

    kept = await store.get(CallSid("CA1"))
    another = await store.admit(new_call("CA2"))
    if asking.cancelled():
        assert (kept, another) == (None, leased("u1"))
    else:
        assert (kept is not None, another) == (True, NoUserFree())


async def test_a_token_opens_one_socket_only(store: CallStore, clock: JumpClock) -> None:
    await store.admit(new_call("CA1"))

    taken = await asyncio.gather(
        *(store.use_token("digest-of-CA1", clock.time) for _ in range(10)),
    )

    assert [call.call_sid for call in taken if call is not None] == ["CA1"]
    assert next(call for call in taken if call is not None).token_used


async def test_looking_at_a_token_does_not_spend_it(store: CallStore, clock: JumpClock) -> None:
    await store.admit(new_call("CA1"))

    for _ in range(2):
        assert await store.token_call("digest-of-CA1", clock.time) is not None
    assert await store.use_token("digest-of-CA1", clock.time) is not None
    assert await store.token_call("digest-of-CA1", clock.time) is None


async def test_an_expired_or_unknown_token_opens_nothing(
    store: CallStore, clock: JumpClock
) -> None:
    await store.admit(new_call("CA1"))

    assert await store.use_token("digest-of-CA1", clock.time + 60) is None
    assert await store.use_token("never-given", clock.time) is None
    assert not (await stored(store, "CA1")).token_used


async def test_the_token_of_an_ended_call_opens_nothing(store: CallStore, clock: JumpClock) -> None:
    await store.admit(new_call("CA1"))
    await end(store, "CA1")

    assert await store.use_token("digest-of-CA1", clock.time) is None


async def test_a_renewed_token_replaces_the_old_one_and_its_answer(
    store: CallStore, clock: JumpClock
) -> None:
    await store.admit(new_call("CA1"))
    await store.use_token("digest-of-CA1", clock.time)

    await store.renew_token(
        CallSid("CA1"), "new-digest", clock.time + 120, "<Response>new</Response>"
    )

    assert await store.use_token("digest-of-CA1", clock.time) is None
    assert await store.use_token("new-digest", clock.time + 61) is not None
    assert (await stored(store, "CA1")).answer == "<Response>new</Response>"


async def test_a_call_refused_for_a_late_store_leaves_its_record_and_no_lease(
    store: CallStore,
) -> None:
    """Wherever in its work the admission is when it is given up."""
    given_up = 0
    for steps in range(20):
        sid, user = f"CA{steps}", f"u{steps}"
        asking = asyncio.create_task(store.admit(new_call(sid, (user,))))
        for _ in range(steps):
            await asyncio.sleep(0.0003)
        asking.cancel()
        await asyncio.wait([asking])
        if not asking.cancelled():
            continue
        given_up += 1
        await store.turn_away(new_call(sid, (), token_digest="", answer="", record=OVER))

        assert (await stored(store, sid)).turned_away
        assert await store.admit(new_call(f"{sid}-next", (user,))) == leased(user)
    assert given_up > 0
