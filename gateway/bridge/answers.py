"""The carrier's question what to do with a call, and the answers there are."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from gateway.bridge.tickets import Ticket
from gateway.call.record import CallRecord
from gateway.clock import Clock, iso
from gateway.ids import CallSid, UserId
from gateway.store import NewCall


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """A call as the carrier's webhook announces it."""

    call_sid: CallSid
    account_sid: str
    direction: str
    caller: str
    called: str


@dataclass(frozen=True, slots=True)
class Connect:
    """Answer with this document: it opens the media stream."""

    document: str


class Refuse(Enum):
    """Answers that open no stream."""

    BUSY = "busy"
    ENDED = "ended"
    LOST = "lost"
    """The call was ours, but the process that held it is gone."""


Answer: TypeAlias = Connect | Refuse


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchboardOptions:
    """Where calls go and how many there may be."""

    organization: str
    service_id: str
    users: tuple[UserId, ...]
    replica: str
    max_calls: int = 200
    token_seconds: float = 60.0


def new_record(incoming: Incoming, options: SwitchboardOptions, clock: Clock) -> CallRecord:
    """The record of a call that nobody has been leased for yet."""
    return CallRecord(
        call_sid=incoming.call_sid,
        direction=incoming.direction,
        caller=incoming.caller,
        called=incoming.called,
        organization=options.organization,
        service_id=options.service_id,
        user_id="",
        replica=options.replica,
        started_at=clock.now(),
    )


def new_call(
    incoming: Incoming,
    ticket: Ticket,
    record: CallRecord,
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
        route="",
        organization=options.organization,
        service_id=options.service_id,
        candidates=options.users,
        replica=options.replica,
        token_digest=ticket.digest,
        token_expires=wall + options.token_seconds,
        answer=ticket.document,
        record=record.as_json(lambda at: iso(offset + at)),
        now=wall,
    )
