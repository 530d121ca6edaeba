"""Tokens: one per user, fetched once however many ask, renewed before they run out.

Signing in is limited to five times a minute, so a token is kept for as long as the service lets it
live, in memory only. A lifetime is counted on the service's clock from the answer's own date: a
wrong clock here must not make every token look stale.
"""

from __future__ import annotations

import asyncio
import logging
import zlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Self

from gateway.amigo.models import SignInAnswer, read_answer
from gateway.amigo.refusal import lifetime
from gateway.errors import AmigoError, AmigoUnreachable
from gateway.log import fact

if TYPE_CHECKING:
    from types import TracebackType

    from gateway.amigo.requests import Requests
    from gateway.amigo.transport import Transport
    from gateway.clock import Clock
    from gateway.ids import UserId

_log = logging.getLogger(__name__)

_EARLY_SECONDS: Final = 300.0
"""Renewed this long before it runs out, and up to twice as long: users signed in together are
spread, because the sign-in limit may count for the whole organization."""
_LIFETIME_SECONDS: Final = 900.0
"""Assumed where the service's date cannot be read or has passed; a 401 corrects it."""
_RETRY_SECONDS: Final = 30.0
"""After a failed renewal, while the old token still serves."""


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token; times are monotonic seconds of the client's clock."""

    value: str = field(repr=False)
    refresh_at: float
    expires_at: float


class Tokens:
    """The tokens of one client. An async context manager: it owns the sign-ins under way."""

    def __init__(self, transport: Transport, requests: Requests, clock: Clock) -> None:
        self._transport = transport
        self._requests = requests
        self._clock = clock
        self._held: dict[UserId, Token] = {}
        self._flights: dict[UserId, asyncio.Task[Token]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        flights = list(self._flights.values())
        for flight in flights:
            flight.cancel()
        await asyncio.gather(*flights, return_exceptions=True)

    async def token(self, user: UserId) -> str:
        """A token that acts as `user`; raises `AmigoError` if none can be had.

        A token about to run out still serves while it is renewed behind the caller's back. Safe
        to cancel: a sign-in under way goes on for whoever asks next.
        """
        held, now = self._held.get(user), self._clock.now()
        if held is not None and now < held.refresh_at:
            return held.value
        flight = self._flights.get(user) or self._take_off(user)
        if held is not None and now < held.expires_at:
            return held.value
        await asyncio.wait((flight,))
        if flight.cancelled():
            raise AmigoUnreachable("sign-in", detail="the client was closed")
        return flight.result().value

    def discard(self, user: UserId, value: str) -> None:
        """Forget a token the service refused, unless a newer one has taken its place."""
        held = self._held.get(user)
        if held is not None and held.value == value:
            del self._held[user]

    def _take_off(self, user: UserId) -> asyncio.Task[Token]:
        flight = asyncio.create_task(self._sign_in(user), name="amigo sign-in")
        self._flights[user] = flight
        flight.add_done_callback(lambda done: self._landed(user, done))
        return flight

    def _landed(self, user: UserId, flight: asyncio.Task[Token]) -> None:
        del self._flights[user]
        if flight.cancelled():
            return
        now = self._clock.now()
        if (problem := flight.exception()) is None:
            self._held = {
                name: token for name, token in self._held.items() if now < token.expires_at
            }
            self._held[user] = flight.result()
        elif (held := self._held.get(user)) is not None:
            asked = problem.retry_after if isinstance(problem, AmigoError) else None
            pause = max(_RETRY_SECONDS, asked or 0.0)
            self._held[user] = replace(held, refresh_at=now + pause)
            fact(_log, "amigo.renewal-failed", level=logging.WARNING, problem=str(problem))

    async def _sign_in(self, user: UserId) -> Token:
        reply = await self._transport.fetch(self._requests.sign_in(user))
        answer = read_answer(SignInAnswer, "sign-in", reply.status, reply.body)
        wall = self._clock.wall()
        left = lifetime(answer.expires_at, reply.headers, wall)
        seconds = left if left is not None and left > 0 else _LIFETIME_SECONDS
        spread = zlib.crc32(user.encode()) / 2**32
        early = min(_EARLY_SECONDS * (1.0 + spread), seconds / 2.0)
        now = self._clock.now()
        return Token(answer.id_token, refresh_at=now + seconds - early, expires_at=now + seconds)
