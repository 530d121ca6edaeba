"""How long a silence ends a turn: what the agent asked, and what the caller is used to."""

from __future__ import annotations

import pytest

from benchmarks.patience import as_good_fixed, habit
from gateway.call import commands as cmd
from gateway.call import events as ev
from gateway.call.expected import Expected, expected_answer
from gateway.call.patience import Patience, PatiencePolicy
from tests.call.test_session_scenes import Stage

ASKED = {
    "What is your account number?": Expected.DICTATION,
    "Thank you. Could you give me your phone number, please?": Expected.DICTATION,
    "May I have your postal code?": Expected.DICTATION,
    "Please spell that for me.": Expected.DICTATION,
    "Please key in or say the number to call you back on.": Expected.DICTATION,
    "And what is the address?": Expected.DICTATION,
    "Wie lautet Ihre Kundennummer?": Expected.DICTATION,
    "Quelle est votre adresse ?": Expected.DICTATION,
    "¿Cuál es su número de teléfono?": Expected.DICTATION,
    "Qual è il suo codice postale?": Expected.DICTATION,
    "What is your name?": Expected.NAME,
    "May I have your full name, please?": Expected.NAME,
    "Wie ist Ihr Name?": Expected.NAME,
    "Is that right?": Expected.YES_OR_NO,
    "Tuesday at nine, is that correct?": Expected.YES_OR_NO,
    "Would you like to book it?": Expected.YES_OR_NO,
    "Your number is 555 0142, right?": Expected.YES_OR_NO,
    "Do you have an account with us?": Expected.YES_OR_NO,
    "Möchten Sie den Termin buchen?": Expected.YES_OR_NO,
    "Voulez-vous continuer ?": Expected.YES_OR_NO,
    "Would you prefer Monday or Tuesday?": Expected.ANYTHING,
    "How can I help you?": Expected.ANYTHING,
    "What day would suit you?": Expected.ANYTHING,
    "Your number is on file.": Expected.ANYTHING,
    "What is your number? I can wait.": Expected.ANYTHING,
    "": Expected.ANYTHING,
}


@pytest.mark.parametrize("text", ASKED)
def test_the_last_sentence_tells_what_is_asked_for(text: str) -> None:
    assert expected_answer(text) is ASKED[text]


def test_each_kind_of_answer_has_its_patience() -> None:
    patience = Patience(PatiencePolicy())
    got = []
    for text in ("Hello.", "What is your number?", "And your name?", "Is that right?"):
        patience.asked(text)
        got.append(patience.ms)

    assert got == [660, 1060, 860, 500]


def test_a_caller_cut_short_gets_more_and_gives_it_back_slowly() -> None:
    patience = Patience(PatiencePolicy())
    patience.cut_short()
    assert patience.ms == 860
    for _ in range(5):
        patience.cut_short()
    assert patience.ms == 1060
    for _ in range(8):
        patience.ended_well()
    assert patience.ms == 660


def test_a_short_plain_silence_is_not_made_longer_by_a_question_of_yes_or_no() -> None:
    patience = Patience(PatiencePolicy(end_silence_ms=250))
    patience.asked("Is that right?")
    assert patience.ms == 250


def patiences(stage: Stage) -> list[int]:
    return [one.ms for one in stage.asked if isinstance(one, cmd.SetPatience)]


def test_the_agents_question_sets_the_patience_before_it_was_heard() -> None:
    stage = Stage().greeted().spoken()
    item = stage.replying()
    stage.tell(ev.ReplyCompleted(1, "m", "i", "What is your number?", ends=False))
    assert patiences(stage) == [1060]

    stage.tell(ev.TurnClosed(1), ev.PlaybackDrained(item, 900, "t"))
    stage.spoken(1).replying(2)
    stage.tell(ev.ReplyCompleted(2, "m", "i", "Thank you.", ends=False))
    assert patiences(stage) == [1060, 660]


def test_going_on_right_after_the_end_makes_the_next_end_later() -> None:
    stage = Stage().greeted().spoken()
    stage.now += 0.4

    stage.tell(ev.SpeechStarted(1), ev.SpeechAccepted(1, 240))
    assert patiences(stage) == [860]


def test_a_hello_to_an_agent_that_thinks_for_long_is_no_such_habit() -> None:
    stage = Stage().greeted().spoken()
    stage.wait(2.0)

    stage.tell(ev.SpeechStarted(1), ev.SpeechAccepted(1, 240))
    assert patiences(stage) == []


def test_a_habit_learned_saves_waiting_that_a_longer_patience_for_all_would_cost() -> None:
    plain, learned = habit(PatiencePolicy(habit_extra_ms=0)), habit(PatiencePolicy())
    fixed = as_good_fixed(learned[0])

    assert learned[0] < 0.75 * plain[0], "turns cut"
    assert learned[1] < fixed[1] - 60, "milliseconds waited"
