"""Callers for a soak: each dials again and again, and no call is like the last."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field

from gateway.simulator import CallPlan, CallResult, Habits, Keys, place_call
from gateway.simulator.plan import Ending, Item
from tests.reliability.field import Field
from tests.support.stack import spoken

PATIENCE = 45.0
"""Seconds of silence after which a caller gives up; a process may stand still for 25."""
ENDINGS: tuple[Ending, ...] = ("stop", "stop", "stop", "status-first", "drop", "lost")
WORDS = ("amiable", "leisure", "weasels")
LONGEST = 150.0
"""Seconds from the stream's start after which the caller hangs up, whatever is going on."""


@dataclass
class Told:
    """What became of all calls so far."""

    calls: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    answered: int = 0
    """Items said or pressed that the agent answered."""
    reconnects: int = 0
    gave_up: int = 0
    """Callers who heard nothing for longer than they had patience."""
    problems: Counter[str] = field(default_factory=Counter)
    violations: Counter[str] = field(default_factory=Counter)
    """Broken rules of the wire."""

    def enter(self, result: CallResult) -> None:
        self.calls += 1
        self.outcomes[result.outcome] += 1
        self.answered += sum(said.answered for said in result.said)
        self.reconnects += len(result.reconnects)
        self.problems.update(result.problems)
        self.gave_up += any("no agent sound within" in one for one in result.problems)
        self.violations.update(f"{one.rule} {one.what}" for one in result.violations)


def plan(chance: random.Random) -> CallPlan:
    items: list[Item] = []
    for _ in range(chance.randint(1, 12)):
        if chance.random() < 0.3:
            items.append(spoken(chance.choice(WORDS)))
        else:
            items.append(Keys(f"{chance.randint(0, 99)}#", interrupts=chance.random() < 0.2))
    if chance.random() < 0.3:
        items.append(Keys("0#"))
    hurried = chance.random() < 0.25
    return CallPlan(
        items=tuple(items),
        habits=Habits(
            quiet_ms=500,
            doubt_ms=0,
            patience_seconds=PATIENCE,
            key_gap_ms=100,
            linger_seconds=1.0,
        ),
        hang_up_after=chance.uniform(0.0, 15.0) if hurried else LONGEST,
        ending=chance.choice(ENDINGS),
        waits_when_lost=chance.random() < 0.8,
        max_seconds=LONGEST * 2,
    )


async def ring_on(field: Field, told: Told, chance: random.Random, over: asyncio.Event) -> None:
    """Call, hang up, wait, and call again until `over`; the last call is held to its own end."""
    while not over.is_set():
        told.enter(await place_call(plan(chance), field.target, rest=field.rest))
        await asyncio.sleep(chance.uniform(0.1, 2.0))
