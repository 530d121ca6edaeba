"""What is left of calls whose process died: found, waited for, and finished."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Final, TypeVar

from gateway.bridge.aftermath import Aftermath
from gateway.bridge.finisher import GIVEN_UP, SEARCHES, Debt, Finisher
from gateway.bridge.house import Account, Probe
from gateway.bridge.identity import is_caller
from gateway.bridge.routes import Routes
from gateway.bridge.waiting import Outcome, Seat, WaitingRoom
from gateway.clock import Clock, iso, wall_time
from gateway.errors import Fenced, Forgotten, StoreError
from gateway.ids import CallSid, UserId
from gateway.log import fact
from gateway.metrics import Metrics
from gateway.store import HEARTBEAT_TTL, CallStore, StoredCall, proven_dead

_log = logging.getLogger(__name__)

T = TypeVar("T")

BEAT_SECONDS: Final = 4.0
"""Between heartbeats of this replica; a third of the time after which it counts as dead."""


class Recovery:
    """Heartbeat of this replica, and care for the calls of dead ones."""

    def __init__(
        self,
        store: CallStore,
        routes: Routes,
        finisher: Finisher,
        aftermath: Aftermath,
        clock: Clock,
        metrics: Metrics,
        replica: str,
        *,
        waiting: WaitingRoom,
        holds: Callable[[str], bool],
        probe: Probe,
        reconnect_seconds: float,
        address: str = "",
    ) -> None:
        self._store = store
        self._routes = routes
        self._finisher = finisher
        self._aftermath = aftermath
        self._clock = clock
        self._metrics = metrics
        self._replica = replica
        self._waiting = waiting
        self._probe = probe
        self._holds = holds
        """Whether this process carries the call, or is settling it."""
        self._caring: set[str] = set()
        """Calls whose caller is waited for, or whose debt is being paid."""
        self._strays: set[str] = set()
        """Calls that were ours in the store and nowhere else when last looked."""
        self._reconnect_seconds = reconnect_seconds
        self._address = address
        """Where other replicas reach this one."""
        self._parting = False
        """This process ends: what it would adopt now, it would leave behind."""
        self._in_touch: float | None = None
        """Since when the store has answered without a break; None: it does not."""
        self._told: set[str] = set()
        """Organizations of stored calls that no route leads to; said once each."""

    async def run(self) -> None:
        """Beat and look, for the life of the process."""
        while True:
            began = self._clock.now()
            try:
                now = self._clock.wall()
                await self.beat(now)
                await self.sweep(now)
            except StoreError:
                self._in_touch = None
                fact(_log, "store.heartbeat-failed", level=logging.WARNING)
            except Exception as error:  # noqa: BLE001 - one record nobody can read must not stop the rest
                fact(_log, "recovery.failed", level=logging.ERROR, exc=error)
            # at once where it stood still in the middle of it: the others take it for dead
            await asyncio.sleep(max(0.0, BEAT_SECONDS - (self._clock.now() - began)))

    async def part(self) -> None:
        """Adopt nothing any more; what is ours in the store and nowhere else has nobody to come back to."""
        self._parting = True
        try:
            strays = await self._astray()
        except StoreError:
            fact(_log, "store.failed", level=logging.WARNING, what="last look")
            return
        for call in strays:
            if (route := self._routes.owner(call)) is not None:
                fact(_log, "orphan.stray", call_sid=call.call_sid)
                seat = self._waiting.open(call.call_sid)
                seat.settle(Outcome.GONE)
                self._begin(self._care(call, seat, route.house.account), call.call_sid)

    async def beat(self, now: float) -> None:
        """Tell the others that this replica lives."""
        await self._store.heartbeat(self._replica, now, self._address)
        if self._in_touch is None:
            self._in_touch = self._clock.now()

    async def _surely_dead(self, replica: str) -> bool:
        """Where the store was away nobody could beat: silence proves nothing until all had their chance.

        One that merely cannot reach the store answers us itself, and has its callers on the line.
        """
        if proven_dead(replica):
            return True
        since = self._in_touch
        if since is None or self._clock.now() - since < HEARTBEAT_TTL:
            return False
        address = await self._store.address_of(replica, None)
        return not (address and await self._probe.alive(address, replica))

    async def sweep(self, now: float) -> int:
        """Take over every orphaned call and have its conversation finished; returns how many."""
        taken = 0
        orphans = await self._store.orphans(now, self._replica)
        dead = {name for name in {one.replica for one in orphans} if await self._surely_dead(name)}
        for call in orphans:
            if call.replica not in dead or self._parting:
                continue
            route = self._routes.owner(call)
            if route is None:
                self._cannot_pay(call)
                continue
            if call.call_sid in self._caring:
                continue
            # before it is ours: the carrier may ask for it in the same moment
            seat = self._waiting.open(call.call_sid)
            try:
                adopted = await self._store.adopt(call.call_sid, call.replica, self._replica, now)
            except BaseException:
                self._waiting.close(call.call_sid)
                raise
            if adopted:
                taken += 1
                fact(_log, "orphan.adopted", call_sid=call.call_sid, state=call.conversation_state)
                self._begin(self._care(call, seat, route.house.account), call.call_sid)
            else:
                self._waiting.close(call.call_sid)
        await self._find_strays()
        return taken

    async def _find_strays(self) -> None:
        """Care for calls that are ours in the store and nowhere else, two looks in a row.

        A claim whose answer was lost on its way leaves one behind.
        """
        strays = await self._astray()
        for call in strays:
            route = self._routes.owner(call)
            if call.call_sid in self._strays and route is not None:
                fact(_log, "orphan.stray", call_sid=call.call_sid)
                seat = self._waiting.open(call.call_sid)
                self._begin(self._care(call, seat, route.house.account), call.call_sid)
        self._strays = {call.call_sid for call in strays}

    async def _astray(self) -> list[StoredCall]:
        """Calls that are ours in the store and nowhere else, and that are not given up."""
        names = [
            name
            for name in await self._store.owned(self._replica)
            if not self._holds(name) and name not in self._caring
        ]
        found = [await self._store.get(name) for name in names]
        return [
            call
            for call in found
            if call is not None
            and call.replica == self._replica
            and not (call.ended and call.conversation_state == GIVEN_UP)
        ]

    def _begin(self, care: Coroutine[None, None, None], call_sid: CallSid) -> None:
        self._caring.add(call_sid)
        self._finisher.follow(care, call_sid)

    async def _care(self, found: StoredCall, seat: Seat, account: Account) -> None:
        """Wait for the caller where one may be on the line; else the call is lost, its debt is not."""
        try:
            lost = await self._lost(found, seat)
            if lost is None:
                fact(_log, "orphan.taken-up", call_sid=found.call_sid)
            else:
                await self._settle(*lost, account)
        except Fenced:
            # this process stood still, and another has paid
            fact(_log, "debt.fenced", level=logging.WARNING, call_sid=found.call_sid)
        finally:
            self._caring.discard(found.call_sid)

    async def _lost(self, found: StoredCall, seat: Seat) -> tuple[StoredCall, UserId | None] | None:
        """The call and its user, once nobody comes back to it; None: somebody did."""
        try:
            call, user = await self._as_it_stands(found)
            if call.ended and seat.outcome is not Outcome.TAKEN:
                return call, user
            outcome = await self._waiting.wait(seat, self._reconnect_seconds)
            if outcome is Outcome.TAKEN or not await self._lose(call, outcome):
                return None
            return call, user
        finally:
            self._waiting.close(found.call_sid)

    async def _as_it_stands(self, found: StoredCall) -> tuple[StoredCall, UserId | None]:
        """The call and its user now that nobody else can write: its owner may have, since it was found."""

        async def read() -> tuple[StoredCall, UserId | None]:
            call = await self._store.get(found.call_sid) or found
            return call, await self._user(call)

        return await _when_there(read)

    async def _lose(self, call: StoredCall, outcome: Outcome) -> bool:
        """Write that the call is over, so that nobody takes it up any more; False: somebody has."""
        record = dict(call.record)
        gone = outcome is Outcome.GONE
        record["end_reason"] = record.get("end_reason") or "replica-lost"
        record["ended_at"] = iso(self._clock.wall())
        record["status"] = "ending"
        record["conversation_state"] = "finishing"
        record["replica"] = self._replica
        events = record.get("events")
        lost = {"at": record["ended_at"], "type": "replica-lost", "caller_gone": gone}
        record["events"] = [*(events if isinstance(events, list) else ()), lost]
        try:
            await _when_there(lambda: self._write(call, record, "finishing"))
        except Fenced:
            return False
        except Forgotten:
            return True  # by a store that lost its memory: what is owed is owed all the same
        call.record.clear()
        call.record.update(record)
        return True

    async def _write(self, call: StoredCall, record: dict[str, object], state: str) -> None:
        await self._store.save(
            call.call_sid,
            replica=self._replica,
            record=record,
            status=str(record["status"]),
            end_reason=str(record["end_reason"]),
            conversation_id=call.conversation_id,
            conversation_state=state,
            ended=True,
        )

    async def _settle(self, call: StoredCall, user: UserId | None, account: Account) -> None:
        """Pay what the lost call owes and close it. Raises Fenced: another process has."""
        state = "none"
        if user is not None:  # else none was made for the caller: nothing can have been begun
            debt = _debt(call, account, user, lambda: self._still_ours(call))
            state = await self._finisher.pay(debt)
        await self._close(call, state)
        if call.conversation_id is not None and user is not None:
            self._aftermath.take(account, call.call_sid, user, call.conversation_id)

    async def _still_ours(self, call: StoredCall) -> bool:
        try:
            now = await self._store.get(call.call_sid)
        except StoreError:
            return True  # nobody can have taken it where the store is away
        # of one that the store has forgotten nobody else can know
        return now is None or now.replica == self._replica

    async def _user(self, call: StoredCall) -> UserId | None:
        """Whose conversation the call's is; the process may have died before it wrote that down."""
        if not is_caller(call.user_id):
            return call.user_id
        recorded = call.record.get("user_id")
        if recorded:
            return UserId(str(recorded))
        return await self._store.user_of(call.organization, call.user_id)

    def _cannot_pay(self, call: StoredCall) -> None:
        """A call of an organization we have no key of stays owed, to whoever has one."""
        if call.organization not in self._told:
            self._told.add(call.organization)
            fact(
                _log,
                "orphan.no-route",
                level=logging.ERROR,
                organization=call.organization,
                meaning="calls of an organization that is not configured any more stay unfinished",
            )

    async def _close(self, call: StoredCall, state: str) -> None:
        record = dict(call.record)
        lost = not call.ended
        record["conversation_state"] = state
        record["replica"] = self._replica
        record["status"] = "failed" if lost or state == GIVEN_UP else "completed"

        async def write() -> None:
            await self._write(call, record, state)
            await self._store.release_user(call.call_sid, self._replica)

        with suppress(Forgotten):
            await _when_there(write)
        if state in {"finished", "auto-finished"}:
            self._metrics.orphans_finished_total.inc()
        fact(_log, "orphan.closed", call_sid=call.call_sid, state=state)


