"""What the carrier is to do with a call: its first question, its streams, and what follows them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, suppress
from enum import Enum
from types import TracebackType
from typing import Final, Self

from gateway.bridge import admission, orders
from gateway.bridge.admission import Admission
from gateway.bridge.answers import (
    Answer,
    Connect,
    Elsewhere,
    HandOver,
    Incoming,
    Refuse,
    SwitchboardOptions,
    Wait,
)
from gateway.bridge.bridge import Bridge
from gateway.bridge.calls import Calls
from gateway.bridge.drain import Drain
from gateway.bridge.house import Probe
from gateway.bridge.lately import Lately
from gateway.bridge.neighbours import MAX_RECONNECTS, Neighbours, Unanswered
from gateway.bridge.orders import Orders
from gateway.bridge.pulse import Pulse
from gateway.bridge.routes import Announcements, Routes
from gateway.bridge.takeover import Takeovers
from gateway.bridge.tickets import Ticket, Tickets, token_digest
from gateway.bridge.waiting import WaitingRoom
from gateway.call import events as ev
from gateway.clock import Clock
from gateway.errors import StoreError
from gateway.ids import CallSid
from gateway.log import fact
from gateway.metrics import Metrics
from gateway.store import CallStore, Order, StoredCall

_log = logging.getLogger(__name__)

STORE_GIVEN_UP: Final = 5.0
"""Seconds after which a note about a live call's token is no longer worth making."""
MAX_APOLOGIES: Final = 1000
"""Ended calls remembered for the carrier's question what is next, or for one that comes late."""
ASK_AGAIN_SECONDS: Final = 20.0
"""How long the carrier is told to ask again, while the store does not say whose the call is."""
MAX_OFFERS: Final = 1
"""Times the carrier is offered again a call's first stream, which it could not open."""


