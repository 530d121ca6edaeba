"""The forms in which records and places in a list leave a store: the same in each of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def as_json(record: Mapping[str, object]) -> str:
    # ASCII: text from outside may hold lone surrogates, which no store keeps as UTF-8.
    return json.dumps(record, separators=(",", ":"))


def position(cursor: str | None) -> int:
    """Return the place a cursor stands for; ValueError where it is not one of ours."""
    if cursor is None:
        return 2**63 - 1
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 19):
        raise ValueError("not a cursor of this store")
    return int(cursor)
