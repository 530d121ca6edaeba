"""The carrier's question what to do with a call, and the answers there are."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from gateway.bridge.routes import Route
from gateway.bridge.tickets import Ticket
from gateway.call.record import CallRecord
from gateway.clock import Clock, iso
from gateway.ids import CallSid
from gateway.store import NewCall


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """A call as the carrier's webhook announces it."""

    call_sid: CallSid
    account_sid: str
    direction: str
    caller: str
    called: str
    waiting_since: float | None = None
    """Wall time since which the caller waits for a free user; None: the call was not answered yet."""


@dataclass(frozen=True, slots=True)
class Connect:
    """Answer with this document: it opens the media stream."""

    document: str


@dataclass(frozen=True, slots=True)
class HandOver:
    """Give the call to somebody else: we cannot take it."""

    target: str
    """A number in E.164, or a `sip:` address."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Nobody to speak for is free: let the caller hold the line, then ask again."""

    since: float
    """Wall time, to be handed back as `Incoming.waiting_since`."""
    seconds: int
    speak: bool
    """Whether the caller is told (again) what goes on."""


class Refuse(Enum):
    """Answers that open no stream."""

    BUSY = "busy"
    WAITED = "waited"
    """Busy as well, but the caller was let in to wait: a busy tone is no longer possible."""
    UNROUTED = "unrouted"
    """Nobody answers the number that was called."""
    ENDED = "ended"
    LOST = "lost"
    """The call was ours, but the process that held it is gone."""
    SORRY = "sorry"
    """We cannot speak to this caller: the carrier's own voice must."""


Answer: TypeAlias = Connect | HandOver | Wait | Refuse


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Another replica has the call."""

    address: str | None
    """Where that replica is reached, `http://HOST:PORT`; None: it is dead, or tells nobody."""
    replica: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchboardOptions:
    """How many calls there may be, and who we are."""

    replica: str
    max_calls: int = 200
    max_lag: float = 0.1
    """Seconds the event loop may be late on average; beyond, new calls would harm live ones."""
    token_seconds: float = 60.0


def new_record(incoming: Incoming, route: Route, replica: str, clock: Clock) -> CallRecord:
    """The record of a call that nobody has been leased for yet."""
    return CallRecord(
        call_sid=incoming.call_sid,
        direction=incoming.direction,
        caller=incoming.caller,
        called=incoming.called,
        route=route.name or None,
        organization=route.organization,
        service_id=route.service_id,
        user_id="",
        replica=replica,
        started_at=clock.now(),
    )


def new_call(
    incoming: Incoming,
    ticket: Ticket,
    record: CallRecord,
    route: Route,
    options: SwitchboardOptions,
    clock: Clock,
) -> NewCall:
    """What the store takes in before the call is acted on."""
    wall = clock.wall()
    offset = wall - clock.now()
    return NewCall(
        call_sid=incoming.call_sid,
        account_sid=incoming.account_sid,
        direction=incoming.direction,
        caller=incoming.caller,
        called=incoming.called,
        route=route.name,
        organization=route.organization,
        service_id=route.service_id,
        candidates=route.identity.candidates(incoming.caller),
        replica=options.replica,
        token_digest=ticket.digest,
        token_expires=wall + options.token_seconds,
        answer=ticket.document,
        record=record.as_json(lambda at: iso(offset + at)),
        now=wall,
    )
