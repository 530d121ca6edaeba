"""Links to recordings: each a secret of its own that opens one recording for a while."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Final

from gateway.clock import Clock

LONG_SECONDS: Final = 12 * 3600.0
"""Life of a link that was asked for as long-lived (OpenAPI of 2026-04)."""
_MOST: Final = 10_000


@dataclass(frozen=True, slots=True)
class Link:
    """What a secret opens, and until when (wall seconds)."""

    message_id: str
    expires: float


class Links:
    """The links in force; the oldest give way when there are too many."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._links: dict[str, Link] = {}

    def make(self, message_id: str, seconds: float) -> tuple[str, float]:
        """A new secret for this message, and when it expires."""
        secret, expires = secrets.token_urlsafe(24), self._clock.wall() + seconds
        self._links[secret] = Link(message_id, expires)
        while len(self._links) > _MOST:
            del self._links[next(iter(self._links))]
        return secret, expires

    def message(self, secret: str) -> str | None:
        """The message this secret opens; None when it never did, or no longer does."""
        link = self._links.get(secret)
        return link.message_id if link is not None and self._clock.wall() < link.expires else None
