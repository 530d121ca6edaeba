"""The API's own list of unfinished conversations, compared with what our store knows of them.

Our books say of every call what is owed; this is for what they cannot say: a finish that the API refused
until it was given up, a conversation of another program on our users (only with `AMIGO_FINISH_FOREIGN`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from gateway.amigo.client import AmigoClient
from gateway.amigo.models import ConversationInfo
from gateway.bridge.finisher import created_since
from gateway.clock import Clock
from gateway.errors import AmigoError, StoreError
from gateway.ids import UserId
from gateway.log import fact
from gateway.store import SETTLED_STATES, CallStore

_log = logging.getLogger(__name__)

YOUNG_SECONDS: Final = 120.0
"""A conversation younger than this may be one whose name is still on its way to the store."""
GIVEN_UP: Final = "finish-failed"


@dataclass(frozen=True, slots=True)
class OurUser:
    """A user whose conversations are ours to look after."""

    client: AmigoClient
    user: UserId
    service_id: str
    finish_foreign: bool


class Reconciler:
    """Looks through our users' unfinished conversations now and then."""

    def __init__(
        self,
        users: tuple[OurUser, ...],
        store: CallStore,
        clock: Clock,
        *,
        every_seconds: float,
        finished: Callable[[], None],
    ) -> None:
        self._users = users
        self._store = store
        self._clock = clock
        self._every = every_seconds
        self._finished = finished

    async def run(self) -> None:
        """Look for the life of the process, at its start for the first time."""
        while True:
            for one in self._users:
                await _spared(self.look(one), one.user)
            await asyncio.sleep(self._every)

    async def look(self, ours: OurUser) -> int:
        """Finish what nobody holds of this user; returns how many. Raises AmigoError, StoreError."""
        finished = 0
        found = await ours.client.conversations(
            ours.user, service_id=ours.service_id, is_finished=False
        )
        for conversation in found:
            if await self._abandoned(conversation, ours):
                await ours.client.finish(ours.user, conversation.id)
                fact(_log, "reconcile.finished", conversation_id=conversation.id)
                self._finished()
                finished += 1
        return finished

    async def _abandoned(self, conversation: ConversationInfo, ours: OurUser) -> bool:
        """Nobody holds it, and nobody is about to finish it."""
        call = await self._store.find_conversation(conversation.id)
        if call is not None:
            return call.ended and call.conversation_state in {*SETTLED_STATES, GIVEN_UP}
        old = not created_since(conversation, self._clock.wall() - YOUNG_SECONDS)
        return ours.finish_foreign and old


async def _spared(look: Awaitable[int], user: UserId) -> None:
    """One user's trouble must not keep the others from being looked after."""
    try:
        await look
    except (AmigoError, StoreError) as error:
        fact(_log, "reconcile.failed", level=logging.WARNING, reason=type(error).__name__)
    except Exception as error:  # noqa: BLE001 - the look is tried again; a bug of ours is told
        fact(_log, "reconcile.broken", level=logging.ERROR, exc=error, user=user)
