"""Documented limits, checked before a request leaves: a wrong one is our own fault, told by its name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from gateway.errors import AmigoInvalid

CONVERSATIONS: Final = 150
MESSAGES: Final = 500
FEEDBACKS: Final = 50
USERS: Final = 100
SERVICES: Final = 20
"""Items in one page, at most."""
TAGS: Final = 20
TAG_VALUE: Final = 100
STARTERS: Final = 10
VARIABLE_VALUE: Final = 255

_ID: Final = re.compile(r"[a-f0-9]{24}")
_TAG_KEY: Final = re.compile(r"[\w\s]+")
_VARIABLE: Final = re.compile(r"[a-z_][a-z0-9_]+")


class Limits:
    """The checks of one operation."""

    def __init__(self, operation: str) -> None:
        self._operation = operation

    def refuse(self, name: str, problem: str) -> AmigoInvalid:
        return AmigoInvalid(self._operation, detail=f"{name}: {problem}", asked=False)

    def ids(self, **named: str | Iterable[str]) -> None:
        """24 hex digits each, in lower case."""
        for name, value in named.items():
            for text in (value,) if isinstance(value, str) else value:
                if _ID.fullmatch(text) is None:
                    raise self.refuse(name, "is not an id of 24 hex digits")

    def page(self, limit: int, most: int, least: int = 1) -> None:
        if not least <= limit <= most:
            raise self.refuse("limit", f"must be between {least} and {most}")

    def sort(self, wishes: Iterable[str], fields: tuple[str, ...]) -> None:
        """`+field` or `-field`."""
        for wish in wishes:
            if wish[:1] not in ("+", "-") or wish[1:] not in fields:
                raise self.refuse("sort", f"{wish!r} is not + or - and one of {', '.join(fields)}")

    def filled(self, **named: str) -> None:
        for name, text in named.items():
            if not text.strip():
                raise self.refuse(name, "must not be empty")

    def counts(self, least: int, most: int) -> None:
        for name, value in (("min_count", least), ("max_count", most)):
            if not 1 <= value <= STARTERS:
                raise self.refuse(name, f"must be between 1 and {STARTERS}")
        if least > most:
            raise self.refuse("min_count", "must not be greater than max_count")

    def tags(self, tags: Mapping[str, str | None], *, created: bool) -> None:
        """At creation a value may hold any 1 to 100 characters; later only words and blanks."""
        if len(tags) > TAGS:
            raise self.refuse("tags", f"at most {TAGS}")
        for key, value in tags.items():
            if not key.strip() or _TAG_KEY.fullmatch(key) is None:
                raise self.refuse(
                    "tags", f"the key {key!r} has more than letters, digits, _ and blanks"
                )
            if value is None:
                continue
            short = 1 <= len(value) <= TAG_VALUE
            if not (short if created else value.strip() and _TAG_KEY.fullmatch(value)):
                raise self.refuse(
                    "tags", f"the value of {key!r} breaks the rules of this operation"
                )

    def variables(self, variables: Mapping[str, str]) -> None:
        for name, value in variables.items():
            if _VARIABLE.fullmatch(name) is None:
                raise self.refuse("variables", f"{name!r} is not a name of a-z, 0-9 and _")
            if not 1 <= len(value) <= VARIABLE_VALUE:
                raise self.refuse("variables", f"{name!r} needs 1 to {VARIABLE_VALUE} characters")
