"""What became of a simulated call, and what a caller would complain about."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from gateway.simulator.caller import Caller, Moment, Said
from gateway.simulator.ear import Stretch
from gateway.simulator.judge import Violation
from gateway.simulator.line import LineEnd
from gateway.simulator.plan import CallPlan
from gateway.simulator.playback import Underrun

CLEAN_CLOSES: Final = (1000, 1001, 1005)
"""Close codes of a gateway that ends a stream on purpose."""

Outcome = Literal["caller-hangup", "agent-ended", "rejected", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CallResult:
    """What happened, as seen from the telephone network. Times are ms after the stream started."""

    call_sid: str
    stream_sids: tuple[str, ...]
    outcome: Outcome
    hung_up_by: str | None
    """`caller`, `rest`, `gateway` or `lost`; None when no stream was held."""
    problems: tuple[str, ...]
    """Why the call does not count as held in order; empty when it does."""
    violations: tuple[Violation, ...]
    said: tuple[Said, ...]
    agent_speech: tuple[Stretch, ...]
    greeted_after_ms: int | None
    underruns: tuple[Underrun, ...]
    notes: tuple[str, ...]
    """Verbs of the carrier itself that a real caller would have heard or been moved by."""
    moments: tuple[Moment, ...]
    webhook_ms: int
    """Time the voice webhook took to answer."""
    latest_tick_ms: int
    """Worst lateness of the simulator's own 20 ms clock."""
    seconds: float
    recording: Path | None

    @property
    def ok(self) -> bool:
        """Answered, all said and answered, no rule broken, ended in order."""
        return not self.problems and not self.violations


def complaints(caller: Caller, plan: CallPlan, end: LineEnd) -> list[str]:
    """Why a call with a stream was not held as planned; empty when it was."""
    found = [caller.gave_up] if caller.gave_up else []
    if end.by == "gateway" and end.close_code not in CLEAN_CLOSES:
        found.append(f"the gateway closed the media socket with {end.close_code}")
    if caller.greeted_after_ms is None and plan.hang_up_after is None:
        found.append("the agent was never heard")
    if not caller.finished:
        done = sum(said.until_ms is not None for said in caller.said)
        found.append(f"only {done} of {len(plan.items)} items were said")
    for number, said in enumerate(caller.said, 1):
        # A caller told to hang up early does not wait for the last answer.
        excused = plan.hang_up_after is not None and number == len(caller.said)
        if said.until_ms is not None and not said.answered and not excused:
            found.append(f"no agent sound was heard after item {number}")
        if said.item.interrupts and not said.barged_in:
            found.append(f"item {number} found no agent speech to interrupt")
    return found
