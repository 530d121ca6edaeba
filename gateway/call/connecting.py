"""The line of a call: it comes, is replaced, is lost and comes back; a lost process is such a loss too."""

from __future__ import annotations

from gateway.call.answering import Answering
from gateway.call.commands import CloseLine, Phrase
from gateway.call.events import StreamOpened
from gateway.call.exchange import Conversation, Turn
from gateway.call.life import TRANSFER
from gateway.call.phases import LIVE, UNHEARD, Phase
from gateway.call.record import TurnRecord
from gateway.call.timers import Timer

_PARTING = {
    "agent-ended": Phrase.THANKS,
    "api-error": Phrase.APOLOGY,
    "max-duration": Phrase.TIME_UP,
    "rejected": Phrase.BUSY,
    "silence": Phrase.SILENCE_GOODBYE,
    TRANSFER: Phrase.TRANSFER,
}
"""Last words to a caller whose call was ending for this reason when its process was lost."""


class Connecting(Answering):
    """What becomes of a call whose caller can, cannot yet or can no longer hear us."""

    _resumed = False
    """Another process held the call before: the caller heard it fall silent."""

    # ------------------------------------------------------------ a lost process

    def _take_up(self, now: float) -> None:
        """Go on with what another process left behind, as far as its record tells."""
        record = self.record
        self._resumed = True
        self.timers.start(Timer.NO_MEDIA, now + self.policy.token_seconds)
        self.timers.start(Timer.MAX_CALL, record.started_at + self.policy.max_call_seconds)
        record.status, record.ended_at = self._status(), None
        record.note(now, "resumed")
        self._dirty = True
        over = record.conversation_state in {Conversation.OVER.value, Conversation.SETTLED.value}
        reason = record.end_reason
        if record.transfer_to is not None and reason in {None, TRANSFER}:
            record.end_reason = None  # until somebody is there to be connected
            self._end(TRANSFER, Phrase.TRANSFER, now)
        elif reason is not None or over:
            self._end(reason or "agent-ended", _PARTING.get(reason or "", Phrase.CLOSING), now)
        if record.conversation_id is not None:
            # a finish that was under way may have been for nothing: the API tells, at the next turn
            self.exchange.conversation = Conversation.OVER if over else Conversation.OPEN
            record.conversation_state = self.exchange.conversation.value
            if not record.turns:
                record.turns.append(TurnRecord(0, "greeting"))  # turn 0 is always the creation
        elif self._fate is None:
            self._create_anew()
        else:
            self.exchange.maybe_created = True

    def _create_anew(self) -> None:
        """The process was lost before the create was answered: what it may have made is a left-over of ours."""
        tried = next((turn for turn in self.record.turns if turn.kind == "greeting"), None)
        self.record.turns.clear()  # without a conversation there was nothing but this greeting
        self.exchange.maybe_created = True
        greeting = self.exchange.open()
        greeting.record.retries = 0 if tried is None else tried.retries + 1

    # ------------------------------------------------------------ what happens to the line

    def _gone(self, reason: str, now: float) -> None:
        self.record.end_reason = self.record.end_reason or reason
        self._settle(now)

    def _nobody_came(self, now: float) -> None:
        """The carrier has not opened a stream in time."""
        self._gone("replica-lost" if self._resumed else "no-media", now)

    def _token_renewed(self, now: float) -> None:
        """The carrier has asked again, so the caller is there: the wait for its stream starts over."""
        if self.phase is Phase.RINGING:
            self.timers.start(Timer.NO_MEDIA, now + self.policy.token_seconds)
        elif self.phase is Phase.AWAY:
            # however little patience there is with callers of whom nothing is heard: this one is there
            self.timers.start(Timer.AWAY, now + self.policy.token_seconds)

    def _stream_opened(self, event: StreamOpened, now: float) -> None:
        self.record.stream_sid = event.stream_sid
        self._dirty = True
        if self.phase not in UNHEARD:
            self._stream_replaced()
            return
        self.timers.stop(Timer.NO_MEDIA, Timer.AWAY)
        back = self._resumed or self.phase is Phase.AWAY
        self._resumed = False
        if self.record.answered_at is None:
            self.record.answered_at = now
        if back:
            self.record.reconnects += 1
            self.record.note(now, "reconnected")
        turn = self.exchange.current
        first = self.phase is Phase.RINGING
        if first or (turn is not None and turn.is_greeting):
            self._enter(Phase.GREETING, now)
        else:
            self._enter(Phase.LISTENING if turn is None else Phase.THINKING, now)
        if self._fate is not None:
            self._end(*self._fate, now)
            return
        if first and turn is not None:
            times = turn.record.times
            times.began = times.last = times.declared = times.body_sent = times.understood = now
        elif back:
            self._say(Phrase.RECONNECTED, now)
        self._pick_up(turn, now)

    def _pick_up(self, turn: Turn | None, now: float) -> None:
        """The caller can hear: the reply goes on from where it was, or it is the caller's turn."""
        if self._over(now):
            return
        if turn is None:
            self._listen(now)
            self._send_waiting(now)
            return
        self._await_agent(now, turn)
        if turn.heard or (turn.completed and not turn.connected and not turn.audible):
            self._reply_over(turn, now)
        elif turn.audible:
            self._speak(turn, now)
            if not turn.completed:
                self.timers.start(Timer.STALL, now + self.policy.stall_seconds)

    def _stream_replaced(self) -> None:
        """A new stream of the same call: what the old one still held is gone, the reply goes on from there."""
        if self.phase not in LIVE or not self.voice.queue:
            return
        turn = self.exchange.current
        self.voice.clear()
        if turn is not None and turn.item is not None:
            turn.item = self.voice.reply(turn.index).id

    # ------------------------------------------------------------ a lost line

    def _line_lost(self, now: float) -> None:
        """Wait for the caller; the running exchange goes on, and what was not heard of its reply is kept."""
        if self.phase is Phase.ENDING:
            self._gone("agent-ended", now)
        if self.phase not in LIVE:
            return
        self.timers.stop(*_TALKING)
        self._quiet_since = self._silence_due = self._word = None
        self._prompts = 0
        self._digits = ""  # like half an utterance, half a number must not become a turn
        self._cut_speech()
        self.voice.clear()
        self._enter(Phase.AWAY, now)
        self.record.note(now, "line-lost")
        self.timers.start(Timer.AWAY, now + self.policy.reconnect_seconds)
        self._start_next(now)

    # ------------------------------------------------------------ other hands

    def _transfer(self, target: str, now: float) -> None:
        """Connect the caller with somebody else; one who cannot hear yet is told once there is a stream."""
        pending = self._fate is not None and self._fate[0] == TRANSFER
        if self.phase in LIVE or (self.phase in UNHEARD and (self._fate is None or pending)):
            self.record.transfer_to = target
            self._dirty = True
            self._end(TRANSFER, Phrase.TRANSFER, now)

    def _disown(self, now: float) -> None:
        """Another replica has the call: let go of everything, write nothing, pay nothing."""
        self.disowned = True
        self.timers.stop_all()
        self._drop_speech()
        self.exchange.drop_waiting()
        self.exchange.close_current()
        self.voice.clear()
        if self.phase is not Phase.SETTLING:
            self._out.append(CloseLine())
            self._enter(Phase.SETTLING, now)
        self._enter(Phase.ENDED, now)
        self._dirty = False


_TALKING = (
    Timer.SILENCE,
    Timer.DEAD_AIR,
    Timer.FILLER,
    Timer.PATIENCE,
    Timer.STALL,
    Timer.MERGE,
    Timer.DIGITS,
)
"""What is waited for only while caller and agent can hear each other."""
