"""What the store's tests build on: a clock that jumps, announced calls, shorthand."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

from gateway.errors import Fenced
from gateway.ids import CallSid, ConversationId, UserId
from gateway.store import Admitted, CallStore, NewCall, Order, StoredCall, open_store

HERE = "elsewhere:1:1:aaaa"
"""The replica of calls whose test names none. No process table can tell of a machine that is not
this one: only heartbeats can."""

START = 1_000_000.0
"""Wall time at which every test begins."""


class JumpClock:
    """A clock that stands still until a test moves it."""

    def __init__(self) -> None:
        self.time = START

    def now(self) -> float:
        return self.time

    def wall(self) -> float:
        return self.time


@dataclass
class Backend:
    """One store's place; open it as often as a test has replicas or restarts."""

    url: str
    clock: JumpClock

    def open(self) -> AbstractAsyncContextManager[CallStore]:
        return open_store(self.url, self.clock)


def new_call(call_sid: str = "CA1", users: tuple[str, ...] = ("u1",), **changes: Any) -> NewCall:
    values: dict[str, Any] = {
        "call_sid": CallSid(call_sid),
        "account_sid": "AC1",
        "direction": "inbound",
        "caller": "+15550001111",
        "called": "+15550002222",
        "route": "",
        "organization": "org",
        "service_id": "5a9db0c55a9db0c55a9db0c5",
        "candidates": tuple(UserId(user) for user in users),
        "replica": HERE,
        "token_digest": f"digest-of-{call_sid}",
        "token_expires": START + 60,
        "answer": f"<Response>{call_sid}</Response>",
        "record": {"call_sid": call_sid, "status": "ringing"},
        "now": START,
    }
    return NewCall(**(values | changes))


def leased(user: str) -> Admitted:
    return Admitted(UserId(user))


async def stored(store: CallStore, call_sid: str) -> StoredCall:
    call = await store.get(CallSid(call_sid))
    assert call is not None
    return call


async def save(
    store: CallStore,
    call_sid: str,
    state: str = "open",
    *,
    ended: bool = False,
    replica: str = HERE,
    record: dict[str, object] | None = None,
    conversation: str | None = "c1",
) -> None:
    await store.save(
        CallSid(call_sid),
        replica=replica,
        record={} if record is None else record,
        status="completed" if ended else "listening",
        end_reason="caller-hangup" if ended else None,
        conversation_id=None if conversation is None else ConversationId(conversation),
        conversation_state=state,
        ended=ended,
    )


async def whole_life_with_owners(store: CallStore, clock: JumpClock) -> None:
    """What an upgraded store must do with CA1, which HERE held before."""
    heir, sid = "heir:1:1:b", CallSid("CA1")
    order = Order(call_sid=sid, kind="hangup", body={})
    await store.heartbeat(HERE, clock.time, "http://here")
    assert await store.address_of(HERE, clock.time) == "http://here"
    assert await store.order(order, clock.time)
    call = await store.claim(sid, heir, clock.time)
    assert call is not None
    assert (call.replica, call.user_id, call.conversation_id) == (heir, "u1", "c1")
    assert await store.take_orders(heir, 0) == [order]
    try:
        await save(store, "CA1")
    except Fenced:
        await save(store, "CA1", "finished", replica=heir, ended=True)
    else:
        raise AssertionError("not fenced")
    await store.release_user(sid, heir)
    assert await store.admit(new_call("CA2")) == leased("u1")


async def end(store: CallStore, call_sid: str, state: str = "finished") -> None:
    await save(store, call_sid, state, ended=True, conversation=f"conversation-of-{call_sid}")
