"""Scenes of a call, told as events and what the core asks for."""

from __future__ import annotations

import pytest

from gateway.call import commands as cmd
from gateway.call import events as ev
from gateway.call.phases import Phase
from gateway.call.policy import Policy
from gateway.call.session import CallSession
from gateway.ids import ConversationId, StreamSid
from tests.support.world import make_record

CID = ConversationId("0123456789abcdef01234567")


class Stage:
    """A session with the time in hand and every command so far."""

    def __init__(self, **policy: object) -> None:
        self.now = 100.0
        self.session = CallSession(make_record(), Policy(**policy))  # type: ignore[arg-type]
        self.asked: list[cmd.Command] = self.session.begin(self.now)

    def tell(self, *events: ev.Event) -> list[cmd.Command]:
        new = [command for event in events for command in self.session.handle(event, self.now)]
        self.asked += new
        return [command for command in new if not isinstance(command, cmd.Save)]

    def wait(self, seconds: float) -> list[cmd.Command]:
        until, new = self.now + seconds, []
        while (deadline := self.session.deadline) is not None and deadline <= until:
            self.now = max(self.now, deadline)
            new += self.session.wake(self.now)
        self.now = until
        self.asked += new
        return [command for command in new if not isinstance(command, cmd.Save)]

    # ---- the usual way

    def greeted(self) -> Stage:
        """The greeting was heard and the caller has the floor."""
        self.tell(ev.StreamOpened(StreamSid("MZ1")), ev.ConversationOpened(CID))
        item = self.said(self.tell(ev.ReplyAudio(0)))
        self.tell(ev.PlaybackBegan(item), ev.ReplyCompleted(0, "m0", "i0", "Hello", ends=False))
        self.tell(ev.TurnClosed(0), ev.PlaybackDrained(item, 900))
        assert self.session.phase is Phase.LISTENING
        return self

    def spoken(self, utterance: int = 0) -> Stage:
        """The caller has said something of a second."""
        self.tell(ev.SpeechStarted(utterance), ev.SpeechAccepted(utterance, 240))
        self.tell(ev.SpeechAccepted(utterance, 450))
        self.now += 1.0
        self.tell(ev.SpeechEnded(utterance, 450, self.now - 1.5, self.now - 0.7))
        return self

    def replying(self, turn: int = 1) -> int:
        """The reply to this turn has begun to play; returns its item."""
        item = self.said(self.tell(ev.ReplyAudio(turn)))
        self.tell(ev.PlaybackBegan(item))
        return item

    def said(self, commands: list[cmd.Command]) -> int:
        [item] = [command.item for command in commands if isinstance(command, cmd.SayReply)]
        return item

    def phrases(self) -> list[cmd.Phrase]:
        return [command.phrase for command in self.asked if isinstance(command, cmd.SayPhrase)]

    def finishes(self) -> int:
        return sum(isinstance(command, cmd.FinishConversation) for command in self.asked)


def test_creation_begins_before_the_stream_is_there() -> None:
    assert cmd.OpenConversation() in Stage().asked


def test_a_greeting_that_came_early_is_played_when_the_stream_opens() -> None:
    stage = Stage()
    stage.tell(ev.ConversationOpened(CID), ev.ReplyAudio(0))

    assert cmd.SayReply(0, 0) in stage.tell(ev.StreamOpened(StreamSid("MZ1")))


def test_no_stream_within_the_tokens_life_finishes_the_conversation() -> None:
    stage = Stage(token_seconds=60.0)
    stage.tell(ev.ConversationOpened(CID), ev.ReplyCompleted(0, "m", "i", "Hello", ends=False))
    stage.tell(ev.TurnClosed(0))

    assert cmd.FinishConversation() in stage.wait(61.0)
    assert "no-media" == stage.session.record.end_reason


def test_an_utterance_is_sent_after_240_ms_and_ends_with_the_turn() -> None:
    stage = Stage().greeted()
    stage.tell(ev.SpeechStarted(0))

    assert [cmd.StartTurn(1, (0,))] == stage.tell(ev.SpeechAccepted(0, 240))
    assert [cmd.SealTurn(1)] == stage.tell(ev.SpeechEnded(0, 240, 98.0, 99.0))
    assert Phase.THINKING is stage.session.phase


