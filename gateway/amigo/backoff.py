"""When to try again: a pure schedule for work that waits in the background (finishing a call)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_GREATEST_EXPONENT: Final = 63  # beyond it only the cap counts, and floats would overflow


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Growing pauses with jitter, inside one total deadline."""

    first_seconds: float = 0.5
    factor: float = 2.0
    longest_seconds: float = 15.0
    total_seconds: float = 60.0
    """From the first try; a pause that would end later than that is not begun."""

    def pause(
        self, tries: int, *, elapsed: float, jitter: float, retry_after: float | None = None
    ) -> float | None:
        """Seconds to wait after the `tries`-th try (from 1) failed, or None to give up.

        `elapsed` is counted in seconds from the first try. `jitter` in [0, 1) takes up to half of
        the pause away, so that calls which failed together do not come back together. What the
        service asked for (`retry_after`) wins over the schedule, with the jitter on top: nobody
        may come earlier than told.
        """
        if retry_after is not None:
            seconds = retry_after + jitter * self.first_seconds
        else:
            exponent = min(max(tries - 1, 0), _GREATEST_EXPONENT)
            grown = min(self.first_seconds * self.factor**exponent, self.longest_seconds)
            seconds = grown * (1.0 - jitter / 2.0)
        return seconds if elapsed + seconds <= self.total_seconds else None
