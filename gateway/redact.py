"""Secrets taken out of texts that others wrote: an answer may repeat the request that it refuses."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import quote

MARK: Final = "***"


def spellings(secret: str) -> Iterator[str]:
    """As it is, in JSON, in JSON that a line quotes once more, in a Python value, in an address."""
    once = _in_json(secret)
    yield from (secret, once, _in_json(once), repr(secret)[1:-1], quote(secret, safe=""))


def _in_json(text: str) -> str:
    return json.dumps(text)[1:-1]


def without(text: str, secrets: Iterable[str]) -> str:
    """The text with a mark in place of each secret, however it is spelled there."""
    written = {spelling for secret in secrets if secret for spelling in spellings(secret)}
    # Longest first: a secret may be the beginning of another.
    for spelling in sorted(written, key=len, reverse=True):
        text = text.replace(spelling, MARK)
    return text