def test_a_false_start_never_reaches_the_api() -> None:
    stage = Stage().greeted()
    stage.tell(ev.SpeechStarted(0))

    assert [cmd.DropUtterance(0)] == stage.tell(ev.SpeechEnded(0, 0, 99.0, 99.1))


def test_barge_in_holds_at_once_and_clears_when_confirmed() -> None:
    stage = Stage().greeted().spoken()
    stage.replying()

    assert [cmd.HoldSpeech()] == stage.tell(ev.SpeechStarted(1))
    assert [] == stage.tell(ev.SpeechAccepted(1, 240))
    confirmed = stage.tell(ev.SpeechAccepted(1, 450))
    assert [cmd.CountBargeIn(confirmed=True), cmd.ClearSpeech(), cmd.ResumeSpeech()] == confirmed
    assert Phase.UPLOADING is stage.session.phase
    # the connection of the old reply is still open: what is said waits for its end
    assert cmd.StartTurn(2, (1,)) in stage.tell(ev.TurnClosed(1, ev.Failure(ev.FailureKind.CLOSED)))


def test_an_unconfirmed_sound_lets_the_agent_go_on() -> None:
    stage = Stage().greeted().spoken()
    stage.replying()
    stage.tell(ev.SpeechStarted(1))

    resumed = stage.tell(ev.SpeechEnded(1, 0, 100.0, 100.1))

    assert cmd.ResumeSpeech() in resumed
    assert cmd.ClearSpeech() not in stage.asked
    assert Phase.SPEAKING is stage.session.phase


def test_a_drained_reply_is_closed_after_the_bound() -> None:
    stage = Stage(drain_ms=8000).greeted().spoken()
    stage.replying()
    stage.tell(ev.SpeechStarted(1), ev.SpeechAccepted(1, 240), ev.SpeechAccepted(1, 450))

    assert cmd.CloseTurn(1) in stage.wait(8.1)


def test_speech_while_the_agent_thinks_becomes_the_next_turn() -> None:
    stage = Stage().greeted().spoken()
    stage.tell(ev.SpeechStarted(1), ev.SpeechAccepted(1, 240))

    assert [] == stage.tell(ev.ReplyAudio(1)), "the first reply stays unheard"
    stage.tell(ev.SpeechEnded(1, 240, 99.0, 99.5), ev.ReplyCompleted(1, "m", "i", "t", ends=False))
    assert cmd.StartTurn(2, (1,)) in stage.tell(ev.TurnClosed(1))


def test_a_voided_turn_is_sent_again_once_and_then_given_up() -> None:
    stage = Stage().greeted().spoken()
    void = ev.TurnClosed(1, ev.Failure(ev.FailureKind.VOID))
    stage.tell(void)

    assert cmd.RetryTurn(1) in stage.wait(0.1)
    stage.tell(void)
    assert [cmd.Phrase.APOLOGY] == stage.phrases()


def test_a_caller_who_heard_part_of_a_voided_answer_is_told() -> None:
    stage = Stage().greeted().spoken()
    stage.replying()

    again = stage.tell(ev.TurnClosed(1, ev.Failure(ev.FailureKind.VOID)))

    assert cmd.ClearSpeech() in again
    assert [cmd.Phrase.LOST_ANSWER] == stage.phrases()
    assert cmd.RetryTurn(1) in stage.wait(0.1)


def test_a_busy_conversation_is_waited_out() -> None:
    stage = Stage().greeted().spoken()
    busy = ev.TurnClosed(1, ev.Failure(ev.FailureKind.REFUSED, 409))
    for pause in (0.5, 1.0, 2.0, 2.0):
        stage.tell(busy)
        assert cmd.RetryTurn(1) not in stage.wait(pause - 0.1)
        assert cmd.RetryTurn(1) in stage.wait(0.2)


