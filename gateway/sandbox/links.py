"""Links to recordings: each opens one recording for a while, and says so itself under a seal."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Final

from gateway.clock import Clock

LONG_SECONDS: Final = 12 * 3600.0
"""Life of a link that was asked for as long-lived (OpenAPI of 2026-04)."""


class Links:
    """Makes links and opens them. Nothing is remembered: with a kept key they outlive the process."""

    def __init__(self, clock: Clock, key: bytes) -> None:
        self._clock = clock
        self._key = key

    def make(self, message_id: str, seconds: float) -> tuple[str, float]:
        """The text that opens this message's recording, and when (wall seconds) it expires."""
        expires = round(self._clock.wall() + seconds)
        return f"{message_id}.{expires}.{self._seal(message_id, expires)}", float(expires)

    def message(self, text: str) -> str | None:
        """The message this opens; None when it never did, or no longer does."""
        message_id, _, rest = text.partition(".")
        stamp, _, seal = rest.partition(".")
        if not (stamp.isascii() and stamp.isdigit()) or len(stamp) > 12:
            return None
        ours = self._seal(message_id, int(stamp))
        if not hmac.compare_digest(ours.encode(), seal.encode()):
            return None
        return message_id if self._clock.wall() < int(stamp) else None

    def _seal(self, message_id: str, expires: int) -> str:
        digest = hmac.new(self._key, f"{message_id}.{expires}".encode(), hashlib.sha256).digest()
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")
