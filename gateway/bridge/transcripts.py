"""What was said, as the API stored it: read once a conversation is finished, kept in the call's record.

Nothing waits for it: the caller is gone, the debt is paid and the user is released before it begins.
"""

from __future__ import annotations

import asyncio
import logging
import random
from contextlib import AsyncExitStack
from http import HTTPStatus
from itertools import count
from types import TracebackType
from typing import Final, Protocol, Self

from gateway.amigo.backoff import Backoff
from gateway.amigo.models import Message
from gateway.clock import Clock
from gateway.errors import AmigoError, StoreError
from gateway.ids import CallSid, ConversationId, UserId
from gateway.log import fact
from gateway.store import CallStore

_log = logging.getLogger(__name__)

SCHEDULE: Final = Backoff(first_seconds=1.0, longest_seconds=20.0, total_seconds=90.0)
"""The API's limit of 20 to 60 such requests a minute is waited out, a service that is down is not."""
AT_ONCE: Final = 4
"""Conversations read at the same time: the end of many calls must not crowd out live ones."""


class Reader(Protocol):
    """What is needed of the API client."""

    async def messages(self, user: UserId, conversation_id: ConversationId) -> list[Message]: ...


class Transcripts:
    """Fetches transcripts in the background; an async context manager that owns the work."""

    def __init__(
        self,
        store: CallStore,
        clock: Clock,
        chance: random.Random | None = None,
    ) -> None:
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
        self, reader: Reader, call_sid: CallSid, user: UserId, conversation: ConversationId
    ) -> None:
        """Fetch the transcript of this settled call; its record is whole by now."""
        if self._tasks is None:
            return  # the process is ending; the record says `pending`
        work = self._keep(reader, call_sid, user, conversation)
        task = self._tasks.create_task(work, name=f"transcript {call_sid}")
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def wait_fetched(self, seconds: float) -> None:
        """Let those under way come to an end, at most so long."""
        if self._open:
            await asyncio.wait(set(self._open), timeout=seconds)

    async def _keep(
        self, reader: Reader, call_sid: CallSid, user: UserId, conversation: ConversationId
    ) -> None:
        async with self._slots:
            messages, state = await self._fetch(reader, user, conversation)
        try:
            await self._write(call_sid, messages, state)
        except StoreError:
            fact(_log, "transcript.not-kept", level=logging.WARNING, call_sid=call_sid)
        except Exception as error:  # noqa: BLE001 - one record nobody can read must not end the others
            fact(_log, "transcript.broken", level=logging.ERROR, exc=error, call_sid=call_sid)

    async def _fetch(
        self, reader: Reader, user: UserId, conversation: ConversationId
    ) -> tuple[list[Message], str]:
        """What was said, and the transcript's state: `fetched`, `none` or `failed`."""
        began = self._clock.now()
        for tries in count(1):
            try:
                return await reader.messages(user, conversation), "fetched"
            except AmigoError as error:
                if error.status == HTTPStatus.NOT_FOUND:
                    return [], "none"  # the API deletes a conversation in which nothing was said
                pause = SCHEDULE.pause(
                    tries,
                    elapsed=self._clock.now() - began,
                    jitter=self._chance.random(),
                    retry_after=error.retry_after,
                )
                if pause is None or not (error.retryable or error.status is None):
                    fact(_log, "transcript.failed", level=logging.WARNING, status=error.status)
                    return [], "failed"
                await asyncio.sleep(pause)
        raise AssertionError("the schedule ends the loop")

    async def _write(self, call_sid: CallSid, messages: list[Message], state: str) -> None:
        call = await self._store.get(call_sid)
        if call is None:
            return
        record = dict(call.record)
        record["transcript"] = [_line(message) for message in messages]
        record["transcript_state"] = state
        reason = record.get("end_reason")
        await self._store.save(
            call_sid,
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
