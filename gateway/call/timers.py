"""Named deadlines of one call, and the earliest of them."""

from __future__ import annotations

from enum import Enum


class Timer(Enum):
    """What a call may be waiting for; each has at most one deadline."""

    NO_MEDIA = "no-media"
    MAX_CALL = "max-call"
    AWAY = "away"
    SILENCE = "silence"
    DEAD_AIR = "dead-air"
    FILLER = "filler"
    PATIENCE = "patience"
    STALL = "stall"
    RETRY = "retry"
    DRAIN = "drain"
    MERGE = "merge"
    DIGITS = "digits"
    RATING = "rating"
    ENDING = "ending"


class Timers:
    """A small set of deadlines; the shell arms one timer at `deadline`."""

    __slots__ = ("_at",)

    def __init__(self) -> None:
        self._at: dict[Timer, float] = {}

    @property
    def deadline(self) -> float | None:
        """The earliest deadline, or None."""
        return min(self._at.values(), default=None)

    def start(self, timer: Timer, at: float) -> None:
        self._at[timer] = at

    def stop(self, *timers: Timer) -> None:
        for timer in timers:
            self._at.pop(timer, None)

    def stop_all(self) -> None:
        self._at.clear()

    def due(self, timer: Timer) -> float | None:
        """When it is due, or None while it is not running."""
        return self._at.get(timer)

    def running(self, timer: Timer) -> bool:
        return timer in self._at

    def take_due(self, now: float) -> Timer | None:
        """Remove and return the earliest timer that is due, or None."""
        if not self._at:
            return None
        timer = min(self._at, key=lambda name: self._at[name])
        if self._at[timer] > now:
            return None
        del self._at[timer]
        return timer
