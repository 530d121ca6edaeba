"""Calls that other replicas have, as the store knows them: where they are, and how they come here."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from gateway.bridge.bridge import Bridge
from gateway.bridge.forgotten import announced
from gateway.bridge.house import Probe
from gateway.bridge.restore import restored
from gateway.bridge.routes import Routes
from gateway.bridge.tickets import token_digest
from gateway.bridge.waiting import WaitingRoom
from gateway.clock import Clock
from gateway.errors import Fenced, StoreError
from gateway.ids import CallSid
from gateway.log import fact
from gateway.metrics import Metrics
from gateway.store import CallStore, Order, StoredCall, proven_dead

_log = logging.getLogger(__name__)

ASK_SECONDS: Final = 2.0
"""How long the carrier's question about a call that is not here may wait for the store."""
TRIES: Final = 3
PAUSE_SECONDS: Final = 0.1
"""Before a question is asked again."""
MAX_RECONNECTS: Final = 5
"""Streams a call may lose; a line that breaks so often will break again."""
T = TypeVar("T")


class Neighbours:
    """The other replicas' calls."""

    def __init__(
        self,
        store: CallStore,
        routes: Routes,
        clock: Clock,
        metrics: Metrics,
        waiting: WaitingRoom,
        probe: Probe,
        replica: str,
    ) -> None:
        self._store = store
        self._routes = routes
        self._clock = clock
        self._metrics = metrics
        self._waiting = waiting
        self._probe = probe
        self._replica = replica

    async def call(self, call_sid: CallSid) -> StoredCall | None:
        """The stored call; None: nobody knows it. Raises `Unanswered`, as all of these do."""
        return await self._asked(lambda: self._store.get(call_sid))

    async def by_token(self, token: str) -> StoredCall | None:
        """The call that this token opens a stream for."""
        digest = token_digest(token)
        return await self._asked(lambda: self._store.token_call(digest, self._clock.wall()))

    async def spend(self, token: str) -> StoredCall | None:
        """Use the token, once among all replicas."""
        digest = token_digest(token)
        return await self._asked(lambda: self._store.use_token(digest, self._clock.wall()), tries=1)

    async def address(self, call: StoredCall) -> str | None:
        """Where the replica that has this call was last reached; None: nowhere, or it is this one."""
        if call.replica == self._replica or proven_dead(call.replica):
            return None
        return await self._asked(lambda: self._store.address_of(call.replica, None)) or None

    async def lives(self, call: StoredCall) -> bool:
        """Whether the replica that has this call answers, or has told the store that it lives."""
        if call.replica == self._replica or proven_dead(call.replica):
            return False  # its own: it waits here for its caller
        now = self._clock.wall()
        if await self._asked(lambda: self._store.address_of(call.replica, now)) is not None:
            return True
        address = await self.address(call)
        return bool(address) and await self._probe.alive(str(address), call.replica)

    async def renew(self, call_sid: CallSid, digest: str, expires: float, answer: str) -> bool:
        """Give a call a new token; False: it has ended."""
        return await self._asked(lambda: self._store.renew_token(call_sid, digest, expires, answer))

    async def order(self, call_sid: CallSid, kind: str, **body: object) -> bool:
        """Have whoever has the call obey; False: the call has ended, or nobody knows it."""
        order = Order(call_sid=call_sid, kind=kind, body=body)
        return await self._asked(lambda: self._store.order(order, self._clock.wall()))

    async def take_up(self, call_sid: CallSid, of: str) -> Bridge | None:
        """Have the call of the dead replica `of` go on in this process; None: it is over, or nothing of
        it is left to go on with. Raises `Unanswered` too where another has it by now.

        Whoever had it is fenced from now on: the carrier speaks with us.
        """
        call = await self.call(call_sid)
        if call is None or call.ended:
            return None
        if call.replica not in (of, self._replica):
            raise Unanswered  # another took it up meanwhile: the carrier is to ask for that one
        if call.replica != self._replica:
            now = self._clock.wall()
            if await self._asked(lambda: self._store.address_of(call.replica, now)) == "":
                raise Unanswered  # alive, and nobody can ask it
        route = self._routes.owner(call)
        lost = call.record.get("reconnects")
        if route is None or (isinstance(lost, int) and lost >= MAX_RECONNECTS):
            return None
        with self._waiting.asked_for(call_sid) as in_time:
            claimed = await self._asked(self._claim(call)) if in_time else None
            if claimed is None:
                return None
            if claimed.replica != self._replica:
                raise Unanswered  # another was quicker, and the carrier is to ask for that one
            if not self._waiting.take(call_sid):
                return None
        fact(_log, "call.taken-up", call_sid=call_sid, of=call.replica)
        self._metrics.calls_taken_up_total.inc()
        now, wall = self._clock.now(), self._clock.wall()
        record = restored(claimed.record, replica=self._replica, now=now, wall=wall)
        agent = route.agent(record, claimed.user_id)
        return Bridge(record, announced(claimed, wall), agent, route.house, taken_up=True)

    def _claim(self, call: StoredCall) -> Callable[[], Awaitable[StoredCall | None]]:
        """Only from the replica that was found dead, or not to be reached."""
        return lambda: self._store.claim(
            call.call_sid, self._replica, self._clock.wall(), call.replica
        )

    async def _asked(self, question: Callable[[], Awaitable[T]], tries: int = TRIES) -> T:
        """The store's answer, asked for again where it fails; whoever asks has a caller on the line."""
        try:
            async with asyncio.timeout(ASK_SECONDS):
                for left in reversed(range(tries)):
                    try:
                        return await question()
                    except StoreError:
                        if not left:
                            raise
                        await asyncio.sleep(PAUSE_SECONDS)
        except (StoreError, Fenced, TimeoutError):
            fact(_log, "store.unanswered", level=logging.WARNING)
            raise Unanswered from None
        raise AssertionError("the loop answers or raises")


class Unanswered(Exception):  # noqa: N818 - reads as the sentence it is
    """The store does not say: whatever is done instead must not take a call from a living replica."""
