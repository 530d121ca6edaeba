"""Pays what calls owe: every conversation whose id was received is finished exactly once."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import count
from types import TracebackType
from typing import Final, Protocol, Self, TypeVar

from gateway.amigo.backoff import Backoff
from gateway.amigo.models import ConversationInfo, FinishResult
from gateway.clock import Clock, wall_time
from gateway.errors import AmigoError, Fenced
from gateway.ids import CallSid, ConversationId, UserId
from gateway.log import fact

_log = logging.getLogger(__name__)

T = TypeVar("T")

LONGEST_PAUSE: Final = 60.0
SCHEDULE: Final = Backoff(longest_seconds=LONGEST_PAUSE, total_seconds=float("inf"))
"""A debt is never given up for lack of time: the store outlives this process."""
REFUSALS: Final = 5
"""Tries on an answer that no waiting mends (403, 422, ...) before the debt is given up as refused."""
GIVEN_UP: Final = "finish-failed"
"""State of a conversation whose finish the API refused: only the next process, or `Reconciler`, tries again."""
OURS_SECONDS: Final = 5.0
"""How long it stays known that a debt is ours; less than it takes others to think us dead."""
SEARCHES: Final = (1.0, 5.0)
"""Pauses before looking for a conversation whose id never reached us: the API may still be making it."""
CLOCK_SKEW: Final = 5.0
"""Seconds by which the API's clock may differ from ours."""


class Payer(Protocol):
    """What the finisher needs of the API client."""

    async def finish(self, user: UserId, conversation_id: ConversationId) -> FinishResult: ...

    async def conversations(
        self, user: UserId, *, service_id: str | None = None, is_finished: bool | None = None
    ) -> list[ConversationInfo]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Debt:
    """A conversation to be finished."""

    payer: Payer
    """The API of the call's organization."""
    call_sid: CallSid
    user_id: UserId
    service_id: str
    conversation_id: ConversationId | None
    """None: a create was cut off; what it may have made is looked for."""
    since: float
    """Wall time of the first create: older conversations are not of this call."""
    ours: Callable[[], Awaitable[bool]]
    """Whether it is still this process's to pay: asked again where time has passed since it was known."""
    doubtful: bool = False
    """Somebody else may have finished it: the API is asked first."""
    tried: bool = False
    """A process before this one was about to finish it, and may have."""
    others: tuple[float, ...] = ()
    """Pauses, each followed by a look for conversations of the call besides this one.

    A process that dies, or stands still, may have begun one that it had no time to write down.
    """


