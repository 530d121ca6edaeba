"""What a dead process owed is paid by whoever finds it, and let go of where it cannot be paid."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.amigo.models import FinishResult
from gateway.bridge import finisher
from gateway.bridge.finisher import GIVEN_UP, REFUSALS, Finisher
from gateway.bridge.recovery import Recovery
from gateway.bridge.waiting import WaitingRoom
from gateway.clock import SystemClock
from gateway.errors import AmigoForbidden
from gateway.ids import CallSid, ConversationId
from gateway.metrics import Metrics
from gateway.store import CallStore, open_store
from tests.store.support import new_call

DEAD, HERE = "dead.example:1:1:d", "here.example:1:1:h"
CA1, C1 = CallSid("CA1"), ConversationId("c1")


class Api:
    """Refuses, or fails in a way nobody foresaw, so many times; then all is well."""

    def __init__(self, *, refuses: float = 0.0, breaks: int = 0) -> None:
        self._refuses, self._breaks = refuses, breaks
        self.asked = 0

    async def finish(self, *_: object) -> object:
        self.asked += 1
        if self._refuses:
            self._refuses -= 1
            raise AmigoForbidden("finish", status=403)
        return FinishResult.FINISHED

    async def conversations(self, *_: object, **__: object) -> list[Any]:
        self.asked += 1
        if self._breaks:
            self._breaks -= 1
            raise RuntimeError("nobody foresaw this")
        return []


class Aftermath:
    def __init__(self) -> None:
        self.taken = 0

    def take(self, *_: object) -> None:
        self.taken += 1


class Nobody:
    async def alive(self, *_: object) -> bool:
        return False


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[CallStore]:
    clock = SystemClock()
    async with open_store(f"sqlite:///{tmp_path}/calls.db", clock) as store:
        now = clock.wall()
        await store.admit(
            replace(new_call(CA1), replica=DEAD, now=now - 100.0, token_expires=now + 60.0)
        )
        yield store


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    schedule = replace(finisher.SCHEDULE, first_seconds=0.001, longest_seconds=0.002)
    monkeypatch.setattr(finisher, "SCHEDULE", schedule)
    monkeypatch.setattr(finisher, "SEARCHES", (0.01, 0.01))


async def left_finishing(store: CallStore, conversation: ConversationId | None) -> None:
    """The process died as it was about to pay."""
    await store.save(
        CA1,
        replica=DEAD,
        record={"call_sid": CA1, "user_id": "u1", "end_reason": "caller-hangup"},
        status="ending",
        end_reason="caller-hangup",
        conversation_id=conversation,
        conversation_state="finishing",
        ended=True,
    )


async def sweeps(recovery: Recovery, paying: Finisher, times: int) -> None:
    clock = SystemClock()
    for _ in range(times):
        await recovery.beat(clock.wall())
        recovery._in_touch = clock.now() - 60.0
        await recovery.sweep(clock.wall())
        assert await paying.wait_paid(10.0)


def recovery_of(store: CallStore, paying: Finisher, api: Api, aftermath: Aftermath) -> Recovery:
    route = SimpleNamespace(house=SimpleNamespace(account=api))
    routes: Any = SimpleNamespace(owner=lambda _call: route)
    later: Any = aftermath
    return Recovery(
        store,
        routes,
        paying,
        later,
        SystemClock(),
        Metrics(),
        HERE,
        waiting=WaitingRoom(),
        holds=lambda _sid: False,
        probe=Nobody(),
        reconnect_seconds=0.01,
    )


async def test_a_finish_that_is_refused_is_given_up_and_not_begun_again(store: CallStore) -> None:
    await left_finishing(store, C1)
    api, aftermath = Api(refuses=float("inf")), Aftermath()
    async with Finisher(SystemClock(), on_retry=lambda: None) as paying:
        recovery = recovery_of(store, paying, api, aftermath)
        await sweeps(recovery, paying, 6)
        await recovery.part()
        assert await paying.wait_paid(10.0)

    call = await store.get(CA1)
    assert call is not None
    assert (call.conversation_state, call.replica) == (GIVEN_UP, HERE)
    assert (api.asked, aftermath.taken) == (REFUSALS, 1)


async def test_the_next_process_tries_again_what_was_given_up(store: CallStore) -> None:
    await left_finishing(store, C1)
    api, aftermath = Api(refuses=REFUSALS), Aftermath()
    async with Finisher(SystemClock(), on_retry=lambda: None) as paying:
        await sweeps(recovery_of(store, paying, api, aftermath), paying, 3)
        await store.adopt(CA1, HERE, DEAD, SystemClock().wall() + 3600.0)
        await sweeps(recovery_of(store, paying, api, aftermath), paying, 3)

    call = await store.get(CA1)
    assert call is not None
    assert call.conversation_state == "finished"


async def test_a_look_at_the_api_that_breaks_is_made_again(store: CallStore) -> None:
    await left_finishing(store, None)
    api = Api(breaks=3)
    async with Finisher(SystemClock(), on_retry=lambda: None) as paying:
        await sweeps(recovery_of(store, paying, api, Aftermath()), paying, 1)

    call = await store.get(CA1)
    assert call is not None
    assert call.conversation_state == "none"


async def test_a_payment_that_breaks_is_begun_again_later(
    store: CallStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await left_finishing(store, C1)
    pay, broken = Finisher.pay, asyncio.Event()

    async def pay_badly(paying: Finisher, debt: Any) -> str:
        if not broken.is_set():
            broken.set()
            raise RuntimeError("nobody foresaw this")
        return await pay(paying, debt)

    monkeypatch.setattr(Finisher, "pay", pay_badly)
    async with Finisher(SystemClock(), on_retry=lambda: None) as paying:
        await sweeps(recovery_of(store, paying, Api(), Aftermath()), paying, 4)

    assert broken.is_set()
    call = await store.get(CA1)
    assert call is not None
    assert call.conversation_state == "finished"
