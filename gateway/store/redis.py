"""Calls on a Redis server, shared by as many gateways as there are; `redis.lua` does the work."""

from __future__ import annotations

import asyncio
import json
import secrets
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, TypeVar

from gateway.errors import Fenced, Forgotten, StoreError
from gateway.ids import CallSid, ConversationId, UserId
from gateway.store.forms import as_json, position
from gateway.store.port import Admitted, Known, NewCall, NoUserFree, Order, Risk, StoredCall
from gateway.store.redis_line import PATIENCE, RedisLine, Unanswered
from gateway.store.redis_risks import risks_of
from gateway.store.redis_rows import fields, maybe, pairs, scope, stored, text
from gateway.store.replica import proven_dead

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping

    from gateway.clock import Clock
    from gateway.store.place import RedisPlace

T = TypeVar("T")

MAX_WAITING: Final = 10_000
"""Requests asked for and not yet answered; beyond, new ones are refused at once."""
TAKE_BACK_SECONDS: Final = 60.0
"""How long an admission nobody learned of is tried to be taken back while the server is away."""

UNDO_SECONDS: Final = 0.5
"""How long an admission waits for an earlier one of the same call to be undone."""


@asynccontextmanager
async def open_redis(
    place: RedisPlace, clock: Clock, *, must_exist: bool = False
) -> AsyncIterator[RedisStore]:
    """Open the store; leaving waits for what was asked for."""
    line = RedisLine(place)
    try:
        await line.upgrade(must_exist=must_exist)
        store = RedisStore(line, clock)
        try:
            yield store
        finally:
            await store.close()
    finally:
        await line.close()


