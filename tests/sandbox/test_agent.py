"""The front desk holds a sensible conversation whatever it hears."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sandbox import agent
from gateway.sandbox.script import Intent, Step


def talk(*heard: str) -> tuple[agent.DeskState, agent.Reply]:
    """The state and reply after a caller has said all this."""
    state, reply = agent.greeting()
    for words in heard:
        state, reply = agent.hear(state, words)
    return state, reply


def test_the_desk_greets_and_asks_for_a_message():
    _, reply = talk()

    assert reply.text == "Hello, front desk. What message may I take?"


def test_a_message_is_read_back_and_a_number_asked_for():
    state, reply = talk("Weasels have eaten our phone system.")

    assert reply.text == (
        "I wrote down: Weasels have eaten our phone system. What number can we call you back on?"
    )
    assert state.notes == ("Weasels have eaten our phone system.",)


@pytest.mark.parametrize(
    "said", ["555-0192", "five five five zero one nine two", "It's 5 5 5, oh 1 9 2, thank you"]
)
def test_a_spoken_number_is_noted_and_confirmed_digit_by_digit(said):
    state, reply = talk("call me", said)

    assert state.number == "5550192"
    assert "five five five, zero one nine two" in reply.text
    assert reply.text.endswith("Is there anything else?")


def test_typed_keys_are_a_number_at_any_time():
    before, first = talk("5550192#")
    after, second = talk("call me", "555")

    assert (before.number, before.step) == ("5550192", Step.MESSAGE)
    assert first.text.endswith("What message may I take?")
    assert (after.number, after.step) == ("555", Step.MORE)
    assert second.sentences[0] == "You typed five five five."


def test_a_message_after_the_number_is_not_asked_for_the_number_again():
    state, _ = talk("5550192", "tell Sam I am late")

    assert state.step is Step.MORE


def test_whoever_gives_no_number_twice_is_not_asked_a_third_time():
    state, reply = talk("call me", "the window is broken", "and the door")

    assert state.step is Step.MORE
    assert reply.text == "I added: and the door. Is there anything else?"
    assert len(state.notes) == 3


def test_no_number_is_accepted():
    state, reply = talk("call me", "No.")

    assert reply.sentences == ("All right, no number.", "Is there anything else?")
    assert state.step is Step.MORE


def test_yes_invites_to_speak():
    assert talk("call me", "no", "yes")[1].text == "Please go ahead."
    assert talk("call me", "Sure.")[1].text == "Please say the number, or type it on your keys."


def test_nothing_more_ends_the_call():
    state, reply = talk("call me", "no", "No, thank you.")

    assert reply.ends
    assert reply.text == "Thank you. I will pass your message on. Goodbye."
    assert state.step is Step.DONE


@pytest.mark.parametrize(
    "said",
    [
        "Goodbye!",
        "Bye.",
        "Thank you, good bye.",
        "That's all.",
        "Bye bye now, goodbye",
        "That is all, thanks.",
    ],
)
def test_a_farewell_ends_the_call_at_any_time(said):
    assert talk(said)[1].ends
    assert talk("call me", said)[1].ends


@pytest.mark.parametrize(
    "said",
    [
        "Tell her I waved goodbye from the train and then slept.",
        "No parking is allowed in front of the gate.",
        "Please help the old man in room twelve carry his heavy bags.",
        "The goodbyer came.",
    ],
)
def test_a_message_with_such_words_in_it_is_still_a_message(said):
    state, reply = talk(said)

    assert not reply.ends
    assert state.notes == (said,)


def test_repeat_says_the_last_answer_again_and_changes_nothing():
    before = talk("call me")

    assert talk("call me", "Could you say that again, please?") == before


def test_help_explains_and_asks_again():
    _, reply = talk("call me", "Help!")

    assert reply.text.startswith("I take messages.")
    assert reply.text.endswith("What number can we call you back on?")


def test_a_long_message_is_noted_whole_but_read_back_in_part():
    words = " ".join(f"word{n}" for n in range(60))
    state, reply = talk(words)

    assert state.notes == (words,)
    assert "word29, and so on." in reply.text
    assert "word30" not in reply.text


def test_events_and_skips_lead_back_to_the_question():
    state, _ = talk("call me")

    assert agent.note_event(state)[1].text.endswith("What number can we call you back on?")
    assert agent.prompt_again(state)[1].text.startswith("Are you still there?")


@pytest.mark.parametrize(
    ("number", "spoken"),
    [("5", "five"), ("1234", "one two three four"), ("123456", "one two three, four five six"),
     ("1234567", "one two three, four five six seven")],
)  # fmt: skip
def test_digits_are_spoken_in_groups(number, spoken):
    assert agent.spoken_digits(number) == spoken


@given(st.lists(st.text(min_size=1).filter(str.strip), max_size=8))
def test_whatever_is_said_the_desk_answers(said):
    state, reply = agent.greeting()
    for words in said:
        state, reply = agent.hear(state, words)

        assert reply.text.strip()
        assert reply.ends == (state.step is Step.DONE) or agent.intent_of(words) is Intent.REPEAT