def test_retry_after_is_honoured_within_the_callers_patience() -> None:
    stage = Stage().greeted().spoken()
    stage.tell(ev.TurnClosed(1, ev.Failure(ev.FailureKind.REFUSED, 429, 3.0)))

    assert cmd.RetryTurn(1) not in stage.wait(2.9)
    assert cmd.RetryTurn(1) in stage.wait(0.2)
    stage.tell(ev.TurnClosed(1, ev.Failure(ev.FailureKind.REFUSED, 429, 600.0)))
    assert cmd.Phrase.APOLOGY is stage.phrases()[-1]


def test_nothing_heard_is_no_failure() -> None:
    stage = Stage().greeted().spoken()
    stage.tell(ev.TurnClosed(1, ev.Failure(ev.FailureKind.REFUSED, 400)))

    assert Phase.LISTENING is stage.session.phase
    assert [] == stage.phrases()


def test_dead_air_is_filled_with_words_then_with_the_soft_sound() -> None:
    stage = Stage(max_dead_air_ms=2500).greeted().spoken()

    assert [] == stage.wait(2.4)
    [first] = stage.wait(0.2)
    assert isinstance(first, cmd.SayPhrase)
    stage.tell(ev.PlaybackBegan(first.item), ev.PlaybackDrained(first.item, 800))
    stage.wait(2.6)
    assert [cmd.Phrase.ONE_MOMENT, cmd.Phrase.COMFORT] == stage.phrases()


def test_a_voice_that_runs_dry_and_goes_on_is_no_dead_air() -> None:
    stage = Stage(max_dead_air_ms=2500).greeted().spoken()
    item = stage.replying()
    stage.tell(ev.PlaybackStarved(item))
    stage.wait(0.04)
    stage.tell(ev.ReplyAudio(1), ev.PlaybackBegan(item))
    stage.wait(3.0)
    assert [] == stage.phrases()

    stage.tell(ev.PlaybackStarved(item))
    stage.wait(2.6)
    assert [cmd.Phrase.ONE_MOMENT] == stage.phrases()


def test_a_late_greeting_is_dead_air_too() -> None:
    stage = Stage(max_dead_air_ms=2500)
    stage.tell(ev.StreamOpened(StreamSid("MZ1")))
    stage.wait(2.6)

    assert [cmd.Phrase.ONE_MOMENT] == stage.phrases()


def test_a_silent_caller_is_asked_twice_and_then_let_go() -> None:
    stage = Stage(prompt_after_ms=10_000, prompts=2, hang_up_after_ms=10_000).greeted()
    for _ in range(3):
        [said] = stage.wait(10.1)
        assert isinstance(said, cmd.SayPhrase)
        last = stage.tell(ev.PlaybackBegan(said.item), ev.PlaybackDrained(said.item, 900))

    assert [cmd.Phrase.STILL_THERE] * 2 + [cmd.Phrase.SILENCE_GOODBYE] == stage.phrases()
    assert cmd.HangUp() in last
    assert "silence" == stage.session.record.end_reason


def test_keys_are_collected_until_the_hash_and_sent_as_text() -> None:
    stage = Stage().greeted()
    stage.tell(*(ev.DigitPressed(digit) for digit in "12"))

    assert cmd.SendText(1, "123") in stage.tell(ev.DigitPressed("3"), ev.DigitPressed("#"))


def test_keys_are_sent_after_a_pause() -> None:
    stage = Stage(digits_pause_ms=2500).greeted()
    stage.tell(ev.DigitPressed("7"))

    assert cmd.SendText(1, "7") in stage.wait(2.6)


def test_a_key_stops_the_agent() -> None:
    stage = Stage().greeted().spoken()
    stage.replying()

    assert cmd.ClearSpeech() in stage.tell(ev.DigitPressed("1"))


