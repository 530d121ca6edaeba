"""Any order of admissions, records, releases and deaths: the store agrees with a model of ten lines."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import Fenced
from gateway.ids import CallSid
from gateway.store import SETTLED_STATES, Admitted, NoUserFree, Order, open_store
from tests.support.redis_server import RedisServer

from .support import HERE, JumpClock, end, leased, new_call, save

USERS = ("u0", "u1", "u2")
CALLS = st.integers(0, 7)
STATES = ("none", "open", "finishing", "finished", "auto-finished", "finish-failed")
STEPS = st.one_of(
    st.tuples(st.just("admit"), CALLS, st.sets(st.sampled_from(USERS)).map(sorted)),
    st.tuples(st.just("save"), CALLS, st.tuples(st.sampled_from(STATES), st.booleans())),
    st.tuples(st.just("release"), CALLS, st.none()),
)


@dataclass
class Model:
    """Leases and last uses, as the port's words say."""

    holder: dict[str, str] = field(default_factory=dict)
    used: dict[str, int] = field(default_factory=dict)
    settled: dict[str, bool] = field(default_factory=dict)
    tick: int = 0

    def admit(self, call: str, users: list[str]) -> str | None:
        free = [user for user in users if self.settled.get(self.holder.get(user, ""), True)]
        user = min(free, key=lambda name: (self.used.get(name, 0), name), default=None)
        if user is not None:
            self.holder[user], self.used[user], self.settled[call] = call, self.tick, False
        return user

    def release(self, call: str) -> None:
        for user in [user for user, holder in self.holder.items() if holder == call]:
            del self.holder[user]
            self.used[user] = self.tick


async def live(steps: list[tuple[str, int, object]], url: str) -> None:
    clock, model = JumpClock(), Model()
    async with open_store(url, clock) as store:
        for step, number, what in steps:
            call = f"CA{number}"
            clock.time += 1
            model.tick += 1
            match step, what:
                case "admit", list(users) if call not in model.settled:
                    user = model.admit(call, users)
                    answer = await store.admit(new_call(call, tuple(users), now=clock.time))

                    assert answer == (NoUserFree() if user is None else leased(user))
                case "save", (str(state), bool(ended)) if call in model.settled:
                    await save(store, call, state, ended=ended)
                    model.settled[call] = ended and state in SETTLED_STATES
                case "release", None:
                    await store.release_user(CallSid(call), HERE)
                    model.release(call)
        orphans = await store.orphans(clock.time + 1000, "other:1:1:x")

        unsettled = {call for call, settled in model.settled.items() if not settled}
        assert {call.call_sid for call in orphans} == unsettled


LIVES = st.lists(STEPS, max_size=30)


