"""The mind of one call: events and the time in, commands out.

Rules of this package:
- nothing here awaits, sleeps, reads a clock, logs or draws a random number;
- the shell performs the commands of one `handle` before it hands over the next event;
- it calls `wake(now)` at `deadline`, and again until `deadline` lies in the future.
"""

from __future__ import annotations

from typing import assert_never

from gateway.call import events as ev
from gateway.call.commands import Command, Phrase
from gateway.call.connecting import Connecting
from gateway.call.exchange import Conversation
from gateway.call.phases import LIVE, UNHEARD, Phase
from gateway.call.timers import Timer


class CallSession(Connecting):
    """One call from the carrier's question to the settled debt."""

    def begin(self, now: float) -> list[Command]:
        """The call was answered: create the conversation while the carrier connects."""
        self.timers.start(Timer.NO_MEDIA, now + self.policy.token_seconds)
        self.timers.start(Timer.MAX_CALL, now + self.policy.max_call_seconds)
        self.record.note(now, "answered")
        self.exchange.open()
        self._dirty = True
        return self._flush()

    def resume(self, now: float) -> list[Command]:
        """In place of `begin`: the record is that of a call whose process was lost, taken up here.

        Its caller is waited for, and hears a short phrase; a conversation that exists goes on, one that
        may not exist yet is created. A call that was ending ends, with a last word.
        """
        self._take_up(now)
        return self._flush()

    def handle(self, event: ev.Event, now: float) -> list[Command]:
        """Take one event; returns what to do, in order. Stale events change nothing."""
        if self.phase is not Phase.ENDED:
            self._dispatch(event, now)
        return self._flush()

    def wake(self, now: float) -> list[Command]:
        """Act on every timer that is due."""
        while (timer := self.timers.take_due(now)) is not None:
            self._due(timer, now)
        return self._flush()

    # ------------------------------------------------------------ events

    def _dispatch(self, event: ev.Event, now: float) -> None:
        match event:
            case ev.SpeechStarted():
                self._speech_started(event, now)
            case ev.SpeechAccepted():
                self._speech_accepted(event, now)
            case ev.SpeechPaused():
                self._speech_paused(event, now)
            case ev.SpeechResumed():
                self._speech_resumed(event)
            case ev.LineMeasured():
                self._line_measured(event)
            case ev.SpeechEnded():
                self._speech_ended(event, now)
            case ev.UtteranceFull():
                self._utterance_full(event, now)
            case ev.DigitPressed():
                self._digit(event.digit, now)
            case ev.StreamOpened():
                self._stream_opened(event, now)
            case ev.TokenRenewed():
                self._token_renewed(now)
            case ev.CallerGone():
                self._gone(event.reason, now)
            case ev.LineLost():
                self._line_lost(now)
            case ev.LineClosed():
                self._gone("agent-ended", now)
            case ev.PlaybackBegan():
                self._playback_began(event, now)
            case ev.PlaybackHeard():
                self._playback_heard(event)
            case ev.PlaybackStarved():
                self._playback_starved(event.item, now)
            case ev.PlaybackDrained() | ev.PlaybackCleared():
                self._playback_done(event, now)
            case ev.EndRequested():
                self._end_requested(event.reason, now)
            case ev.TransferRequested():
                self._transfer(event.target, now)
            case ev.TakenOver():
                self._disown(now)
            case ev.Broken():
                self._broken(now)
            case _:
                self._dispatch_api(event, now)

    def _dispatch_api(
        self,
        event: ev.ConversationOpened
        | ev.BodySent
        | ev.CallerUnderstood
        | ev.FillerReady
        | ev.ReplyAudio
        | ev.ReplyCompleted
        | ev.ConversationEnded
        | ev.TurnClosed
        | ev.UserFreed
        | ev.ConversationSettled,
        now: float,
    ) -> None:
        match event:
            case ev.ConversationOpened():
                self._conversation_opened(event, now)
            case ev.BodySent():
                self._body_sent(event.turn, now)
            case ev.CallerUnderstood():
                self._understood(event, now)
            case ev.FillerReady():
                self._filler_ready(event)
            case ev.ReplyAudio():
                self._reply_audio(event, now)
            case ev.ReplyCompleted():
                self._reply_completed(event)
            case ev.ConversationEnded():
                self._conversation_ended(event.turn, now)
            case ev.TurnClosed():
                self._turn_closed(event, now)
            case ev.UserFreed():
                self._user_freed(event, now)
            case ev.ConversationSettled():
                self._settled(event.state, now)
            case _:
                assert_never(event)

    def _line_measured(self, event: ev.LineMeasured) -> None:
        measured: dict[str, object] = {
            "noise_floor_dbfs": event.noise_floor_dbfs,
            "echo_return_db": event.echo_return_db,
            "echo_delay_ms": event.echo_delay_ms,
        }
        self._dirty = self._dirty or measured != self.record.line
        self.record.line = measured

    # ------------------------------------------------------------ endings

    def _end_requested(self, reason: str, now: float) -> None:
        if self.phase in UNHEARD:
            self._gone(reason, now)
        elif reason == "operator" and self.phase in LIVE:
            self._close_talk(reason, now)
            self.voice.clear()
            self._hang_up(now)
        else:
            self._end(reason, Phrase.CLOSING, now)

    def _broken(self, now: float) -> None:
        """Our own fault: the caller hears an apology, or at least does not wait for nothing."""
        self.record.note(now, "broken")
        if self.phase is Phase.ENDING:
            self._hang_up(now)
        else:
            self._end("api-error", Phrase.APOLOGY, now)

    def _settled(self, state: str, now: float) -> None:
        """The finish is paid: the call is over, or a voided creation may be tried again."""
        self.record.conversation_state = state
        self._dirty = True
        if self.phase is Phase.SETTLING:
            self.exchange.conversation = Conversation.SETTLED
            self._enter(Phase.ENDED, now)
            return
        self.exchange.conversation = Conversation.NONE
        self.exchange.maybe_created = False
        turn = self.exchange.current or self.exchange.draining
        if (
            turn is not None
            and turn.is_greeting
            and not turn.completed
            and self.phase is not Phase.ENDING
        ):
            # what the next create may leave behind must not be taken for the one just finished
            self.record.conversation_id = None
            self.record.conversation_state = Conversation.NONE.value
            self.exchange.retry()

    # ------------------------------------------------------------ timers

    def _due(self, timer: Timer, now: float) -> None:
        match timer:
            case Timer.NO_MEDIA:
                self._nobody_came(now)
            case Timer.AWAY:
                self._gone("caller-hangup", now)
            case Timer.MAX_CALL:
                self._end("max-duration", Phrase.TIME_UP, now)
            case Timer.SILENCE:
                self._silence(now)
            case Timer.DEAD_AIR | Timer.FILLER:
                self._fill_silence(now)
            case Timer.PATIENCE:
                self._end("api-error", Phrase.APOLOGY, now)
            case Timer.STALL | Timer.DRAIN:
                self.exchange.close_current()
            case Timer.RETRY:
                self._retry_due()
            case Timer.MERGE:
                self._seal(now)
            case Timer.DIGITS:
                self._send_digits(now)
            case Timer.RATING:
                self._hang_up(now)
            case Timer.ENDING:
                if self._hanging_up:
                    self._settle(now)
                else:
                    self._hang_up(now)
            case _:
                assert_never(timer)

    def _silence(self, now: float) -> None:
        """The caller is silent: ask, then say goodbye."""
        if self._prompts >= self.policy.prompts:
            self._end("silence", Phrase.SILENCE_GOODBYE, now)
            return
        self._prompts += 1
        self.exchange.new_record("silence")
        self._say(Phrase.STILL_THERE, now)
