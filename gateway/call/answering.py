"""The agent's side of the talk: replies that arrive, play, fail; fillers; what playback reports."""

from __future__ import annotations

from gateway.call.commands import FreeUser, Phrase
from gateway.call.events import (
    CallerUnderstood,
    ConversationOpened,
    FillerReady,
    PlaybackBegan,
    PlaybackCleared,
    PlaybackDrained,
    PlaybackHeard,
    ReplyAudio,
    ReplyCompleted,
    TurnClosed,
    UserFreed,
)
from gateway.call.exchange import Conversation, Turn
from gateway.call.keying import Keying
from gateway.call.phases import LIVE, UNHEARD, Phase
from gateway.call.retry import Again, Verdict, after_create, after_interact
from gateway.call.timers import Timer
from gateway.call.voice import Kind


class Answering(Keying):
    """What becomes of the agent's replies."""

    # ------------------------------------------------------------ arriving

    def _conversation_opened(self, event: ConversationOpened, now: float) -> None:
        self.exchange.conversation = Conversation.OPEN
        self.record.conversation_id = event.conversation_id
        self.record.conversation_state = Conversation.OPEN.value
        self.record.note(now, "conversation-created")
        self._dirty = True

    def _understood(self, event: CallerUnderstood, now: float) -> None:
        turn = self.exchange.find(event.turn)
        if turn is not None:
            turn.record.user_message_id = event.message_id
            turn.record.user_text = event.text
            turn.record.times.understood = now

    def _body_sent(self, index: int, now: float) -> None:
        turn = self.exchange.find(index)
        if turn is not None:
            turn.record.times.body_sent = now

    def _filler_ready(self, event: FillerReady) -> None:
        turn = self.exchange.current
        waiting = self.phase in {Phase.THINKING, Phase.GREETING}
        if turn is None or turn.index != event.turn or turn.audible or not waiting:
            return
        if self._speech is None and not self.voice.audible:
            self.voice.stop_comfort()
            self.voice.filler(event.turn, event.filler)
            self._comforted = True
            self.timers.stop(Timer.FILLER)

    def _reply_audio(self, event: ReplyAudio, now: float) -> None:
        turn = self.exchange.find(event.turn)
        if turn is None:
            return
        first = not turn.audible
        turn.audible = True
        if turn is not self.exchange.current:
            return
        if not turn.completed and self.phase in LIVE:
            self.timers.start(Timer.STALL, now + self.policy.stall_seconds)
        for item in self.voice.queue:
            if item.id == turn.item:
                item.starved = False
        if not first:
            return
        turn.record.times.first_audio = now
        self.timers.stop(Timer.PATIENCE, Timer.FILLER, Timer.DEAD_AIR)
        expected = self.phase is Phase.GREETING and turn.is_greeting
        if expected or (self.phase is Phase.THINKING and turn.sealed):
            self._speak(turn, now)

    def _reply_completed(self, event: ReplyCompleted) -> None:
        turn = self.exchange.find(event.turn)
        if turn is None:
            return
        turn.completed = True
        turn.ends = turn.ends or event.ends
        turn.record.agent_message_id = event.message_id
        turn.record.interaction_id = event.interaction_id
        turn.record.agent_text = event.text
        if turn is self.exchange.current:
            self._patience.asked(event.text)
            self._tell_patience()
        self.timers.stop(Timer.STALL)
        self._dirty = True

    def _conversation_ended(self, index: int, now: float) -> None:
        turn = self.exchange.find(index)
        if turn is None:
            return
        turn.ends = True
        if self.phase is Phase.LISTENING and self._speech is None:
            self._end_with(turn, now)

    # ------------------------------------------------------------ connections that end

    def _turn_closed(self, event: TurnClosed, now: float) -> None:
        draining = self.exchange.draining
        turn = self.exchange.closed(event)
        if turn is None:
            return
        self._dirty = True
        if self.phase is Phase.SETTLING:
            self._send_last(turn, event.failure is not None, now)
            self._pay(now)
        elif self.phase is Phase.ENDING:
            self.exchange.forget(turn)
        elif turn is draining:
            self._drained(turn, event, now)
        elif event.failure is None or turn.completed:
            self._answered(turn, now)
        else:
            self._failed(turn, event, now)

    def _answered(self, turn: Turn, now: float) -> None:
        """The exchange is complete; the reply may still be playing."""
        self.timers.stop(Timer.STALL)
        if not turn.audible and self.phase not in UNHEARD:
            self._reply_over(turn, now)

    def _reply_over(self, turn: Turn, now: float) -> None:
        """The reply was heard to its end, or had no sound."""
        turn.heard = True
        self._patience.ended_well()
        self._tell_patience()
        if turn.ends:
            self._end_with(turn, now)
            return
        if turn.connected:
            # the caller may speak; the next turn starts when the connection has ended
            self.exchange.current = None
            self.exchange.draining = turn
            self._bound_drain(now, self.policy.settle_seconds)
        else:
            self.exchange.forget(turn)
        if self.phase in LIVE and self.phase is not Phase.UPLOADING:
            self._caller_next(now)

    def _caller_next(self, now: float) -> None:
        self._listen(now)
        if self._answer_early(now):
            return
        speech = self._speech
        if speech is not None and not speech.taken:
            speech.needed_ms = self.policy.upload_after_ms
            self._consider(now)
        else:
            self._send_waiting(now)

    def _drained(self, turn: Turn, event: TurnClosed, now: float) -> None:
        """An unwanted reply's connection has ended: what the caller said meanwhile goes out."""
        self.timers.stop(Timer.DRAIN)
        if turn.is_greeting and not turn.completed:
            # the caller spoke over a greeting that then failed: without it there is no conversation
            self._failed(turn, event, now)
            return
        failure = event.failure
        if turn.ends or (failure is not None and failure.finished):
            # cut by us before its clean end, it may have asked for a finish
            if not event.after_completion and (failure is None or failure.finished):
                self.exchange.conversation = Conversation.OVER
            self.exchange.draining = None
            self._keep_last_words(turn)
            if self._speech is None or not self._speech.taken:
                self._end_with(turn, now)
            return
        self.exchange.drained(turn, failure)
        self._start_next(now)

    # ------------------------------------------------------------ failures

    def _failed(self, turn: Turn, event: TurnClosed, now: float) -> None:
        """Send it again, do without it, or end the call politely."""
        failure = event.failure
        if failure is None:
            return
        self.timers.stop(Timer.STALL)
        self.record.note(
            now,
            "turn-failed",
            how=failure.kind.value,
            status=failure.status,
            operation=failure.operation,
        )
        left = self._patience_left(now)
        judge = after_create if turn.is_greeting else after_interact
        verdict = judge(failure, turn.tries, left)
        if isinstance(verdict, Again):
            self._again(turn, verdict.seconds, now)
        elif verdict is Verdict.FREE_USER:
            self.exchange.freeing = True
            self._out.append(FreeUser(self.exchange.maybe_created))
        elif verdict is Verdict.NOTHING_HEARD:
            self._nothing_heard(turn, now)
        elif verdict is Verdict.CONVERSATION_OVER:
            self.exchange.conversation = Conversation.OVER
            self._end("agent-ended", Phrase.CLOSING, now)
        else:
            self._end("api-error", Phrase.APOLOGY, now)

    def _patience_left(self, now: float) -> float:
        if self.phase in {Phase.THINKING, Phase.GREETING} and self._patience_until > 0:
            return max(0.0, self._patience_until - now)
        return self.policy.patience_seconds

    def _again(self, turn: Turn, seconds: float, now: float) -> None:
        """The same words once more; a caller who had heard part of the answer is told so."""
        item = None if turn.item is None else self.voice.find(turn.item)
        if item is not None:
            heard = item.began
            self.voice.clear()
            if heard and self.phase in LIVE:
                self._say(Phrase.LOST_ANSWER, now)
        turn.audible = False
        turn.item = None
        if self.phase is Phase.SPEAKING:
            self._enter(Phase.THINKING, now)
        waiting = self.phase in {Phase.THINKING, Phase.GREETING}
        if waiting and not self.timers.running(Timer.PATIENCE):
            self._await_agent(now)
        self.timers.start(Timer.RETRY, now + seconds)

    def _retry_due(self) -> None:
        """Time to send the failed turn again; a voided creation's conversation is finished first."""
        turn = self.exchange.current or self.exchange.draining
        if turn is None or turn.connected or turn.completed:
            return
        if turn.is_greeting and self.exchange.conversation is not Conversation.NONE:
            if not self.exchange.pay():
                return
            self.record.conversation_state = Conversation.FINISHING.value
            self._dirty = True
            return
        self.exchange.retry()

    def _nothing_heard(self, turn: Turn, now: float) -> None:
        """The API found nothing to transcribe: no failure, the caller's turn again."""
        turn.record.user_text = turn.record.user_text or ""
        self.exchange.forget(turn)
        if self.phase is Phase.THINKING:
            self.voice.stop_comfort()
            self._caller_next(now)

    def _user_freed(self, event: UserFreed, now: float) -> None:
        self.exchange.freeing = False
        if self.phase is Phase.SETTLING:
            self._pay(now)  # the caller has gone meanwhile: the debt waited for this
            return
        turn = self.exchange.current or self.exchange.draining
        if turn is None or not turn.is_greeting or turn.connected:
            return
        self.record.note(now, "user-freed", freed=event.freed, held=event.held)
        if event.freed:
            self.timers.start(Timer.RETRY, now + 0.5)
        elif event.held:
            self._end("rejected", Phrase.BUSY, now)
        else:
            self._end("api-error", Phrase.APOLOGY, now)

    # ------------------------------------------------------------ playback

    def _playback_began(self, event: PlaybackBegan, now: float) -> None:
        item = self.voice.find(event.item)
        if item is None:
            return
        item.began = True
        item.starved = False
        self._sound_began(now)
        turn = None if item.turn is None else self.exchange.find(item.turn)
        if turn is None:
            return
        times = turn.record.times
        if item.kind is Kind.REPLY and times.sent is None:
            times.sent = now
        elif item.kind is Kind.FILLER and times.filler is None:
            times.filler = now

    def _playback_heard(self, event: PlaybackHeard) -> None:
        item = self.voice.find(event.item)
        turn = None if item is None or item.turn is None else self.exchange.find(item.turn)
        if item is None or turn is None or item.kind is not Kind.REPLY:
            return
        if turn.record.times.played is None:
            turn.record.times.played = event.at

    def _playback_starved(self, item_id: int, now: float) -> None:
        item = self.voice.find(item_id)
        if item is not None and item in self.voice.queue:
            item.starved = True
            self._mind_dead_air(now)

    def _playback_done(self, event: PlaybackDrained | PlaybackCleared, now: float) -> None:
        item = self.voice.done(event.item)
        if item is None:
            return
        self._heard(item.turn, item.kind, event)
        if isinstance(event, PlaybackCleared):
            return
        if self.phase is Phase.ENDING:
            if not self.voice.queue:
                self._part(now)
            return
        turn = None if item.turn is None else self.exchange.find(item.turn)
        if item.kind is Kind.REPLY and turn is not None and turn.completed:
            turn.heard = True
            if self.phase not in UNHEARD:
                self._reply_over(turn, now)
        elif self.phase is Phase.LISTENING:
            self._after_prompt(now)
        else:
            self._mind_dead_air(now)
            self._consider(now)

    def _after_prompt(self, now: float) -> None:
        if not self._answer_early(now):
            self._await_caller(now)
            self._consider(now)

    def _heard(
        self, index: int | None, kind: Kind, event: PlaybackDrained | PlaybackCleared
    ) -> None:
        """What the caller heard of a reply, added up over interruptions."""
        if index is None or kind is not Kind.REPLY or index >= len(self.record.turns):
            return
        self.record.turns[index].heard_text = event.heard_text
        self._dirty = True
