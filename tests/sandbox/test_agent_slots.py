"""What is found in a caller's words: days, times, names, digits."""

from __future__ import annotations

import pytest

from gateway.sandbox.agent.moments import day_in, spoken_time, time_in
from gateway.sandbox.agent.script import Slot
from gateway.sandbox.agent.slots import found_in
from gateway.sandbox.agent.words import spoken_digits


@pytest.mark.parametrize(
    ("heard", "time"),
    [
        ("At ten o'clock.", "10:00"),
        ("10 o'clock", "10:00"),
        ("half past nine", "09:30"),
        ("Half past 9.", "09:30"),
        ("a quarter past eight", "08:15"),
        ("quarter to three", "14:45"),
        ("ten minutes to five", "16:50"),
        ("2.30 p.m.", "14:30"),
        ("two thirty", "14:30"),
        ("2 pm", "14:00"),
        ("7 a.m.", "07:00"),
        ("nine oh five", "09:05"),
        ("eleven forty-five", "11:45"),
        ("11:45", "11:45"),
        ("noon", "12:00"),
        ("twelve thirty in the afternoon", "12:30"),
        ("at 8 in the morning", "08:00"),
        ("at six in the evening", "18:00"),
        ("around three", "15:00"),
        ("not at ten, at eleven", "11:00"),
        ("twenty five past ten", "10:25"),
    ],
)
def test_a_time_of_day_is_understood(heard, time):
    assert time_in(heard, opens=8, bare=False) == time


@pytest.mark.parametrize(
    ("heard", "time"), [("Ten.", "10:00"), ("930", "09:30"), ("three", "15:00")]
)
def test_a_bare_number_is_a_time_only_where_one_was_asked_for(heard, time):
    assert time_in(heard, opens=8, bare=True) == time
    assert time_in(heard, opens=8, bare=False) == ""


@pytest.mark.parametrize("heard", ["", "maybe", "25:70", "at 99", "half past my lunch"])
def test_what_is_no_time_is_none(heard):
    assert time_in(heard, opens=8, bare=True) == ""


@pytest.mark.parametrize(
    ("heard", "day"),
    [
        ("Monday.", "Monday"),
        ("on tuesdays", "Tuesday"),
        ("not Monday, Thursday", "Thursday"),
        ("tomorrow", "tomorrow"),
        ("the day after tomorrow", "day after tomorrow"),
        ("the twenty-first of May", "21 May"),
        ("May 3rd", "3 May"),
        ("on the 2nd", "the 2nd"),
        ("the eleventh", "the 11th"),
        ("at ten", ""),
        ("May I come in?", ""),
        ("someday", ""),
    ],
)
def test_a_day_is_understood(heard, day):
    assert day_in(heard) == day


@pytest.mark.parametrize(
    ("heard", "name"),
    [
        ("Oscar.", "Oscar"),
        ("My name is Oscar.", "Oscar"),
        ("It's for Juliet, please", "Juliet"),
        ("uh, Charlie", "Charlie"),
        ("This is Victor speaking", "Victor"),
        ("the name is romeo", "Romeo"),
        ("Yes, Mike, thank you", "Mike"),
        ("Monday", ""),
        ("at ten", ""),
        ("I do not know what you want from me", ""),
        ("555 0142", ""),
        ("what", ""),
    ],
)
def test_a_name_is_understood_where_it_was_asked_for(heard, name):
    assert found_in(Slot(name="name", kind="name", about="who"), heard, asked=True) == name


@pytest.mark.parametrize(
    ("heard", "name"),
    [("an appointment for Victor on Friday", "Victor"), ("for my daughter", ""), ("Oscar", "")],
)
def test_in_passing_a_name_needs_a_word_that_announces_it(heard, name):
    assert found_in(Slot(name="name", kind="name", about="who"), heard, asked=False) == name


@pytest.mark.parametrize(
    ("time", "spoken"),
    [("09:30", "nine thirty a.m."), ("14:00", "two p.m."), ("12:00", "noon"), ("00:00", "midnight"),
     ("12:05", "twelve oh five p.m."), ("16:45", "four forty-five p.m."), ("00:10", "twelve ten a.m.")],
)  # fmt: skip
def test_a_time_is_said_as_people_do(time, spoken):
    assert spoken_time(time) == spoken


@pytest.mark.parametrize(
    ("number", "spoken"),
    [("5", "five"), ("1234", "one two three four"), ("123456", "one two three, four five six"),
     ("1234567", "one two three, four five six seven")],
)  # fmt: skip
def test_digits_are_spoken_in_groups(number, spoken):
    assert spoken_digits(number) == spoken