@pytest.mark.parametrize("by_event", [True, False], ids=["end-session", "conversation_completed"])
def test_the_agents_last_words_are_heard_before_the_line_closes(by_event: bool) -> None:
    stage = Stage().greeted().spoken()
    item = stage.replying()
    stage.tell(ev.ReplyCompleted(1, "m", "i", "Goodbye", ends=not by_event))
    if by_event:
        stage.tell(ev.ConversationEnded(1))
    assert [] == [c for c in stage.tell(ev.TurnClosed(1)) if isinstance(c, cmd.HangUp)]

    assert cmd.HangUp() in stage.tell(ev.PlaybackDrained(item, 900))
    stage.tell(ev.LineClosed())
    assert Phase.ENDED is stage.session.phase
    assert 0 == stage.finishes(), "a conversation that ended by itself must not be finished"
    assert "auto-finished" == stage.session.record.conversation_state


def test_interrupted_last_words_are_played_when_the_caller_pauses() -> None:
    stage = Stage().greeted().spoken()
    item = stage.replying()
    stage.tell(ev.SpeechStarted(1), ev.SpeechAccepted(1, 240), ev.SpeechAccepted(1, 450))
    stage.tell(ev.PlaybackCleared(item, 300), ev.ReplyCompleted(1, "m", "i", "Goodbye", ends=True))
    stage.tell(ev.TurnClosed(1))

    said = stage.tell(ev.SpeechEnded(1, 450, 99.0, 99.5))

    assert 1 == sum(isinstance(command, cmd.SayReply) for command in said)
    assert cmd.HangUp() in stage.tell(ev.PlaybackDrained(stage.said(said), 900))


def test_a_failure_after_completion_is_finished_by_us() -> None:
    stage = Stage().greeted().spoken()
    item = stage.replying()
    stage.tell(ev.ReplyCompleted(1, "m", "i", "Goodbye", ends=False))
    stage.tell(ev.TurnClosed(1, None, after_completion=True))
    stage.tell(ev.PlaybackDrained(item, 900), ev.LineClosed())

    assert 1 == stage.finishes()


def test_last_words_that_we_cut_before_their_clean_end_are_finished_by_us() -> None:
    """An error that asks for the finish may have been on its way."""
    stage = Stage(drain_ms=1000).greeted().spoken()
    stage.tell(ev.SpeechStarted(1), ev.SpeechAccepted(1, 240), ev.SpeechAccepted(1, 450))
    stage.tell(ev.ReplyAudio(1), ev.ReplyCompleted(1, "m", "i", "Goodbye", ends=True))
    assert cmd.CloseTurn(1) in stage.wait(1.1)
    stage.tell(ev.TurnClosed(1, ev.Failure(ev.FailureKind.CLOSED)))

    said = stage.tell(ev.SpeechEnded(1, 450, 99.0, 99.5))
    stage.tell(ev.PlaybackDrained(stage.said(said), 900), ev.LineClosed())

    assert 1 == stage.finishes()


@pytest.mark.parametrize("where", ["create", "upload", "thinking", "speaking"])
def test_finish_waits_for_the_running_exchange_when_the_caller_hangs_up(where: str) -> None:
    stage = Stage()
    if where == "create":
        stage.tell(ev.StreamOpened(StreamSid("MZ1")), ev.ConversationOpened(CID))
        turn = 0
    else:
        stage.greeted()
        turn = 1
        stage.tell(ev.SpeechStarted(0), ev.SpeechAccepted(0, 240))
        if where != "upload":
            stage.tell(ev.SpeechEnded(0, 240, 99.0, 99.5))
        if where == "speaking":
            stage.replying()
    gone = stage.tell(ev.CallerGone())

    assert 0 == stage.finishes()
    assert (cmd.CloseTurn(turn) in gone) == (where == "upload"), "half a sentence is no turn"
    stage.tell(ev.TurnClosed(turn, ev.Failure(ev.FailureKind.CLOSED)))
    assert 1 == stage.finishes()
    stage.tell(ev.ConversationSettled("finished"))
    assert "completed" == stage.session.record.status


def test_speech_that_ended_before_the_greeting_is_dropped() -> None:
    stage = Stage()
    stage.tell(ev.StreamOpened(StreamSid("MZ1")), ev.ConversationOpened(CID))
    stage.tell(ev.SpeechStarted(0), ev.SpeechAccepted(0, 240), ev.SpeechAccepted(0, 450))

    assert [cmd.DropUtterance(0)] == stage.tell(ev.SpeechEnded(0, 450, 99.0, 99.5))


