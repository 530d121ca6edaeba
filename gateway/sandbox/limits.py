"""The published requests-per-minute limits, counted over a sliding minute."""

from __future__ import annotations

import math
from collections import defaultdict, deque
from types import MappingProxyType
from typing import Final

from gateway.clock import Clock
from gateway.sandbox.errors import Refusal
from gateway.sandbox.options import LimitScope, Revision

WINDOW_S: Final = 60.0
_COMMON: Final = {
    "sign-in": 5,
    "create": 5,
    "interact": 15,
    "finish": 5,
    "list": 15,
    "services": 50,
    "recommend": 20,
    "users": 60,
    "user-search": 50,
}
PER_MINUTE: Final = MappingProxyType(
    {
        # The page of 2025-06 gives no figures; these are the oldest known, of August 2025.
        "2025-06": MappingProxyType(
            {
                **_COMMON,
                "messages": 60,
                "source": 10,
                "insights": 500,
                "starters": 40,
                "user-delete": 1000,
            }
        ),
        "2026-04": MappingProxyType(
            {
                **_COMMON,
                "messages": 20,
                "source": 30,
                "insights": 20,
                "starters": 10,
                "tags": 50,
                "user-create": 50,
                "user-update": 50,
                "user-variables": 50,
                "user-delete": 500,
            }
        ),
    }
)


class Limits:
    """Counts requests per operation and user (or for the whole organization)."""

    def __init__(self, clock: Clock, scope: LimitScope, revision: Revision) -> None:
        self._clock = clock
        self._scope = scope
        self._per_minute = PER_MINUTE[revision]
        self._seen: dict[tuple[str, str], deque[float]] = defaultdict(deque)

    def count(self, operation: str, user: str) -> dict[str, str]:
        """Headers that tell the client where it stands; raises 429 when it asked too often."""
        allowed = self._per_minute.get(operation)
        if self._scope == "off" or allowed is None:
            return {}
        now = self._clock.now()
        seen = self._seen[operation, user if self._scope == "user" else ""]
        while seen and seen[0] <= now - WINDOW_S:
            seen.popleft()
        free = allowed - len(seen)
        wait = seen[0] + WINDOW_S - now if seen else WINDOW_S
        headers = self._headers(allowed, max(0, free - 1), wait)
        if free <= 0:
            raise Refusal(
                429,
                f"more than {allowed} requests per minute",
                rule="1" if operation == "sign-in" else "38",
                headers={**headers, "Retry-After": str(math.ceil(wait))},
            )
        seen.append(now)
        return headers

    def _headers(self, allowed: int, remaining: int, wait: float) -> dict[str, str]:
        return {
            "X-RateLimit-Limit": str(allowed),
            "X-RateLimit-Remaining": str(remaining),
            "X-RateLimit-Reset": str(math.ceil(self._clock.wall() + wait)),
        }
