"""How a target makes of bytes what its parser takes: choices, texts, pieces."""

from __future__ import annotations

import random


class Draw:
    """Choices out of bytes, from the front; zeros once there are none left."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1] if self._at <= len(self._data) else 0

    def below(self, count: int) -> int:
        """A number from 0 to `count` - 1; `count` at most 256."""
        return self.byte() % count

    def flag(self) -> bool:
        return self.byte() & 1 == 1

    def piece(self) -> bytes:
        """Up to 255 bytes, after one that says how many."""
        size = self.byte()
        piece = self._data[self._at : self._at + size]
        self._at += size
        return piece

    def text(self) -> str:
        return wild(self.piece())

    def rest(self) -> bytes:
        rest = self._data[self._at :]
        self._at = len(self._data)
        return rest


def wild(data: bytes) -> str:
    """Any text at all: bytes that are no UTF-8 become lone surrogates, as in paths and environments."""
    return data.decode("utf-8", "surrogateescape")


def tame(data: bytes) -> str:
    """Text as it comes off a wire that checks it."""
    return data.decode("utf-8", "replace")


def lines(data: bytes, count: int) -> list[bytes]:
    """Exactly `count` parts, one a line; the last has all that is left."""
    parts = data.split(b"\n", count - 1)
    return parts + [b""] * (count - len(parts))


def cut(data: bytes, seed: int) -> list[bytes]:
    """The same bytes in pieces: 0 is one piece, 1 is byte by byte, others are chance, always the same."""
    if seed == 0 or not data:
        return [data]
    if seed == 1:
        return [data[at : at + 1] for at in range(len(data))]
    chance = random.Random(seed)
    pieces, at = [], 0
    while at < len(data):
        size = chance.choice((1, 2, 3, 7, 12, 44, 160, 1000))
        pieces.append(data[at : at + size])
        at += size
    return pieces