def test_speech_that_goes_on_when_the_greeting_comes_is_the_first_turn() -> None:
    stage = Stage()
    stage.tell(ev.StreamOpened(StreamSid("MZ1")), ev.ConversationOpened(CID))
    stage.tell(ev.SpeechStarted(0), ev.SpeechAccepted(0, 240), ev.SpeechAccepted(0, 450))

    assert [] == [c for c in stage.tell(ev.ReplyAudio(0)) if isinstance(c, cmd.SayReply)]
    stage.tell(ev.ReplyCompleted(0, "m", "i", "Hello", ends=False))
    assert cmd.StartTurn(1, (0,)) in stage.tell(ev.TurnClosed(0))


def test_the_cap_ends_the_body_and_the_rest_is_the_next_turn() -> None:
    stage = Stage().greeted()
    stage.tell(ev.SpeechStarted(0), ev.SpeechAccepted(0, 240))

    assert cmd.SealTurn(1) in stage.tell(ev.UtteranceFull(0, 1, 70.0, 100.0))
    assert [] == stage.tell(ev.ReplyAudio(1)), "nobody talks over the caller"
    stage.tell(ev.ReplyCompleted(1, "m", "i", "t", ends=False))
    assert cmd.StartTurn(2, (1,)) in stage.tell(ev.TurnClosed(1))


def test_a_short_answer_over_the_last_words_counts() -> None:
    stage = Stage().greeted().spoken()
    item = stage.replying()
    stage.tell(ev.ReplyCompleted(1, "m", "i", "Shall I?", ends=False), ev.TurnClosed(1))
    stage.tell(ev.SpeechStarted(1), ev.SpeechAccepted(1, 240), ev.SpeechEnded(1, 240, 99.0, 99.4))
    stage.now += 0.5

    assert cmd.StartTurn(2, (1,)) in stage.tell(ev.PlaybackDrained(item, 900))


def test_merge_keeps_the_body_open_for_a_caller_who_goes_on() -> None:
    stage = Stage(merge_ms=400).greeted()
    stage.tell(ev.SpeechStarted(0), ev.SpeechAccepted(0, 240), ev.SpeechEnded(0, 240, 99.0, 99.5))
    stage.now += 0.3
    stage.tell(ev.SpeechStarted(1))

    assert cmd.ExtendTurn(1, 1) in stage.tell(ev.SpeechAccepted(1, 240))
    stage.tell(ev.SpeechEnded(1, 240, 100.0, 100.5))
    assert cmd.SealTurn(1) in stage.wait(0.5)


def test_a_voided_greeting_is_finished_and_created_anew() -> None:
    stage = Stage()
    stage.tell(ev.StreamOpened(StreamSid("MZ1")), ev.ConversationOpened(CID))
    stage.tell(ev.TurnClosed(0, ev.Failure(ev.FailureKind.VOID)))

    assert cmd.FinishConversation() in stage.wait(0.1)
    assert cmd.OpenConversation() in stage.tell(ev.ConversationSettled("finished"))


def test_a_left_over_conversation_is_cleared_away_once() -> None:
    stage = Stage()
    refused = ev.TurnClosed(0, ev.Failure(ev.FailureKind.REFUSED, 400))

    assert cmd.FreeUser(maybe_created=False) in stage.tell(refused)
    stage.tell(ev.UserFreed(freed=True, held=False))
    assert cmd.OpenConversation() in stage.wait(0.6)


def test_a_conversation_that_is_not_ours_makes_the_line_busy() -> None:
    stage = Stage()
    stage.tell(ev.TurnClosed(0, ev.Failure(ev.FailureKind.REFUSED, 400)))
    stage.tell(ev.UserFreed(freed=False, held=True), ev.StreamOpened(StreamSid("MZ1")))

    assert [cmd.Phrase.BUSY] == stage.phrases()
    assert "rejected" == stage.session.record.end_reason


