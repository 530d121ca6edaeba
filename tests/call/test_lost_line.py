"""The line is lost and the caller comes back, or does not."""

from __future__ import annotations

import pytest

from gateway.call import commands as cmd
from gateway.call import events as ev
from gateway.call.phases import Phase
from gateway.ids import StreamSid
from tests.call.test_session_scenes import CID, Stage

AGAIN = ev.StreamOpened(StreamSid("MZ2"))
CUT = ev.Failure(ev.FailureKind.CLOSED)


def kinds(stage: Stage) -> list[str]:
    return [kind for _, kind, _ in stage.session.record.events]


def said(commands: list[cmd.Command]) -> list[object]:
    """What is said, in order: phrases by name, replies by turn."""
    return [
        one.phrase if isinstance(one, cmd.SayPhrase) else one.turn
        for one in commands
        if isinstance(one, cmd.SayPhrase | cmd.SayReply)
    ]


def lose(stage: Stage, *items: int) -> list[cmd.Command]:
    """The line is gone; what was playing is accounted for."""
    commands = stage.tell(ev.LineLost())
    stage.tell(*(ev.PlaybackCleared(item, 400, "Hel") for item in items))
    return commands


def test_a_reply_goes_on_where_it_was_stopped() -> None:
    stage = Stage().greeted().spoken()
    item = stage.replying()

    assert cmd.ClearSpeech() in lose(stage, item)
    assert stage.session.record.status == "ringing"
    assert stage.session.record.turns[1].heard_text == "Hel"
    stage.tell(ev.ReplyCompleted(1, "m", "i", "Hello", ends=False), ev.TurnClosed(1))
    back = stage.tell(AGAIN)

    assert said(back) == [cmd.Phrase.RECONNECTED, 1]
    assert stage.session.record.status == "speaking"
    assert stage.session.record.reconnects == 1
    assert kinds(stage)[-3:] == ["line-lost", "reconnected", "phrase"]
    stage.tell(ev.PlaybackDrained(stage.said(back), 900))
    assert stage.session.phase is Phase.LISTENING
    assert not stage.session.record.turns[1].interrupted, "nobody interrupted it"


def test_a_greeting_goes_on_too() -> None:
    stage = Stage()
    stage.tell(ev.StreamOpened(StreamSid("MZ1")), ev.ConversationOpened(CID))
    item = stage.said(stage.tell(ev.ReplyAudio(0)))
    stage.tell(ev.PlaybackBegan(item))
    lose(stage, item)

    assert said(stage.tell(AGAIN)) == [cmd.Phrase.RECONNECTED, 0]
    assert stage.session.phase is Phase.GREETING


def test_a_greeting_that_comes_meanwhile_waits_for_the_caller() -> None:
    stage = Stage()
    stage.tell(ev.StreamOpened(StreamSid("MZ1")), ev.ConversationOpened(CID))
    lose(stage)

    assert said(stage.tell(ev.ReplyAudio(0))) == []
    assert said(stage.tell(AGAIN)) == [cmd.Phrase.RECONNECTED, 0]


def test_a_reply_that_comes_meanwhile_waits_for_the_caller() -> None:
    stage = Stage().greeted().spoken()
    lose(stage)

    assert said(stage.tell(ev.ReplyAudio(1))) == []
    assert said(stage.tell(AGAIN)) == [cmd.Phrase.RECONNECTED, 1]


def test_an_answer_still_awaited_is_awaited_with_new_patience() -> None:
    stage = Stage(patience_seconds=45.0).greeted().spoken()
    stage.wait(2.0)
    lose(stage)
    stage.wait(5.0)
    [phrase] = stage.tell(AGAIN)
    assert isinstance(phrase, cmd.SayPhrase)
    stage.tell(ev.PlaybackBegan(phrase.item), ev.PlaybackDrained(phrase.item, 900))

    assert stage.session.phase is Phase.THINKING
    stage.wait(44.0)
    assert cmd.Phrase.APOLOGY not in stage.phrases()
    stage.wait(1.0)
    assert stage.phrases()[-1] is cmd.Phrase.APOLOGY


def test_with_nothing_to_say_it_is_the_callers_turn() -> None:
    stage = Stage().greeted()
    lose(stage)

    assert said(stage.tell(AGAIN)) == [cmd.Phrase.RECONNECTED]
    assert stage.session.phase is Phase.LISTENING
    stage.spoken(7)
    assert cmd.StartTurn(1, (7,)) in stage.asked


def test_half_an_utterance_is_no_turn() -> None:
    stage = Stage().greeted()
    stage.tell(ev.SpeechStarted(0), ev.SpeechAccepted(0, 240))
    lost = lose(stage)

    assert [cmd.DropUtterance(0), cmd.CloseTurn(1)] == lost
    assert cmd.SealTurn(1) not in stage.asked
    stage.tell(ev.TurnClosed(1, CUT))
    stage.tell(AGAIN)
    stage.wait(1.0)
    assert cmd.RetryTurn(1) not in stage.asked
    assert stage.session.phase is Phase.LISTENING


def test_what_was_said_whole_before_the_cut_is_sent() -> None:
    stage = Stage(merge_ms=800).greeted()
    stage.spoken(0)
    stage.tell(ev.SpeechStarted(1), ev.SpeechAccepted(1, 240))
    assert cmd.ExtendTurn(1, 1) in stage.asked

    assert [cmd.DropUtterance(1), cmd.CloseTurn(1)] == lose(stage)
    assert [cmd.ForgetTurn(1, keep_utterances=True), cmd.StartTurn(2, (0,)), cmd.SealTurn(2)] == [
        one for one in stage.tell(ev.TurnClosed(1, CUT)) if not isinstance(one, cmd.CountTurn)
    ]