class Finisher:
    """Runs one task per debt, until it is paid; an async context manager that owns them."""

    def __init__(
        self,
        clock: Clock,
        *,
        on_retry: Callable[[], None],
        chance: random.Random | None = None,
    ) -> None:
        self._clock = clock
        self._on_retry = on_retry
        self._chance = chance or random.Random()  # noqa: S311 - jitter, not a secret
        self._closing = AsyncExitStack()
        self._tasks: asyncio.TaskGroup | None = None
        self._open: set[asyncio.Task[None]] = set()

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

    @property
    def owed(self) -> int:
        """Debts not yet paid."""
        return len(self._open)

    def take_on(self, debt: Debt, settled: Callable[[str], None]) -> None:
        """Have this paid; `settled` is told the conversation state, unless it became another's to pay."""
        self.follow(self._pay(debt, settled), debt.call_sid)

    def follow(self, work: Coroutine[None, None, None], name: str) -> None:
        """Own a piece of work that belongs to a debt: it counts as owed until it is done."""
        if self._tasks is None:
            raise AssertionError("the finisher is closed")
        task = self._tasks.create_task(_guarded(work), name=f"finish {name}")
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    def drop(self, name: str) -> None:
        """Stop what is done for this call: another process pays its debt."""
        for task in self._open:
            if task.get_name() == f"finish {name}":
                task.cancel()

    async def wait_paid(self, seconds: float) -> bool:
        """Wait until nothing is owed, at most so long; True when nothing is."""
        until = self._clock.now() + seconds
        # what is paid may leave a record to be written, which is a task of its own
        while self._open and (left := until - self._clock.now()) > 0:
            await asyncio.wait(set(self._open), timeout=left)
        return not self._open

    async def _pay(self, debt: Debt, settled: Callable[[str], None]) -> None:
        try:
            state = await self.pay(debt)
        except Fenced:
            fact(_log, "debt.fenced", level=logging.WARNING, call_sid=debt.call_sid)
        else:
            settled(state)

    async def pay(self, debt: Debt) -> str:
        """Pay this; the conversation state then: finished, auto-finished, finish-failed, none.

        Raises Fenced where it is another process's to do by now.
        """
        if debt.conversation_id is None:
            return await self._search(debt)
        state = await self._finish_open(debt, debt.conversation_id)
        await self.finish_others(debt)
        return state

    async def _finish_open(self, debt: Debt, conversation: ConversationId) -> str:
        if debt.doubtful:
            found = await self._unfinished(debt)
            if found is not None and all(one.id != conversation for one in found):
                return "finished"
        return await self._finish(debt, conversation)

    async def _finish(self, debt: Debt, conversation: ConversationId) -> str:
        """Try until the API has said that there is nothing left to finish."""
        unanswered, known_ours = debt.tried, self._clock.now()

        async def finish() -> FinishResult:
            nonlocal known_ours
            if self._clock.now() - known_ours > OURS_SECONDS:
                # a process that stood still: whoever took the call over pays, or has paid
                if not await debt.ours():
                    raise Fenced(debt.call_sid)
                known_ours = self._clock.now()
            return await debt.payer.finish(debt.user_id, conversation)

        def again(failure: AmigoError) -> None:
            nonlocal unanswered
            unanswered = unanswered or failure.status is None
            self._on_retry()

        result = await self._answered("finish", finish, again)
        if result is None:
            return GIVEN_UP
        # after a try whose answer nobody has, "already finished" may well be our own doing
        by_itself = result is FinishResult.ALREADY_FINISHED and not unanswered
        return "auto-finished" if by_itself else "finished"

    async def _answered(
        self,
        what: str,
        ask: Callable[[], Awaitable[T]],
        again: Callable[[AmigoError], None] = lambda _: None,
    ) -> T | None:
        """What the API answers, asked until it does; None: it refuses.

        `again` is told of each failure after which it is asked once more. A debt outlives whatever
        went wrong with one try; only that it is not ours any more (Fenced) ends it.
        """
        refusals = 0
        for tries in count(1):
            try:
                return await ask()
            except Fenced:
                raise
            except Exception as error:  # noqa: BLE001 - logged, and tried again
                failure = _failure(what, error)
            refusals += 0 if failure.retryable or failure.status is None else 1
            if refusals >= REFUSALS:
                break
            await self._pause(tries, failure)
            again(failure)
        return None

    async def _pause(self, tries: int, error: AmigoError) -> None:
        jitter = self._chance.random()
        pause = SCHEDULE.pause(tries, elapsed=0.0, jitter=jitter, retry_after=error.retry_after)
        await asyncio.sleep(LONGEST_PAUSE if pause is None else pause)

    async def _search(self, debt: Debt) -> str:
        """Finish what a cut-off create may have made."""
        state = "none"
        for pause in SEARCHES:
            await asyncio.sleep(pause)
            found = await self._unfinished(debt)
            if found is None:
                return GIVEN_UP
            for conversation in found:
                state = await self._finish(debt, conversation.id)
            if state != "none":
                break
        return state

    async def finish_others(self, debt: Debt) -> None:
        """Finish what the call may have besides the debt's own conversation.

        Raises Fenced where it is another process's to do by now.
        """
        for pause in debt.others:
            await asyncio.sleep(pause)
            for one in await self._unfinished(debt) or ():
                if one.id != debt.conversation_id:
                    fact(_log, "conversation.unwritten", call_sid=debt.call_sid)
                    await self._finish(debt, one.id)

    async def finish_strays(
        self, debt: Debt, nobodys: Callable[[ConversationId], Awaitable[bool]]
    ) -> None:
        """Finish what a create may have made whose call is somebody else's by now.

        The user may have other conversations meanwhile, whose names may be on their way to the store:
        only what was nobody's in two looks running is ours.
        """
        before: set[ConversationId] = set()
        for pause in (*SEARCHES, SEARCHES[-1]):
            await asyncio.sleep(pause)
            found = await self._unfinished(debt) or ()
            strays = {one.id for one in found if await nobodys(one.id)}
            for conversation in strays & before:
                fact(_log, "conversation.unwritten", call_sid=debt.call_sid)
                await self._finish(debt, conversation)
            before = strays

    async def _unfinished(self, debt: Debt) -> list[ConversationInfo] | None:
        """The user's unfinished conversations since the create; None: the API does not tell us."""
        found = await self._answered(
            "search",
            lambda: debt.payer.conversations(
                debt.user_id, service_id=debt.service_id, is_finished=False
            ),
        )
        return found and [one for one in found if created_since(one, debt.since)]


def _failure(what: str, error: Exception) -> AmigoError:
    """Log why a try failed; a fault of our own counts like no answer: it may have gone through."""
    if isinstance(error, AmigoError):
        fact(_log, f"{what}.failed", level=logging.WARNING, status=error.status)
        return error
    fact(_log, f"{what}.broken", level=logging.ERROR, exc=error)
    return AmigoError(what, detail=type(error).__name__)


async def _guarded(work: Coroutine[None, None, None]) -> None:
    """One debt's trouble must not end the group that holds all of them."""
    try:
        await work
    except Exception as error:  # noqa: BLE001 - the store still knows what is owed
        fact(_log, "debt.broken", level=logging.ERROR, exc=error)


def created_since(conversation: ConversationInfo, since: float) -> bool:
    """Whether the API made this conversation at or after a wall time, allowing for clock skew."""
    created = wall_time(conversation.created_at)
    return created is not None and created >= since - CLOCK_SKEW