def test_the_ledger_sums_to_the_response_gap() -> None:
    stage = Stage().greeted().spoken()
    stage.now += 0.01
    stage.tell(ev.BodySent(1))
    stage.now += 0.12
    stage.tell(ev.CallerUnderstood(1, "u", "hello"))
    stage.now += 0.3
    item = stage.replying()
    stage.now += 0.05
    stage.tell(ev.PlaybackHeard(item, stage.now))

    ledger = stage.session.record.turns[1].times.ledger()
    parts = [ledger[name] for name in ledger if name not in {"speech", "response_gap"}]
    assert ledger["response_gap"] == sum(parts) == 700 + 480
    assert 800 == ledger["speech"]


def test_max_duration_ends_politely() -> None:
    stage = Stage(max_call_seconds=30.0, prompt_after_ms=600_000).greeted()
    stage.wait(31.0)

    assert [cmd.Phrase.TIME_UP] == stage.phrases()
    assert "max-duration" == stage.session.record.end_reason


def test_an_error_event_about_an_empty_message_is_nothing_heard() -> None:
    stage = Stage().greeted().spoken()
    stage.tell(ev.TurnClosed(1, ev.Failure(ev.FailureKind.VOID, 400)))

    assert Phase.LISTENING is stage.session.phase
    assert [] == stage.phrases()


def test_keys_over_a_protected_greeting_wait_for_its_end() -> None:
    stage = Stage(protect_greeting=True)
    stage.tell(ev.StreamOpened(StreamSid("MZ1")), ev.ConversationOpened(CID))
    item = stage.replying(0)
    stage.tell(ev.DigitPressed("4"), ev.DigitPressed("#"))

    assert cmd.ClearSpeech() not in stage.asked
    stage.tell(ev.ReplyCompleted(0, "m", "i", "Hello", ends=False), ev.TurnClosed(0))
    assert cmd.SendText(1, "4") in stage.tell(ev.PlaybackDrained(item, 900))


def test_keys_stop_the_agent_even_where_speech_may_not() -> None:
    stage = Stage(barge_in=False).greeted().spoken()
    stage.replying()

    assert cmd.ClearSpeech() in stage.tell(ev.DigitPressed("1"))


def test_a_create_that_never_left_owes_nothing() -> None:
    stage = Stage()
    never = ev.TurnClosed(0, ev.Failure(ev.FailureKind.UNREACHABLE, asked=False))
    stage.tell(never, ev.StreamOpened(StreamSid("MZ1")), ev.CallerGone())

    assert 0 == stage.finishes()
    assert Phase.ENDED is stage.session.phase


def test_a_create_that_was_cut_off_is_looked_for() -> None:
    stage = Stage()
    stage.tell(ev.TurnClosed(0, ev.Failure(ev.FailureKind.UNREACHABLE)), ev.CallerGone())

    assert 1 == stage.finishes()


def test_a_key_pressed_while_the_agent_thinks_makes_its_answer_a_stale_one() -> None:
    stage = Stage().greeted().spoken()
    stage.tell(ev.DigitPressed("7"), ev.DigitPressed("#"))

    assert [] == stage.tell(ev.ReplyAudio(1))
    stage.tell(ev.ReplyCompleted(1, "m", "i", "t", ends=False))
    assert cmd.SendText(2, "7") in stage.tell(ev.TurnClosed(1))


def test_a_broken_part_is_apologised_for() -> None:
    stage = Stage().greeted()
    stage.tell(ev.Broken())

    assert [cmd.Phrase.APOLOGY] == stage.phrases()
    assert "api-error" == stage.session.record.end_reason


def test_a_stalled_reply_is_cut_and_sent_again() -> None:
    stage = Stage(stall_seconds=20.0, max_dead_air_ms=600_000).greeted().spoken()
    stage.replying()

    assert cmd.CloseTurn(1) in stage.wait(20.1)
    stage.tell(ev.TurnClosed(1, ev.Failure(ev.FailureKind.CLOSED)))
    assert cmd.RetryTurn(1) in stage.wait(0.1)


