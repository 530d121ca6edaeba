"""Secrets taken out of texts that others wrote: an answer may repeat the request that it refuses."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import quote

MARK: Final = "***"


def spellings(secret: str) -> Iterator[str]:
    """As it is, and as it stands in JSON, in a Python value, in an address."""
    yield from (secret, json.dumps(secret)[1:-1], repr(secret)[1:-1], quote(secret, safe=""))


def without(text: str, secrets: Iterable[str]) -> str:
    """The text with a mark in place of each secret, however it is spelled there."""
    written = {spelling for secret in secrets if secret for spelling in spellings(secret)}
    # Longest first: a secret may be the beginning of another.
    for spelling in sorted(written, key=len, reverse=True):
        text = text.replace(spelling, MARK)
    return text
