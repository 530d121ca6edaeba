"""What the gateway's own record must say for a call to count as held in order."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.simulator.caller import Said
from gateway.simulator.plan import Keys, Utterance
from gateway.simulator.record import Phrase, Record, RecordedTurn
from gateway.simulator.result import record_complaints
from tests.simulator.test_report import RESULT

SPOKEN = Said(item=Utterance(b"", text="weasels"), from_ms=5000, until_ms=6000)
PRESSED = Said(item=Keys("42#"), from_ms=9000, until_ms=9500)
BARGED_IN = Said(
    item=Utterance(b"", text="mhm", interrupts=True), from_ms=8000, until_ms=8200, barged_in=True
)


def turn(kind: str, heard: str, user: str = "words") -> RecordedTurn:
    return RecordedTurn(kind, user, "An answer.", heard, False, {})


GREETING = turn("greeting", "Hello.")
VOICE, KEYS = turn("voice", "An answer."), turn("dtmf", "An answer.")
GOOD = Record("completed", "caller-hangup", "c" * 24, "finished", (GREETING, VOICE, KEYS))


def complaints_about(record: Record, *said: Said, hang_up_after: float | None = None) -> list[str]:
    result = replace(RESULT, said=said)
    return list(record_complaints(result, record, hang_up_after=hang_up_after))


def test_a_call_whose_items_were_all_answered_has_no_complaint():
    assert complaints_about(GOOD, SPOKEN, PRESSED) == []


@pytest.mark.parametrize("reason", ["api-error", "rejected", "no-media", "replica-lost"])
def test_an_end_no_caller_wants_is_named(reason):
    (found,) = complaints_about(replace(GOOD, end_reason=reason), SPOKEN, PRESSED)

    assert reason in found


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"conversation_id": "", "conversation_state": "none"}, "no conversation"),
        ({"conversation_state": "open"}, "left open"),
        ({"conversation_state": "finish-failed"}, "left finish-failed"),
        ({"status": "ending"}, "status ending"),
    ],
)
def test_a_conversation_not_brought_to_its_end_is_named(changes, named):
    (found,) = complaints_about(replace(GOOD, **changes), SPOKEN, PRESSED)

    assert named in found


def test_a_turn_whose_answer_was_never_heard_is_named_by_its_item():
    record = replace(GOOD, turns=(GREETING, turn("voice", ""), KEYS))

    assert complaints_about(record, SPOKEN, PRESSED) == [
        "no answer of the agent to item 1 was heard"
    ]


def test_an_item_without_any_turn_is_counted():
    record = replace(GOOD, turns=(GREETING, VOICE))

    assert complaints_about(record, SPOKEN, PRESSED) == [
        "the agent was heard answering 1 of 2 items"
    ]


def test_a_turn_more_than_items_does_not_stand_in_for_the_last_answer():
    record = replace(GOOD, turns=(GREETING, VOICE, VOICE, turn("dtmf", "")))

    assert complaints_about(record, SPOKEN, PRESSED) == [
        "no answer of the agent to item 2 was heard"
    ]


def test_a_noise_taken_for_a_turn_in_which_nothing_was_understood_does_not_count():
    noise = RecordedTurn("voice", "", "", "", False, {})

    assert complaints_about(replace(GOOD, turns=(GREETING, VOICE, noise)), SPOKEN) == []


def test_a_back_channel_over_the_agents_voice_needs_no_turn():
    assert complaints_about(GOOD, SPOKEN, BARGED_IN, PRESSED) == []
    assert complaints_about(replace(GOOD, turns=(GREETING, VOICE)), SPOKEN, BARGED_IN) == []


def test_the_item_a_caller_told_to_hang_up_cuts_short_needs_no_answer():
    record = replace(GOOD, turns=(GREETING, VOICE))
    cut = replace(PRESSED, until_ms=None)

    assert complaints_about(record, SPOKEN, PRESSED, hang_up_after=9.0) == []
    assert complaints_about(record, SPOKEN, cut, hang_up_after=9.0) == []


def test_a_caller_told_to_hang_up_at_once_needs_no_conversation():
    record = replace(GOOD, conversation_id="", conversation_state="none", turns=())

    assert complaints_about(record, hang_up_after=0.5) == []
    assert complaints_about(record) == ["no conversation came into being"]


RATED = Said(item=Keys("4"), from_ms=9000, until_ms=9200)


def test_the_key_taken_as_the_rating_needs_no_answer_of_the_agent():
    rated = replace(GOOD, turns=(GREETING, VOICE), rating=4)

    assert complaints_about(rated, SPOKEN, RATED) == []


@pytest.mark.parametrize("rating", [None, 5])
def test_a_key_that_is_not_the_recorded_rating_wants_its_answer(rating):
    silent = replace(GOOD, turns=(GREETING, VOICE), rating=rating)

    (found,) = complaints_about(silent, SPOKEN, RATED)

    assert "1 of 2 items" in found


ASKED = Phrase(at_ms=8000, name="rate")


@pytest.mark.parametrize("pressed", [RATED, replace(RATED, item=Keys("74"))])
def test_keys_after_the_question_for_a_rating_want_no_answer_either(pressed):
    rated = replace(GOOD, turns=(GREETING, VOICE), rating=4, phrases=(ASKED,))

    assert complaints_about(rated, SPOKEN, pressed) == []


def test_a_key_that_is_no_rating_is_told_as_that():
    unrated = replace(GOOD, turns=(GREETING, VOICE), phrases=(ASKED,))
    wrong = replace(RATED, item=Keys("7"))

    assert complaints_about(unrated, SPOKEN, wrong) == [
        "7 is no rating: that is one key from 1 to 5"
    ]


def test_keys_before_the_question_are_no_rating():
    asked_later = replace(GOOD, turns=(GREETING, VOICE), phrases=(replace(ASKED, at_ms=9500),))

    (found,) = complaints_about(asked_later, SPOKEN, RATED)

    assert "1 of 2 items" in found


def test_the_rating_does_not_excuse_the_item_before_it():
    unheard = replace(GOOD, turns=(GREETING, turn("voice", "")), rating=4)

    (found,) = complaints_about(unheard, SPOKEN, RATED)

    assert "item 1" in found
