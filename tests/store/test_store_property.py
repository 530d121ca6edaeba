"""Any order of admissions, records, releases and deaths: the store agrees with a model of ten lines."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.ids import CallSid
from gateway.store import SETTLED_STATES, NoUserFree, open_store

from .support import JumpClock, leased, new_call, save

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
                    await store.release_user(CallSid(call))
                    model.release(call)
        orphans = await store.orphans(clock.time + 1000, "other:1:1:x")

        unsettled = {call for call, settled in model.settled.items() if not settled}
        assert {call.call_sid for call in orphans} == unsettled


@settings(max_examples=40, deadline=None)
@given(st.lists(STEPS, max_size=30))
def test_leases_and_orphans_follow_the_model(steps: list[tuple[str, int, object]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(live(steps, f"sqlite:///{folder}/calls.db"))