async def _when_there(ask: Callable[[], Awaitable[T]]) -> T:
    """What the store says, as soon as it is there; what it refuses (Fenced, Forgotten) is raised."""
    while True:
        try:
            return await ask()
        except Forgotten:
            raise
        except StoreError:
            await asyncio.sleep(1.0)


def _debt(
    call: StoredCall, account: Account, user: UserId, ours: Callable[[], Awaitable[bool]]
) -> Debt:
    return Debt(
        payer=account,
        call_sid=call.call_sid,
        user_id=user,
        service_id=call.service_id,
        conversation_id=call.conversation_id,
        since=wall_time(call.record.get("started_at")) or 0.0,
        ours=ours,
        tried=call.conversation_state == "finishing",
        others=_looks(call.conversation_state) if _cut_off(call) else (),
    )


def _cut_off(call: StoredCall) -> bool:
    """Whether its process died in the middle of it, whoever wrote its end."""
    return not call.ended or call.record.get("end_reason") == "replica-lost"


def _looks(state: str) -> tuple[float, ...]:
    """When to look for what a process that died in a call may have begun besides.

    A conversation that was being finished in a call that went on was to be followed by another, which
    the API may still be making. Else only the store's last lines can be missing.
    """
    return SEARCHES if state in {"finishing", "finished", "auto-finished"} else (0.0,)
