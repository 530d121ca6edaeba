"""Whether a new call is taken, and what its caller meets where it is not."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import Final

from gateway.bridge.answers import (
    Answer,
    Connect,
    HandOver,
    Incoming,
    Refuse,
    SwitchboardOptions,
    Wait,
    new_call,
    new_record,
)
from gateway.bridge.bridge import Bridge
from gateway.bridge.calls import Calls
from gateway.bridge.lately import Lately
from gateway.bridge.pulse import Pulse
from gateway.bridge.refusals import Refusals
from gateway.bridge.routes import Route
from gateway.bridge.tickets import Tickets
from gateway.call.record import CallRecord
from gateway.clock import Clock
from gateway.errors import StoreError
from gateway.ids import UserId
from gateway.log import fact
from gateway.metrics import Metrics
from gateway.store import Admitted, CallStore, Known, NewCall, NoUserFree, StoredCall

_log = logging.getLogger(__name__)

STORE_PATIENCE: Final = 0.040
"""Seconds the carrier's question may wait for the store; it counts in what the caller hears ring."""
MAX_HOLDING: Final = 1000
"""Callers who hold the line, of whom it is written down that they gave up."""
WAIT_STEP: Final = 3
"""Seconds after which a caller who waits for a free user is looked after again."""
WAIT_WORDS: Final = 18.0
"""Seconds between two phrases to such a caller."""


class Admission:
    """The door for new calls."""

    def __init__(
        self,
        options: SwitchboardOptions,
        store: CallStore,
        clock: Clock,
        metrics: Metrics,
        tickets: Tickets,
        calls: Calls,
        pulse: Pulse,
    ) -> None:
        self._options = options
        self._store = store
        self._clock = clock
        self._metrics = metrics
        self._tickets = tickets
        self._calls = calls
        self._pulse = pulse
        self._refusals = Refusals(store, clock, options.replica)
        self._holding = Lately[tuple[Incoming, Route]](MAX_HOLDING)
        """Callers who hold the line for a free user."""
        self.coming = 0
        """Calls on their way into the store: they count before they are held."""
        self.closed = False
        """This process is about to end."""

    @property
    def full(self) -> bool:
        return self._calls.live + self.coming >= self._options.max_calls

    @property
    def overloaded(self) -> bool:
        """The event loop is so late that one more call could be heard by those who talk."""
        return self._pulse.lag > self._options.max_lag

    def obstacle(self, route: Route | None) -> str | None:
        """Why no new call can be taken; None: it can."""
        if route is None:
            return "no-route"
        if self.closed:
            return "draining"
        if self.full:
            return "capacity"
        return "overload" if self.overloaded else None

    async def admit(self, incoming: Incoming, route: Route) -> Answer | StoredCall:
        """Take the call in; one that the store knows already is given back as it is there."""
        ticket = self._tickets.new()
        record = new_record(incoming, route, self._options.replica, self._clock)
        new = new_call(incoming, ticket, record, route, self._options, self._clock)
        self.coming += 1
        try:
            # a cancelled admit leaves nothing behind
            async with asyncio.timeout(STORE_PATIENCE):
                outcome = await self._store.admit(new)
        except TimeoutError:
            return self.refuse(incoming, route, "store-late")
        except StoreError:
            return self.refuse(incoming, route, "store")
        finally:
            self.coming -= 1
        match outcome:
            case Known():
                return outcome.call
            case NoUserFree():
                if not new.candidates:
                    return self.refuse(incoming, route, "withheld")
                return self._wait(incoming, route) or self.refuse(incoming, route, "no-user")
            case Admitted():
                self._holding.pop(incoming.call_sid)
                self._tickets.keep(incoming.call_sid, ticket)
                self._calls.begin(_bridge(record, new, route, outcome.user_id))
                return Connect(ticket.document)

    def _wait(self, incoming: Incoming, route: Route) -> Wait | None:
        """Let the caller hold the line for a user; None once the time for that is over."""
        now = self._clock.wall()
        # no more than the carrier's own word is kept of who waits: any replica can go on with it
        since = now if incoming.waiting_since is None else min(incoming.waiting_since, now)
        waited = now - since
        left = route.wait_seconds - waited
        if left < 1:
            return None
        step = min(WAIT_STEP, int(left))
        again = waited >= WAIT_WORDS and waited % WAIT_WORDS < step
        speak = again or incoming.waiting_since is None
        # only to write down those who give up: whoever asks next need not find it here
        self._holding.keep(incoming.call_sid, (replace(incoming, waiting_since=since), route))
        return Wait(since, step, speak)

    def gave_up(self, call_sid: str) -> bool:
        """The call is over; whether its caller was waiting for a free user, which is written down."""
        holding = self._holding.pop(call_sid)
        if holding is None:
            return False
        fact(_log, "call.gave-up", call_sid=call_sid)
        self._refusals.keep(self._calls.tasks, *holding, "gave-up", None)
        return True

    def refuse(self, incoming: Incoming, route: Route | None, why: str) -> Answer:
        """What a caller meets whom we do not take: the overflow, or a refusal; it is written down."""
        overflow = None if route is None else route.overflow
        if overflow is not None and overflow.lower() == incoming.called.lower():
            overflow = None  # a number that only `default` answers: the circle ends here
        fact(_log, "call.refused", why=why, call_sid=incoming.call_sid, overflow=overflow)
        self._metrics.calls_total.labels(
            direction=incoming.direction, end_reason="overflow" if overflow else "rejected"
        ).inc()
        self._holding.pop(incoming.call_sid)
        self._refusals.keep(self._calls.tasks, incoming, route, why, overflow)
        if route is None:
            return Refuse.UNROUTED
        if overflow:
            return HandOver(overflow)
        return Refuse.BUSY if incoming.waiting_since is None else Refuse.WAITED


def _bridge(record: CallRecord, new: NewCall, route: Route, leased: UserId) -> Bridge:
    announced = replace(new, candidates=(leased,))
    return Bridge(record, announced, route.agent(record, leased), route.house)
