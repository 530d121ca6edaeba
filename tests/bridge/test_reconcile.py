"""A conversation that no record names: ours where a call of ours had its user, which is over by now."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest

from gateway.amigo.client import AmigoClient
from gateway.amigo.models import ConversationInfo
from gateway.bridge.reconcile import LATEST_SECONDS, PAGE, OurUser, Reconciler
from gateway.clock import iso
from gateway.ids import CallSid, ConversationId, UserId
from gateway.store import CallStore, open_store
from tests.store.support import START, JumpClock, new_call, save

LONGEST_CALL = 600.0
USER, OTHER = "u1", "u2"


class Api:
    """One user's unfinished conversations, and what was asked to be finished."""

    def __init__(self, created: float) -> None:
        self.open = [ConversationInfo(id=ConversationId("c-unnamed"), created_at=iso(created))]
        self.finished: list[str] = []

    async def conversations(self, user: UserId, **_: Any) -> list[ConversationInfo]:
        return self.open if user == USER else []

    async def finish(self, _: UserId, conversation: ConversationId) -> None:
        self.finished.append(conversation)


class Pages:
    """The store, and how often its calls were looked through."""

    def __init__(self, store: CallStore) -> None:
        self._store = store
        self.looks = 0

    async def calls(self, limit: int, cursor: str | None = None) -> Any:
        self.looks += 1
        return await self._store.calls(limit, cursor)

    async def find_conversation(self, conversation: ConversationId) -> Any:
        return await self._store.find_conversation(conversation)


@pytest.fixture
def clock() -> JumpClock:
    return JumpClock()


@pytest.fixture
async def store(tmp_path: Path, clock: JumpClock) -> AsyncIterator[CallStore]:
    async with open_store(f"sqlite:///{tmp_path}/calls.db", clock) as store:
        yield store


async def a_call(
    store: CallStore, sid: str, began: float, ended: float | None, user: str = USER
) -> None:
    record: dict[str, object] = {
        "call_sid": sid,
        "user_id": user,
        "started_at": iso(began),
        "ended_at": None if ended is None else iso(ended),
    }
    await store.admit(new_call(sid, (user,), record=record))
    await save(store, sid, "none", ended=ended is not None, record=record, conversation=None)
    if ended is not None:
        await store.release_user(CallSid(sid), new_call().replica)


def reconciler(store: object, clock: JumpClock) -> Reconciler:
    return Reconciler(
        (),
        cast(CallStore, store),
        clock,
        every_seconds=60.0,
        longest_call=LONGEST_CALL,
        finished=lambda: None,
    )


def ours(api: Api) -> OurUser:
    return OurUser(cast(AmigoClient, api), UserId(USER), "s1", finish_foreign=False)


@pytest.mark.parametrize(
    ("created", "finished"),
    [
        (START + 0.5, True),
        (START + 10.0 + LATEST_SECONDS - 1, True),
        (START + 10.0 + LATEST_SECONDS + 1, False),
        (START - 60.0, False),
    ],
)
async def test_it_is_ours_where_it_was_made_in_a_call_of_ours(
    store: CallStore, clock: JumpClock, created: float, finished: bool
) -> None:
    await a_call(store, "CA1", START, START + 10.0)
    clock.time += 1000.0
    api = Api(created)

    assert await reconciler(store, clock).look(ours(api)) == int(finished)
    assert api.finished == (["c-unnamed"] if finished else [])


async def test_another_users_call_and_a_call_that_goes_on_prove_nothing(
    store: CallStore, clock: JumpClock
) -> None:
    await a_call(store, "CA1", START, START + 10.0, OTHER)
    clock.time += 1000.0
    api = Api(START + 5.0)
    looker = reconciler(store, clock)
    assert await looker.look(ours(api)) == 0

    await a_call(store, "CA2", START, None)
    looker = reconciler(store, clock)
    assert await looker.look(ours(api)) == 0
    await save(
        store,
        "CA2",
        "none",
        ended=True,
        record={"user_id": USER, "started_at": iso(START), "ended_at": iso(START + 20.0)},
        conversation=None,
    )
    assert await looker.look(ours(api)) == 1


async def test_a_young_one_may_still_get_its_name(store: CallStore, clock: JumpClock) -> None:
    await a_call(store, "CA1", START, START + 10.0)
    clock.time += 100.0
    assert await reconciler(store, clock).look(ours(Api(START + 5.0))) == 0


async def test_the_calls_of_long_ago_are_not_looked_through(
    store: CallStore, clock: JumpClock
) -> None:
    between = 3000.0 / PAGE
    for number in range(3 * PAGE):
        began = START + number * between
        await a_call(store, f"CA{number}", began, began + 1.0, OTHER)
    clock.time = START + 9000.0 + 1000.0
    pages = Pages(store)
    looker = reconciler(pages, clock)
    api = Api(START + 9000.0)
    assert await looker.look(ours(api)) == 0
    assert pages.looks == 1
    assert await looker.look(ours(api)) == 0
    assert pages.looks == 1, "what is not ours is known"
