"""The gateway's doors: the route table, and what stands behind it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from aiohttp import web

from gateway.bridge.switchboard import Switchboard
from gateway.carriers import Answer, Signatures, Wire
from gateway.metrics import Metrics
from gateway.store import CallStore
from gateway.web import api, health, keys, media, webhooks
from gateway.web.guard import let_streams_through
from gateway.web.headers import add_headers
from gateway.web.middleware import MAX_BODY_BYTES, MIDDLEWARES
from gateway.web.relay import Relay, process_mark

__all__ = ["Doors", "make_web"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Doors:
    """What the doors open onto."""

    switchboard: Switchboard
    store: CallStore
    metrics: Metrics
    signatures: Signatures | None
    markup: Answer
    make_wire: Callable[[], Wire]
    account_sid: str
    public_url: str
    admin_token: str | None
    relay: Relay
    replica: str


def make_web(doors: Doors) -> web.Application:
    """The application: carrier webhooks, media sockets, health, records."""
    app = web.Application(middlewares=MIDDLEWARES, client_max_size=MAX_BODY_BYTES)
    app[keys.PROCESS] = process_mark(doors.replica)
    app[keys.STORE] = doors.store
    app[keys.METRICS] = doors.metrics
    app[keys.ADMIN_TOKEN] = doors.admin_token
    app[keys.LIVE_RECORDS] = doors.switchboard.live_record
    app[keys.OPERATOR] = doors.switchboard
    app[keys.READINESS] = lambda: _reasons(doors.switchboard)
    app[webhooks.DESK] = webhooks.Desk(
        doors.switchboard,
        doors.signatures,
        doors.markup,
        doors.make_wire,
        doors.account_sid,
        doors.public_url,
        doors.relay,
    )
    app.on_response_prepare.append(let_streams_through)
    app.on_response_prepare.append(add_headers)
    for module in (webhooks, media, health, api):
        module.add_routes(app)
    return app


def _reasons(switchboard: Switchboard) -> Mapping[str, str]:
    """Why no new call can be taken."""
    reasons = {}
    if switchboard.admission.closed:
        reasons["draining"] = "the gateway is being stopped"
    if switchboard.admission.full:
        reasons["at-capacity"] = "as many calls as GATEWAY_MAX_CALLS allows"
    if switchboard.admission.overloaded:
        reasons["overloaded"] = "the event loop is late: one more call would be heard by others"
    return reasons
