"""The caller is connected with somebody else: a word, then the carrier is left to ask whom."""

from __future__ import annotations

import pytest

from gateway.call import commands as cmd
from gateway.call import events as ev
from gateway.call.phases import Phase
from gateway.ids import StreamSid
from tests.call.test_session_scenes import CID, Stage

TARGET = "+15550003333"


def word(commands: list[cmd.Command]) -> int:
    """The item of the one phrase: that of the transfer."""
    [said] = [one for one in commands if isinstance(one, cmd.SayPhrase)]
    assert said.phrase is cmd.Phrase.TRANSFER
    return said.item


def test_the_line_is_released_after_a_word_and_the_conversation_finished() -> None:
    stage = Stage().greeted().spoken()
    stage.replying()
    commands = stage.tell(ev.TransferRequested(TARGET))
    record = stage.session.record

    item = word(commands)
    assert [cmd.ClearSpeech(), cmd.SayPhrase(item, cmd.Phrase.TRANSFER)] == commands[-2:]
    assert (record.status, record.end_reason) == ("transferring", "transfer")
    assert record.as_json(str)["transfer_to"] == TARGET
    assert [cmd.ReleaseLine()] == stage.tell(ev.PlaybackDrained(item, 900))
    stage.tell(ev.LineClosed(), ev.ReplyCompleted(1, "m", "i", "t", ends=False))
    stage.tell(ev.TurnClosed(1))
    assert stage.finishes() == 1
    stage.tell(ev.ConversationSettled("finished"))
    assert (record.status, record.end_reason) == ("completed", "transfer")
    assert cmd.HangUp() not in stage.asked


@pytest.mark.parametrize("gone", [ev.LineClosed(), ev.CallerGone(), ev.LineLost()])
def test_whatever_ends_the_line_meanwhile_it_was_a_transfer(gone: ev.Event) -> None:
    stage = Stage().greeted()
    stage.tell(ev.TransferRequested(TARGET), gone)

    assert stage.session.phase is Phase.SETTLING
    assert stage.session.record.end_reason == "transfer"


def test_before_the_stream_it_waits_for_it() -> None:
    stage = Stage()
    stage.tell(ev.ConversationOpened(CID))
    assert stage.tell(ev.TransferRequested(TARGET)) == []

    said = word(stage.tell(ev.StreamOpened(StreamSid("MZ1"))))
    assert [cmd.ReleaseLine()] == stage.tell(ev.PlaybackDrained(said, 900))
    assert stage.session.record.end_reason == "transfer"


def test_while_the_caller_is_away_it_waits_too() -> None:
    stage = Stage().greeted()
    stage.tell(ev.LineLost(), ev.TransferRequested(TARGET))

    said = word(stage.tell(ev.StreamOpened(StreamSid("MZ2"))))
    assert [cmd.ReleaseLine()] == stage.tell(ev.PlaybackDrained(said, 900))


def test_one_for_whom_nobody_was_there_is_none() -> None:
    stage = Stage(token_seconds=60.0)
    stage.tell(ev.TransferRequested(TARGET))
    stage.wait(60.1)

    assert stage.session.record.end_reason == "no-media"


def test_the_last_wish_counts_until_it_is_carried_out() -> None:
    stage = Stage()
    stage.tell(ev.TransferRequested("+15550004444"), ev.TransferRequested(TARGET))
    stage.tell(ev.StreamOpened(StreamSid("MZ1")))
    stage.tell(ev.TransferRequested("+15550005555"))

    assert stage.session.record.transfer_to == TARGET


def test_a_call_that_ends_is_not_transferred() -> None:
    stage = Stage().greeted()
    stage.tell(ev.EndRequested("drain"))

    assert stage.tell(ev.TransferRequested(TARGET)) == []
    assert stage.session.record.transfer_to is None


def test_half_an_utterance_does_not_become_a_turn() -> None:
    stage = Stage().greeted()
    stage.tell(ev.SpeechStarted(0), ev.SpeechAccepted(0, 240))

    assert cmd.CloseTurn(1) in stage.tell(ev.TransferRequested(TARGET))


def test_a_word_that_cannot_be_said_does_not_hold_it_up() -> None:
    stage = Stage().greeted()
    stage.tell(ev.TransferRequested(TARGET))

    assert stage.tell(ev.Broken()) == [cmd.ReleaseLine()]
