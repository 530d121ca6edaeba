"""One call: its tasks, buffers and timer around the pure session. It decides nothing.

Events are handed to the session one at a time, commands performed at once and in order; an event
that a command causes waits until the batch is done. Everything that takes time is a child task of
the call's own group, and reports back as an event.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial

from audio.types import FRAME_SAMPLES
from gateway.bridge.books import Books
from gateway.bridge.ears import TICK_SECONDS, Ears
from gateway.bridge.house import House
from gateway.bridge.mouth import Line, Mouth
from gateway.bridge.news import News
from gateway.bridge.ownership import (
    HEARD_LATELY,
    OWNER_PATIENCE,
    Ours,
    Taken,
    may_have_created,
    whose,
)
from gateway.bridge.speech import Speech
from gateway.bridge.tape import Tape
from gateway.bridge.turn import Agent, Exchanges
from gateway.bridge.turns import Turns
from gateway.call import commands as cmd
from gateway.call import events as ev
from gateway.call.phases import Phase
from gateway.call.record import CallRecord
from gateway.call.session import CallSession
from gateway.carriers import Wire
from gateway.errors import CarrierError, StoreError
from gateway.ids import CallSid, ConversationId, StreamSid
from gateway.log import bind_call, fact
from gateway.store import NewCall

_log = logging.getLogger(__name__)

HELD_SECONDS = 0.1
"""Between two looks of a timer that is due while it is not known whose the call is."""
HANG_UP_PATIENCE = 2.0
"""Seconds the carrier's REST may take before the socket is closed, which ends the call as well."""


