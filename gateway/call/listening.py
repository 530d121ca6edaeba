"""The caller's side of the talk: speech that starts, is accepted, interrupts, ends; keys."""

from __future__ import annotations

from gateway.call.commands import CountBargeIn, DropUtterance
from gateway.call.events import (
    SpeechAccepted,
    SpeechEnded,
    SpeechPaused,
    SpeechResumed,
    SpeechStarted,
    UtteranceFull,
)
from gateway.call.exchange import Turn
from gateway.call.life import EarlyAnswer, Life, Speech
from gateway.call.phases import LIVE, Phase
from gateway.call.record import TurnRecord
from gateway.call.timers import Timer
from gateway.call.voice import Kind


class Listening(Life):
    """Who has the floor when the caller makes a sound or presses a key."""

    _last_key = 0.0
    _ended_at = float("-inf")
    """When the end of the caller's last accepted utterance was declared."""

    # ------------------------------------------------------------ speech

    def _speech_started(self, event: SpeechStarted, now: float) -> None:
        if self.phase not in LIVE:
            self._out.append(DropUtterance(event.utterance))
            return
        self._silence_due = self.timers.due(Timer.SILENCE) or self._silence_due
        self.timers.stop(Timer.SILENCE, Timer.MERGE)
        self._drop_early()
        if self._speech is not None:
            self._out.append(DropUtterance(self._speech.utterance))
        self._speech = Speech(event.utterance, self._needed_ms())
        self._speech.goes_on = self._answer_awaited(now)
        if self.voice.audible and self._interruptible():
            self.voice.hold()

    def _answer_awaited(self, now: float) -> bool:
        """The caller has only just spoken, and nothing of the answer was heard yet."""
        just = (now - self._ended_at) * 1000 <= self.policy.goes_on_ms
        return just and self.phase is Phase.THINKING and not self.voice.audible

    def _speech_paused(self, event: SpeechPaused, now: float) -> None:
        """Too little to interrupt, and it has stopped: the agent goes on, unless it was the second word."""
        speech = self._speech
        if speech is None or speech.utterance != event.utterance or speech.taken:
            return
        over_agent = self.voice.audible and speech.needed_ms == self.policy.confirm_ms
        if over_agent and self._is_second_word(event.ms, now):
            self._take_floor(speech, now)
            return
        self._let_go_on(speech, now)

    def _is_second_word(self, ms: int, now: float) -> bool:
        before, self._word = self._word, (now, ms)
        if before is None or now - before[0] > self.policy.words_within_seconds:
            return False
        return before[1] + ms >= self.policy.words_share * self.policy.confirm_ms

    def _speech_resumed(self, event: SpeechResumed) -> None:
        """The caller has not finished after all: our voice waits again."""
        speech = self._speech
        if speech is None or speech.utterance != event.utterance or speech.taken:
            return
        if self.voice.audible and self._interruptible():
            self.voice.hold()

    def _let_go_on(self, speech: Speech, now: float) -> None:
        """A sound that does not interrupt: our voice goes on at the exact frame."""
        if self.voice.held and not speech.settled:
            speech.settled = True
            self._out.append(CountBargeIn(confirmed=False))
            self.record.note(now, "barge-in", confirmed=False)
        self.voice.resume()

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
        front = self.voice.front
        phrase = None if front is None else front.phrase
        if phrase is not None and phrase.value in self.policy.protected_phrases:
            return True
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
        if speech is None or speech.taken:
            return
        if speech.needed_ms is None:
            # what could not be interrupted may be over by now
            speech.needed_ms = self._needed_ms()
        if speech.needed_ms is None:
            return
        if speech.accepted_ms >= speech.needed_ms:
            self._take_floor(speech, now)

    def _take_floor(self, speech: Speech, now: float) -> None:
        speech.taken = True
        self._word = None
        self._prompts = 0
        if speech.goes_on:
            self._patience.cut_short()
            self._tell_patience()
        if self.voice.queue:
            if any(item.kind is Kind.REPLY for item in self.voice.queue):
                self._patience.asked("")  # its question was not heard
                self._tell_patience()
            self._interrupt(now)
        self.timers.stop(Timer.DEAD_AIR, Timer.FILLER, Timer.PATIENCE, Timer.STALL, Timer.SILENCE)
        self._quiet_since = self._silence_due = None
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
        if current is not None and not current.ends:
            current.record.abandoned = True
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
        self._let_go_on(speech, now)
        enough = event.accepted_ms >= self.policy.upload_after_ms
        if self._kept_for_later(speech, event):
            self.exchange.keep(event.utterance)
            self._spoken = (event.began_at, event.last_at, now)
        elif enough and self.voice.audible and not self._greeting_awaited():
            self._early = EarlyAnswer(event.utterance, now, event.began_at, event.last_at)
        else:
            self._not_sent(event.utterance, now, over_agent=enough and self.voice.audible)
        self._go_on(now)

    def _kept_for_later(self, speech: Speech, event: SpeechEnded) -> bool:
        """Words enough to interrupt, over a voice that nothing interrupts: they are answered after it."""
        words = speech.needed_ms is None and event.accepted_ms >= self.policy.confirm_ms
        if not (words and self.voice.audible) or self._greeting_awaited():
            return False
        current = self.exchange.current
        return not self.exchange.closing and not (current is not None and current.ends)

    def _not_sent(self, utterance: int, ended_at: float, *, over_agent: bool) -> None:
        """Words that are nobody's turn: listening said aloud, or no words at all."""
        if over_agent:
            self.record.note(ended_at, "back-channel")
        self._out.append(DropUtterance(utterance))

    def _go_on(self, now: float) -> None:
        """A false start is over: what it had stopped goes on."""
        if self.phase is Phase.THINKING and self.exchange.unsealed:
            self._seal(now)
        elif self.phase is Phase.LISTENING and not self._send_waiting(now):
            due = self._silence_due
            self._await_caller(now)
            if due is not None and self.timers.running(Timer.SILENCE):
                self.timers.start(Timer.SILENCE, max(due, now))

    def _utterance_over(self, began: float, last: float, now: float) -> None:
        """An accepted utterance has ended; the body stays open for `merge_ms`, then the agent's turn begins."""
        self._ended_at = now
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
            self._not_sent(self._early.utterance, self._early.ended_at, over_agent=True)
            self._early = None

    def _answer_early(self, now: float) -> bool:
        """The agent is silent: a short answer that ended just before counts as the caller's turn.

        So does one into the silence of an answer that had run dry: nothing was to be heard since.
        """
        early, self._early = self._early, None
        if early is None:
            return False
        silent = now if self._quiet_since is None else self._quiet_since
        if (silent - early.ended_at) * 1000 > self.policy.early_answer_ms:
            self._not_sent(early.utterance, early.ended_at, over_agent=True)
            return False
        self.exchange.take(early.utterance)
        self._utterance_over(early.began, early.last, early.ended_at)
        return True
