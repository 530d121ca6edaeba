"""The books of one call: its record in the store, its debt to the API, its numbers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from gateway.bridge.finisher import Debt
from gateway.bridge.forgotten import tell_again
from gateway.bridge.house import House
from gateway.call import commands as cmd
from gateway.call.record import CallRecord
from gateway.clock import iso
from gateway.errors import Fenced, Forgotten, StoreError
from gateway.ids import CallSid, ConversationId, UserId
from gateway.log import bind_conversation, fact
from gateway.metrics import TURN_PARTS, Metrics
from gateway.store import NewCall

_log = logging.getLogger(__name__)

SAVE_PATIENCE: Final = 2.0
"""Seconds a new conversation's first line waits for the store; live calls go on without it."""
FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 4.0
"""Between two tries to write the end of a call: a process that drains waits long enough for another one or two."""
FENCED_SECONDS: Final = 0.5
"""For the bridge to find out whose a call is that the store says is not ours."""


class Books:
    """Writes down what the core decides; a store that is down is tried until it is there."""

    def __init__(
        self, record: CallRecord, announced: NewCall, house: House, fenced: Callable[[], None]
    ) -> None:
        self._record = record
        self._announced = announced
        self._house = house
        self._fenced = fenced
        """Told that the call is another replica's by now, and nothing of it ours to write."""
        self.disowned = False
        """The call is another replica's, for good."""
        self.doubted = False
        """It may be another replica's, and the store has not said: nothing is paid before it has."""
        self._epoch = house.clock.wall() - house.clock.now()
        self.opened_wall = self._epoch + record.started_at
        """When the call began, here or at a replica before: no conversation of its own is older."""
        self._asked = asyncio.Event()
        self._others: tuple[float, ...] = ()
        """When to look for conversations of the call that its record does not name; empty: they were looked for."""
        self._unfinished = False
        """A conversation was created and is not finished yet."""

    def as_json(self) -> dict[str, object]:
        """The record as it stands now."""
        return self._record.as_json(lambda at: iso(self._epoch + at))

    def taken_up(self) -> None:
        """The call comes from another replica, with its conversation where there is one.

        That one may have been asking for a conversation, of which the record does not know.
        """
        self._others = (0.0,)
        if self._record.conversation_id is not None:
            self._open(ConversationId(self._record.conversation_id))

    def ask(self) -> None:
        """The record has changed: write it soon."""
        self._asked.set()

    async def run(self) -> None:
        """Write the record whenever it has changed; a store that is down is tried again."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            try:
                await self._save()
            except StoreError:
                fact(_log, "store.save-failed", level=logging.WARNING)
                await asyncio.sleep(1.0)
                self._asked.set()
            except Fenced:
                self._report_fenced()

    async def _save(self) -> None:
        try:
            await self._write()
        except Forgotten:
            house, record = self._house, self._record
            now = house.clock.wall()
            await tell_again(house.store, self._announced, record, self.as_json(), now)
            await self._write()

    async def _write(self) -> None:
        record = self._record
        conversation = record.conversation_id
        await self._house.store.save(
            CallSid(record.call_sid),
            replica=record.replica,
            record=self.as_json(),
            status=record.status,
            end_reason=record.end_reason,
            conversation_id=None if conversation is None else ConversationId(conversation),
            conversation_state=record.conversation_state,
            ended=record.ended_at is not None,
        )

    async def close(self) -> None:
        """The final record and the user's release; tried until the store takes them."""
        self._conversation_over()
        pause = FIRST_PAUSE
        record = self._record
        while not self.disowned:
            try:
                await self._look_further()
                await self._save()
                await self._house.store.release_user(CallSid(record.call_sid), record.replica)
            except Fenced:
                # whoever has the call by now writes its end
                fact(_log, "call.fenced", level=logging.WARNING, call_sid=record.call_sid)
                return
            except StoreError:
                fact(_log, "store.save-failed", level=logging.WARNING)
                await asyncio.sleep(pause)
                pause = min(LONGEST_PAUSE, pause * 2)
            else:
                break
        if record.conversation_id is not None and not self.disowned:
            self._house.aftermath.take(
                self._house.account,
                CallSid(record.call_sid),
                UserId(record.user_id),
                ConversationId(record.conversation_id),
            )

    async def _look_further(self) -> None:
        """Where nothing is owed, what a process before us may have begun besides; the user is still ours."""
        if self._others and self._record.user_id:
            debt, self._others = self._debt(), ()
            await self._house.finisher.finish_others(debt)

    async def conversation_opened(self, conversation: ConversationId) -> None:
        """The debt is durable before anything else is made of the conversation."""
        self._open(conversation)
        try:
            async with asyncio.timeout(SAVE_PATIENCE):
                await self._save()
        except (StoreError, TimeoutError):
            # the saver tries again; the caller does not wait for a store that is down
            fact(_log, "store.late", level=logging.WARNING)
            self._asked.set()
        except Fenced:
            self._report_fenced()

    def _open(self, conversation: ConversationId) -> None:
        bind_conversation(conversation)
        if not self._unfinished:
            self._unfinished = True
            self._house.metrics.conversations_open.inc()

    def _report_fenced(self) -> None:
        fact(_log, "call.fenced", level=logging.WARNING, call_sid=self._record.call_sid)
        self._fenced()

    async def ours(self) -> bool:
        """Whether the call is still ours to act for, as far as can be known: written down in the same step.

        A store that is away cannot tell, nor can another replica have taken the call there.
        """
        try:
            async with asyncio.timeout(SAVE_PATIENCE):
                await self._save()
        except Fenced:
            self._report_fenced()
            return False
        except (StoreError, TimeoutError):
            fact(_log, "store.late", level=logging.WARNING)
            self._asked.set()
        else:
            self.doubted = False
        return True

    def owe(self, settled: Callable[[str], None]) -> None:
        """Have the conversation finished; `settled` is told what became of it."""
        if not self._record.user_id:
            settled("none")  # no user was found for the caller: nothing can have been begun
            return
        debt, self._others = self._debt(), ()

        def paid(state: str) -> None:
            self._conversation_over()
            settled(state)

        self._house.finisher.follow(self._pay(debt, paid), debt.call_sid)

    def _debt(self) -> Debt:
        conversation = self._record.conversation_id
        return Debt(
            payer=self._house.account,
            call_sid=CallSid(self._record.call_sid),
            user_id=UserId(self._record.user_id),
            service_id=self._record.service_id,
            conversation_id=None if conversation is None else ConversationId(conversation),
            since=self.opened_wall,
            ours=self._settled_ours,
            others=self._others,
        )

    def owe_unnamed(self) -> None:
        """Have a conversation finished that our create may have made after the call was taken over."""
        if not self._record.user_id:
            return
        debt = replace(self._debt(), ours=_always)
        finisher = self._house.finisher
        finisher.follow(finisher.finish_strays(debt, self._nobodys), debt.call_sid)

    async def _nobodys(self, conversation: ConversationId) -> bool:
        """The store knows no call that has it."""
        try:
            return await self._house.store.find_conversation(conversation) is None
        except StoreError:
            return False

    def owe_stranded(self, conversation: ConversationId) -> None:
        """Have a conversation finished that the record does not name any more, and that we began."""
        debt = replace(
            self._debt(), conversation_id=conversation, ours=_always, doubtful=True, others=()
        )
        fact(_log, "conversation.stranded", level=logging.WARNING, call_sid=debt.call_sid)
        self._house.finisher.take_on(debt, lambda _state: self._conversation_over())

    async def _pay(self, debt: Debt, paid: Callable[[str], None]) -> None:
        """That it is being finished is durable first: from then on nobody else takes the call up."""
        if await self._settled_ours():
            self._house.finisher.take_on(debt, paid)

    async def _settled_ours(self) -> bool:
        """Whether the call is ours to pay for; where the store says no, the bridge finds out whose it is."""
        while not await self.ours() or self.doubted:
            await asyncio.sleep(FENCED_SECONDS)
            if self.disowned:
                return False
        return True

    def _conversation_over(self) -> None:
        """The conversation, if there was one, is finished."""
        if self._unfinished:
            self._unfinished = False
            self._house.metrics.conversations_open.dec()

    def count(self, command: cmd.CountBargeIn | cmd.CountDeadAir | cmd.CountTurn) -> None:
        metrics = self._house.metrics
        match command:
            case cmd.CountBargeIn():
                outcome = "confirmed" if command.confirmed else "resumed"
                metrics.barge_ins_total.labels(outcome=outcome).inc()
            case cmd.CountDeadAir():
                metrics.caller_silence_seconds.observe(command.seconds)
            case cmd.CountTurn():
                turn = self._record.turns[command.turn]
                metrics.turns_total.labels(
                    kind=turn.kind, interrupted=str(turn.interrupted).lower()
                ).inc()
                _observe_ledger(metrics, turn.times.ledger())

    def oddity(self, kind: str) -> None:
        self._house.metrics.media_errors_total.labels(kind=kind).inc()


async def _always() -> bool:
    return True


def _observe_ledger(metrics: Metrics, ledger: Mapping[str, int]) -> None:
    for part in TURN_PARTS:
        if part not in ledger:
            continue
        ms = ledger[part]
        metrics.turn_seconds.labels(part=part).observe(ms / 1000)