class RedisStore:
    """The `CallStore` port over one Redis server; any number of machines may share it."""

    def __init__(self, line: RedisLine, clock: Clock) -> None:
        self._line = line
        self._clock = clock
        self._writer = secrets.token_hex(8)
        self._turn = 0
        self._open = True
        self._running: set[asyncio.Task[Any]] = set()
        self._listening: set[asyncio.Task[None]] = set()
        """Those of them that wait for a bell."""
        self._taking = asyncio.Lock()
        self._arrived: dict[str, str] = {}
        """The last look for orders whose answer came, by replica."""
        self._undoing: dict[CallSid, asyncio.Task[None]] = {}
        """Admissions nobody learned of, on their way out."""

    # ------------------------------------------------------------ calls

    async def admit(self, new: NewCall) -> Admitted | Known | NoUserFree:
        nonce = secrets.token_hex(8)
        values = (
            *(nonce, new.call_sid, scope(new), new.now, new.replica),
            *(len(new.candidates), *new.candidates),
            *fields(new, ended=False),
        )
        await self._undone(new.call_sid)
        asking = self._begin(self._line.change("admit", *values))
        try:
            kind, *found = await asyncio.shield(asking)
        except (Unanswered, asyncio.CancelledError):
            # Nobody learns of it, so it must not stay: it may be done, or be done yet.
            undo = self._start(self._take_back(asking, nonce, new.call_sid))
            self._undoing[new.call_sid] = undo
            undo.add_done_callback(lambda done: self._forget_undo(new.call_sid, done))
            raise
        match kind:
            case b"admitted":
                return Admitted(UserId(text(found[0])))
            case b"known":
                return Known(stored(found[0]))
            case _:
                return NoUserFree()

    async def _undone(self, call_sid: CallSid) -> None:
        """A carrier that asks again at once must not be told of a call that is about to vanish."""
        undo = self._undoing.get(call_sid)
        if undo is None:
            return
        await asyncio.wait([undo], timeout=UNDO_SECONDS)
        if not undo.done():
            raise StoreError("an earlier admission of this call is still being undone")

    def _forget_undo(self, call_sid: CallSid, undo: asyncio.Task[None]) -> None:
        if self._undoing.get(call_sid) is undo:
            del self._undoing[call_sid]

    async def _take_back(self, asking: asyncio.Task[Any], nonce: str, call_sid: CallSid) -> None:
        await asyncio.wait([asking])
        # Where the connection broke, the server may come to the admission until its time is over.
        looks_wanted = 2 if isinstance(asking.exception(), Unanswered) else 1
        for _ in range(int(TAKE_BACK_SECONDS / PATIENCE)):
            with suppress(StoreError):
                taken = await self._line.change("withdraw", nonce, call_sid)
                looks_wanted -= 1
                if taken or looks_wanted == 0:
                    return
            if not self._open:
                return
            await asyncio.sleep(PATIENCE)

    async def turn_away(self, new: NewCall) -> None:
        await self._undone(new.call_sid)
        await self._change("turn_away", new.call_sid, *fields(new, ended=True))

    async def renew_token(
        self, call_sid: CallSid, digest: str, expires: float, answer: str
    ) -> bool:
        values = (secrets.token_hex(8), call_sid, digest, expires, answer)
        return _known(await self._change("renew_token", *values)) == b"done"

    async def use_token(self, digest: str, now: float) -> StoredCall | None:
        return maybe(await self._change("use_token", secrets.token_hex(8), digest, now))

    async def token_call(self, digest: str, now: float) -> StoredCall | None:
        return maybe(await self._look("token_call", digest, now))

    async def save(
        self,
        call_sid: CallSid,
        *,
        replica: str,
        record: Mapping[str, object],
        status: str,
        end_reason: str | None,
        conversation_id: ConversationId | None,
        conversation_state: str,
        ended: bool,
    ) -> None:
        self._turn += 1
        kept = {
            "writer": self._writer,
            "turn": self._turn,
            "record": as_json(record),
            "status": status,
            "end_reason": end_reason,
            "conversation_id": conversation_id,
            "conversation_state": conversation_state,
            "ended": ended,
        }
        order = (self._writer, self._turn)
        facts = (conversation_id, conversation_state, ended)
        values = (call_sid, replica, *order, *facts, *pairs(kept))
        if _known(await self._change("save", *values)) == b"fenced":
            raise Fenced(call_sid)

    async def release_user(self, call_sid: CallSid, replica: str) -> None:
        await self._change("release_user", call_sid, replica, self._clock.wall())

    # ------------------------------------------------------------ users of callers

    async def user_of(self, organization: str, caller: str) -> UserId | None:
        user = await self._look("user_of", organization, caller)
        return None if user is None else UserId(text(user))

    async def keep_user(self, organization: str, caller: str, user: UserId) -> UserId:
        return UserId(text(await self._change("keep_user", organization, caller, user)))

    async def forget_user(self, organization: str, caller: str, user: UserId) -> None:
        await self._change("forget_user", organization, caller, user)

    # ------------------------------------------------------------ replicas and conversations

    async def heartbeat(self, replica: str, now: float, address: str | None = None) -> None:
        await self._change("heartbeat", replica, now, address)

    async def address_of(self, replica: str, now: float | None) -> str | None:
        address = await self._look("address_of", replica, "" if now is None else now)
        gone = now is not None and proven_dead(replica)
        return None if address is None or gone else text(address)

    async def orphans(self, now: float, replica: str) -> list[StoredCall]:
        # Which processes of this machine are gone, only this machine can tell.
        names = [text(name) for name in await self._look("replicas")]
        gone = [name for name in names if proven_dead(name)]
        return await _one_by_one(stored, await self._look("orphans", now, replica, *gone))

    async def owned(self, replica: str) -> list[CallSid]:
        return [CallSid(text(name)) for name in await self._look("owned", replica)]

    async def adopt(
        self, call_sid: CallSid, from_replica: str, to_replica: str, now: float
    ) -> bool:
        nonce, gone = secrets.token_hex(8), proven_dead(from_replica)
        names = (call_sid, from_replica, to_replica)
        return bool(await self._change("adopt", nonce, *names, now, gone))

    async def claim(
        self, call_sid: CallSid, to_replica: str, now: float, holder: str | None = None
    ) -> StoredCall | None:
        values = (secrets.token_hex(8), call_sid, to_replica, now, holder)
        return maybe(await self._change("claim", *values))

    async def order(self, order: Order, now: float) -> bool:
        values = (order.call_sid, order.kind, as_json(order.body), now)
        kept = await self._change("order", secrets.token_hex(8), *values)
        if kept == b"full":
            raise StoreError("too many orders wait")
        return bool(kept == b"done")

    async def take_orders(self, replica: str, wait: float) -> list[Order]:
        loop = asyncio.get_running_loop()
        until = loop.time() + wait
        while True:
            orders = await self._take(replica)
            left = until - loop.time()
            if orders or left <= 0:
                return orders
            listening = self._begin(self._line.bell(replica, left))
            self._listening.add(listening)
            listening.add_done_callback(self._listening.discard)
            await _answer(listening)

    async def _take(self, replica: str) -> list[Order]:
        """Take what is there, and say which earlier look's answer came: only that is then dropped."""
        nonce = secrets.token_hex(8)
        async with self._taking:
            arrived = self._arrived.get(replica)
            now = self._clock.wall()
            found = await self._change("take_orders", nonce, replica, arrived, now)
            self._arrived[replica] = nonce
        return [
            Order(call_sid=CallSid(text(call)), kind=text(kind), body=json.loads(body))
            for call, kind, body in found
        ]

    async def live_holder(self, conversation_id: ConversationId, now: float) -> StoredCall | None:
        holders = map(stored, await self._look("live_holders", conversation_id, now))
        return next((call for call in holders if not proven_dead(call.replica)), None)

    async def find_conversation(self, conversation_id: ConversationId) -> StoredCall | None:
        return maybe(await self._look("find_conversation", conversation_id))

    async def get(self, call_sid: CallSid) -> StoredCall | None:
        return maybe(await self._look("get", call_sid))

    async def calls(
        self, limit: int, cursor: str | None = None
    ) -> tuple[list[dict[str, object]], str | None]:
        found = await self._look("page", position(cursor), limit + 1)
        records, numbers = found[::2], found[1::2]
        more = str(int(numbers[limit - 1])) if len(records) > limit else None
        return await _one_by_one(json.loads, records[:limit]), more

    # ------------------------------------------------------------ facts, and the server itself

    async def remember(self, key: str, value: str) -> None:
        await self._change("remember", key, value)

    async def recall(self, key: str) -> str | None:
        value = await self._look("recall", key)
        return None if value is None else text(value)

    async def risks(self) -> list[Risk]:
        return await _answer(self._begin(risks_of(self._line)))

    async def ping(self) -> None:
        await self._change("ping")

    async def flush(self) -> None:
        running = self._running - self._listening
        if running:
            _, late = await asyncio.wait(running, timeout=4 * PATIENCE)
            if late:
                raise StoreError("changes still wait for the server")

    async def close(self) -> None:
        """Wait for what was asked for; an undo that finds no server is given up, and found as an orphan."""
        self._open = False
        while self._running:
            _, late = await asyncio.wait(set(self._running), timeout=PATIENCE)
            for task in late:
                task.cancel()

    # ------------------------------------------------------------ requests

    async def _change(self, operation: str, *values: object) -> Any:
        return await _answer(self._begin(self._line.change(operation, *values)))

    async def _look(self, operation: str, *values: object) -> Any:
        return await _answer(self._begin(self._line.look(operation, *values)))

    def _begin(self, request: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start a request; it is waited for when the store closes."""
        problem = "closed" if not self._open else "overloaded"
        if not self._open or len(self._running) >= MAX_WAITING:
            request.close()
            raise StoreError(f"the store is {problem}")
        return self._start(request)

    def _start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.get_running_loop().create_task(work, name="store request")
        self._running.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # who asked has it, or has left


async def _answer(asking: asyncio.Task[T]) -> T:
    """What the request brings; whoever is cancelled meanwhile is so at once, and the request after it.

    Not `await asking`: the cancellation would have to come back through the request, and the client
    below writes with `asyncio.wait_for`, which loses it on Python 3.11 where the write has just ended.
    """
    try:
        return await asyncio.shield(asking)
    except asyncio.CancelledError:
        asking.cancel()
        raise


async def _one_by_one(read: Callable[[Any], T], found: Iterable[Any]) -> list[T]:
    """Read records, which can be long and many; live calls have their turn between two of them."""
    done = []
    for one in found:
        done.append(read(one))
        await asyncio.sleep(0)
    return done


def _known(answer: bytes) -> bytes:
    if answer == b"unknown":
        raise Forgotten("no such call")
    return answer
