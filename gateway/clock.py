"""The only reader of clocks: monotonic seconds for deciding, wall time for records."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What the shells need of time; tests pass one that jumps."""

    def now(self) -> float:
        """Monotonic seconds; comparable only within this process."""
        ...

    def wall(self) -> float:
        """Seconds since 1970 (UTC); may step."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time()  # noqa: TID251 - this is the one place


def wall_time(text: object) -> float | None:
    """Seconds since 1970 of an ISO 8601 text, UTC where it names no zone; None where it is none."""
    if not isinstance(text, str):
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def iso(wall: float) -> str:
    """RFC 3339 text with milliseconds of a wall time, e.g. `2026-01-31T09:30:00.250Z`."""
    return (
        datetime.fromtimestamp(wall, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )
