"""What became of a simulated call, and what a caller would complain about."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from gateway.simulator.caller import Caller, Moment, Said
from gateway.simulator.ear import Stretch
from gateway.simulator.judge import Violation
from gateway.simulator.line import LineEnd
from gateway.simulator.plan import CallPlan, Keys
from gateway.simulator.playback import Underrun
from gateway.simulator.record import CALLER_KINDS, OVER, Record, RecordedTurn

CLEAN_CLOSES: Final = (1000, 1001, 1005)
"""Close codes of a gateway that ends a stream on purpose."""

FAILED_ENDS: Final = ("api-error", "rejected", "no-media", "replica-lost")
"""Reasons in the gateway's record for an end that no caller wants."""

RATE: Final = "rate"
"""The gateway's own phrase that asks for a rating."""

WELL_SETTLED: Final = ("finished", "auto-finished")

Outcome = Literal["caller-hangup", "agent-ended", "rejected", "handed-over", "failed"]


@dataclass(frozen=True, slots=True)
class Reconnect:
    """A stream that followed a lost one; ms after the first stream started."""

    lost_at_ms: int
    back_at_ms: int


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
    reconnects: tuple[Reconnect, ...] = ()
    repeated: int = 0
    """Items the caller had to say again because the line was lost before they were answered."""

    @property
    def answered_after_reconnect(self) -> int:
        """Items said on a stream that followed a lost one, and answered."""
        if not self.reconnects:
            return 0
        back = self.reconnects[0].back_at_ms
        return sum(said.answered for said in self.said if said.from_ms >= back)

    @property
    def ok(self) -> bool:
        """Answered, all said and answered, no rule broken, ended in order."""
        return not self.problems and not self.violations


def complaints(caller: Caller, plan: CallPlan, end: LineEnd) -> list[str]:
    """Why a call with a stream was not held as planned; empty when it was."""
    found = [caller.gave_up] if caller.gave_up else []
    if end.by == "gateway" and end.close_code not in CLEAN_CLOSES:
        found.append(f"the gateway closed the media socket with {end.close_code}")
    if caller.greeted_after_ms is None and plan.hang_up_after is None and not caller.leaves:
        found.append("the agent was never heard")
    if not caller.finished and not caller.leaves:
        done = sum(said.until_ms is not None for said in caller.said)
        cut = done == len(plan.items)
        found.append(
            "the call ended while the last item was being said"
            if cut
            else f"only {done} of {len(plan.items)} items were said"
        )
    for number, said in enumerate(caller.said, 1):
        # A caller told to hang up early does not wait for the last answer.
        told = plan.hang_up_after is not None or caller.leaves
        excused = told and number == len(caller.said)
        if said.until_ms is not None and not said.answered and not excused:
            found.append(f"no agent sound was heard after item {number}")
        if said.item.interrupts and not said.barged_in:
            found.append(f"item {number} found no agent speech to interrupt")
    return found


def record_complaints(
    result: CallResult, record: Record, *, hang_up_after: float | None = None
) -> Iterator[str]:
    """Why the gateway's own record does not count as a call held in order; nothing when it does.

    The phone alone cannot tell the agent's voice from the gateway's own phrases; the record can.
    """
    if record.status not in OVER:
        yield f"the gateway's record is not over: status {record.status or 'unknown'}"
    if record.end_reason in FAILED_ENDS:
        yield f"the gateway's record says that the call ended with {record.end_reason}"
    # Hung up on before anything was said: the conversation need not have come into being.
    too_early = hang_up_after is not None and not result.said and not record.conversation_id
    if not too_early:
        yield from _conversation_complaints(record)
    yield from _answer_complaints(result.said, record, told_to_hang_up=hang_up_after is not None)


def _conversation_complaints(record: Record) -> Iterator[str]:
    if not record.conversation_id:
        yield "no conversation came into being"
    elif record.conversation_state not in WELL_SETTLED:
        yield f"the conversation was left {record.conversation_state or 'in an unknown state'}"


def _answer_complaints(
    said: tuple[Said, ...], record: Record, *, told_to_hang_up: bool
) -> Iterator[str]:
    """Items without an answer of the agent that was heard."""
    if said and _is_rating(said[-1], record):
        # The agent had taken its leave before: nobody answers but the gateway.
        if record.rating is None:
            yield f"{said[-1].item.label} is no rating: that is one key from 1 to 5"
        said = said[:-1]
    due = [n for n in range(len(said)) if _wants_answer(said, n, told_to_hang_up=told_to_hang_up)]
    turns = [turn for turn in record.turns if _is_answerable(turn)]
    if len(turns) == len(said):
        unheard = [n for n in due if not turns[n].heard_text]
        yield from (f"no answer of the agent to item {n + 1} was heard" for n in unheard)
        return
    # One item may have become two turns, or a back-channel none: only the number can be told, ...
    answered = sum(bool(turn.heard_text) for turn in turns)
    if answered < len(due):
        yield f"the agent was heard answering {answered} of {len(due)} items"
    # ... and that the last words belong to the last turn.
    elif due and due[-1] == len(said) - 1 and not turns[-1].heard_text:
        yield f"no answer of the agent to item {len(said)} was heard"


def _wants_answer(said: tuple[Said, ...], number: int, *, told_to_hang_up: bool) -> bool:
    """An item said in full, which nobody cut short and which is no mere interruption."""
    item, last = said[number], number == len(said) - 1
    if item.until_ms is None or item.item.interrupts:
        return False
    if last:
        return not told_to_hang_up
    return not (said[number + 1].barged_in and said[number + 1].item.interrupts)


def _is_rating(said: Said, record: Record) -> bool:
    """The keys were pressed for the rating the caller was asked for, not as an answer to the agent."""
    if not isinstance(said.item, Keys):
        return False
    asked = any(
        phrase.name == RATE and (phrase.at_ms is None or phrase.at_ms <= said.from_ms)
        for phrase in record.phrases
    )
    return asked or said.item.digits == str(record.rating)


def _is_answerable(turn: RecordedTurn) -> bool:
    """A caller's turn in which something was understood, answered or heard."""
    return turn.kind in CALLER_KINDS and bool(turn.user_text or turn.agent_text or turn.heard_text)
