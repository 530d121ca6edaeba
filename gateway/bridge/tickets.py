"""The way into a call's media stream: one single-use token per call, known by its digest."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from gateway.clock import Clock


@dataclass(slots=True)
class Ticket:
    """A token's trace and the document that carries the token."""

    digest: str
    document: str
    expires: float
    """Monotonic."""
    used: bool = False


class Tickets:
    """The one valid ticket of each live call."""

    def __init__(
        self, make_document: Callable[[str], str], clock: Clock, token_seconds: float
    ) -> None:
        self._make_document = make_document
        self._clock = clock
        self._token_seconds = token_seconds
        self._tickets: dict[str, Ticket] = {}
        self._by_digest: dict[str, str] = {}

    def new(self) -> Ticket:
        """A ticket with a fresh token of 192 bits, not yet anybody's."""
        token = secrets.token_urlsafe(24)
        expires = self._clock.now() + self._token_seconds
        return Ticket(token_digest(token), self._make_document(token), expires)

    def keep(self, call_sid: str, ticket: Ticket) -> None:
        """The call's only valid ticket from now on."""
        self.drop(call_sid)
        self._tickets[call_sid] = ticket
        self._by_digest[ticket.digest] = call_sid

    def drop(self, call_sid: str) -> None:
        """The call takes no stream any more."""
        previous = self._tickets.pop(call_sid, None)
        if previous is not None:
            self._by_digest.pop(previous.digest, None)

    def unused(self, call_sid: str) -> Ticket | None:
        """The call's ticket, while it can still be used."""
        ticket = self._tickets.get(call_sid)
        usable = ticket is not None and not ticket.used and self._clock.now() < ticket.expires
        return ticket if usable else None

    def holder(self, token: str) -> str | None:
        """The call this token can still open a stream for."""
        # looked up by digest: how long that takes says nothing about a token
        call_sid = self._by_digest.get(token_digest(token))
        return call_sid if call_sid is not None and self.unused(call_sid) is not None else None

    def void(self, token: str) -> bool:
        """The token is one of ours, and opens nothing any more."""
        return token_digest(token) in self._by_digest and self.holder(token) is None

    def spend(self, call_sid: str) -> None:
        """The token was used: it opens nothing a second time."""
        self._tickets[call_sid].used = True


def token_digest(token: str) -> str:
    """What the store keeps of a token: enough to know it again, not enough to use it."""
    return hashlib.sha256(token.encode()).hexdigest()