class Bridge:
    """The call between one caller and the agent."""

    def __init__(
        self,
        record: CallRecord,
        announced: NewCall,
        agent: Agent,
        house: House,
        *,
        taken_up: bool = False,
    ) -> None:
        """`announced` is the call as the store first heard of it, with the user it was leased.

        `taken_up`: the record is that of a call which another replica had.
        """
        self.record = record
        self._taken_up = taken_up
        self.session = CallSession(record, house.options.policy)
        self._house = house
        self._clock = house.clock
        self._books = Books(record, announced, house, self._fenced)
        self._pending: deque[ev.Event] = deque()
        self._performing = self._begun = False
        self._timer: asyncio.TimerHandle | None = None
        self._armed: float | None = None
        self._ticking: asyncio.TimerHandle | None = None
        self._tasks: asyncio.TaskGroup | None = None
        self._ended = asyncio.Event()
        self._line: Line | None = None
        self.last_heard = 0.0
        """When the line last gave a sign of life."""
        self._failed = self._deaf = False
        self._checking = False
        """What happens is kept until it is known that the call is still ours."""
        self._stranded: ConversationId | None = None
        """A conversation of ours that whoever took the call up knows nothing of."""
        self._unnamed = False
        """The call was taken up while we asked for a conversation: there may be one of ours."""
        self.offers = 0
        """Streams the carrier was offered again since the last one began: it may be unable to open any."""
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
            streams_before=record.reconnects + 1 if taken_up else 0,
        )
        self.ears = Ears(
            house.make_detector(),
            self._emit,
            self.mouth.played.frame,
            pre_roll_ms=options.pre_roll_ms,
            max_utterance_ms=options.max_utterance_ms,
        )
        exchanges = Exchanges(
            agent,
            options.voice,
            self._emit,
            self._books.conversation_opened,
            self._books.oddity,
            News(record.turns, wanted=options.tell_heard),
        )
        if record.conversation_id is not None:
            exchanges.conversation = ConversationId(record.conversation_id)
        self._turns = Turns(exchanges, self.ears.utterances, self._emit, self._child)

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
                self._child(self._books.run(), "saver"),
            ]
            if self._taken_up:
                self._books.taken_up()
            self._step(self.session.resume if self._taken_up else self.session.begin)
            self._begun = True
            self._go_on()  # what happened before
            await self._ended.wait()
            self._disarm()
            await self._books.close()
            for helper in helpers:
                helper.cancel()
            self._tasks = None
        if self._stranded is not None:
            self._books.owe_stranded(self._stranded)
        if self._unnamed:
            self._books.owe_unnamed()
        if self.tape is not None:
            await self._finish_tape(self.tape)
        fact(_log, "call.ended", end_reason=self.record.end_reason, turns=len(self.record.turns))

    @property
    def disowned(self) -> bool:
        """Another replica has the call."""
        return self.session.disowned

    @property
    def live(self) -> bool:
        """The caller is, or may still come to be, on the line."""
        return self.session.phase not in {Phase.SETTLING, Phase.ENDED}

    def feed(self, event: ev.Event) -> None:
        """Tell the call what happened; the webhooks and the switchboard speak to it this way."""
        if isinstance(event, ev.EndRequested) and self._line is None:
            # whoever comes back to a call that was ended meanwhile is told so by the carrier's voice
            self.sorry = self.sorry or self.live
        self._emit(event)

    def as_json(self) -> dict[str, object]:
        """The record as it stands now."""
        return self._books.as_json()

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
        self.offers = 0
        self.ears.reopen()
        self.mouth.attach(line, wire)
        self._emit(ev.StreamOpened(stream_sid))
        return True

    def lost(self, line: Line, *, stopped: bool) -> None:
        """A line is gone; one that was replaced before means nothing.

        `stopped`: the carrier said so beforehand, which it does when the call is over. Else the
        line broke, and the caller may be there still: the carrier will ask what is next.
        """
        if line is not self._line:
            return
        self._line = None
        if stopped or self.sorry:
            self.over()
            self._deafen()
        else:
            self._line_lost()

    @property
    def unheard(self) -> bool:
        """The call is over, and its caller, who may still be there, never had a stream of ours."""
        record = self.record
        return not self.live and record.answered_at is None and record.end_reason != "caller-hangup"

    @property
    def ringing(self) -> bool:
        """The carrier has not opened a stream yet."""
        return self.session.phase is Phase.RINGING

    def stream_over(self) -> bool:
        """The carrier asks what follows the stream, so that is gone; True: the call can go on, on a new one."""
        if self.sorry or not self.live or self.session.phase in {Phase.RINGING, Phase.ENDING}:
            # nobody was heard yet whom our own voice could speak to
            self.sorry = self.sorry or self.session.phase is Phase.RINGING
            self.over(stream_only=True)
            return False
        self.line_broke()
        return True

    def line_broke(self) -> None:
        """The line is there, but dead: the caller may come back on another."""
        line, self._line = self._line, None
        if line is not None:
            self._child(line.close(1000), "close dead line")
            self._line_lost()

    def _line_lost(self) -> None:
        self._report_line()
        self._emit(ev.LineLost())
        self._deafen()
        if self.live:
            self.ears.renew(self._house.make_detector())

    @property
    def on_the_line(self) -> bool:
        """A stream of the caller's sound is attached."""
        return self._line is not None

    def over(self, *, stream_only: bool = False) -> None:
        """The carrier says that the call, or just its stream, is over: by our own doing, or the caller's."""
        self._report_line()
        if self.session.phase is Phase.ENDING:
            self._emit(ev.LineClosed())
        else:
            unheard = self.session.phase is Phase.RINGING and (stream_only or self.sorry)
            self._emit(ev.CallerGone("no-media" if unheard else "caller-hangup"))

    # ------------------------------------------------------------ whose call it is

    def _fenced(self) -> None:
        """The store says that another replica has the call."""
        if self._tasks is None or self.session.disowned:
            return
        if self._failed:
            self._books.disowned = True
            self._ended.set()
        elif not self._checking:
            self.check_owner()

    def check_owner(self) -> None:
        """Others may have taken the call up: nothing is decided before that is known."""
        if self._tasks is not None and not self._checking:
            self._checking = True
            self._child(self._check_owner(), "whose call")

    async def _check_owner(self) -> None:
        try:
            async with asyncio.timeout(OWNER_PATIENCE):
                await self._settle_whose()
        except (StoreError, TimeoutError):
            # the caller need not wait for a store that is away; what the call owes must
            self._books.doubted = True
            fact(_log, "call.owner-unknown", level=logging.WARNING, call_sid=self.record.call_sid)
            self._books.ask()
        finally:
            self._checking = False
            self._go_on()

    async def _settle_whose(self) -> None:
        def hears() -> bool:
            return self._line is not None and not self.line_silent(self._clock.now(), HEARD_LATELY)

        found = await whose(self.record, self._house.store, self._clock.wall, hears)
        match found:
            case Ours():
                if found.claimed_back:
                    self._books.ask()
            case Taken():
                self._stranded = found.stranded
                self._unnamed = self.record.conversation_id is None and may_have_created(
                    self.session.exchange, self._pending
                )
                # before anything else that happened meanwhile
                self._pending.appendleft(ev.TakenOver())

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
                self._child(self._flush_tape(self.tape, now), "tape")
        try:
            self.ears.hear(payload, timestamp_ms, now)
        except Exception as error:  # noqa: BLE001 - the door of a call: deaf is no reason to be silent
            self._ears_failed(error)
        if self._ticking is None and self.ears.open is not None:
            self._ticking = asyncio.get_running_loop().call_later(TICK_SECONDS, self._tick)

    def _tick(self) -> None:
        """Show the ears the clock, for as long as the caller has the floor."""
        self._ticking = None
        if self.ears.open is None:
            return
        try:
            self.ears.tick(self._clock.now())
        except Exception as error:  # noqa: BLE001 - as in `hear`
            self._ears_failed(error)
        self._ticking = asyncio.get_running_loop().call_later(TICK_SECONDS, self._tick)

    def _ears_failed(self, error: Exception) -> None:
        if not self._deaf:
            self._deaf = True
            _log.error("call.ears-failed", exc_info=error)
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
        self._go_on()

    @property
    def _held(self) -> bool:
        """Nothing is decided now: it has not begun, or it must be known first that the call is still ours."""
        return not self._begun or self._checking or self._house.pulse.stalled

    def _go_on(self) -> None:
        """Handle what has happened, unless that is under way, or must wait."""
        if self._performing or self._held:
            return
        while self._pending:
            self._step(partial(self.session.handle, self._pending.popleft()))

    def _step(self, decide: Callable[[float], list[cmd.Command]]) -> None:
        """One decision of the core, and what follows from it; what happens meanwhile is handled after it."""
        self._performing = True
        try:
            self._perform(decide(self._clock.now()))
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
            self._turns.close_all()
            self._close_line()
        self.record.end_reason = self.record.end_reason or "api-error"
        self._books.owe(self._after_abort)

    def _after_abort(self, state: str) -> None:
        self.record.conversation_state = state
        self.record.status = "failed"
        self.record.ended_at = self._clock.now()
        self._ended.set()

    def _wake(self) -> None:
        self._armed = None
        if self._held:
            self._timer = asyncio.get_running_loop().call_later(HELD_SECONDS, self._wake)
            return
        self._step(self.session.wake)
        self._go_on()

    def _perform(self, commands: list[cmd.Command]) -> None:
        for command in commands:
            self._do(command)
        self._arm()
        if self.session.phase is Phase.ENDED:
            if self.session.disowned:
                self._books.disowned = True
                self._house.finisher.drop(self.record.call_sid)
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
            case cmd.SetPatience():
                self.ears.set_patience(command.ms)
            case cmd.DropUtterance():
                self.ears.drop(command.utterance)
            case cmd.HangUp():
                self._report_line()
                self._child(self._hang_up(), "hang-up")
            case cmd.CloseLine():
                self._close_line()
            case cmd.ReleaseLine():
                self._report_line()
                self._close_line()
                self._emit(ev.LineClosed())
            case cmd.FinishConversation():
                self._books.owe(lambda state: self._emit(ev.ConversationSettled(state)))
            case cmd.FreeUser():
                self._child(self._free_user(command.maybe_created), "free-user")
            case cmd.Save():
                self._books.ask()
            case cmd.CountBargeIn() | cmd.CountDeadAir() | cmd.CountTurn():
                self._books.count(command)
            case _:
                self._turns.do(command)

    async def _free_user(self, maybe_created: bool) -> None:
        since = self._books.opened_wall if maybe_created else None
        freed, held = False, True
        try:
            freed, held = await self._house.free_user(self.record, since)
        finally:
            self._emit(ev.UserFreed(freed, held))

    # ------------------------------------------------------------ voice and line

    def _say(self, command: cmd.SayReply | cmd.SayFiller | cmd.SayPhrase) -> None:
        match command:
            case cmd.SayReply():
                self.mouth.say(command.item, self._turns.reply(command.turn))
            case cmd.SayFiller():
                self.mouth.say(command.item, self._turns.filler(command.turn, command.filler))
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
            async with asyncio.timeout(HANG_UP_PATIENCE):
                await self._house.remote.hang_up(CallSid(self.record.call_sid))
        except CarrierError as error:
            fact(_log, "carrier.hang-up-failed", level=logging.WARNING, status=error.status)
        except TimeoutError:
            fact(_log, "carrier.hang-up-late", level=logging.WARNING)
        self._emit(ev.LineClosed())

    def _report_line(self) -> None:
        """The last word on the line, while the core still takes it down."""
        if self.ears.frames:
            self.ears.report()

    def _deafen(self) -> None:
        """Nothing is heard on the line any more, nor said."""
        self.mouth.detach()
        self.ears.close()

    def _close_line(self) -> None:
        line, self._line = self._line, None
        self._deafen()
        if line is not None:
            self._child(line.close(1000), "close line")

    async def _flush_tape(self, tape: Tape, now: float) -> None:
        """A full or missing disk costs the recording, not the call."""
        try:
            await tape.flush(now)
        except OSError as error:
            if self.tape is not None:
                self.tape = None
                fact(_log, "recording.given-up", level=logging.ERROR, reason=error.strerror)

    async def _finish_tape(self, tape: Tape) -> None:
        try:
            path = await tape.finish(self._clock.now())
        except OSError:
            _log.exception("recording.failed")
        else:
            fact(_log, "recording.written", written=path is not None)

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