class Switchboard:
    """Answers for every call of this process; an async context manager."""

    def __init__(
        self,
        routes: Routes,
        options: SwitchboardOptions,
        store: CallStore,
        clock: Clock,
        metrics: Metrics,
        make_document: Callable[[str], str],
        *,
        pulse: Pulse,
        waiting: WaitingRoom,
        probe: Probe,
    ) -> None:
        self._pulse = pulse
        self._waiting = waiting
        self._neighbours = Neighbours(
            store, routes, clock, metrics, waiting, probe, options.replica
        )
        self._orders = Orders(store, options.replica, self.obey)
        self._routes = routes
        self._options = options
        self._store = store
        self._clock = clock
        self._closing = AsyncExitStack()
        self._calls = Calls(clock, metrics, self._let_go)
        self._takeovers = Takeovers(self._neighbours, self._calls)
        self._tickets = Tickets(make_document, clock, options.token_seconds)
        self.admission = Admission(
            options, store, clock, metrics, self._tickets, self._calls, pulse
        )
        self._drain = Drain(self._calls, self._takeovers, self.admission, clock)
        self._gone = Lately[None](MAX_APOLOGIES)
        self._handed = Lately[str](MAX_APOLOGIES)
        """Whom the callers of transferred calls are to be connected with."""
        self._sorry = Lately[None](MAX_APOLOGIES)
        """Calls whose callers we could not speak to, in order."""
        self._answering: dict[str, asyncio.Future[Answer]] = {}

    async def __aenter__(self) -> Self:
        await self._closing.enter_async_context(self._calls)
        self._calls.run(self._orders.run(), "orders")
        self._calls.run(self._pulse.run(self._calls.check_owners), "pulse")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._closing.aclose()

    # ------------------------------------------------------------ the carrier's question

    @property
    def active(self) -> int:
        """Calls whose caller is, or may come to be, on the line."""
        return self._calls.live

    async def answer(self, incoming: Incoming) -> Answer:
        """What the carrier should do with this call. The same CallSid never makes two of anything."""
        sid = incoming.call_sid
        under_way = self._answering.get(sid)
        if under_way is not None:
            return await asyncio.shield(under_way)
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._answering[sid] = future
        try:
            answer = await self._decide(incoming)
            future.set_result(answer)
        except BaseException as error:
            future.set_exception(error)
            future.exception()  # whoever asked second gets it too; nobody asking is no fault
            raise
        else:
            return answer
        finally:
            del self._answering[sid]

    async def _decide(self, incoming: Incoming) -> Answer:
        bridge = self._calls.get(incoming.call_sid)
        if bridge is not None:
            return await self._answer_again(bridge)
        if incoming.call_sid in self._gone:
            return Refuse.ENDED
        route = self._routes.find(incoming.called)
        obstacle = self.admission.obstacle(route)
        if obstacle is not None or route is None:
            known = await self._known(incoming)
            return known or self.admission.refuse(incoming, route, obstacle or "no-route")
        taken = await self.admission.admit(incoming, route)
        return await self._of_another(taken, incoming) if isinstance(taken, StoredCall) else taken

    async def _answer_again(self, bridge: Bridge) -> Answer:
        """The carrier asks again about a call that we hold."""
        if not bridge.live:
            return Refuse.ENDED
        sid = bridge.record.call_sid
        ticket = self._tickets.unused(sid)
        if ticket is not None:
            return Connect(ticket.document)
        return await self._new_stream(bridge)

    async def _new_stream(self, bridge: Bridge) -> Connect:
        """The carrier is to open a (nother) stream for this call."""
        sid = bridge.record.call_sid
        ticket = self._tickets.new()
        self._tickets.keep(sid, ticket)
        bridge.feed(ev.TokenRenewed())  # first: the call must not give its caller up meanwhile
        await self._soon(self._store_renewed(CallSid(sid), ticket), "renew token")
        return Connect(ticket.document)

    async def _known(self, incoming: Incoming) -> Answer | None:
        """A call the store knows although this process does not hold it."""
        try:
            async with asyncio.timeout(admission.STORE_PATIENCE):
                call = await self._store.get(incoming.call_sid)
        except (StoreError, TimeoutError):
            return None
        if call is None or call.turned_away:
            return None
        return await self._of_another(call, incoming)

    async def _of_another(self, call: StoredCall, incoming: Incoming) -> Answer:
        """The carrier asks again about a call that another replica took."""
        if call.ended:
            return Refuse.ENDED
        try:
            return await self._stream_of_another(call)
        except Unanswered:
            return self.ask_again(incoming.waiting_since)

    async def _stream_of_another(self, call: StoredCall) -> Answer:
        if not await self._neighbours.lives(call):
            return await self.take_up(call.call_sid, call.replica)
        wall = self._clock.wall()
        if not call.token_used and wall < call.token_expires:
            return Connect(call.answer)
        ticket = self._tickets.new()
        expires = wall + self._options.token_seconds
        if not await self._neighbours.renew(call.call_sid, ticket.digest, expires, ticket.document):
            return Refuse.ENDED
        await self._neighbours.order(call.call_sid, orders.TOKEN)
        return Connect(ticket.document)

    async def take_up(self, call_sid: CallSid, of: str, asked_since: float | None = None) -> Answer:
        """The process `of` that had the call is gone, its caller is not: the call goes on here."""
        try:
            bridge = await self._takeovers.take_up(call_sid, of)
        except Unanswered:
            return self.ask_again(asked_since)
        return Refuse.LOST if bridge is None else await self._answer_again(bridge)

    def _let_go(self, bridge: Bridge) -> None:
        """A call is settled, or another's; the carrier's next question about it may still come."""
        record = bridge.record
        if bridge.sorry or bridge.unheard:
            self._sorry.keep(record.call_sid, None)
        elif record.transfer_to is not None and record.end_reason == "transfer":
            self._handed.keep(record.call_sid, record.transfer_to)
        self._tickets.drop(record.call_sid)

    # ------------------------------------------------------------ the carrier's stream

    def ticket_holder(self, token: str) -> Bridge | None:
        """The live call this unused, unexpired token belongs to; it is not spent yet."""
        sid = self._tickets.holder(token)
        bridge = None if sid is None else self._calls.get(sid)
        return bridge if bridge is not None and bridge.live else None

    async def place_of(self, token: str) -> Bridge | Elsewhere | None:
        """Whose call this token opens a stream for; None: the token opens nothing. It is not spent yet."""
        bridge = self.ticket_holder(token)
        if bridge is not None:
            return bridge
        if self._tickets.void(token):
            return None
        try:
            call = await self._neighbours.by_token(token)
            if call is None:
                return None
            bridge = self._calls.get(call.call_sid)
            if bridge is not None:  # the carrier got the token elsewhere
                return bridge if bridge.live else None
            return Elsewhere(await self._neighbours.address(call), call.replica)
        except Unanswered:
            return None  # the carrier asks what is next

    async def spend(self, token: str, dead: str | None = None) -> Bridge | None:
        """Use the token, once; None when another stream was quicker, or the call is over.

        This process knows its own at once; a late store learns of it while the stream goes on. A call
        of the replica `dead` goes on here from now on.
        """
        bridge = self.ticket_holder(token)
        if bridge is None:
            if self._tickets.void(token):
                return None
            try:
                call = await self._neighbours.spend(token)
                if call is None:
                    return None
                bridge = self._calls.get(call.call_sid)
                if bridge is None:
                    bridge = await self._takeovers.take_up(call.call_sid, dead or call.replica)
            except Unanswered:
                return None
            return bridge if bridge is not None and bridge.live else None
        self._tickets.spend(bridge.record.call_sid)
        await self._soon(self._store_spent(token), "spend token")
        return bridge

    async def _store_spent(self, token: str) -> None:
        await self._store.use_token(token_digest(token), self._clock.wall())

    async def _store_renewed(self, sid: CallSid, ticket: Ticket) -> None:
        expires = self._clock.wall() + self._options.token_seconds
        await self._store.renew_token(sid, ticket.digest, expires, ticket.document)

    async def _soon(self, work: Coroutine[None, None, None], name: str) -> None:
        """Have the store told about a live call; a late store does not make its caller wait."""
        tasks = self._calls.tasks
        if tasks is None:
            work.close()
            return
        task = tasks.create_task(_reported(work, name), name=name)
        await asyncio.wait({task}, timeout=admission.STORE_PATIENCE)

    def announcements(self, called: str) -> Announcements:
        """What the carrier is to say to callers of this number."""
        return self._routes.announcements(called)

    def find(self, call_sid: str) -> Bridge | None:
        """The call of this process, live or settling."""
        return self._calls.get(call_sid)

    def holds(self, call_sid: str) -> bool:
        """Whether the call is this process's: live, settling, or on its way in."""
        return any(call_sid in some for some in (self._calls, self._answering, self._takeovers))

    async def after_stream(
        self, call_sid: CallSid, *, gone: bool, asked_since: float | None = None
    ) -> Answer | Elsewhere:
        """The stream is over: what is next? `gone`: so is the call, nobody listens any more.

        Where the store does not say whose the call is, the carrier is to ask again; `asked_since` is
        the wall time since which it does.
        """
        try:
            return await self._next(call_sid, gone=gone)
        except Unanswered:
            return self.ask_again(asked_since)

    def ask_again(self, asked_since: float | None) -> Answer:
        """Have the carrier ask once more in a second, but not for ever."""
        now = self._clock.wall()
        since = now if asked_since is None else min(asked_since, now)
        return Refuse.LOST if now - since > ASK_AGAIN_SECONDS else Wait(since, 1, speak=False)

    async def _next(self, call_sid: CallSid, *, gone: bool) -> Answer | Elsewhere:
        bridge = self._calls.get(call_sid)
        if gone:
            await self.over(call_sid)
            return Refuse.ENDED
        if bridge is not None:
            return await self._after_ours(bridge)
        if call_sid in self._sorry:
            return Refuse.SORRY
        target = self._handed.pop(call_sid)
        if target is not None:
            return HandOver(target)
        call = await self._neighbours.call(call_sid)
        if call is None:
            return Refuse.SORRY  # a caller on the line of whom we know nothing
        if call.turned_away:
            return Refuse.ENDED
        if call.ended:
            return _next_of_ended(call)
        return Elsewhere(await self._neighbours.address(call), call.replica)

    async def _after_ours(self, bridge: Bridge) -> Answer:
        record = bridge.record
        ticket = self._tickets.unused(record.call_sid)
        if bridge.ringing and ticket is not None and bridge.offers < MAX_OFFERS:
            # nothing of it arrived here: the way was broken, or the replica it reached was
            bridge.offers += 1
            bridge.feed(ev.TokenRenewed())
            return Connect(ticket.document)
        if bridge.stream_over():
            if record.reconnects + bridge.offers < MAX_RECONNECTS:
                bridge.offers += 1
                return await self._answer_again(bridge)
            fact(_log, "call.reconnected-too-often", call_sid=record.call_sid)
            bridge.over()
            route = self._routes.find(record.called)
            if route is not None and route.overflow:
                return HandOver(route.overflow)
            return Refuse.SORRY
        if record.transfer_to is not None and record.end_reason == "transfer":
            return HandOver(record.transfer_to)
        return Refuse.SORRY if bridge.sorry or bridge.unheard else Refuse.ENDED

    async def over(self, call_sid: CallSid) -> None:
        """The carrier says that this call has ended, whether or not it ever was one of ours."""
        if not self._over_here(call_sid):
            with suppress(Unanswered):  # whoever has the call sees its stream end
                await self._neighbours.order(call_sid, orders.OVER)

    def _over_here(self, call_sid: str) -> bool:
        """False: another replica may have the call."""
        bridge = self._calls.get(call_sid)
        if bridge is not None:
            bridge.over()
            return True
        if self._waiting.gone(call_sid):
            return True
        gave_up = self.admission.gave_up(call_sid)
        # one that was turned away must not be let in by a question that is late
        self._gone.keep(call_sid, None)
        return gave_up

    async def ask(self, call_sid: CallSid, kind: str, **body: object) -> Asked:
        """An operator wants something of a live call, wherever it is."""
        bridge = self._calls.get(call_sid)
        if bridge is not None:
            if not bridge.live:
                return Asked.OVER
            self.obey(Order(call_sid=call_sid, kind=kind, body=body))
            return Asked.TAKEN
        call = await self._store.get(call_sid)
        if call is None:
            return Asked.UNKNOWN
        ordered = not call.ended and await self._store.order(
            Order(call_sid=call_sid, kind=kind, body=body), self._clock.wall()
        )
        return Asked.TAKEN if ordered else Asked.OVER

    def obey(self, order: Order) -> None:
        """Do what was ordered of a call of this process."""
        bridge = self._calls.get(order.call_sid)
        if bridge is None or order.kind == orders.OVER:
            if order.kind in {orders.OVER, orders.HANG_UP}:
                self._over_here(order.call_sid)
            return
        match order.kind:
            case orders.HANG_UP:
                bridge.feed(ev.EndRequested("operator"))
            case orders.TRANSFER:
                bridge.feed(ev.TransferRequested(str(order.body["to"])))
            case orders.TOKEN:
                self._tickets.drop(order.call_sid)
                bridge.feed(ev.TokenRenewed())
            case _:
                fact(_log, "order.unknown", level=logging.WARNING, kind=order.kind)

    def transfer_target(self, record: Mapping[str, object]) -> str | None:
        """Whom callers of this call's number are handed to, where an operator names nobody."""
        route = self._routes.find(str(record.get("to")))
        return None if route is None else route.transfer

    def live_record(self, call_sid: str) -> dict[str, object] | None:
        """The record of a call of this process, fresher than the store's."""
        bridge = self._calls.get(call_sid)
        return None if bridge is None else bridge.as_json()

    # ------------------------------------------------------------ the end

    async def drain(
        self,
        seconds: float,
        hurry: asyncio.Event | None = None,
        carries: Callable[[], bool] = lambda: False,
    ) -> None:
        """Take no more calls; let live ones end by themselves, then end them politely.

        `hurry` cuts the waiting short: whoever is still there hears the closing phrase at once.
        `carries` tells whether streams of other replicas' calls pass through this process, which live
        as long as those calls may.
        """
        await self._drain.run(seconds, hurry, carries)

    @property
    def unsettled(self) -> int:
        """Calls not yet settled, those without a caller included."""
        return len(self._calls)

    def stop(self) -> None:
        """Give up what has not settled: the store knows what is owed."""
        self._calls.stop()


class Asked(Enum):
    """What became of an operator's wish."""

    TAKEN = "taken"
    OVER = "over"
    UNKNOWN = "unknown"


def _next_of_ended(call: StoredCall) -> Answer:
    """A call that has ended at another replica: its record says what its caller still waits for."""
    target, reason = call.record.get("transfer_to"), call.record.get("end_reason")
    if reason == "transfer" and isinstance(target, str):
        return HandOver(target)
    if call.record.get("answered_at") is None and reason != "caller-hangup":
        return Refuse.SORRY
    return Refuse.LOST if reason == "replica-lost" else Refuse.ENDED


async def _reported(work: Coroutine[None, None, None], name: str) -> None:
    """A store that fails costs a line in the log: this process knows what it did not write."""
    try:
        async with asyncio.timeout(STORE_GIVEN_UP):
            await work
    except (StoreError, TimeoutError):
        fact(_log, "store.failed", level=logging.WARNING, what=name)
