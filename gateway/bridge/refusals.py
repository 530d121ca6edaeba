"""Calls that are refused at the door leave a record too: why, and to whom they were handed.

Nothing of it is in a caller's way: the answer is given first, the record written behind it, and what
the store cannot take is only logged.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from gateway.bridge.answers import Incoming
from gateway.bridge.routes import Route
from gateway.call.record import CallRecord
from gateway.clock import Clock, iso
from gateway.errors import StoreError
from gateway.log import fact
from gateway.store import CallStore, NewCall

_log = logging.getLogger(__name__)

MAX_WRITING: Final = 64
"""Records on their way to the store; in a flood of refused calls those beyond are only logged."""
GIVEN_UP: Final = 5.0
"""Seconds after which a record that the store did not take is given up."""


class Refusals:
    """Writes the records of refused calls, a bounded number at a time."""

    def __init__(self, store: CallStore, clock: Clock, replica: str) -> None:
        self._store = store
        self._clock = clock
        self._replica = replica
        self._writing = 0

    def keep(
        self,
        tasks: asyncio.TaskGroup | None,
        incoming: Incoming,
        route: Route | None,
        why: str,
        handed_to: str | None,
    ) -> None:
        """Have it written by a task of the group; returns at once, raises nothing."""
        if tasks is None or self._writing >= MAX_WRITING:
            fact(_log, "refusal.not-kept", level=logging.WARNING, call_sid=incoming.call_sid)
            return
        self._writing += 1
        call = self._call(incoming, route, why, handed_to)
        tasks.create_task(self._write(call), name=f"refusal {incoming.call_sid}")

    async def _write(self, call: NewCall) -> None:
        try:
            async with asyncio.timeout(GIVEN_UP):
                await self._store.turn_away(call)
        except (StoreError, TimeoutError, ValueError):  # the last: text that no store can keep
            fact(_log, "refusal.not-kept", level=logging.WARNING, call_sid=call.call_sid)
        finally:
            self._writing -= 1

    def _call(
        self, incoming: Incoming, route: Route | None, why: str, handed_to: str | None
    ) -> NewCall:
        wall, now = self._clock.wall(), self._clock.now()
        organization = "" if route is None else route.organization
        service_id = "" if route is None else route.service_id
        since = incoming.waiting_since
        record = CallRecord(
            call_sid=incoming.call_sid,
            direction=incoming.direction,
            caller=incoming.caller,
            called=incoming.called,
            route=None if route is None else route.name or None,
            organization=organization,
            service_id=service_id,
            user_id="",
            replica=self._replica,
            status="failed",
            end_reason="rejected",
            started_at=now,
            ended_at=now,
        )
        waited = None if since is None else max(0, round(wall - since))
        record.note(now, "refused", why=why, handed_to=handed_to, waited_seconds=waited)
        return NewCall(
            call_sid=incoming.call_sid,
            account_sid=incoming.account_sid,
            direction=incoming.direction,
            caller=incoming.caller,
            called=incoming.called,
            route=record.route or "",
            organization=organization,
            service_id=service_id,
            candidates=(),
            replica=self._replica,
            token_digest="",
            token_expires=0.0,
            answer="",
            record=record.as_json(lambda at: iso(wall - now + at)),
            now=wall,
        )
