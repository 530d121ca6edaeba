"""Days and times of day in a caller's words: how they are understood, kept and said again."""

from __future__ import annotations

import re
from typing import Final

from gateway.sandbox.agent.words import ORDINALS, numbered, phrase_in, spoken_number, words_of

WEEKDAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS: Final = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
    "November", "December",
)  # fmt: skip
_RELATIVE: Final = ("day after tomorrow", "tomorrow", "today")
_DAYS_IN_MONTH: Final = 31
_HOURS: Final = range(24)
_MINUTES: Final = range(60)


def day_in(heard: str) -> str:
    """The day a sentence names last ("not Monday, Tuesday"), or empty.

    A weekday, `21 May`, `the 21st`, `tomorrow`: the sandbox has no calendar to resolve them with.
    """
    words = words_of(heard)
    named = [day for word in words for day in WEEKDAYS if word.removesuffix("s") == day.lower()]
    if named:
        return named[-1]
    relative = next((day for day in _RELATIVE if phrase_in(words, day)), "")
    return relative or _date_in(heard)


def _date_in(heard: str) -> str:
    text = numbered(heard)
    months = "|".join(month.lower() for month in MONTHS)
    dated = re.search(rf"\b(?P<day>\d{{1,2}}) (of )?(?P<month>{months})\b", text) or re.search(
        rf"\b(?P<month>{months}) (the )?(?P<day>\d{{1,2}})\b", text
    )
    if dated and 1 <= int(dated["day"]) <= _DAYS_IN_MONTH:
        return f"{int(dated['day'])} {dated['month'].capitalize()}"
    ordinal = re.search(r"\b(\d{1,2})(?:st|nd|rd|th)\b", heard.lower())
    if ordinal is None and not any(word in ORDINALS for word in words_of(heard)):
        return ""
    alone = re.search(r"\bthe (\d{1,2})\b", text)
    if alone and 1 <= int(alone[1]) <= _DAYS_IN_MONTH:
        return f"the {int(alone[1])}{_suffix(int(alone[1]))}"
    return ""


def _suffix(day: int) -> str:
    if day in {11, 12, 13}:
        return "th"
    return {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")


def time_in(heard: str, *, opens: int, bare: bool) -> str:
    """The time of day a sentence names last, as `HH:MM`, or empty.

    `opens` is the hour before which an hour without "in the morning" means the afternoon. `bare`:
    a number alone is a time too, because a time was asked for.
    """
    text = numbered(heard).replace("o'clock", "oclock").replace("o clock", "oclock")
    if re.search(r"\b(noon|midday)\b", text):
        return "12:00"
    if re.search(r"\bmidnight\b", text):
        return "00:00"
    clock = _clock(text, bare=bare)
    if clock is None:
        return ""
    hour, minute = _of_the_day(*clock, text, opens)
    return f"{hour:02d}:{minute:02d}"


def _clock(text: str, *, bare: bool) -> tuple[int, int] | None:
    """Hour and minute as said, before morning and afternoon are considered."""
    half = re.search(r"\bhalf past (\d{1,2})\b", text)
    if half:
        return _valid(int(half[1]), 30)
    quarter = re.search(
        r"\b(quarter|\d{1,2})(?: minutes?)? (past|after|to|before) (\d{1,2})\b", text
    )
    if quarter:
        minutes = 15 if quarter[1] == "quarter" else int(quarter[1])
        hour = int(quarter[3])
        if quarter[2] in {"past", "after"}:
            return _valid(hour, minutes)
        return _valid((hour - 1) % 24, 60 - minutes)
    marked = (
        r"\b(?P<h>\d{1,2}):(?P<m>\d{2})\b",
        r"\b(?P<h>\d{1,2}) (?P<m>[0-5]\d)\b",
        r"\b(?P<h>\d{1,2}) (?:0|oh|o) (?P<m>\d)\b",
        r"\b(?P<h>\d{1,2})(?P<m>[0-5]\d) (?:am|pm|hours)\b",
        r"\b(?P<h>\d{1,2}) (?:oclock|am|pm|in the (?:morning|afternoon|evening))\b",
        r"\b(?:at|around|about|by) (?P<h>\d{1,2})\b",
    )
    alone = (r"\b(?P<h>\d{1,2})(?P<m>[0-5]\d)\b", r"\b(?P<h>\d{1,2})\b") if bare else ()
    for pattern in (*marked, *alone):
        found = [*re.finditer(pattern, text)]
        if found:
            parts = found[-1].groupdict()
            return _valid(int(parts["h"]), int(parts.get("m") or 0))
    return None


def _valid(hour: int, minute: int) -> tuple[int, int] | None:
    return (hour, minute) if hour in _HOURS and minute in _MINUTES else None


def _of_the_day(hour: int, minute: int, text: str, opens: int) -> tuple[int, int]:
    morning = re.search(r"\b(am|morning)\b", text) is not None
    afternoon = re.search(r"\b(pm|afternoon|evening|tonight)\b", text) is not None
    if morning:
        return (0 if hour == 12 else hour), minute
    if hour < 12 and (afternoon or hour < opens):
        return hour + 12, minute
    return hour, minute


def spoken_time(value: str) -> str:
    """`14:30` as it is said on the phone: "two thirty p.m."."""
    hour, minute = (int(part) for part in value.split(":"))
    if (hour, minute) in {(12, 0), (0, 0)}:
        return "noon" if hour else "midnight"
    half = "a.m." if hour < 12 else "p.m."
    name = spoken_number((hour - 1) % 12 + 1)
    if minute == 0:
        return f"{name} {half}"
    return f"{name} {'oh ' if minute < 10 else ''}{spoken_number(minute)} {half}"
