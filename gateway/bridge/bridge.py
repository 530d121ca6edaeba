"""One call: its tasks, buffers and timer around the pure session. It decides nothing.

Events are handed to the session one at a time, commands performed at once and in order; an event
that a command causes waits until the batch is done. Everything that takes time is a child task of
the call's own group, and reports back as an event.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, assert_never

from audio.types import FRAME_SAMPLES
from gateway import clock as clocks
from gateway.bridge.ears import Detector, Ears
from gateway.bridge.finisher import Debt, Finisher
from gateway.bridge.mouth import Line, Mouth
from gateway.bridge.phrases import Phrases
from gateway.bridge.speech import Speech
from gateway.bridge.tape import Tape
from gateway.bridge.turn import Agent, Exchanges, Turn, VoiceFormat
from gateway.bridge.utterance import Utterance, UtteranceBody
from gateway.call import commands as cmd
from gateway.call import events as ev
from gateway.call.phases import Phase
from gateway.call.policy import Policy
from gateway.call.record import CallRecord
from gateway.call.session import CallSession
from gateway.carriers import Wire
from gateway.clock import Clock
from gateway.errors import CarrierError, GatewayError, StoreError
from gateway.ids import CallSid, ConversationId, StreamSid, UserId
from gateway.log import bind_call, bind_conversation, fact
from gateway.metrics import TURN_PARTS, Metrics
from gateway.store import CallStore

_log = logging.getLogger(__name__)

SAVE_PATIENCE = 2.0
"""Seconds a new conversation's first line waits for the store; live calls go on without it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallOptions:
    """How calls are held; one value for all calls of a process."""

    policy: Policy
    voice: VoiceFormat
    lookahead_ms: int = 400
    message_ms: int = 100
    pre_roll_ms: int = 400
    max_utterance_ms: int = 30_000
    recordings: Path | None = None


class HangsUp(Protocol):
    """The carrier's orders to a live call."""

    async def hang_up(self, call_sid: CallSid) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """What all calls of a process share."""

    options: CallOptions
    clock: Clock
    store: CallStore
    finisher: Finisher
    remote: HangsUp
    phrases: Phrases
    metrics: Metrics
    make_detector: Callable[[], Detector]
    free_user: Callable[[CallRecord, float | None], Awaitable[tuple[bool, bool]]]
    """Look for a left-over conversation of this user; conversations made since that wall time are
    ours whatever the store says. Answers (one was finished, one is not ours to touch)."""


