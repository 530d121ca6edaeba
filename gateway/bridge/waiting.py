"""Calls of dead replicas whose callers may still be on the line: the carrier is given time to ask."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum


class Outcome(Enum):
    """How the wait for a caller ended."""

    TAKEN = "taken"
    """The caller is back: the call goes on in this process."""
    GONE = "gone"
    """The carrier, or an operator, says that the call is over."""
    LATE = "late"
    """Nobody asked in time."""


@dataclass(slots=True)
class Seat:
    """One call's place in the waiting room."""

    outcome: Outcome | None = None
    asking: int = 0
    """Questions of the carrier that are being answered: the wait does not end under them."""
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def settle(self, outcome: Outcome) -> None:
        self.outcome = self.outcome or outcome
        self.changed.set()


class WaitingRoom:
    """Orphaned calls that this replica adopts, while it waits for their callers."""

    def __init__(self) -> None:
        self._seats: dict[str, Seat] = {}

    def __contains__(self, call_sid: str) -> bool:
        return call_sid in self._seats

    def open(self, call_sid: str) -> Seat:
        """A seat for this call: taken before the call is adopted, given up by `close`."""
        seat = self._seats[call_sid] = Seat()
        return seat

    def close(self, call_sid: str) -> None:
        self._seats.pop(call_sid, None)

    async def wait(self, seat: Seat, seconds: float) -> Outcome:
        """Wait for the caller of this seat, at most so long, and longer only while the carrier asks."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while seat.outcome is None:
            seat.changed.clear()
            try:
                async with asyncio.timeout_at(None if seat.asking else until):
                    await seat.changed.wait()
            except TimeoutError:
                if not seat.asking:
                    seat.settle(Outcome.LATE)
        return seat.outcome

    @contextmanager
    def asked_for(self, call_sid: str) -> Iterator[bool]:
        """The carrier asks about this call; False: it is too late, its end is being written down."""
        seat = self._seats.get(call_sid)
        if seat is None or seat.outcome is not None:
            yield seat is None
            return
        seat.asking += 1
        seat.changed.set()
        try:
            yield True
        finally:
            seat.asking -= 1
            seat.changed.set()

    def take(self, call_sid: str) -> bool:
        """The call goes on in this process; False: it was over before it was ours."""
        seat = self._seats.get(call_sid)
        if seat is not None:
            seat.settle(Outcome.TAKEN)
        return seat is None or seat.outcome is Outcome.TAKEN

    def gone(self, call_sid: str) -> bool:
        """The call is over: nothing to wait for; False: nobody waits for this one here."""
        seat = self._seats.get(call_sid)
        if seat is not None:
            seat.settle(Outcome.GONE)
        return seat is not None
