"""Which recorded turn belongs to which thing the caller did, where a lost line may have swallowed either."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gateway.simulator.caller import Said
from gateway.simulator.plan import Keys
from gateway.simulator.record import CALLER_KINDS, RecordedTurn
from gateway.simulator.words import word_errors

ALONE: Final = 0.5
"""Cost of leaving one without the other; a pair costs its share of wrong words, at most 1."""

Pair = tuple[Said | None, RecordedTurn | None]


def in_order(said: Sequence[Said], turns: Sequence[RecordedTurn]) -> list[Pair]:
    """The first with the first: what holds where nothing was lost."""
    waiting, pairs = list(said), list[Pair]()
    for turn in turns:
        of_caller = turn.kind in CALLER_KINDS and waiting
        pairs.append((waiting.pop(0) if of_caller else None, turn))
    return [*pairs, *((one, None) for one in waiting)]


def by_words(said: Sequence[Said], turns: Sequence[RecordedTurn]) -> list[Pair]:
    """The pairing of least cost that keeps both orders."""
    # best[i][j]: cost of what follows after i things said and j turns, and the step to take there
    best: list[list[tuple[float, int, int]]] = [
        [(0.0, 0, 0)] * (len(turns) + 1) for _ in range(len(said) + 1)
    ]
    for i in range(len(said), -1, -1):
        for j in range(len(turns), -1, -1):
            steps = []
            if i < len(said) and j < len(turns) and (cost := _cost(said[i], turns[j])) is not None:
                steps.append((cost + best[i + 1][j + 1][0], 1, 1))
            if j < len(turns):
                alone = ALONE if turns[j].kind in CALLER_KINDS else 0.0
                steps.append((alone + best[i][j + 1][0], 0, 1))
            if i < len(said):
                steps.append((ALONE + best[i + 1][j][0], 1, 0))
            if steps:
                best[i][j] = min(steps, key=lambda step: step[0])
    pairs: list[Pair] = []
    i = j = 0
    while i < len(said) or j < len(turns):
        _, more_said, more_turns = best[i][j]
        pairs.append((said[i] if more_said else None, turns[j] if more_turns else None))
        i, j = i + more_said, j + more_turns
    return pairs


def _cost(said: Said, turn: RecordedTurn) -> float | None:
    """None: they cannot belong together."""
    keyed = isinstance(said.item, Keys)
    if turn.kind != ("dtmf" if keyed else "voice"):
        return None
    text = said.item.digits if isinstance(said.item, Keys) else said.item.text
    if not text or not turn.user_text:
        return 0.0
    return min(1.0, word_errors(text, turn.user_text).rate)
