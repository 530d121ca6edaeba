"""The operator's API: call records, for whoever holds the admin token."""

from __future__ import annotations

import hmac
import ipaddress
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from aiohttp import HttpVersion11, web

from gateway.bridge import orders
from gateway.bridge.switchboard import Asked
from gateway.ids import CallSid
from gateway.targets import checked_target
from gateway.web.keys import ADMIN_TOKEN, LIVE_RECORDS, OPERATOR, STORE
from gateway.web.problems import problem

PAGE_SIZE: Final = 50
LARGEST_PAGE: Final = 200

_HOST: Final = re.compile(r"(?:\[(?P<v6>[^\[\]]+)\]|(?P<name>[^\[\]:]+))(?::\d{1,5})?")
"""A Host header: a name or address, a port behind it or not."""

_FROM_ELSEWHERE: Final = re.compile(
    r"(?i)(x-)?forwarded.*|via|x-real-ip|(x-(cluster-)?|true-|fastly-|fly-)client-ip|cf-.*"
)
"""Fields by which a proxy gives itself away."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def add_routes(app: web.Application) -> None:
    app.router.add_get("/v1/calls", guarded(list_calls))
    app.router.add_get("/v1/calls/{call_sid}", guarded(show_call))
    app.router.add_post("/v1/calls/{call_sid}/hangup", guarded(hang_up))
    app.router.add_post("/v1/calls/{call_sid}/transfer", guarded(transfer))


def guarded(handler: Handler) -> Handler:
    """Let a request through to the handler only if an operator sent it; else 401 or 403."""

    async def guard(request: web.Request) -> web.StreamResponse:
        refusal = refuse_stranger(request) or refuse_page(request)
        response = refusal if refusal is not None else await handler(request)
        # Records hold numbers and what was said: no proxy or browser is to keep them.
        response.headers["Cache-Control"] = "no-store"
        return response

    return guard


def refuse_stranger(request: web.Request) -> web.Response | None:
    """Return the refusal, or None for an operator: the bearer of the token.

    Without a token configured, that is somebody on this very machine: the peer is loopback, and no
    proxy stands between (its header fields, or HTTP/1.0, which some speak by default), nor a web
    page elsewhere whose name was made to point here (a Host that is not a loopback name).
    """
    token = request.app[ADMIN_TOKEN]
    if token is None:
        if _asked_on_this_machine(request):
            return None
        return problem(
            403,
            "set GATEWAY_ADMIN_TOKEN to use this from elsewhere; without it only this machine may",
        )
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    # The server hands on bytes that are no UTF-8 as surrogates; they must compare, not raise.
    sent = given.strip().encode(errors="surrogateescape")
    if scheme.lower() == "bearer" and hmac.compare_digest(sent, token.encode()):
        return None
    return problem(
        401, "the admin token is needed as a bearer token", headers={"WWW-Authenticate": "Bearer"}
    )


def refuse_page(request: web.Request) -> web.Response | None:
    """A web page elsewhere must not ask anything by way of an operator's browser."""
    site = request.headers.get("Sec-Fetch-Site", "none")
    origin = request.headers.get("Origin")
    host = request.headers.get("Host", "")
    own = origin is None or origin.partition("://")[2].lower() == host.lower()
    if own and site in {"none", "same-origin"}:
        return None
    return problem(403, "this was sent by a web page elsewhere")


def _asked_on_this_machine(request: web.Request) -> bool:
    peer = request.transport.get_extra_info("peername") if request.transport else None
    if not isinstance(peer, tuple) or not _is_loopback_address(str(peer[0])):
        return False
    if request.version < HttpVersion11 or any(map(_FROM_ELSEWHERE.fullmatch, request.headers)):
        return False
    return _is_loopback_name(request.headers.get("Host", ""))


def _is_loopback_name(host_header: str) -> bool:
    found = _HOST.fullmatch(host_header)
    if found is None:
        return False
    host = found["v6"] or found["name"]
    return host.rstrip(".").lower() == "localhost" or _is_loopback_address(host)


def _is_loopback_address(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    mapped = getattr(
        address, "ipv4_mapped", None
    )  # ::ffff:127.0.0.1, where both families are bound
    return (mapped or address).is_loopback


async def list_calls(request: web.Request) -> web.Response:
    """Page through records, newest first; live calls as they are at this moment."""
    limit = _page_size(request.query.get("limit"))
    if limit is None:
        return problem(
            400, "the request is wrong", errors={"limit": f"must be 1 to {LARGEST_PAGE}"}
        )
    try:
        stored, cursor = await request.app[STORE].calls(limit, request.query.get("cursor"))
    except ValueError:
        errors = {"cursor": "must be the next_cursor of an earlier page"}
        return problem(400, "the request is wrong", errors=errors)
    records = [_freshest(request, record) for record in stored]
    return web.json_response({"calls": records, "next_cursor": cursor})


async def show_call(request: web.Request) -> web.Response:
    """Show one record."""
    record = await _record(request)
    if record is None:
        return problem(404, "no call has this CallSid")
    return web.json_response(dict(record))


async def _record(request: web.Request) -> Mapping[str, object] | None:
    """The record of the call in the path; the store is not needed for one that is held here."""
    call_sid = request.match_info["call_sid"]
    live = request.app[LIVE_RECORDS](call_sid)
    if live is not None:
        return live
    call = await request.app[STORE].get(CallSid(call_sid))
    return None if call is None else call.record


async def hang_up(request: web.Request) -> web.Response:
    """End a live call, whichever replica has it."""
    return await _ordered(request, orders.HANG_UP)


async def transfer(request: web.Request) -> web.Response:
    """Hand a live call over: to `to`, or to whom its route names."""
    given: object = None
    if request.can_read_body:
        try:
            given = json.loads(await request.text())
        except (ValueError, RecursionError):
            return problem(400, "the body is not JSON")
        if not isinstance(given, dict):
            return problem(400, 'the body must be an object like {"to": "+15550001111"}')
        if unknown := sorted(set(given) - {"to"}):
            return problem(400, "the request is wrong", errors={unknown[0]: "is not known"})
    target = given.get("to") if isinstance(given, dict) else None
    if target is None:
        record = await _record(request)
        if record is None:
            return problem(404, "no call has this CallSid")
        target = request.app[OPERATOR].transfer_target(record)
        if target is None:
            errors = {"to": "is missing, and the call's route names no transfer target"}
            return problem(400, "the request is wrong", errors=errors)
    try:
        to = checked_target(target)
    except ValueError as error:
        return problem(400, "the request is wrong", errors={"to": str(error)})
    return await _ordered(request, orders.TRANSFER, to=to)


async def _ordered(request: web.Request, kind: str, **body: str) -> web.Response:
    sid = CallSid(request.match_info["call_sid"])
    match await request.app[OPERATOR].ask(sid, kind, **body):
        case Asked.UNKNOWN:
            return problem(404, "no call has this CallSid")
        case Asked.OVER:
            return problem(409, "this call is over")
        case _:
            return web.json_response({"call_sid": sid, "accepted": True}, status=202)


def _freshest(request: web.Request, stored: Mapping[str, object]) -> Mapping[str, object]:
    return request.app[LIVE_RECORDS](str(stored.get("call_sid"))) or stored


def _page_size(text: str | None) -> int | None:
    """Return the size asked for, or None when it is not one."""
    if text is None:
        return PAGE_SIZE
    if not (text.isascii() and text.isdigit() and len(text) < 6):
        return None
    return int(text) if 1 <= int(text) <= LARGEST_PAGE else None
