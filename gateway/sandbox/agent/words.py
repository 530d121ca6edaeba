"""Words of a sentence, numbers among them as digits: what every reading of a caller's words begins with."""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import Final

DIGITS: Final = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_TEENS: Final = (
    "ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS: Final = ("twenty", "thirty", "forty", "fifty")
_UNIT_ORDINALS: Final = (
    "first",
    "second",
    "third",
    "fourth",
    "fifth",
    "sixth",
    "seventh",
    "eighth",
    "ninth",
)
_TEEN_ORDINALS: Final = (
    "tenth", "eleventh", "twelfth", "thirteenth", "fourteenth", "fifteenth", "sixteenth", "seventeenth",
    "eighteenth", "nineteenth",
)  # fmt: skip

DIGIT_WORDS: Final = MappingProxyType(
    {**{word: str(n) for n, word in enumerate(DIGITS)}, "oh": "0"}
)
NUMBERS: Final = MappingProxyType(
    {
        **{word: n for n, word in enumerate(DIGITS)},
        **{word: n for n, word in enumerate(_TEENS, 10)},
        **{word: 10 * n for n, word in enumerate(_TENS, 2)},
    }
)
ORDINALS: Final = MappingProxyType(
    {
        **{word: n for n, word in enumerate(_UNIT_ORDINALS, 1)},
        **{word: n for n, word in enumerate(_TEEN_ORDINALS, 10)},
        "twentieth": 20,
        "thirtieth": 30,
    }
)


def words_of(heard: str) -> list[str]:
    """Lower-case words without punctuation."""
    return re.findall(r"[\w']+", heard.lower().replace("’", "'"))


def phrase_in(words: list[str], phrase: str) -> bool:
    """Do these words hold the phrase, word for word?"""
    return f" {phrase} " in f" {' '.join(words)} "


def digits_in(heard: str) -> str:
    """All digits in a text, written or spoken: "five, 5-5 oh" gives 5550."""
    return "".join(
        word if word.isdecimal() else DIGIT_WORDS.get(word, "")
        for word in re.findall(r"[0-9]+|[a-z]+", heard.lower())
    )


def spoken_digits(number: str) -> str:
    """Digits as words, in groups of three with a pause between: easier to follow on the phone."""
    groups = [number[at : at + 3] for at in range(0, len(number), 3)]
    if len(groups) > 1 and len(groups[-1]) == 1:
        groups[-2:] = [groups[-2] + groups[-1]]
    return ", ".join(" ".join(DIGITS[int(digit)] for digit in group) for group in groups)


def spoken_number(value: int) -> str:
    """A number under sixty as words."""
    if value < 10:
        return DIGITS[value]
    if value < 20:
        return _TEENS[value - 10]
    tens, unit = divmod(value, 10)
    return _TENS[tens - 2] + (f"-{DIGITS[unit]}" if unit else "")


def numbered(heard: str) -> str:
    """The sentence in lower case with number words as digits: "half past nine" gives "half past 9".

    Times as written stay together: "9.30" and "9:30" both give "9:30", "p.m." gives "pm".
    """
    text = re.sub(r"\b([ap])\.?\s?m\b\.?", r"\1m", heard.lower().replace("’", "'"))
    text = re.sub(r"(\d)(am|pm)\b", r"\1 \2", text)
    text = re.sub(r"(?<=\d)\.(?=\d\d)", ":", text)
    found: list[str] = []
    for word in re.findall(r"\d+:\d+|[\w']+", text.replace("-", " ")):
        value = _number(word)
        if (
            value is not None
            and found
            and found[-1] in _ROUND
            and value.isdecimal()
            and 0 < int(value) < 10
        ):
            # twenty, five: one number
            found[-1] = str(int(found[-1]) + int(value))
        else:
            found.append(word if value is None else value)
    return " ".join(found)


_ROUND: Final = frozenset({"20", "30", "40", "50"})


def _number(word: str) -> str | None:
    if word in NUMBERS:
        return str(NUMBERS[word])
    if word in ORDINALS:
        return str(ORDINALS[word])
    ordinal = re.fullmatch(r"(\d{1,2})(st|nd|rd|th)", word)
    return ordinal[1] if ordinal else None