class Bridge:
    """The call between one caller and the agent."""

    def __init__(self, record: CallRecord, agent: Agent, house: House) -> None:
        self.record = record
        self.session = CallSession(record, house.options.policy)
        self._house = house
        self._clock = house.clock
        self._epoch = house.clock.wall() - house.clock.now()
        self._created_wall = house.clock.wall()
        self._pending: deque[ev.Event] = deque()
        self._performing = False
        self._timer: asyncio.TimerHandle | None = None
        self._armed: float | None = None
        self._tasks: asyncio.TaskGroup | None = None
        self._ended = asyncio.Event()
        self._saves = asyncio.Event()
        self._saved = asyncio.Event()
        self._line: Line | None = None
        self._turns: dict[int, Turn] = {}
        self._unfinished = False
        """A conversation was created and is not finished yet."""
        self.last_heard = 0.0
        """When the line last gave a sign of life."""
        self._failed = self._deaf = False
        self.sorry = False
        """We cannot speak on this line (its sound, or our voice, failed): the carrier's own voice must."""
        options = house.options
        sid = record.call_sid
        self.tape = None if options.recordings is None else Tape(options.recordings, sid)
        self._sent = house.metrics.frames_total.labels(direction="out")
        self.mouth = Mouth(
            self._playback,
            house.clock,
            lookahead_ms=options.lookahead_ms,
            message_ms=options.message_ms,
            on_sent=self._on_sent,
            on_clear=None if self.tape is None else self.tape.cleared,
        )
        self.ears = Ears(
            house.make_detector(),
            self._emit,
            self.mouth.level,
            pre_roll_ms=options.pre_roll_ms,
            max_utterance_ms=options.max_utterance_ms,
        )
        self._exchanges = Exchanges(
            agent, options.voice, self._emit, self._conversation_opened, self._oddity
        )

    # ------------------------------------------------------------ life

    async def run(self) -> None:
        """Hold the call from the carrier's question until nothing is owed.

        Raises nothing of its own making: a broken part ends the call with an apology.
        """
        bind_call(self.record.call_sid)
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            helpers = [
                self._child(self._speak(), "mouth"),
                self._child(self._save_when_asked(), "saver"),
            ]
            self._perform(self.session.begin(self._clock.now()))
            await self._ended.wait()
            self._disarm()
            await self._store_last()
            for helper in helpers:
                helper.cancel()
            self._tasks = None
        if self.tape is not None:
            await self._finish_tape(self.tape)
        fact(_log, "call.ended", end_reason=self.record.end_reason, turns=len(self.record.turns))

    @property
    def live(self) -> bool:
        """The caller is, or may still come to be, on the line."""
        return self.session.phase not in {Phase.SETTLING, Phase.ENDED}

    def feed(self, event: ev.Event) -> None:
        """Tell the call what happened; the webhooks and the switchboard speak to it this way."""
        self._emit(event)

    def as_json(self) -> dict[str, object]:
        """The record as it stands now."""
        return self.record.as_json(lambda at: clocks.iso(self._epoch + at))

    # ------------------------------------------------------------ the line

    def attach(self, line: Line, wire: Wire, stream_sid: StreamSid) -> bool:
        """The carrier's stream is up and replaces an older one; False: the call is over, nobody listens."""
        if not self.live or self._tasks is None:
            return False
        previous, self._line = self._line, line
        if previous is not None:
            # not waited for: a dead line may take its time, the caller is on the new one
            self._child(previous.close(1000), "close replaced line")
        self.last_heard = self._clock.now()
        self.mouth.attach(line, wire)
        self._emit(ev.StreamOpened(stream_sid))
        return True

    def lost(self, line: Line) -> None:
        """A line is gone; one that was replaced before means nothing."""
        if line is not self._line:
            return
        self._line = None
        self.mouth.detach()
        self.ears.close()
        self.over()

    def over(self, *, stream_only: bool = False) -> None:
        """The carrier says that the call, or just its stream, is over: by our own doing, or the caller's."""
        if self.session.phase is Phase.ENDING:
            self._emit(ev.LineClosed())
        else:
            unheard = self.session.phase is Phase.RINGING and (stream_only or self.sorry)
            self._emit(ev.CallerGone("no-media" if unheard else "caller-hangup"))

    def now(self) -> float:
        return self._clock.now()

    def line_silent(self, now: float, seconds: float) -> bool:
        """The line is attached, but has not given a sign of life for so long."""
        return self._line is not None and now - self.last_heard > seconds

    def hear(self, payload: bytes, timestamp_ms: int | None) -> None:
        """A piece of the caller's voice; the hot path: 50 a second."""
        now = self._clock.now()
        self.last_heard = now
        if self.tape is not None:
            self.tape.caller(payload, now)
            if self.tape.due:
                self._child(self.tape.flush(now), "tape")
        try:
            self.ears.hear(payload, timestamp_ms, now)
        except Exception:  # noqa: BLE001 - the door of a call: deaf is no reason to be silent
            if not self._deaf:
                self._deaf = True
                _log.exception("call.ears-failed")
                self._emit(ev.Broken())

    def _on_sent(self, ulaw: bytes, begins: float) -> None:
        """A message of our voice leaves for the carrier."""
        self._sent.inc(len(ulaw) // FRAME_SAMPLES)
        if self.tape is not None:
            self.tape.agent(ulaw, begins)

    def _playback(self, event: ev.Event) -> None:
        if isinstance(event, ev.PlaybackStarved):
            self._house.metrics.playback_underruns_total.inc()
        self._emit(event)

    # ------------------------------------------------------------ events in, commands out

    def _emit(self, event: ev.Event) -> None:
        if self._failed:
            return
        self._pending.append(event)
        if self._performing:
            return
        self._performing = True
        try:
            while self._pending:
                now = self._clock.now()
                self._perform(self.session.handle(self._pending.popleft(), now))
        except Exception:  # noqa: BLE001 - the door of a call: a fault of the core ends it in order
            _log.exception("call.core-failed")
            self._abort()
        finally:
            self._performing = False

    def _abort(self) -> None:
        """The core itself failed: nothing sensible can be said any more, but nothing may stay open."""
        self._failed = self.sorry = True
        self._pending.clear()
        self._disarm()
        if self._tasks is not None:
            for turn in self._turns.values():
                self._close_turn(turn)
            self._close_line()
        self.record.end_reason = self.record.end_reason or "api-error"
        self._owe(self._after_abort)

    def _after_abort(self, state: str) -> None:
        self.record.conversation_state = state
        self.record.status = "failed"
        self.record.ended_at = self._clock.now()
        self._ended.set()

    def _wake(self) -> None:
        self._armed = None
        self._performing = True
        try:
            self._perform(self.session.wake(self._clock.now()))
        except Exception:  # noqa: BLE001 - as in _emit
            _log.exception("call.core-failed")
            self._abort()
        finally:
            self._performing = False
        if self._pending:
            self._emit(self._pending.popleft())

    def _perform(self, commands: list[cmd.Command]) -> None:
        for command in commands:
            self._do(command)
        self._arm()
        if self.session.phase is Phase.ENDED:
            self._ended.set()

    def _arm(self) -> None:
        deadline = self.session.deadline
        if deadline == self._armed:
            return
        self._disarm()
        if deadline is not None:
            self._armed = deadline
            delay = max(0.0, deadline - self._clock.now())
            self._timer = asyncio.get_running_loop().call_later(delay, self._wake)

    def _disarm(self) -> None:
        self._armed = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _do(self, command: cmd.Command) -> None:
        match command:
            case cmd.SayReply() | cmd.SayFiller() | cmd.SayPhrase():
                self._say(command)
            case cmd.HoldSpeech():
                self.mouth.hold()
            case cmd.ResumeSpeech():
                self.mouth.resume()
            case cmd.ClearSpeech():
                self.mouth.clear()
            case cmd.DropUtterance():
                self.ears.drop(command.utterance)
            case cmd.HangUp():
                self._child(self._hang_up(), "hang-up")
            case cmd.CloseLine():
                self._close_line()
            case cmd.FinishConversation():
                self._owe(lambda state: self._emit(ev.ConversationSettled(state)))
            case cmd.FreeUser():
                self._child(self._free_user(command.maybe_created), "free-user")
            case cmd.Save():
                self._saves.set()
            case cmd.CountBargeIn() | cmd.CountDeadAir() | cmd.CountTurn():
                self._count(command)
            case _:
                self._do_turn(command)

    def _do_turn(
        self,
        command: cmd.OpenConversation
        | cmd.StartTurn
        | cmd.ExtendTurn
        | cmd.SealTurn
        | cmd.SendText
        | cmd.RetryTurn
        | cmd.CloseTurn
        | cmd.ForgetTurn,
    ) -> None:
        match command:
            case cmd.OpenConversation():
                turn = self._turns.setdefault(0, Turn(0, sealed=True))
                self._start(turn)
            case cmd.StartTurn():
                utterances = [self._utterance(one) for one in command.utterances]
                self._turns[command.turn] = turn = Turn(command.turn, utterances)
                self._start(turn)
            case cmd.SendText():
                self._turns[command.turn] = turn = Turn(
                    command.turn, text=command.text, sealed=True
                )
                self._start(turn)
            case cmd.ExtendTurn():
                utterance = self._utterance(command.utterance)
                turn = self._turns[command.turn]
                if turn.body is not None:
                    turn.body.extend(utterance)
            case cmd.SealTurn():
                turn = self._turns[command.turn]
                turn.sealed = True
                if turn.body is not None:
                    turn.body.seal()
            case cmd.RetryTurn():
                self._start(self._turns[command.turn])
            case cmd.CloseTurn():
                self._close_turn(self._turns[command.turn])
            case cmd.ForgetTurn():
                self._forget(command)
            case _:
                assert_never(command)

    # ------------------------------------------------------------ turns

    def _utterance(self, utterance: int) -> Utterance:
        """The utterance, or silence where it is gone: the core never asks for one it dropped."""
        kept = self.ears.utterances.get(utterance)
        if kept is None:
            raise GatewayError(f"utterance {utterance} is gone")
        return kept

    def _start(self, turn: Turn) -> None:
        turn.cut = turn.reported = False
        turn.reply.release()
        turn.reply = Speech()
        turn.fillers.clear()
        if turn.utterances:
            index = turn.index
            turn.body = UtteranceBody(turn.utterances, lambda: self._emit(ev.BodySent(index)))
            if turn.sealed:
                turn.body.seal()
        turn.task = self._child(self._exchanges.run(turn), f"turn {turn.index}")
        turn.task.add_done_callback(lambda task: self._turn_done(turn, task))

    def _turn_done(self, turn: Turn, task: asyncio.Task[None]) -> None:
        """An exchange that ended without a word (cut before it began, or broken) has ended all the same."""
        if not turn.reported and turn.task is task and (turn.cut or not task.cancelled()):
            turn.reported = True
            kind = ev.FailureKind.CLOSED if turn.cut else ev.FailureKind.VOID
            self._emit(ev.TurnClosed(turn.index, ev.Failure(kind)))

    def _close_turn(self, turn: Turn) -> None:
        turn.cut = True
        if turn.task is not None:
            turn.task.cancel()

    def _forget(self, command: cmd.ForgetTurn) -> None:
        turn = self._turns.pop(command.turn, None)
        if turn is None:
            return
        turn.reply.release()
        if not command.keep_utterances:
            for utterance in turn.utterances:
                self.ears.utterances.pop(utterance.id, None)

    async def _conversation_opened(self, conversation: ConversationId) -> None:
        """The debt is durable before anything else is made of the conversation."""
        bind_conversation(conversation)
        self._unfinished = True
        self._house.metrics.conversations_open.inc()
        try:
            async with asyncio.timeout(SAVE_PATIENCE):
                await self._save()
        except (StoreError, TimeoutError):
            # the saver tries again; the caller does not wait for a store that is down
            fact(_log, "store.late", level=logging.WARNING)
            self._saves.set()

    def _owe(self, settled: Callable[[str], None]) -> None:
        conversation = self.record.conversation_id
        debt = Debt(
            call_sid=CallSid(self.record.call_sid),
            user_id=UserId(self.record.user_id),
            service_id=self.record.service_id,
            conversation_id=None if conversation is None else ConversationId(conversation),
            since=self._created_wall,
        )

        def paid(state: str) -> None:
            self._conversation_over()
            settled(state)

        self._house.finisher.take_on(debt, paid)

    def _conversation_over(self) -> None:
        """The conversation, if there was one, is finished."""
        if self._unfinished:
            self._unfinished = False
            self._house.metrics.conversations_open.dec()

    async def _free_user(self, maybe_created: bool) -> None:
        since = self._created_wall if maybe_created else None
        freed, held = await self._house.free_user(self.record, since)
        self._emit(ev.UserFreed(freed, held))

    # ------------------------------------------------------------ voice and line

    def _say(self, command: cmd.SayReply | cmd.SayFiller | cmd.SayPhrase) -> None:
        match command:
            case cmd.SayReply():
                self.mouth.say(command.item, self._turns[command.turn].reply)
            case cmd.SayFiller():
                self.mouth.say(command.item, self._turns[command.turn].fillers[command.filler])
            case cmd.SayPhrase():
                speech = Speech(self._house.phrases[command.phrase])
                speech.close()
                self.mouth.say(command.item, speech, first=command.first)

    async def _speak(self) -> None:
        """Run the mouth; one that breaks begins anew with an apology, a second time the carrier must speak."""
        try:
            await self.mouth.run()
        except Exception:  # noqa: BLE001 - as in _guarded
            _log.exception("call.mouth-failed")
            self.mouth.forget()
            self._emit(ev.Broken())
        try:
            await self.mouth.run()
        except Exception:  # noqa: BLE001 - as in _guarded
            _log.exception("call.mouth-failed")
            self.sorry = True
            self.record.end_reason = self.record.end_reason or "api-error"
            self._emit(ev.CallerGone())

    async def _hang_up(self) -> None:
        """Order the carrier to end the call; with or without it, closing the socket ends it too."""
        try:
            await self._house.remote.hang_up(CallSid(self.record.call_sid))
        except CarrierError as error:
            fact(_log, "carrier.hang-up-failed", level=logging.WARNING, status=error.status)
        self._emit(ev.LineClosed())

    def _close_line(self) -> None:
        line, self._line = self._line, None
        self.mouth.detach()
        self.ears.close()
        if line is not None:
            self._child(line.close(1000), "close line")

    # ------------------------------------------------------------ records and numbers

    async def _save_when_asked(self) -> None:
        """Write the record whenever it has changed; a store that is down is tried again."""
        while True:
            await self._saves.wait()
            self._saves.clear()
            try:
                await self._save()
            except StoreError:
                fact(_log, "store.save-failed", level=logging.WARNING)
                await asyncio.sleep(1.0)
                self._saves.set()

    async def _save(self) -> None:
        record = self.record
        conversation = record.conversation_id
        await self._house.store.save(
            CallSid(record.call_sid),
            record=self.as_json(),
            status=record.status,
            end_reason=record.end_reason,
            conversation_id=None if conversation is None else ConversationId(conversation),
            conversation_state=record.conversation_state,
            ended=record.ended_at is not None,
        )

    async def _store_last(self) -> None:
        """The final record and the user's release; tried until the store takes them."""
        self._conversation_over()
        pause = 0.5
        while True:
            try:
                await self._save()
                await self._house.store.release_user(CallSid(self.record.call_sid))
            except StoreError:
                fact(_log, "store.save-failed", level=logging.WARNING)
                await asyncio.sleep(pause)
                pause = min(30.0, pause * 2)
            else:
                return

    async def _finish_tape(self, tape: Tape) -> None:
        try:
            path = await tape.finish(self._clock.now())
        except OSError:
            _log.exception("recording.failed")
        else:
            fact(_log, "recording.written", written=path is not None)

    def _count(self, command: cmd.CountBargeIn | cmd.CountDeadAir | cmd.CountTurn) -> None:
        metrics = self._house.metrics
        match command:
            case cmd.CountBargeIn():
                outcome = "confirmed" if command.confirmed else "resumed"
                metrics.barge_ins_total.labels(outcome=outcome).inc()
            case cmd.CountDeadAir():
                metrics.caller_silence_seconds.observe(command.seconds)
            case cmd.CountTurn():
                turn = self.record.turns[command.turn]
                metrics.turns_total.labels(
                    kind=turn.kind, interrupted=str(turn.interrupted).lower()
                ).inc()
                _observe_ledger(metrics, turn.times.ledger())

    def _oddity(self, kind: str) -> None:
        self._house.metrics.media_errors_total.labels(kind=kind).inc()

    # ------------------------------------------------------------ tasks

    def _child(self, work: Awaitable[None], name: str) -> asyncio.Task[None]:
        if self._tasks is None:
            raise AssertionError("the call is over")
        return self._tasks.create_task(self._guarded(work), name=name)

    async def _guarded(self, work: Awaitable[None]) -> None:
        """A part that breaks must not take the call with it: the caller hears an apology."""
        try:
            await work
        except Exception:  # noqa: BLE001 - the door of a call: logged, and the caller is told
            _log.exception("call.part-failed")
            self._emit(ev.Broken())


def _observe_ledger(metrics: Metrics, ledger: Mapping[str, int]) -> None:
    for part in TURN_PARTS:
        if part not in ledger:
            continue
        ms = ledger[part]
        metrics.turn_seconds.labels(part=part).observe(ms / 1000)