@settings(max_examples=40, deadline=None)
@given(LIVES)
def test_leases_and_orphans_follow_the_model(steps: list[tuple[str, int, object]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(live(steps, f"sqlite:///{folder}/calls.db"))


@settings(max_examples=40, deadline=None)
@given(steps=LIVES)
def test_on_redis_they_do_too(
    redis_session: RedisServer, steps: list[tuple[str, int, object]]
) -> None:
    redis_session.forget()
    asyncio.run(live(steps, redis_session.url))


OWNERS = ("a:1:1:x", "b:1:1:y", "c:1:1:z")
WHO = st.sampled_from(OWNERS)
CHANGES = st.one_of(
    st.tuples(st.sampled_from(("admit", "claim", "save", "end", "order", "take")), CALLS, WHO),
    st.tuples(st.just("adopt"), CALLS, WHO),
)


async def owned(steps: list[tuple[str, int, str]], url: str) -> None:
    """Replicas that claim, adopt, save and give orders: the store agrees with a model of owners."""
    clock = JumpClock()
    owner: dict[str, str] = {}
    over: set[str] = set()
    waiting: list[Order] = []
    async with open_store(url, clock) as one, open_store(url, clock) as two:
        for number, (step, which, who) in enumerate(steps):
            store = (one, two)[OWNERS.index(who) % 2]
            call = f"CA{which % 3}"
            sid = CallSid(call)
            alive = call in owner and call not in over
            match step:
                case "admit":
                    await store.admit(new_call(call, (f"u-{call}",), replica=who))
                    owner.setdefault(call, who)
                case "claim":
                    assert (await store.claim(sid, who, clock.time) is not None) is alive
                    if alive:
                        owner[call] = who
                case "adopt" if call in owner:
                    # everybody is alive at this hour
                    assert not await store.adopt(sid, owner[call], who, clock.time)
                case "save" | "end" if call in owner:
                    # nothing is saved of a call that is over, save by who ended it
                    ended = step == "end" or call in over
                    saving = save(store, call, "finished", ended=ended, replica=who)
                    (told,) = await asyncio.gather(saving, return_exceptions=True)
                    assert isinstance(told, Fenced) is (owner[call] != who)
                    if ended and told is None:
                        over.add(call)
                        waiting = [order for order in waiting if order.call_sid != call]
                case "order":
                    order = Order(call_sid=sid, kind="k", body={"n": number})
                    assert await store.order(order, clock.time) is alive
                    waiting += [order] if alive else []
                case "take":
                    mine = [order for order in waiting if owner[order.call_sid] == who]
                    assert await store.take_orders(who, 0) == mine
                    waiting = [order for order in waiting if order not in mine]


OWNED = st.lists(CHANGES, max_size=40)


@settings(max_examples=40, deadline=None)
@given(OWNED)
def test_owners_and_orders_follow_the_model(steps: list[tuple[str, int, str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(owned(steps, f"sqlite:///{folder}/calls.db"))


@settings(max_examples=40, deadline=None)
@given(steps=OWNED)
def test_on_redis_owners_do_too(
    redis_session: RedisServer, steps: list[tuple[str, int, str]]
) -> None:
    redis_session.forget()
    asyncio.run(owned(steps, redis_session.url))


REPLICAS = st.lists(
    st.lists(st.tuples(st.sampled_from(("admit", "end", "release", "leave")), CALLS), max_size=12),
    min_size=2,
    max_size=4,
)


async def crowd(lives: list[list[tuple[str, int]]], url: str) -> None:
    """Replicas, each with connections of its own, at the same few users at the same time."""
    clock = JumpClock()

    async def one(replica: int, steps: list[tuple[str, int]]) -> None:
        async with open_store(url, clock) as store:
            for step, number in steps:
                call = f"CA{replica}-{number}"
                if step == "leave":
                    leaving = asyncio.create_task(store.admit(new_call(f"{call}-left", USERS)))
                    await asyncio.sleep(0)
                    leaving.cancel()
                    await asyncio.gather(leaving, return_exceptions=True)
                elif step == "admit":
                    answer = await store.admit(new_call(call, USERS))
                    if isinstance(answer, Admitted):
                        taken.append((answer.user_id, call))
                elif any(call == mine for _, mine in taken):
                    # given back before it is told: whoever has it next comes after this line
                    for pair in [pair for pair in taken if pair[1] == call]:
                        taken.remove(pair)
                    await end(store, call)
                    if step == "release":
                        await store.release_user(CallSid(call), HERE)
                users = [user for user, _ in taken]
                assert len(users) == len(set(users)), "one user, two calls"

    taken: list[tuple[str, str]] = []
    async with asyncio.TaskGroup() as replicas:
        for number, steps in enumerate(lives):
            replicas.create_task(one(number, steps))
    async with open_store(url, clock) as store:
        orphans = await store.orphans(clock.time + 1000, "other:1:1:x")

    # those that left hold nobody
    assert {str(call.call_sid) for call in orphans} == {call for _, call in taken}


@settings(max_examples=25, deadline=None)
@given(lives=REPLICAS)
def test_replicas_at_once_never_lease_one_user_twice(
    redis_session: RedisServer, lives: list[list[tuple[str, int]]]
) -> None:
    redis_session.forget()
    asyncio.run(crowd(lives, redis_session.url))
