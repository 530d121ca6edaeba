"""The frame of a call: phases, endings, the debt. The two families of turns build on it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from gateway.call.commands import (
    CloseLine,
    Command,
    CountDeadAir,
    DropUtterance,
    HangUp,
    Phrase,
    ReleaseLine,
    Save,
    SetPatience,
)
from gateway.call.exchange import Conversation, Exchange, Turn
from gateway.call.patience import Patience
from gateway.call.phases import AGENTS_TURN, LIVE, NEXT, UNHEARD, Phase
from gateway.call.policy import Policy
from gateway.call.record import CallRecord
from gateway.call.timers import Timer, Timers
from gateway.call.voice import Item, Voice
from gateway.errors import OutOfTurn

RATINGS = frozenset("12345")
TRANSFER = "transfer"
"""The end reason of a call that goes on with somebody else."""


@dataclass(slots=True)
class Speech:
    """The caller's speech in progress."""

    utterance: int
    needed_ms: int | None
    """Accepted speech that gives the caller the floor; None while nothing can."""
    accepted_ms: int = 0
    taken: bool = False
    goes_on: bool = False
    """It began while the answer to what was said before was still awaited."""
    settled: bool = False
    """It had stopped our voice, which has gone on meanwhile."""


@dataclass(slots=True)
class EarlyAnswer:
    """A short answer over the agent's last words, kept until the agent falls silent."""

    utterance: int
    ended_at: float
    began: float
    last: float


class Asking(Enum):
    """How far the question for a rating has come."""

    UNWANTED = "unwanted"
    WANTED = "wanted"
    """It is put as soon as the agent's last words were heard."""
    PUT = "put"
    WAITING = "waiting"
    """It was heard; a key is waited for."""
    ANSWERED = "answered"