def test_a_new_stream_of_the_same_call_goes_on_with_the_reply() -> None:
    stage = Stage().greeted().spoken()
    stage.replying()

    again = stage.tell(ev.StreamOpened(StreamSid("MZ2")))

    assert cmd.ClearSpeech() in again
    assert 1 == sum(isinstance(command, cmd.SayReply) for command in again)


# ---------------------------------------------------------------- nothing said is lost


@pytest.mark.parametrize(
    "policy", [{"protect_greeting": True}, {"barge_in": False}], ids=["protected", "no barge-in"]
)
def test_a_sentence_over_what_nothing_interrupts_is_answered_after_it(
    policy: dict[str, bool],
) -> None:
    stage = Stage(**policy)
    stage.tell(ev.StreamOpened(StreamSid("MZ1")), ev.ConversationOpened(CID))
    item = stage.said(stage.tell(ev.ReplyAudio(0)))
    stage.tell(ev.PlaybackBegan(item), ev.ReplyCompleted(0, "m0", "i0", "Hello", ends=False))
    stage.tell(ev.TurnClosed(0))
    for utterance, ms in ((0, 300), (1, 900), (2, 700)):
        stage.tell(ev.SpeechStarted(utterance), ev.SpeechAccepted(utterance, ms))
        stage.now += 1.0
        stage.tell(ev.SpeechEnded(utterance, ms, stage.now - 1.5, stage.now - 0.7))
    assert not any(isinstance(one, cmd.StartTurn | cmd.ClearSpeech) for one in stage.asked)

    stage.now += 2.0
    started = stage.tell(ev.PlaybackDrained(item, 900))

    assert cmd.StartTurn(1, (1, 2)) in started
    assert cmd.SealTurn(1) in started
    assert cmd.DropUtterance(0) in stage.asked, "a word is listening said aloud"
    assert stage.session.phase is Phase.THINKING


def went_on(stage: Stage) -> None:
    """The caller says more while the answer is awaited: the first one is drained unheard."""
    stage.tell(ev.SpeechStarted(1), ev.SpeechAccepted(1, 450))
    stage.now += 1.0
    stage.tell(ev.SpeechEnded(1, 450, stage.now - 1.5, stage.now - 0.7))


def test_what_was_said_in_full_before_the_caller_hung_up_goes_out() -> None:
    stage = Stage().greeted().spoken()
    went_on(stage)
    assert not any(isinstance(one, cmd.StartTurn) for one in stage.tell(ev.CallerGone()))

    assert cmd.StartTurn(2, (1,)) in stage.tell(ev.TurnClosed(1))
    assert 0 == stage.finishes()
    stage.tell(ev.TurnClosed(2))
    assert 1 == stage.finishes()


@pytest.mark.parametrize("reason", ["drain", "no-media"])
def test_a_call_that_others_end_sends_nothing_more(reason: str) -> None:
    stage = Stage().greeted().spoken()
    went_on(stage)
    stage.tell(ev.CallerGone(reason), ev.TurnClosed(1))

    assert 1 == stage.finishes()


def test_half_a_sentence_is_not_sent_when_the_caller_hangs_up() -> None:
    stage = Stage().greeted().spoken()
    stage.tell(ev.SpeechStarted(1), ev.SpeechAccepted(1, 450), ev.CallerGone(), ev.TurnClosed(1))

    assert 1 == stage.finishes()


def test_where_the_first_exchange_fails_nothing_is_sent_behind_a_caller_who_is_gone() -> None:
    stage = Stage().greeted().spoken()
    went_on(stage)
    stage.tell(ev.CallerGone(), ev.TurnClosed(1, ev.Failure(ev.FailureKind.REFUSED, 503)))

    assert 1 == stage.finishes()


def test_a_caller_who_hangs_up_while_more_is_waited_for_has_said_it_in_full() -> None:
    stage = Stage(merge_ms=800).greeted().spoken()
    asked = stage.tell(ev.CallerGone())

    assert cmd.SealTurn(1) in asked
    assert cmd.CloseTurn(1) not in asked
