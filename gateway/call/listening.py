"""The caller's side of the talk: speech that starts, is accepted, interrupts, ends; keys."""

from __future__ import annotations

from gateway.call.commands import CountBargeIn, DropUtterance
from gateway.call.events import SpeechAccepted, SpeechEnded, SpeechStarted, UtteranceFull
from gateway.call.exchange import Turn
from gateway.call.life import EarlyAnswer, Life, Speech
from gateway.call.phases import LIVE, Phase
from gateway.call.record import TurnRecord
from gateway.call.timers import Timer
from gateway.call.voice import Kind

MAX_DIGITS = 64
"""Keys in one sequence; more are sent as the next."""


class Listening(Life):
    """Who has the floor when the caller makes a sound or presses a key."""

    # ------------------------------------------------------------ speech

    def _speech_started(self, event: SpeechStarted) -> None:
        if self.phase not in LIVE:
            self._out.append(DropUtterance(event.utterance))
            return
        self.timers.stop(Timer.SILENCE, Timer.MERGE)
        self._drop_early()
        if self._speech is not None:
            self._out.append(DropUtterance(self._speech.utterance))
        self._speech = Speech(event.utterance, self._needed_ms())
        if self.voice.audible and self._interruptible():
            self.voice.hold()

    def _needed_ms(self) -> int | None:
        """How much accepted speech gives the caller the floor, as things stand."""
        if self._greeting_awaited():
            return None
        front = self.voice.front
        if front is None or not self.voice.audible:
            return self.policy.upload_after_ms
        if not self._interruptible():
            return None
        # over a phrase of our own nothing is lost by yielding soon
        ours = front.kind is Kind.PHRASE
        return self.policy.upload_after_ms if ours else self.policy.confirm_ms

    def _greeting_awaited(self) -> bool:
        """Speech before the greeting: dropped if it ends before the greeting begins, else the first turn."""
        turn = self.exchange.current
        return self.phase is Phase.GREETING and turn is not None and not turn.audible

    def _interruptible(self) -> bool:
        """Whether speech may stop what plays."""
        return self.policy.barge_in and self.phase in LIVE and not self._must_be_heard()

    def _must_be_heard(self) -> bool:
        """Something that plays is protected, from speech and keys alike."""
        turns = [
            self.exchange.find(item.turn) for item in self.voice.queue if item.turn is not None
        ]
        return any(turn is not None and self._protected(turn) for turn in turns)

    def _protected(self, turn: Turn) -> bool:
        return turn.ends or (turn.is_greeting and self.policy.protect_greeting)

    def _speech_accepted(self, event: SpeechAccepted, now: float) -> None:
        speech = self._speech
        if speech is None or speech.utterance != event.utterance:
            return
        speech.accepted_ms = max(speech.accepted_ms, event.ms)
        self._consider(now)

    def _consider(self, now: float) -> None:
        """Give the floor to the caller if enough was heard."""
        speech = self._speech
        if speech is None or speech.taken or speech.needed_ms is None:
            return
        if speech.accepted_ms >= speech.needed_ms:
            self._take_floor(speech, now)

    def _take_floor(self, speech: Speech, now: float) -> None:
        speech.taken = True
        self._prompts = 0
        if self.voice.queue:
            self._interrupt(now)
        self.timers.stop(Timer.DEAD_AIR, Timer.FILLER, Timer.PATIENCE, Timer.STALL, Timer.SILENCE)
        self._quiet_since = None
        current = self.exchange.current
        if current is not None and current.utterances and not current.sealed:
            self.exchange.extend(speech.utterance)
        else:
            self._abandon(now)
            self.exchange.take(speech.utterance)
        self._enter(Phase.UPLOADING, now)

    def _interrupt(self, now: float) -> None:
        """The caller wins: everything of ours that plays or waits is cut with one clear."""
        replies = [item for item in self.voice.queue if item.kind is Kind.REPLY]
        for item in replies:
            turn = self.exchange.find(item.turn) if item.turn is not None else None
            if turn is not None:
                turn.record.interrupted = True
        if self.voice.audible:
            self._out.append(CountBargeIn(confirmed=True))
            self.record.note(now, "barge-in", confirmed=True)
        self.voice.clear()

    def _abandon(self, now: float, seconds: float | None = None) -> None:
        """The running reply is drained unheard, for a bounded time; last words are kept."""
        current = self.exchange.current
        if current is not None and current.ends and not current.connected:
            self._keep_last_words(current)
            self.exchange.current = None
            return
        if self.exchange.abandon() is not None and self.exchange.connected is not None:
            wait = self.policy.drain_ms / 1000 if seconds is None else seconds
            self.timers.start(Timer.DRAIN, now + wait)

    def _speech_ended(self, event: SpeechEnded, now: float) -> None:
        speech = self._speech
        if speech is None or speech.utterance != event.utterance:
            return
        self._speech = None
        if speech.taken:
            self._utterance_over(event.began_at, event.last_at, now)
            return
        if self.voice.held:
            self._out.append(CountBargeIn(confirmed=False))
            self.record.note(now, "barge-in", confirmed=False)
        self.voice.resume()
        enough = event.accepted_ms >= self.policy.upload_after_ms
        if enough and self.voice.audible and not self._greeting_awaited():
            self._early = EarlyAnswer(event.utterance, now, event.began_at, event.last_at)
        else:
            self._out.append(DropUtterance(event.utterance))
        self._go_on(now)

    def _go_on(self, now: float) -> None:
        """A false start is over: what it had stopped goes on."""
        current = self.exchange.current
        if self.phase is Phase.THINKING and current is not None and not current.sealed:
            self._seal(now)
        elif self.phase is Phase.LISTENING and not self._send_waiting(now):
            self._await_caller(now)

    def _utterance_over(self, began: float, last: float, now: float) -> None:
        """An accepted utterance has ended; the body stays open for `merge_ms`, then the agent's turn begins."""
        current = self.exchange.current
        if current is not None and current.utterances:
            self._time_speech(current.record, began, last, now)
        else:
            self._spoken = (began, last, now)
        self._enter(Phase.THINKING, now)
        if self.policy.merge_ms > 0:
            self.timers.start(Timer.MERGE, now + self.policy.merge_ms / 1000)
        else:
            self._seal(now)

    def _utterance_full(self, event: UtteranceFull, now: float) -> None:
        """The cap: the body ends here, its reply stays unheard, the caller's next words are the next turn."""
        speech = self._speech
        if speech is None or speech.utterance != event.utterance:
            return
        self.record.note(now, "utterance-full")
        self._speech = Speech(event.successor, speech.needed_ms, speech.accepted_ms, speech.taken)
        if not speech.taken:
            self._out.append(DropUtterance(event.utterance))
            return
        current = self.exchange.current
        if current is not None and current.utterances:
            self._time_speech(current.record, event.began_at, event.last_at, now)
        self._abandon(now, self.policy.patience_seconds)
        self.exchange.take(event.successor)

    _spoken: tuple[float, float, float] | None = None
    """Times of an utterance that ended while its turn could not start yet."""

    def _time_speech(self, record: TurnRecord, began: float, last: float, now: float) -> None:
        times = record.times
        if times.began is None:
            times.began = began
        times.last = last
        times.declared = now

    # ------------------------------------------------------------ the end of the caller's turn

    def _seal(self, now: float) -> None:
        """The body ends; from here on silence is ours to fill."""
        self.timers.stop(Timer.MERGE)
        self.exchange.seal()
        if self._over(now):
            return
        if self.exchange.waiting_text and self.exchange.current is not None:
            self._abandon(now)  # keys pressed meanwhile make this turn's reply a stale one
        self._start_next(now)
        self._enter(Phase.THINKING, now)
        current = self.exchange.current
        self._await_agent(now, current)
        if current is not None and current.audible:
            self._speak(current, now)

    def _start_next(self, now: float) -> None:
        """Start what waits, if the conversation is free."""
        turn = self.exchange.start_next()
        if turn is None:
            return
        if turn.record.kind == "dtmf":
            self._time_speech(turn.record, self._last_key, self._last_key, now)
        elif self._spoken is not None:
            self._time_speech(turn.record, *self._spoken)
        self._spoken = None

    def _send_waiting(self, now: float) -> bool:
        """Whether something waited to be sent; then it is the agent's turn."""
        if not self.exchange.waiting and not self.exchange.waiting_text:
            return False
        self._start_next(now)
        self._enter(Phase.THINKING, now)
        self._await_agent(now)
        return True

    def _over(self, now: float) -> bool:
        """The agent ended the conversation while the caller spoke: its last words come now."""
        if self._last_words is None:
            return False
        self._end_with(self._last_words, now)
        return True

    def _keep_last_words(self, turn: Turn) -> None:
        """No turn can follow; what the agent said last is played when the caller pauses."""
        self._last_words = turn
        self.exchange.closing = True

    _last_words: Turn | None = None
    """A reply that ended the conversation but was interrupted; never discarded."""

    def _speak(self, turn: Turn, now: float) -> None:
        """Say the reply; a caller who is speaking holds it at once, or has the floor already."""
        self.voice.stop_comfort()
        speech = self._speech
        yields = self.policy.barge_in and not self._protected(turn)
        if speech is not None and speech.needed_ms is None and yields:
            speech.needed_ms = self.policy.upload_after_ms
            if speech.accepted_ms >= speech.needed_ms:
                turn.record.interrupted = True
                self._take_floor(speech, now)
                return
        turn.item = self.voice.reply(turn.index).id
        if self.phase is not Phase.GREETING:
            self._enter(Phase.SPEAKING, now)
        if speech is not None and not speech.taken and yields:
            self.voice.hold()

    def _drop_early(self) -> None:
        if self._early is not None:
            self._out.append(DropUtterance(self._early.utterance))
            self._early = None

    def _answer_early(self, now: float) -> bool:
        """The agent is silent: a short answer that ended just before counts as the caller's turn."""
        early, self._early = self._early, None
        if early is None:
            return False
        if (now - early.ended_at) * 1000 > self.policy.early_answer_ms:
            self._out.append(DropUtterance(early.utterance))
            return False
        self.exchange.take(early.utterance)
        self._utterance_over(early.began, early.last, early.ended_at)
        return True

    # ------------------------------------------------------------ keys

    _last_key = 0.0

    def _digit(self, digit: str, now: float) -> None:
        if self.phase is Phase.ENDING:
            self._rate(digit, now)
        if self.phase not in LIVE:
            return
        self.record.note(now, "digit")
        self._prompts = 0
        self._last_key = now
        self.timers.stop(Timer.SILENCE)
        if self.voice.queue and not self._must_be_heard() and not self._greeting_awaited():
            self._interrupt(now)
            self._abandon(now)
            if self.phase in {Phase.GREETING, Phase.SPEAKING}:
                self._enter(Phase.LISTENING, now)
        self._digits += digit
        if digit == "#" or len(self._digits) >= MAX_DIGITS:
            self._send_digits(now)
        else:
            self.timers.start(Timer.DIGITS, now + self.policy.digits_pause_ms / 1000)

    def _send_digits(self, now: float) -> None:
        """The sequence is complete: it is the caller's turn, unless the caller is speaking too."""
        self.timers.stop(Timer.DIGITS)
        digits, self._digits = self._digits, ""
        text = digits.rstrip("#") or digits
        if not text:
            return
        self._keyed(text, now)

    def _keyed(self, text: str, now: float) -> None:
        self.exchange.waiting_text += text
        speaking = self._speech is not None and self._speech.taken
        if speaking or self._greeting_awaited() or self._must_be_heard():
            return
        self.voice.clear()
        self._abandon(now)
        self._send_waiting(now)
