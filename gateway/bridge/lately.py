"""A bounded memory of what was lately so."""

from __future__ import annotations

from typing import Generic, TypeVar

V = TypeVar("V")


class Lately(Generic[V]):
    """Values by call; beyond `most` the oldest are forgotten."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: dict[str, V] = {}

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def keep(self, key: str, value: V) -> None:
        self._values[key] = value
        while len(self._values) > self._most:
            del self._values[next(iter(self._values))]

    def pop(self, key: str) -> V | None:
        return self._values.pop(key, None)
