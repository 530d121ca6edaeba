"""Whom a call can be handed to: a number in E.164, or a `sip:` address."""

from __future__ import annotations

import re
from typing import Final

_TARGET: Final = re.compile(r"\+[1-9]\d{6,14}|sips?:[^\s@<>\"']+@[^\s@<>\"']+", re.ASCII)


def checked_target(value: object) -> str:
    """The value itself; ValueError where nobody can be called by it."""
    if not isinstance(value, str) or not _TARGET.fullmatch(value):
        raise ValueError("is neither a number like +15550001111 nor an address like sip:desk@host")
    return value
