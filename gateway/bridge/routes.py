"""Which organization, service and manner answer a call: found by the number that was called."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from gateway.bridge.house import House
from gateway.bridge.identity import CallersAgent, Identity, is_caller
from gateway.bridge.turn import Agent
from gateway.call.record import CallRecord
from gateway.ids import UserId
from gateway.store import StoredCall

DEFAULT: Final = "default"
"""Name of the route of every number that has none of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcements:
    """What the carrier's own voice says where no stream is open to speak on."""

    language: str
    """BCP 47."""
    hold: str
    """Nobody is free yet: the caller waits."""
    busy: str
    """Nobody was free in the time the caller waited."""
    sorry: str
    """The call cannot be connected, or we could not speak on it."""
    lost: str
    """The process that held the call is gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One way to answer calls."""

    name: str
    """The number it answers, `default`, or empty for the settings' own."""
    organization: str
    service_id: str
    identity: Identity
    house: House
    make_agent: Callable[[UserId], Agent]
    announcements: Announcements
    overflow: str | None = None
    """Who gets a call that we cannot take: a number in E.164, or a `sip:` address."""
    transfer: str | None = None
    """Who gets a call that is handed over; spelled like `overflow`."""
    wait_seconds: float = 0.0
    """How long a caller may wait for a free user."""

    def agent(self, record: CallRecord, leased: UserId) -> Agent:
        """Who answers for the one who was leased; the record learns the user, at once or later."""
        callers = self.identity.callers
        if callers is None or not is_caller(leased):
            record.user_id = leased
            return self.make_agent(leased)
        if record.conversation_id is not None and record.user_id:
            return self.make_agent(UserId(record.user_id))  # taken up: the user was found before

        def found(user: UserId) -> None:
            record.user_id = user

        return CallersAgent(callers, leased, self.make_agent, found)


class Routes:
    """Every route of this gateway."""

    def __init__(self, routes: Iterable[Route], announcements: Announcements) -> None:
        self._routes = {route.name: route for route in routes}
        self._announcements = announcements
        """For callers of numbers that nobody answers."""

    def find(self, called: str) -> Route | None:
        """The route of this number; None: nobody answers it."""
        for name in (called, DEFAULT, ""):
            if name in self._routes:
                return self._routes[name]
        return None

    def announcements(self, called: str) -> Announcements:
        """What callers of this number are told."""
        route = self.find(called)
        return self._announcements if route is None else route.announcements

    def owner(self, call: StoredCall) -> Route | None:
        """Whose API a stored call is owed to, though settings may have changed since."""
        same = [one for one in self._routes.values() if one.organization == call.organization]
        named = [one for one in same if one.name == call.route]
        return next(iter(named or same), None)
