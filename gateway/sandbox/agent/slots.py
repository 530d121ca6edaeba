"""What can be found out from a caller's words, by kind of slot, and how each is said again."""

from __future__ import annotations

import re
from typing import Final

from gateway.sandbox.agent.moments import MONTHS, WEEKDAYS, day_in, spoken_time, time_in
from gateway.sandbox.agent.script import Slot
from gateway.sandbox.agent.words import NUMBERS, digits_in, numbered, spoken_digits, words_of

READ_BACK_WORDS: Final = 30
"""Longer texts are read back only this far."""
_NAME_WORDS: Final = 3
_LEAD_INS: Final = (
    r"(?:my|the|his|her) name(?: is|'s)", r"the name(?: is|'s)?", r"name is", r"this is", r"it(?: is|'s)",
    r"i am", r"i'm", r"call me", r"put (?:down|it under)", r"under the name(?: of)?", r"it is for", r"that(?: is|'s)",
)  # fmt: skip
_NAMED: Final = re.compile(
    r"\b(?:my name(?: is|'s)|the name(?: is|'s)|under the name(?: of)?|the appointment is for|it(?: is|'s) for|for)"
    r" ((?:mister |mrs |ms |miss |doctor |mr )?[a-z][a-z'-]+(?: [a-z][a-z'-]+)?)",
    re.IGNORECASE,
)
_NO_NAME: Final = frozenset(
    {
        *(day.lower() for day in WEEKDAYS), *(month.lower() for month in MONTHS), *NUMBERS,
        "a", "an", "the", "i", "i'm", "we", "they", "speaking", "me", "my", "you", "your", "us", "him", "her", "them", "it", "that", "this", "what", "which",
        "who", "when", "where", "why", "how", "at", "on", "in", "to", "of", "and", "or", "not", "yes", "no", "yeah",
        "today", "tomorrow", "noon", "midday", "morning", "afternoon", "evening", "half", "quarter", "past", "please",
        "thank", "thanks", "sorry", "appointment", "message", "next", "week", "o'clock", "am", "pm", "is", "do", "can",
        "want", "would", "like", "have", "make", "change", "time", "day", "name", "number", "days", "times", "another",
        "right", "correct", "know", "don't", "hello", "hi", "okay", "ok", "sure", "waiting", "calling", "over", "there",
        "here", "good", "great", "fine", "well", "some", "any", "one", "something", "anything", "help", "repeat",
    }
)  # fmt: skip
_PADDING: Final = frozenset(
    {
        "uh",
        "hm",
        "hmm",
        "huh",
        "um",
        "er",
        "oh",
        "well",
        "please",
        "thanks",
        "thank",
        "you",
        "yes",
        "hello",
        "hi",
        "so",
        "okay",
        "just",
    }
)


def found_in(slot: Slot, heard: str, *, asked: bool) -> str:
    """The slot's value in these words, or empty; `asked`: the question was for just this slot."""
    match slot.kind:
        case "name":
            return _name(heard, asked=asked)
        case "day":
            return day_in(heard)
        case "time":
            return time_in(heard, opens=slot.opens, bare=asked)
        case "digits":
            digits = digits_in(heard)
            return digits if len(digits) >= slot.least else ""
        case "text" | "mark":
            return ""  # never found in passing: an exit puts the whole sentence, or sets the mark


def said_again(slot: Slot, value: str) -> str:
    """The value as the agent says it."""
    match slot.kind:
        case "digits":
            return spoken_digits(value)
        case "time":
            return spoken_time(value)
        case "text":
            return read_back(value)
        case "name" | "day" | "mark":
            return value


def read_back(text: str) -> str:
    """A sentence again, cut where it becomes too long for a phone call."""
    words = text.split()
    short = " ".join(words[:READ_BACK_WORDS])
    if len(words) > READ_BACK_WORDS:
        return f"{short.rstrip(',.;')}, and so on."
    return short if short.endswith((".", "!", "?")) else f"{short}."


def expected(slot: Slot) -> tuple[str, ...]:
    """Words a recogniser may expect where this slot is asked for."""
    match slot.kind:
        case "day":
            return (*WEEKDAYS, "tomorrow")
        case "time":
            return ("ten o'clock", "half past nine", "quarter to three", "two thirty p.m.", "noon")
        case "name":
            return tuple(f"my name is {name}" for name in slot.examples)
        case "digits" | "text" | "mark":
            return slot.examples


def _name(heard: str, *, asked: bool) -> str:
    named = _NAMED.search(heard)
    if named is not None:
        name = _proper(words_of(named[1]))
        if name:
            return name
    if not asked or day_in(heard) or any(part.isdecimal() for part in numbered(heard).split()):
        return ""
    text = re.sub(
        r"^.*?\b(?:" + "|".join(_LEAD_INS) + r")\s+", "", heard.strip(), flags=re.IGNORECASE
    )
    words = words_of(text)
    while words and words[0] in _PADDING:
        words.pop(0)
    while words and words[-1] in _PADDING:
        words.pop()
    return _proper(words)


def _proper(words: list[str]) -> str:
    """The words as a name, if they can be one."""
    kept = words[: next((at for at, word in enumerate(words) if word in _NO_NAME), len(words))]
    alphabetic = all(re.fullmatch(r"[^\W\d_]+(?:'[^\W\d_]+)?", word) for word in kept)
    if not kept or not alphabetic or len(kept) > _NAME_WORDS:
        return ""
    return " ".join(word[:1].upper() + word[1:] for word in kept)
