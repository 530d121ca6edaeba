"""The receptionist holds a sensible conversation whatever it hears."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sandbox.agent import Agent, AgentState, Outcome, load_script, overridden

AGENT = Agent(load_script(None))
STATES = sorted(AGENT.script.states)


def talk(*heard: str) -> Outcome:
    """What the last of these sentences came to."""
    outcome = AGENT.greet()
    for words in heard:
        outcome = AGENT.hear(outcome.state, words)
    return outcome


def known(outcome: Outcome) -> dict[str, str]:
    """The latest value of every slot."""
    return {slot: values[-1] for slot, values in outcome.state.values.items()}


# ---------------------------------------------------------------- appointments


def test_a_caller_who_answers_one_thing_at_a_time_is_booked_in_eight_turns():
    outcome = talk(
        "I would like an appointment, please.",
        "My name is Oscar.",
        "Monday.",
        "Half past nine.",
        "5550142#",
        "Yes, that's right.",
        "No.",
    )

    assert known(outcome) == {
        "name": "Oscar",
        "day": "Monday",
        "time": "09:30",
        "number": "5550142",
        "booked": "yes",
    }
    assert outcome.reply.text == "We see you on Monday at nine thirty a.m. Goodbye."
    assert outcome.reply.ends


def test_everything_said_at_once_is_not_asked_for_again():
    outcome = talk("Can I book an appointment for Victor on Friday at two thirty p.m.?")

    assert known(outcome) == {
        "name": "Victor",
        "day": "Friday",
        "time": "14:30",
        "appointment": "yes",
    }
    assert outcome.reply.text == "What number can we reach you on?"
    assert [step.next for step in outcome.transitions] == ["name", "day", "time", "phone"]


@pytest.mark.parametrize(
    ("correction", "slot", "value"),
    [
        ("No, Tuesday.", "day", "Tuesday"),
        ("No, make it eleven o'clock please", "time", "11:00"),
        ("It's for Juliet", "name", "Juliet"),
        ("Not Monday, Thursday.", "day", "Thursday"),
    ],
)
def test_a_correction_is_read_back_once_more(correction, slot, value):
    outcome = talk("an appointment", "Oscar", "Monday", "ten", "no", correction)

    assert known(outcome)[slot] == value
    assert outcome.state.name == "confirm"
    assert outcome.reply.text.endswith("Is that right?")
    assert outcome.reflections


def test_what_is_to_change_can_be_named_first():
    outcome = talk("an appointment", "Oscar", "Monday", "ten", "no", "no", "The day.", "Sunday")

    assert known(outcome)["day"] == "Sunday"
    assert outcome.state.name == "confirm"


@pytest.mark.parametrize("seed", [3, 14, 159])
def test_any_name_day_and_time_can_be_booked(seed):
    dice = random.Random(seed)
    name = dice.choice(["Oscar", "Victor", "Juliet", "Mike", "Charlie", "Romeo"])
    day = dice.choice(["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"])
    hour, said = dice.choice([("10:00", "ten o'clock"), ("09:30", "half past nine"),
                              ("14:45", "quarter to three"), ("15:30", "3.30 p.m.")])  # fmt: skip
    outcome = talk("I want to book", f"It's {name}.", f"On {day}, please.", said, "no", "yes")

    assert (known(outcome)["name"], known(outcome)["day"]) == (name, day)
    assert known(outcome)["time"] == hour
    assert known(outcome)["booked"] == "yes"


def test_whoever_never_answers_is_not_asked_for_ever():
    outcome = talk("an appointment", *["purple monkey dishwasher on the roof again"] * 12)

    assert outcome.state.name == "more"


# ---------------------------------------------------------------- messages


def test_a_message_is_read_back_and_a_number_asked_for():
    outcome = talk("Weasels have eaten our phone system.")

    assert outcome.reply.text == (
        "I wrote down: Weasels have eaten our phone system. What number can we call you back on?"
    )


@pytest.mark.parametrize(
    "said", ["555-0192", "five five five zero one nine two", "It's 5 5 5, oh 1 9 2, thank you"]
)
def test_a_spoken_number_is_noted_and_confirmed_digit_by_digit(said):
    outcome = talk("call me", said)

    assert known(outcome)["number"] == "5550192"
    assert "five five five, zero one nine two" in outcome.reply.text
    assert outcome.reply.text.endswith("Is there anything else?")


def test_typed_keys_are_a_number_at_any_time():
    before, after = talk("5550192#"), talk("call me", "555")

    assert (known(before)["number"], before.state.name) == ("5550192", "reception")
    assert before.reply.text.endswith("How can I help you today?")
    assert (known(after)["number"], after.state.name) == ("555", "more")
    assert after.reply.sentences[0] == "You typed five five five."


def test_a_message_after_the_number_is_not_asked_for_the_number_again():
    assert talk("5550192", "tell them I am late").state.name == "more"


def test_whoever_gives_no_number_twice_is_not_asked_a_third_time():
    outcome = talk("call me", "the window is broken", "and the door")

    assert outcome.state.name == "more"
    assert outcome.reply.text == "I added: and the door. Is there anything else?"
    assert len(outcome.state.values["message"]) == 3


def test_the_days_and_names_in_a_message_are_not_an_appointment():
    outcome = talk("Tell them that I am late on Monday at ten because of the rain.", "no", "no")

    assert set(outcome.state.values) == {"message"}
    assert outcome.reply.text == "Thank you. I will pass your message on. Goodbye."


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
    outcome = talk(said)

    assert not outcome.reply.ends
    assert outcome.state.values["message"] == (said,)


def test_a_long_message_is_noted_whole_but_read_back_in_part():
    words = " ".join(f"word{n}" for n in range(60))
    outcome = talk(words)

    assert known(outcome)["message"] == words
    assert "word29, and so on." in outcome.reply.text
    assert "word30" not in outcome.reply.text


# ---------------------------------------------------------------- anywhere


@pytest.mark.parametrize(
    "said",
    ["Goodbye!", "Bye.", "Thank you, good bye.", "That's all.", "That is all, thanks."],
)
@pytest.mark.parametrize("state", STATES)
def test_a_farewell_ends_the_call_in_every_state(state, said):
    assert AGENT.hear(AgentState(name=state, values={}), said).reply.ends


@pytest.mark.parametrize("state", STATES)
def test_repeat_says_the_last_answer_again_and_changes_nothing(state):
    before = AGENT.prompt_again(AgentState(name=state, values={}))
    after = AGENT.hear(before.state, "Could you say that again, please?")

    assert (after.state, after.reply) == (before.state, before.reply)


@pytest.mark.parametrize("state", STATES)
def test_help_explains_and_comes_back_to_the_question(state):
    before = AgentState(name=state, values={})
    outcome = AGENT.hear(before, "Help!")

    assert outcome.reply.text.startswith("I book appointments and take messages.")
    assert outcome.state.name == state


def test_events_and_skips_lead_back_to_the_question():
    state = talk("call me").state

    assert AGENT.note_event(state, "unheard").reply.text.endswith("call you back on?")
    assert AGENT.note_event(state, "unheard").reflections == ("Noted an event: unheard",)
    assert AGENT.prompt_again(state).reply.text.startswith("Are you still there?")


@given(
    st.lists(
        st.one_of(
            st.text(min_size=1).filter(str.strip),
            st.sampled_from(
                ["yes", "no", "an appointment", "Monday", "ten", "5550142", "goodbye", "repeat"]
            ),
        ),
        max_size=12,
    )
)
def test_whatever_is_said_the_agent_answers_briefly_and_can_be_kept(said):
    outcome = AGENT.greet()
    for words in said:
        outcome = AGENT.hear(outcome.state, words)

        assert outcome.reply.text.strip()
        assert len(outcome.reply.text) < 1000 + len(words)
        assert outcome.reply.ends == (outcome.state.name == "done")
        kept = json.loads(json.dumps(outcome.state.as_json()))
        assert AgentState.from_json(kept) == outcome.state


# ---------------------------------------------------------------- what others may know


def test_memory_holds_what_was_found_out():
    outcome = talk("an appointment for Oscar on Monday")

    assert [(one.content, one.context) for one in AGENT.memory(outcome.state)] == [
        ("day: Monday", "the day of the appointment"),
        ("name: Oscar", "who the appointment is for"),
        ("appointment: yes", "the caller wants an appointment"),
    ]


def test_the_description_follows_the_talk():
    first, then = AGENT.describe(talk().state), AGENT.describe(talk("an appointment").state)

    assert (first.name, then.name) == ("reception", "name")
    assert then.objective == "Learn who the appointment is for"


@pytest.mark.parametrize("state", [name for name in STATES if name != "done"])
def test_every_recommended_answer_leads_on(state):
    values = {"day": ("Monday",), "time": ("10:00",)} if state in {"confirm", "change"} else {}
    before = AgentState(name=state, values=values)
    answers = AGENT.recommend(before)

    assert 2 <= len(answers) <= 4
    for answer in answers:
        outcome = AGENT.hear(before, answer)
        assert outcome.transitions, (state, answer)


def test_hints_are_what_the_state_expects():
    assert "Wednesday" in AGENT.hints(AgentState(name="day", values={}))
    assert "Wednesday" not in AGENT.hints(AgentState(name="number", values={}))


@pytest.mark.parametrize(("least", "most"), [(1, 1), (2, 4), (5, 10), (10, 10)])
def test_starters_keep_to_counts_and_facets(least, most):
    made = AGENT.starters(["booking", "the weather"], least, most, "be brief")

    assert least <= len(made) <= most
    assert all(set(one.facets) & {"booking", "the weather"} for one in made)
    assert len({one.prompt for one in made}) == len(made) or least > 4


# ---------------------------------------------------------------- overrides


def test_another_identity_greets_by_another_name():
    other = overridden(AGENT, {"identity": {"name": "reception two"}}, None)

    assert other.greet().reply.text == "Hello, reception two. How can I help you today?"
    assert AGENT.greet().reply.text == "Hello, front desk. How can I help you today?"


def test_another_machine_asks_otherwise_and_goes_elsewhere():
    machine = {
        "states": {
            "reception": {
                "objective": "Sell umbrellas",
                "actions": ["Do you need an umbrella?"],
                "exit_conditions": [{"description": "rain is mentioned", "next_state": "done"}],
            }
        }
    }
    other = overridden(AGENT, None, machine)

    assert other.describe(other.greet().state).objective == "Sell umbrellas"
    assert other.greet().reply.text.endswith("Do you need an umbrella?")
    assert other.hear(other.greet().state, "Yes, there is rain outside all day").reply.ends


@pytest.mark.parametrize(
    "machine",
    [
        {"states": []},
        {"states": {"reception": 3}},
        {"states": {"x": {"exit_conditions": [{"description": "ever", "next_state": "nowhere"}]}}},
        {"states": {"x": {"actions": "talk"}}},
        {"new_user_initial_state": "nowhere"},
    ],
)
def test_nonsense_is_refused_in_a_sentence(machine):
    with pytest.raises(ValueError, match=r"\w+: "):
        overridden(AGENT, None, machine)


@pytest.mark.parametrize(
    ("said", "parting"),
    [
        (("I would like an appointment",), "All right, no appointment then. Goodbye."),
        (
            ("I would like an appointment", "Oscar", "on Monday"),
            "All right, no appointment then. Goodbye.",
        ),
        (("I would like an appointment", "Oscar", "no"), "All right, no message then. Goodbye."),
        ((), "All right, no message then. Goodbye."),
    ],
)
def test_who_leaves_in_the_middle_is_told_what_will_not_be(said, parting):
    state = AGENT.greet().state
    for text in said:
        state = AGENT.hear(state, text).state

    assert AGENT.hear(state, "No, goodbye.").reply.text == parting
