"""What follows a settled call: its rating goes to the API, what the API stored comes into its record.

Nothing waits for it: the caller is gone, the debt is paid and the user is released before it begins.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from http import HTTPStatus
from itertools import count
from types import TracebackType
from typing import Final, Protocol, Self, TypeVar

from gateway.amigo.backoff import Backoff
from gateway.amigo.models import Message
from gateway.clock import Clock
from gateway.errors import AmigoError, AmigoNotOffered, Fenced, StoreError
from gateway.ids import CallSid, ConversationId, UserId
from gateway.log import fact
from gateway.store import CallStore, StoredCall

_log = logging.getLogger(__name__)

SCHEDULE: Final = Backoff(first_seconds=1.0, longest_seconds=20.0, total_seconds=90.0)
"""The API's limit of 20 to 60 such requests a minute is waited out, a service that is down is not."""
AT_ONCE: Final = 4
"""Calls seen to at the same time: the end of many calls must not crowd out live ones."""
RATING_TAG: Final = "rating"

T = TypeVar("T")


class Archive(Protocol):
    """What is needed of the API client."""

    async def messages(self, user: UserId, conversation_id: ConversationId) -> list[Message]: ...

    async def create_conversation_feedback(
        self, user: UserId, conversation: ConversationId, comment: str
    ) -> str: ...

    async def modify_tags(
        self,
        user: UserId,
        conversation: ConversationId,
        updates: Mapping[str, str | None],
        deletes: Sequence[str] = (),
    ) -> None: ...


class Aftermath:
    """Sees to settled calls in the background; an async context manager that owns the work."""

    def __init__(self, store: CallStore, clock: Clock, chance: random.Random | None = None) -> None:
        self._store = store
        self._clock = clock
        self._chance = chance or random.Random()  # noqa: S311 - jitter, not a secret
        self._closing = AsyncExitStack()
        self._tasks: asyncio.TaskGroup | None = None
        self._open: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def __aenter__(self) -> Self:
        self._tasks = await self._closing.enter_async_context(asyncio.TaskGroup())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for task in self._open:
            task.cancel()
        self._tasks = None
        await self._closing.aclose()

    def take(
        self, archive: Archive, call_sid: CallSid, user: UserId, conversation: ConversationId
    ) -> None:
        """See to this settled call; its record is whole by now."""
        if self._tasks is None:
            return  # the process is ending; the record says `pending`
        work = self._guarded(archive, call_sid, user, conversation)
        task = self._tasks.create_task(work, name=f"aftermath {call_sid}")
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def wait_done(self, seconds: float) -> None:
        """Let what is under way come to an end, at most so long."""
        if self._open:
            await asyncio.wait(set(self._open), timeout=seconds)

    # ------------------------------------------------------------ one call

    async def _guarded(
        self, archive: Archive, call_sid: CallSid, user: UserId, conversation: ConversationId
    ) -> None:
        try:
            async with self._slots:
                await self._see_to(archive, call_sid, user, conversation)
        except (StoreError, Fenced):
            fact(_log, "aftermath.not-kept", level=logging.WARNING, call_sid=call_sid)
        except Exception as error:  # noqa: BLE001 - one record nobody can read must not end the others
            fact(_log, "aftermath.broken", level=logging.ERROR, exc=error, call_sid=call_sid)

    async def _see_to(
        self, archive: Archive, call_sid: CallSid, user: UserId, conversation: ConversationId
    ) -> None:
        call = await self._store.get(call_sid)
        if call is None:
            return
        record = dict(call.record)
        rating = record.get("rating")
        if isinstance(rating, Mapping) and rating["sent_as"] is None:
            record["rating"] = await self._rated(archive, user, conversation, rating["value"])
            await self._keep(call, record)
        messages, state = await self._said(archive, user, conversation)
        record["transcript"] = [_line(message) for message in messages]
        record["transcript_state"] = state
        await self._keep(call, record)

    async def _rated(
        self, archive: Archive, user: UserId, conversation: ConversationId, value: object
    ) -> dict[str, object]:
        """Send the rating as feedback or, where the API has none (2026-04), as the tag `rating`."""
        rating: dict[str, object] = {"value": value, "sent_as": None, "feedback_id": None}
        try:
            rating["feedback_id"] = await self._patiently(
                lambda: archive.create_conversation_feedback(
                    user, conversation, f"Rating by keypad: {value} of 5"
                )
            )
            rating["sent_as"] = "feedback"
        except AmigoNotOffered:
            tag = {RATING_TAG: str(value)}
            try:
                await self._patiently(lambda: archive.modify_tags(user, conversation, tag))
                rating["sent_as"] = "tag"
            except AmigoError as error:
                fact(_log, "rating.failed", level=logging.WARNING, status=error.status)
        except AmigoError as error:
            fact(_log, "rating.failed", level=logging.WARNING, status=error.status)
        return rating

    async def _said(
        self, archive: Archive, user: UserId, conversation: ConversationId
    ) -> tuple[list[Message], str]:
        """What was said, and the transcript's state: `fetched`, `none` or `failed`."""
        try:
            return await self._patiently(lambda: archive.messages(user, conversation)), "fetched"
        except AmigoError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return [], "none"  # the API deletes a conversation in which nothing was said
            fact(_log, "transcript.failed", level=logging.WARNING, status=error.status)
            return [], "failed"

    async def _patiently(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask until there is an answer, or waiting longer would not help."""
        began = self._clock.now()
        for tries in count(1):
            try:
                return await ask()
            except AmigoError as error:
                pause = SCHEDULE.pause(
                    tries,
                    elapsed=self._clock.now() - began,
                    jitter=self._chance.random(),
                    retry_after=error.retry_after,
                )
                no_answer = error.status is None and error.asked
                if pause is None or not (error.retryable or no_answer):
                    raise
                await asyncio.sleep(pause)
        raise AssertionError("the schedule ends the loop")

    async def _keep(self, call: StoredCall, record: dict[str, object]) -> None:
        reason = record.get("end_reason")
        await self._store.save(
            call.call_sid,
            replica=call.replica,
            record=record,
            status=call.status,
            end_reason=None if reason is None else str(reason),
            conversation_id=call.conversation_id,
            conversation_state=call.conversation_state,
            ended=call.ended,
        )


def _line(message: Message) -> dict[str, object]:
    return {
        "at": message.created_at,
        "kind": message.kind,
        "sender": message.sender,
        "text": message.text,
        "voice": message.format == "voice",
        "message_id": message.id,
        "interaction_id": message.interaction_id,
    }
