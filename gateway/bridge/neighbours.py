"""Calls that other replicas have, as the store knows them: where they are, and how they come here."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from typing import Final, TypeVar

from gateway.bridge.bridge import Bridge
from gateway.bridge.restore import restored
from gateway.bridge.routes import Routes
from gateway.bridge.tickets import token_digest
from gateway.bridge.waiting import WaitingRoom
from gateway.clock import Clock
from gateway.errors import Fenced, StoreError
from gateway.ids import CallSid
from gateway.log import fact
from gateway.metrics import Metrics
from gateway.store import CallStore, Order, StoredCall

_log = logging.getLogger(__name__)

ASK_SECONDS: Final = 1.0
"""How long the carrier's question about a call that is not here may wait for the store."""
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
        replica: str,
    ) -> None:
        self._store = store
        self._routes = routes
        self._clock = clock
        self._metrics = metrics
        self._waiting = waiting
        self._replica = replica

    async def call(self, call_sid: CallSid) -> StoredCall | None:
        """The stored call; None: nobody knows it, or the store does not answer."""
        return await self._asked(self._store.get(call_sid))

    async def by_token(self, token: str) -> StoredCall | None:
        """The call that this token opens a stream for."""
        return await self._asked(self._store.token_call(token_digest(token), self._clock.wall()))

    async def spend(self, token: str) -> StoredCall | None:
        """Use the token, once among all replicas."""
        return await self._asked(self._store.use_token(token_digest(token), self._clock.wall()))

    async def address(self, call: StoredCall) -> str | None:
        """Where the replica that has this call is reached; None: nowhere, or it is this one."""
        if call.replica == self._replica:
            return None
        return await self._asked(self._store.address_of(call.replica, self._clock.wall())) or None

    async def lives(self, call: StoredCall) -> bool:
        """Whether the replica that has this call is alive, as far as its heartbeats tell."""
        if call.replica == self._replica:
            return False  # it waits here for its caller
        address = await self._asked(self._store.address_of(call.replica, self._clock.wall()))
        return address is not None

    async def renew(self, call_sid: CallSid, digest: str, expires: float, answer: str) -> bool:
        """Give a call a new token; the replica that has it is told."""
        renewed = await self._asked(self._store.renew_token(call_sid, digest, expires, answer))
        return bool(renewed)

    async def order(self, call_sid: CallSid, kind: str, **body: object) -> bool:
        """Have whoever has the call obey; False: the call has ended, or the store does not answer."""
        order = Order(call_sid=call_sid, kind=kind, body=body)
        return bool(await self._asked(self._store.order(order, self._clock.wall())))

    async def take_up(self, call_sid: CallSid) -> Bridge | None:
        """Have the call go on in this process; None: it is over, or nothing of it is left to go on with.

        Whoever had it is fenced from now on: the carrier speaks with us.
        """
        call = await self.call(call_sid)
        if call is None or call.ended:
            return None
        route = self._routes.owner(call)
        lost = call.record.get("reconnects")
        if route is None or (isinstance(lost, int) and lost >= MAX_RECONNECTS):
            return None
        with self._waiting.asked_for(call_sid) as in_time:
            claim = self._store.claim(call_sid, self._replica, self._clock.wall())
            claimed = await self._asked(claim) if in_time else None
            if claimed is None or claimed.replica != self._replica:
                return None
            self._waiting.take(call_sid)
        fact(_log, "call.taken-up", call_sid=call_sid, of=call.replica)
        self._metrics.calls_taken_up_total.inc()
        now, wall = self._clock.now(), self._clock.wall()
        record = restored(claimed.record, replica=self._replica, now=now, wall=wall)
        agent = route.agent(record, claimed.user_id)
        return Bridge(record, agent, route.house, taken_up=True)

    async def _asked(self, question: Awaitable[T]) -> T | None:
        """The store's answer; None where it has none in time: whoever asks has a caller on the line."""
        try:
            async with asyncio.timeout(ASK_SECONDS):
                return await question
        except (StoreError, Fenced, TimeoutError):
            fact(_log, "store.unanswered", level=logging.WARNING)
            return None
