"""What to do when an exchange with the API failed: a table of facts, no timers, no state.

Statuses and pauses follow the API's published behaviour: 409 while a related operation runs,
`Retry-After` on 429 and 503, 408 for a stalled upload, `error` before completion voids the turn.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from gateway.call.events import Failure, FailureKind

BUSY_PAUSES = (0.5, 1.0, 2.0)
"""Seconds between tries of an interact that was refused with 409; the last one repeats."""
CREATE_BUSY_PAUSES = (2.0, 3.0, 4.0, 4.0)
"""The same for create; after the last the call gives up."""
OVERLOAD_PAUSES = (1.0, 2.0, 4.0)
"""Seconds between tries on 429 and 503 without `Retry-After`."""
MAX_VOIDS = 1
"""How often a voided turn is sent again."""
MAX_SERVER_ERRORS = 1


class Verdict(Enum):
    """Answers other than 'send it again'."""

    NOTHING_HEARD = "nothing-heard"
    CONVERSATION_OVER = "conversation-over"
    FREE_USER = "free-user"
    GIVE_UP = "give-up"


@dataclass(frozen=True, slots=True)
class Again:
    """Send the same turn again after so many seconds."""

    seconds: float


@dataclass(slots=True)
class Tries:
    """What has gone wrong with one turn so far."""

    busy: int = 0
    overload: int = 0
    voids: int = 0
    server: int = 0
    freed: int = 0


def after_interact(failure: Failure, tries: Tries, patience_left: float) -> Again | Verdict:
    """Judge a failed interact; counts the failure in `tries`."""
    if failure.finished:
        return Verdict.CONVERSATION_OVER
    match failure.kind, failure.status:
        case _, 400:  # as a status or, the transcript being late, as an `error` event
            return Verdict.NOTHING_HEARD
        case ((FailureKind.VOID | FailureKind.CLOSED), _):
            return _once_more(tries)
        case _, 409:
            return _busy(tries, BUSY_PAUSES, patience_left, endless=True)
        case _:
            return _common(failure, tries, patience_left)


def after_create(failure: Failure, tries: Tries, patience_left: float) -> Again | Verdict:
    """Judge a failed create; counts the failure in `tries`."""
    match failure.kind, failure.status:
        case ((FailureKind.VOID | FailureKind.CLOSED), _):
            return _once_more(tries)
        case _, 400:
            tries.freed += 1
            return Verdict.FREE_USER if tries.freed == 1 else Verdict.GIVE_UP
        case _, 409:
            return _busy(tries, CREATE_BUSY_PAUSES, patience_left, endless=False)
        case _:
            return _common(failure, tries, patience_left)


def _once_more(tries: Tries) -> Again | Verdict:
    tries.voids += 1
    return Again(0.0) if tries.voids <= MAX_VOIDS else Verdict.GIVE_UP


def _busy(
    tries: Tries, pauses: tuple[float, ...], patience_left: float, *, endless: bool
) -> Again | Verdict:
    tries.busy += 1
    if tries.busy > len(pauses) and not endless:
        return Verdict.GIVE_UP
    return _within(pauses[min(tries.busy, len(pauses)) - 1], patience_left)


def _common(failure: Failure, tries: Tries, patience_left: float) -> Again | Verdict:
    if failure.kind is FailureKind.UNREACHABLE or failure.status in {429, 503}:
        tries.overload += 1
        pause = failure.retry_after
        if pause is None:
            pause = OVERLOAD_PAUSES[min(tries.overload, len(OVERLOAD_PAUSES)) - 1]
        return _within(pause, patience_left)
    if failure.status == 408 or (failure.status is not None and failure.status >= 500):
        tries.server += 1
        return Again(0.2) if tries.server <= MAX_SERVER_ERRORS else Verdict.GIVE_UP
    return Verdict.GIVE_UP


def _within(pause: float, patience_left: float) -> Again | Verdict:
    """A wait that outlasts the caller's patience is no wait worth starting."""
    return Again(pause) if pause < patience_left else Verdict.GIVE_UP
