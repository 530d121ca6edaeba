"""A rating by keypad: asked for once the agent has said goodbye, and never in anybody's way."""

from __future__ import annotations

import pytest

from gateway.call import commands as cmd
from gateway.call import events as ev
from gateway.call.phases import Phase
from tests.call.test_session_scenes import Stage


def parting(**policy: object) -> Stage:
    """The agent has said goodbye, and that was heard."""
    stage = Stage(**policy).greeted().spoken()
    item = stage.replying()
    stage.tell(ev.ReplyCompleted(1, "m", "i", "Goodbye.", ends=True), ev.TurnClosed(1))
    stage.tell(ev.PlaybackDrained(item, 900))
    return stage


def asked() -> Stage:
    """The question was heard."""
    stage = parting(rating=True)
    stage.tell(ev.PlaybackDrained(phrase(stage), 900))
    return stage


def phrase(stage: Stage) -> int:
    return [command.item for command in stage.asked if isinstance(command, cmd.SayPhrase)][-1]


def test_nobody_is_asked_who_need_not_be() -> None:
    stage = parting()

    assert cmd.HangUp() in stage.asked
    assert stage.phrases() == []


def test_the_question_comes_after_the_agents_last_words() -> None:
    stage = parting(rating=True)

    assert stage.phrases() == [cmd.Phrase.RATE]
    assert cmd.HangUp() not in stage.asked
    assert stage.session.phase is Phase.ENDING


@pytest.mark.parametrize("digit", "12345")
def test_a_key_is_the_rating_and_thanked_for(digit: str) -> None:
    stage = asked()
    stage.tell(ev.DigitPressed(digit))

    assert stage.session.record.rating == int(digit)
    assert stage.phrases() == [cmd.Phrase.RATE, cmd.Phrase.THANKS]
    assert cmd.HangUp() in stage.tell(ev.PlaybackDrained(phrase(stage), 900))


def test_who_knows_the_question_need_not_hear_it_out() -> None:
    stage = parting(rating=True)
    question = phrase(stage)
    said = stage.tell(ev.DigitPressed("4"))

    assert cmd.ClearSpeech() in said
    stage.tell(ev.PlaybackCleared(question, 200, None))
    assert cmd.HangUp() not in stage.asked
    assert cmd.HangUp() in stage.tell(ev.PlaybackDrained(phrase(stage), 900))


@pytest.mark.parametrize("digit", "06789*#A")
def test_other_keys_are_no_rating(digit: str) -> None:
    stage = asked()
    stage.tell(ev.DigitPressed(digit), ev.DigitPressed("5"))

    assert stage.session.record.rating == 5


def test_a_key_over_the_agents_last_words_is_no_rating() -> None:
    stage = Stage(rating=True).greeted().spoken()
    item = stage.replying()
    stage.tell(ev.ReplyCompleted(1, "m", "i", "Goodbye.", ends=True), ev.TurnClosed(1))
    stage.tell(ev.DigitPressed("1"), ev.PlaybackDrained(item, 900))

    assert stage.session.record.rating is None


def test_the_first_key_counts() -> None:
    stage = asked()
    stage.tell(ev.DigitPressed("2"), ev.DigitPressed("5"))

    assert stage.session.record.rating == 2


def test_no_key_is_waited_for_so_long_and_no_longer() -> None:
    stage = asked()

    assert cmd.HangUp() not in stage.wait(5.9)
    assert cmd.HangUp() in stage.wait(0.2)
    stage.tell(ev.DigitPressed("5"))
    assert stage.session.record.rating is None, "the line is being closed"


def test_who_hangs_up_instead_owes_no_rating() -> None:
    stage = parting(rating=True)
    stage.tell(ev.CallerGone())

    assert stage.session.record.as_json(str)["rating"] is None
    assert stage.session.record.end_reason == "agent-ended"


@pytest.mark.parametrize("reason", ["drain", "operator"])
def test_a_call_that_we_end_is_not_rated(reason: str) -> None:
    stage = Stage(rating=True).greeted()
    stage.tell(ev.EndRequested(reason))

    assert cmd.Phrase.RATE not in stage.phrases()
