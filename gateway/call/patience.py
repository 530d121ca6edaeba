"""How long a silence ends this caller's turn: by what the agent has just asked, and by this caller's habit.

Both are known before the caller says a word. A person who dictates a number stops between its
groups; one who answers yes or no is done after the word; one who was cut short once will pause so
again. `docs/turn-taking.md` has what each of the three is worth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gateway.call.expected import Expected, expected_answer

_CUT_STEP_MS: Final = 200
"""Added each time the caller goes on right after the end of the turn was declared,"""
_WELL_STEP_MS: Final = 50
"""and taken back for each answer that the caller let the agent give."""
_LEAST_MS: Final = 300
"""No context makes a turn end sooner than this, unless the plain silence is shorter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PatiencePolicy:
    """The plain silence that ends a turn, and what context may do to it; milliseconds."""

    end_silence_ms: int = 660
    dictation_extra_ms: int = 400
    yes_no_less_ms: int = 160
    habit_extra_ms: int = 400
    """The most that a caller's habit of pausing adds; 0: callers are all alike."""


class Patience:
    """The silence that ends the caller's next turn."""

    def __init__(self, policy: PatiencePolicy) -> None:
        self._policy = policy
        self._expected = Expected.ANYTHING
        self._habit = 0

    @property
    def ms(self) -> int:
        policy = self._policy
        plain = policy.end_silence_ms + self._habit
        match self._expected:
            case Expected.ANYTHING:
                return plain
            case Expected.DICTATION:
                return plain + policy.dictation_extra_ms
            case Expected.NAME:
                return plain + policy.dictation_extra_ms // 2
            case Expected.YES_OR_NO:
                least = min(_LEAST_MS, policy.end_silence_ms)
                return max(least, plain - policy.yes_no_less_ms)

    def asked(self, agent_text: str) -> None:
        """The agent's message is known: it tells what to wait for."""
        self._expected = expected_answer(agent_text)

    def cut_short(self) -> None:
        """The caller went on at once: the silence was one of theirs."""
        self._habit = min(self._habit + _CUT_STEP_MS, self._policy.habit_extra_ms)

    def ended_well(self) -> None:
        """The caller let the agent answer."""
        self._habit = max(0, self._habit - _WELL_STEP_MS)
