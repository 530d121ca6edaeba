"""What the agent is told along with the caller's next words: how much of its last ones was heard."""

from __future__ import annotations

from gateway.call.record import TurnRecord
from gateway.call.untold import untold


class News:
    """Reads the call's turns; what was told once is not told again."""

    def __init__(self, turns: list[TurnRecord], *, wanted: bool) -> None:
        self._turns = turns
        self._wanted = wanted

    def due(self) -> tuple[tuple[int, str], ...]:
        """(turn, words) in the order of the turns."""
        return tuple(untold(self._turns)) if self._wanted else ()

    def told(self, news: tuple[tuple[int, str], ...]) -> None:
        """The API has stored them."""
        for index, _ in news:
            self._turns[index].told = True

    def refused(self) -> None:
        """The API does not take such news: the rest of the call does without."""
        self._wanted = False
