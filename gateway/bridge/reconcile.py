"""The API's own list of unfinished conversations, compared with what our store knows of them.

Our books say of every call what is owed; this is for what they cannot say: a finish that the API refused
until it was given up, a conversation that the API made so long after its asker had died that nobody looked
for it any more, one of another program on our users (only with `AMIGO_FINISH_FOREIGN`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from gateway.amigo.client import AmigoClient
from gateway.amigo.models import ConversationInfo
from gateway.bridge.finisher import CLOCK_SKEW, GIVEN_UP, created_since
from gateway.clock import Clock, wall_time
from gateway.errors import AmigoError, StoreError
from gateway.ids import ConversationId, UserId
from gateway.log import fact
from gateway.store import SETTLED_STATES, CallStore

_log = logging.getLogger(__name__)

YOUNG_SECONDS: Final = 120.0
"""A conversation younger than this may be one whose name is still on its way to the store."""
LATEST_SECONDS: Final = 60.0
"""How long after the end of a call the API may still make what was asked of it during the call."""
PAGE: Final = 20
"""Calls looked at in one go: whole records, which take their time to read."""


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
        longest_call: float,
        finished: Callable[[], None],
    ) -> None:
        self._users = users
        self._store = store
        self._clock = clock
        self._every = every_seconds
        self._longest_call = longest_call
        self._finished = finished
        self._foreign: set[ConversationId] = set()
        """Conversations that no call of ours can have begun: not looked for again."""

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
        if created_since(conversation, self._clock.wall() - YOUNG_SECONDS):
            return False
        return ours.finish_foreign or await self._of_a_call(conversation, ours.user)

    async def _of_a_call(self, conversation: ConversationInfo, user: UserId) -> bool:
        """Whether it was made while a call of ours had this user, which is over by now: nobody else can have asked."""
        created = wall_time(conversation.created_at)
        if created is None or conversation.id in self._foreign:
            return False
        cursor: str | None = None
        while True:
            calls, cursor = await self._store.calls(PAGE, cursor)
            for call in calls:
                began, ended = wall_time(call.get("started_at")), wall_time(call.get("ended_at"))
                if began is None or call.get("user_id") != user or began - CLOCK_SKEW > created:
                    continue
                # a call that goes on may be about to write it down
                return ended is not None and created <= ended + LATEST_SECONDS
            oldest = wall_time(calls[-1].get("started_at")) if calls else None
            if cursor is None or (oldest is not None and oldest + self._longest_call < created):
                self._foreign.add(conversation.id)
                return False


async def _spared(look: Awaitable[int], user: UserId) -> None:
    """One user's trouble must not keep the others from being looked after."""
    try:
        await look
    except (AmigoError, StoreError) as error:
        fact(_log, "reconcile.failed", level=logging.WARNING, reason=type(error).__name__)
    except Exception as error:  # noqa: BLE001 - the look is tried again; a bug of ours is told
        fact(_log, "reconcile.broken", level=logging.ERROR, exc=error, user=user)
