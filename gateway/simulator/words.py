"""Word errors: how far what was recognised is from what was really said."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

DIGITS: Final = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

_SPELLING: Final = {"oh": "zero", "okay": "ok", "mister": "mr", "good-bye": "goodbye"}
_TOKEN: Final = re.compile(r"[a-z]+(?:['-][a-z]+)*|\d")


@dataclass(frozen=True, slots=True)
class WordErrors:
    """Substituted, missing and invented words against the words really said."""

    errors: int
    words: int

    @property
    def rate(self) -> float:
        """0.0 is perfect; above 1.0 when more was invented than said."""
        return self.errors / self.words if self.words else float(self.errors > 0)

    def __add__(self, other: WordErrors) -> WordErrors:
        return WordErrors(self.errors + other.errors, self.words + other.words)


def words(text: str) -> list[str]:
    """Lower-case words without punctuation; digits become words one by one, as they are dictated."""
    joined = text.lower().replace("\u2019", "'").replace("good bye", "goodbye")
    tokens = (_SPELLING.get(token, token) for token in _TOKEN.findall(joined))
    return [
        word
        for token in tokens
        for word in ([DIGITS[int(token)]] if token.isdigit() else token.split("-"))
    ]


def word_errors(said: str, recognised: str) -> WordErrors:
    """Compare two texts word by word (least number of edits)."""
    reference, heard = words(said), words(recognised)
    row = list(range(len(heard) + 1))
    for at, wanted in enumerate(reference, 1):
        diagonal, row[0] = row[0], at
        for column, found in enumerate(heard, 1):
            edit = min(row[column] + 1, row[column - 1] + 1, diagonal + (wanted != found))
            diagonal, row[column] = row[column], edit
    return WordErrors(row[-1], len(reference))


def total(parts: Iterable[WordErrors]) -> WordErrors:
    """The sum over several utterances."""
    return sum(parts, WordErrors(0, 0))
