"""What one run shares: its time, its chances, its log, what went wrong, which faults occurred."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from tests.simulation.loop import START, SimLoop

WALL_START: Final = 1_700_000_000.0
"""Wall time at the beginning of every run."""


@dataclass(slots=True)
class Violation:
    """A promise that was not kept."""

    at: float
    rule: str
    """Short name of the promise."""
    what: str

    def __str__(self) -> str:
        return f"{self.at:9.3f} {self.rule}: {self.what}"


class World:
    """One run's own world."""

    def __init__(self, seed: int, loop: SimLoop) -> None:
        self.seed = seed
        self.loop = loop
        self.calm = False
        """The faults are over: what is owed can be paid now."""
        self.lines: list[tuple[float, str, str, tuple[object, ...]]] = []
        self.violations: list[Violation] = []
        self.faults: Counter[str] = Counter()
        """How often each kind of fault occurred."""
        self.facts: Counter[str] = Counter()
        """How often something worth counting happened: calls that connected, turns that were held, ..."""
        self.wall_offset = 0.0
        """Seconds that the machines' wall clocks were stepped by."""

    def chance(self, name: str) -> random.Random:
        """A source of chance of its own for each part: what one draws changes nothing for another."""
        return random.Random(f"{self.seed}/{name}")

    def now(self) -> float:
        """Seconds since the run began."""
        return self.loop.time() - START

    def true_wall(self) -> float:
        """Wall time on a clock that is never wrong: the API's and the carrier's."""
        return WALL_START + self.now()

    def note(self, who: str, what: str, *details: object) -> None:
        """Add a line to the event log."""
        self.lines.append((self.loop.time() - START, who, what, details))

    def fault(self, kind: str, who: str, *details: object) -> None:
        """A fault occurs."""
        self.faults[kind] += 1
        self.note(who, f"FAULT {kind}", *details)

    def violated(self, rule: str, what: str) -> None:
        """A promise was not kept."""
        violation = Violation(self.now(), rule, what)
        self.violations.append(violation)
        self.note("judge", "VIOLATION", rule, what)

    def log(self) -> str:
        """The event log as text: the same for the same seed, byte for byte."""
        return "".join(
            f"{at:9.3f} {who:<8} {what}{''.join(f' {detail}' for detail in details)}\n"
            for at, who, what, details in self.lines
        )


@dataclass(slots=True)
class MachineClock:
    """The gateway's clock on one machine: monotonic from its own zero, wall time that may be wrong."""

    world: World
    zero: float
    """What the machine's monotonic clock showed when the run began: times of two machines never compare."""
    skew: float = 0.0
    """Seconds by which its wall clock is wrong."""
    stepped: float = field(default=0.0)

    def now(self) -> float:
        return self.zero + self.world.loop.time()

    def wall(self) -> float:
        return self.world.true_wall() + self.world.wall_offset + self.skew + self.stepped
