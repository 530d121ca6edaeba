"""What is left of calls whose process died, and of creates that were refused: found and finished."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime
from typing import Final

from gateway.amigo.client import AmigoClient
from gateway.bridge.finisher import Debt, Finisher, created_since
from gateway.bridge.transcripts import Transcripts
from gateway.call.record import CallRecord
from gateway.clock import Clock, iso
from gateway.errors import AmigoError, StoreError
from gateway.ids import ConversationId, UserId
from gateway.log import fact
from gateway.metrics import Metrics
from gateway.store import CallStore, StoredCall

_log = logging.getLogger(__name__)

BEAT_SECONDS: Final = 4.0
"""Between heartbeats of this replica; a third of the time after which it counts as dead."""


class Recovery:
    """Heartbeat of this replica, and care for the calls of dead ones."""

    def __init__(
        self,
        store: CallStore,
        finisher: Finisher,
        transcripts: Transcripts,
        clock: Clock,
        metrics: Metrics,
        replica: str,
    ) -> None:
        self._store = store
        self._finisher = finisher
        self._transcripts = transcripts
        self._clock = clock
        self._metrics = metrics
        self._replica = replica

    async def run(self) -> None:
        """Beat and look, for the life of the process."""
        while True:
            try:
                now = self._clock.wall()
                await self._store.heartbeat(self._replica, now)
                await self.sweep(now)
            except StoreError:
                fact(_log, "store.heartbeat-failed", level=logging.WARNING)
            except Exception as error:  # noqa: BLE001 - one record nobody can read must not stop the rest
                fact(_log, "recovery.failed", level=logging.ERROR, exc=error)
            await asyncio.sleep(BEAT_SECONDS)

    async def sweep(self, now: float) -> int:
        """Take over every orphaned call and have its conversation finished; returns how many."""
        taken = 0
        for call in await self._store.orphans(now, self._replica):
            if await self._store.adopt(call.call_sid, call.replica, self._replica, now):
                taken += 1
                fact(_log, "orphan.adopted", call_sid=call.call_sid, state=call.conversation_state)
                self._finisher.take_on(_debt(call), self._settler(call))
        return taken

    def _settler(self, call: StoredCall) -> Callable[[str], None]:
        """What to do when the orphan's conversation is settled."""
        return lambda state: self._finisher.follow(self._close(call, state), str(call.call_sid))

    async def _close(self, call: StoredCall, state: str) -> None:
        record = dict(call.record)
        lost = not call.ended
        record["conversation_state"] = state
        record["replica"] = self._replica
        if lost:
            record["end_reason"] = record.get("end_reason") or "replica-lost"
            record["ended_at"] = iso(self._clock.wall())
        record["status"] = "failed" if lost or state == "finish-failed" else "completed"
        while True:
            try:
                await self._store.save(
                    call.call_sid,
                    record=record,
                    status=str(record["status"]),
                    end_reason=str(record["end_reason"]),
                    conversation_id=call.conversation_id,
                    conversation_state=state,
                    ended=True,
                )
                await self._store.release_user(call.call_sid)
            except StoreError:
                await asyncio.sleep(1.0)
            else:
                break
        if state in {"finished", "auto-finished"}:
            self._metrics.orphans_finished_total.inc()
        fact(_log, "orphan.closed", call_sid=call.call_sid, state=state)
        if call.conversation_id is not None:
            self._transcripts.take(call.call_sid, call.user_id, call.conversation_id)


class LeftOvers:
    """Frees a user whose unfinished conversation stands in the way of a new one."""

    def __init__(
        self, client: AmigoClient, store: CallStore, clock: Clock, *, finish_foreign: bool
    ) -> None:
        self._client = client
        self._store = store
        self._clock = clock
        self._finish_foreign = finish_foreign

    async def free(self, record: CallRecord, since: float | None) -> tuple[bool, bool]:
        """Finish left-over conversations that are ours; (one was finished, one is not ours to touch).

        Ours are those the store knows and no living call holds, and with `since` (a wall time) those
        made by this very call's cut-off create.
        """
        user = UserId(record.user_id)
        freed = held = False
        try:
            found = await self._client.conversations(
                user, service_id=record.service_id, is_finished=False
            )
            for conversation in found:
                made_by_us = since is not None and created_since(conversation, since)
                if made_by_us or await self._ours(conversation.id):
                    await self._client.finish(user, conversation.id)
                    freed = True
                else:
                    held = True
        except AmigoError as error:
            fact(_log, "left-over.failed", level=logging.WARNING, status=error.status)
            # a conversation that cannot be finished now is still in the way
            return freed, True
        return freed and not held, held

    async def _ours(self, conversation: ConversationId) -> bool:
        try:
            if await self._store.live_holder(conversation, self._clock.wall()) is not None:
                return False
            known = await self._store.find_conversation(conversation)
        except StoreError:
            return False
        return known is not None or self._finish_foreign


def _debt(call: StoredCall) -> Debt:
    started = call.record.get("started_at")
    return Debt(
        call_sid=call.call_sid,
        user_id=call.user_id,
        service_id=call.service_id,
        conversation_id=call.conversation_id,
        since=datetime.fromisoformat(str(started)).timestamp() if started else 0.0,
    )
