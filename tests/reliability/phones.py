"""Telephones that press a key whenever it is their turn, and know what they have been through."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from time import monotonic

from gateway.simulator import (
    CallPlan,
    CallResult,
    GatewayTarget,
    Habits,
    Keys,
    Moment,
    RestDouble,
    place_call,
)

TURNS = 200
"""More than anybody stays on the line for."""

HABITS = Habits(quiet_ms=500, doubt_ms=0, patience_seconds=120.0, key_gap_ms=100)
"""Quick, and patient with a machine that is busy or half dead."""


def plan(*, waits_when_lost: bool = True) -> CallPlan:
    return CallPlan(
        items=(Keys("1#"),) * TURNS,
        habits=HABITS,
        max_seconds=900.0,
        waits_when_lost=waits_when_lost,
    )


@dataclass
class Phone:
    """One call, running in a task of its own; times are of the monotonic clock."""

    leave: asyncio.Event = field(default_factory=asyncio.Event)
    greeted: bool = False
    answered: list[float] = field(default_factory=list)
    """When each key was answered."""
    back: list[float] = field(default_factory=list)
    """When a stream was opened again."""
    result: CallResult | None = None
    _asked: bool = False

    async def run(
        self, target: GatewayTarget, rest: RestDouble, wanted: CallPlan | None = None
    ) -> CallResult:
        """Call, and call again who hears busy, as people do: a busy machine's store is late now and then."""
        while True:
            self.result = await place_call(
                wanted or plan(), target, rest=rest, watch=self._watch, leave=self.leave
            )
            if self.result.outcome != "rejected" or self.leave.is_set():
                return self.result
            await asyncio.sleep(0.5)

    @property
    def answered_after(self) -> list[float]:
        """Keys pressed and answered on a stream that followed a lost one."""
        return [at for at in self.answered if self.back and at > self.back[-1]]

    def _watch(self, moment: Moment) -> None:
        match moment.who, moment.what:
            case "agent", "speaks":
                self.greeted = True
                if self._asked:
                    self.answered.append(monotonic())
                self._asked = False
            case "caller", _:
                self._asked = True
            case "call", what if what.startswith("is connected again"):
                self.back.append(monotonic())
                self._asked = False