def test_an_utterance_that_waited_for_more_is_sent_as_it_is() -> None:
    stage = Stage(merge_ms=800).greeted().spoken()

    assert [cmd.SealTurn(1)] == lose(stage)


def test_half_a_number_is_no_turn() -> None:
    stage = Stage().greeted()
    stage.tell(ev.DigitPressed("1"))
    lose(stage)
    stage.wait(5.0)
    stage.tell(AGAIN)
    stage.wait(3.0)

    assert not [one for one in stage.asked if isinstance(one, cmd.SendText)]


def test_a_caller_who_does_not_come_back_has_hung_up() -> None:
    stage = Stage(reconnect_seconds=10.0).greeted()
    lose(stage)
    stage.wait(9.9)
    assert stage.finishes() == 0

    stage.wait(0.2)
    assert stage.finishes() == 1
    assert stage.session.record.end_reason == "caller-hangup"


def test_a_hang_up_meanwhile_ends_it_at_once() -> None:
    stage = Stage().greeted()
    lose(stage)

    assert cmd.FinishConversation() in stage.tell(ev.CallerGone())


def test_a_carrier_that_asks_again_is_given_the_time_anew() -> None:
    stage = Stage(reconnect_seconds=10.0).greeted()
    lose(stage)
    stage.wait(9.0)
    stage.tell(ev.TokenRenewed())
    stage.wait(9.0)

    assert said(stage.tell(AGAIN)) == [cmd.Phrase.RECONNECTED]


def test_nobody_is_asked_anything_while_away() -> None:
    stage = Stage(reconnect_seconds=60.0, prompt_after_ms=5000).greeted()
    lose(stage)
    stage.wait(59.0)

    assert stage.phrases() == []


def test_the_time_away_is_no_dead_air() -> None:
    stage = Stage().greeted().spoken()
    lose(stage)
    before = [one for one in stage.asked if isinstance(one, cmd.CountDeadAir)]
    stage.wait(8.0)
    back = stage.tell(AGAIN)
    [phrase] = [one for one in back if isinstance(one, cmd.SayPhrase)]
    stage.tell(ev.PlaybackBegan(phrase.item))

    assert [one for one in stage.asked if isinstance(one, cmd.CountDeadAir)] == before


def test_what_goes_wrong_meanwhile_is_told_when_the_caller_is_back() -> None:
    stage = Stage().greeted()
    lose(stage)
    assert said(stage.tell(ev.Broken())) == []

    assert said(stage.tell(AGAIN)) == [cmd.Phrase.APOLOGY]
    assert stage.session.record.end_reason == "api-error"


@pytest.mark.parametrize("reason", ["drain", "operator"])
def test_an_end_that_is_asked_for_meanwhile_comes_at_once(reason: str) -> None:
    stage = Stage().greeted()
    lose(stage)

    assert cmd.FinishConversation() in stage.tell(ev.EndRequested(reason))
    assert stage.session.record.end_reason == reason


def test_last_words_are_heard_after_the_reconnection() -> None:
    stage = Stage().greeted().spoken()
    item = stage.replying()
    lose(stage, item)
    stage.tell(ev.ReplyCompleted(1, "m", "i", "Goodbye", ends=True), ev.TurnClosed(1))
    back = stage.tell(AGAIN)

    assert said(back) == [cmd.Phrase.RECONNECTED, 1]
    [phrase] = [one.item for one in back if isinstance(one, cmd.SayPhrase)]
    assert cmd.HangUp() not in stage.tell(ev.PlaybackDrained(phrase, 900))
    assert cmd.HangUp() in stage.tell(ev.PlaybackDrained(stage.said(back), 900))


def test_interrupted_last_words_are_kept_through_a_loss() -> None:
    stage = Stage().greeted().spoken()
    item = stage.replying()
    stage.tell(ev.SpeechStarted(1), ev.SpeechAccepted(1, 240), ev.SpeechAccepted(1, 450))
    stage.tell(ev.PlaybackCleared(item, 300))
    lose(stage)
    stage.tell(ev.ReplyCompleted(1, "m", "i", "Goodbye", ends=True), ev.TurnClosed(1))

    assert said(stage.tell(AGAIN)) == [cmd.Phrase.RECONNECTED, 1]
    assert stage.session.phase is Phase.ENDING


def test_a_line_lost_over_last_words_is_not_waited_for() -> None:
    stage = Stage().greeted()
    stage.tell(ev.EndRequested("drain"), ev.LineLost())

    assert stage.session.phase is Phase.SETTLING
    assert stage.session.record.end_reason == "drain"


def test_a_line_can_be_lost_more_than_once() -> None:
    stage = Stage().greeted()
    for _ in range(3):
        lose(stage)
        [phrase] = stage.tell(AGAIN)
        assert isinstance(phrase, cmd.SayPhrase)
        stage.tell(ev.PlaybackBegan(phrase.item))

    assert stage.session.record.reconnects == 3


def test_a_stream_that_replaces_a_living_one_is_no_reconnection() -> None:
    stage = Stage().greeted()

    assert said(stage.tell(AGAIN)) == []
    assert stage.session.record.reconnects == 0