class Life:
    """State and moves that every part of the session shares."""

    def __init__(self, record: CallRecord, policy: Policy) -> None:
        self.record = record
        self.policy = policy
        self.phase = Phase.RINGING
        self.timers = Timers()
        self._out: list[Command] = []
        self.voice = Voice(self._out)
        self.exchange = Exchange(self._out, record.turns)
        self._speech: Speech | None = None
        self._early: EarlyAnswer | None = None
        self._word: tuple[float, int] | None = None
        """When the last short word over the agent's voice ended, and its firm speech in ms."""
        self._patience = Patience(policy.patience)
        self._patience_told = policy.patience.end_silence_ms
        self._silence_due: float | None = None
        """When the caller's silence is too long, while a sound that may be nothing stops its clock."""
        self._digits = ""
        self._prompts = 0
        self._hanging_up = False
        self._asking = Asking.UNWANTED
        self._fate: tuple[str, Phrase] | None = None
        """How the call must end as soon as the caller can hear it."""
        self._quiet_since: float | None = None
        self._comforted = False
        self._patience_until = 0.0
        self._dirty = False
        self.disowned = False
        """Another replica has the call: the record is not ours to write any more, nor the debt to pay."""

    @property
    def deadline(self) -> float | None:
        """When `wake` wants to be called, or None."""
        return self.timers.deadline

    # ------------------------------------------------------------ phases

    def _enter(self, phase: Phase, now: float) -> None:
        """The only place a phase changes."""
        if phase is self.phase:
            return
        if phase not in NEXT[self.phase]:
            raise OutOfTurn(f"{self.phase.name} cannot become {phase.name}")
        self.phase = phase
        self._dirty = True
        if phase is Phase.ENDED:
            self.timers.stop_all()
            self.exchange.count_rest()
        elif phase is Phase.SETTLING and not self.disowned:
            self.record.ended_at = now
        if not self.disowned:
            self.record.status = self._status()

    def _status(self) -> str:
        if self.phase is Phase.AWAY:
            return "ringing"
        if self.phase is Phase.ENDING and self._transferring:
            return "transferring"
        if self.phase is Phase.SETTLING:
            return "ending"
        if self.phase is not Phase.ENDED:
            return str(self.phase.value)
        failed = (
            self.record.end_reason in {"api-error", "no-media", "rejected", "replica-lost"}
            or self.record.conversation_state == "finish-failed"
        )
        return "failed" if failed else "completed"

    @property
    def _transferring(self) -> bool:
        """The caller is being handed over: the carrier asks us whom to, once its stream is closed."""
        return self.record.end_reason == TRANSFER

    def _listen(self, now: float) -> None:
        """The caller's turn. Someone already speaking, or who just answered, has the floor at once."""
        self.timers.stop(Timer.DEAD_AIR, Timer.FILLER, Timer.PATIENCE, Timer.STALL)
        self._enter(Phase.LISTENING, now)
        self._await_caller(now)

    def _await_caller(self, now: float) -> None:
        """(Re)start the clock of the caller's silence."""
        self._silence_due = None
        if self._digits or self.voice.audible:
            self.timers.stop(Timer.SILENCE)
            return
        more = self._prompts < self.policy.prompts
        wait = self.policy.prompt_after_ms if more else self.policy.hang_up_after_ms
        due = now + wait / 1000
        if self._speech is not None:
            # it may be a cough, which is no answer
            self.timers.stop(Timer.SILENCE)
            self._silence_due = due
            return
        self.timers.start(Timer.SILENCE, due)

    def _tell_patience(self) -> None:
        """Let the ears know if the silence that ends a turn has changed."""
        if self._patience.ms != self._patience_told:
            self._patience_told = self._patience.ms
            self._out.append(SetPatience(self._patience_told))

    # ------------------------------------------------------------ the agent's turn

    def _await_agent(self, now: float, turn: Turn | None = None) -> None:
        """The agent's turn has begun: start the clocks of its silence."""
        self._comforted = False
        self._patience_until = now + self.policy.patience_seconds
        self.timers.start(Timer.PATIENCE, self._patience_until)
        if self.policy.filler_after_ms is not None:
            self.timers.start(Timer.FILLER, now + self.policy.filler_after_ms / 1000)
        self._mind_dead_air(now)
        if turn is not None and turn.audible:
            self.timers.stop(Timer.PATIENCE)

    def _mind_dead_air(self, now: float) -> None:
        """Nothing plays in our turn: the caller waits from now on."""
        if self.phase in AGENTS_TURN and self.voice.quiet:
            if self._quiet_since is None:
                self._quiet_since = now
            # a retry begins with the silence that the try before it left
            due = self._quiet_since + self.policy.max_dead_air_ms / 1000
            self.timers.start(Timer.DEAD_AIR, max(now, due))

    def _sound_began(self, now: float) -> None:
        """Something plays: account for the silence before it."""
        self.timers.stop(Timer.DEAD_AIR)
        if self._quiet_since is not None:
            self._out.append(CountDeadAir(max(0.0, now - self._quiet_since)))
            self._quiet_since = None

    def _fill_silence(self, now: float) -> None:
        """Dead air is the one thing a caller must not hear: words first, then the soft sound."""
        if self._speech is not None:
            self.timers.start(Timer.DEAD_AIR, now + self.policy.max_dead_air_ms / 1000)
            return
        phrase = Phrase.COMFORT if self._comforted else Phrase.ONE_MOMENT
        self._comforted = True
        self.timers.stop(Timer.FILLER)
        self._say(phrase, now, first=True)

    # ------------------------------------------------------------ endings

    def _say(self, phrase: Phrase, now: float, *, first: bool = False) -> Item:
        self.record.note(now, "phrase", name=phrase.value)
        return self.voice.phrase(phrase, first=first)

    def _end(self, reason: str, phrase: Phrase, now: float) -> None:
        """Say a last phrase, then hang up. While the caller cannot hear, the fate is kept for then."""
        if self.phase in UNHEARD:
            if self._fate is None:
                self._fate = (reason, phrase)
                if reason != TRANSFER:  # one for which nobody was there is none
                    self.record.end_reason = self.record.end_reason or reason
            return
        if self.phase in {Phase.ENDING, Phase.SETTLING, Phase.ENDED}:
            return
        self._close_talk(reason, now)
        self.voice.clear()
        self._say(phrase, now)

    def _end_with(self, turn: Turn, now: float) -> None:
        """The agent has ended the conversation: its last words are heard to the end, then we hang up."""
        if self.phase not in LIVE:
            return
        self._close_talk("agent-ended", now)
        self._asking = Asking.WANTED if self.policy.rating else Asking.UNWANTED
        queued = any(item.turn == turn.index for item in self.voice.queue)
        if not queued and turn.audible and not turn.heard:
            turn.item = self.voice.reply(turn.index).id
        if not self.voice.queue:
            self._part(now)

    def _part(self, now: float) -> None:
        """All that was to be said was heard: ask for a rating where one is wanted, then hang up."""
        match self._asking:
            case Asking.WANTED:
                self._asking = Asking.PUT
                self._say(Phrase.RATE, now)
                self.timers.start(Timer.ENDING, now + self.policy.last_words_seconds)
            case Asking.PUT:
                self._asking = Asking.WAITING
                self.timers.start(Timer.RATING, now + self.policy.rating_seconds)
            case Asking.UNWANTED | Asking.ANSWERED:
                self._hang_up(now)
            case Asking.WAITING:
                pass  # the timer ends it

    def _rate(self, digit: str, now: float) -> None:
        """A key while the call ends: the first of 1 to 5 after the question is the rating."""
        asked = self._asking in {Asking.PUT, Asking.WAITING} and not self._hanging_up
        if not asked or digit not in RATINGS:
            return
        self._asking = Asking.ANSWERED
        self.record.rating = int(digit)
        self.record.note(now, "rating", value=self.record.rating)
        self._dirty = True
        self.timers.stop(Timer.RATING)
        self.voice.clear()
        self._say(Phrase.THANKS, now)

    def _close_talk(self, reason: str, now: float) -> None:
        """No one takes a turn any more."""
        self.timers.stop_all()
        self.record.end_reason = self.record.end_reason or reason
        self._drop_speech()
        self.exchange.drop_waiting()
        self.voice.resume()
        self._stop_upload()
        self._enter(Phase.ENDING, now)
        self.timers.start(Timer.ENDING, now + self.policy.last_words_seconds)
        self._bound_drain(now, self.policy.settle_seconds)

    def _hang_up(self, now: float) -> None:
        if not self._hanging_up:
            self._hanging_up = True
            self._out.append(ReleaseLine() if self._transferring else HangUp())
            self.timers.start(Timer.ENDING, now + self.policy.hang_up_seconds)

    def _settle(self, now: float) -> None:
        """The caller is gone: stop talking, let the running exchange end, pay the debt."""
        if self.phase in {Phase.SETTLING, Phase.ENDED}:
            return
        self.timers.stop_all()
        self._cut_speech()
        if self.record.end_reason != "caller-hangup" or self.exchange.connected is None:
            self.exchange.drop_waiting()
        self.voice.clear()
        self._out.append(CloseLine())
        self._enter(Phase.SETTLING, now)
        open_still = self.exchange.connected is not None or self.exchange.freeing
        if self.exchange.conversation is Conversation.NONE and open_still:
            # its create is still open: the user is not free, and what comes of it is owed
            self.record.conversation_state = Conversation.FINISHING.value
        self._stop_upload()
        self._bound_drain(now, self.policy.settle_seconds)
        self._pay(now)

    def _cut_speech(self) -> None:
        """Half a sentence must not become a turn; what was said in full may still go out."""
        speech = self._speech
        self._drop_speech()
        if speech is not None and speech.taken:
            self.exchange.cut_short(speech.utterance)
        else:
            self.exchange.seal()

    def _send_last(self, turn: Turn, failed: bool, now: float) -> None:
        """The caller has hung up: what was said in full before goes out, where the API takes it."""
        if failed or turn.ends or self.exchange.conversation is not Conversation.OPEN:
            self.exchange.drop_waiting()
            return
        self.exchange.forget(turn)
        if self.exchange.start_next() is not None:
            self._bound_drain(now, self.policy.settle_seconds)

    def _stop_upload(self) -> None:
        """Half an utterance must not become a turn: an open upload is reset, never ended cleanly."""
        turn = self.exchange.connected
        if turn is not None and not turn.sealed:
            turn.sealed = True
            self.exchange.close_current()

    def _bound_drain(self, now: float, seconds: float) -> None:
        if self.exchange.connected is not None:
            self.timers.start(Timer.DRAIN, now + seconds)

    def _pay(self, now: float) -> None:
        """Finish the conversation once nothing of it is open any more."""
        open_still = self.exchange.connected is not None or self.exchange.freeing
        if self.phase is not Phase.SETTLING or open_still:
            return
        if self.exchange.pay():
            self.record.conversation_state = Conversation.FINISHING.value
            self._dirty = True
        elif self.exchange.conversation is not Conversation.FINISHING:
            if self.exchange.conversation in {Conversation.OVER, Conversation.NONE}:
                self.record.conversation_state = self.exchange.conversation.value
            self._enter(Phase.ENDED, now)

    def _drop_speech(self) -> None:
        for kept in (self._speech, self._early):
            if kept is not None:
                self._out.append(DropUtterance(kept.utterance))
        self._speech = None
        self._early = None

    def _flush(self) -> list[Command]:
        if self._dirty:
            self._dirty = False
            self._out.append(Save())
        commands = self._out.copy()
        self._out.clear()
        return commands
