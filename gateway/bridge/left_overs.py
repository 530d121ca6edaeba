"""An unfinished conversation of our user stands in the way of a new one: finished where it is ours."""

from __future__ import annotations

import asyncio
import logging
from http import HTTPStatus
from typing import Final

from gateway.amigo.client import AmigoClient
from gateway.bridge.finisher import created_since
from gateway.call.record import CallRecord
from gateway.clock import Clock
from gateway.errors import AmigoError, StoreError
from gateway.ids import ConversationId, UserId
from gateway.log import fact
from gateway.store import CallStore

_log = logging.getLogger(__name__)

BUSY_PAUSES: Final = (0.5, 1.0, 2.0, 4.0)
"""Before a left-over is tried to be finished again that the API says is busy."""


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
                    await self._finish(user, conversation.id)
                    freed = True
                else:
                    held = True
        except AmigoError as error:
            fact(_log, "left-over.failed", level=logging.WARNING, status=error.status)
            # a conversation that cannot be finished now is still in the way
            return freed, True
        return freed and not held, held

    async def _finish(self, user: UserId, conversation: ConversationId) -> None:
        """Finish it, also where a dead process's interaction with it takes its time to end."""
        for pause in (*BUSY_PAUSES, None):
            try:
                await self._client.finish(user, conversation)
            except AmigoError as error:
                if error.status != HTTPStatus.CONFLICT or pause is None:
                    raise
                await asyncio.sleep(pause)
            else:
                return

    async def _ours(self, conversation: ConversationId) -> bool:
        try:
            if await self._store.live_holder(conversation, self._clock.wall()) is not None:
                return False
            known = await self._store.find_conversation(conversation)
        except StoreError:
            return False
        return known is not None or self._finish_foreign
