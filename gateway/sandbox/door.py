"""The front door: every request is journalled, identified, counted, and every refusal becomes JSON."""

from __future__ import annotations

import asyncio
import base64
import logging
from typing import Final

from aiohttp import hdrs, web
from aiohttp.http_exceptions import ContentEncodingError
from aiohttp.typedefs import Handler

from gateway.sandbox.errors import Refusal, invalid
from gateway.sandbox.journal import Entry
from gateway.sandbox.roles import USER
from gateway.sandbox.state import ENTRY, IDENTITY, SANDBOX, Sandbox
from gateway.sandbox.stream import STREAM, EventStream
from gateway.sandbox.tokens import BadToken, Identity
from gateway.sandbox.upload import ClientLeft

log = logging.getLogger("gateway.sandbox")

CLIENT_LEFT: Final = 499
"""Logged where nobody was left to answer; never seen on the wire."""
_FRAMING: Final = ("Content-Type", "Content-Length", "Transfer-Encoding", "Accept", "Expect")
OUTSIDE: Final = "/_sandbox/"
UNREADABLE: Final = Refusal(400, "the body is not framed or encoded as its headers say", rule="7")
PUBLIC: Final = ("sign-in", "openapi", "unknown")
"""Operations that need no token."""


@web.middleware
async def front_door(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Around every handler.

    The work runs in a task of the application's own: some servers cancel a handler when its client
    leaves, and what then becomes of an interaction is for the options to say.
    """
    if request.path.startswith(OUTSIDE):
        return await _outside(request, handler)
    sandbox = request.app[SANDBOX]
    work = asyncio.create_task(_serve(request, handler, sandbox))
    sandbox.work.add(work)
    work.add_done_callback(sandbox.work.discard)
    return await asyncio.shield(work)


async def _serve(request: web.Request, handler: Handler, sandbox: Sandbox) -> web.StreamResponse:
    """Authentication, limits and injected statuses come before the body is read."""
    entry = _entry(request, sandbox)
    request[ENTRY] = entry
    try:
        headers = _admit(request, sandbox, entry)
        response = await handler(request)
        if not response.prepared:
            response.headers.update(headers)
    except Refusal as refusal:
        response = await _refused(request, sandbox, entry, refusal)
    except web.HTTPException as exc:
        response = _no_such_operation(sandbox, entry, exc)
    except (web.RequestPayloadError, ContentEncodingError):
        response = await _refused(request, sandbox, entry, UNREADABLE)
        response.force_close()
        # Nothing more can be read; the server would try, and complain in the log.
        request.content.feed_eof()
    except ClientLeft:
        response = web.Response(status=CLIENT_LEFT)
    except Exception:
        log.exception("%s failed", entry.operation)
        response = await _refused(request, sandbox, entry, Refusal(500, "internal error"))
    entry.status = response.status
    entry.done_ms = sandbox.journal.since(entry)
    _log(entry)
    return response


async def _refused(
    request: web.Request, sandbox: Sandbox, entry: Entry, refusal: Refusal
) -> web.StreamResponse:
    """The answer to what was refused or failed.

    Once a stream has begun, no status can tell any more: whatever went wrong, it ends with an `error`
    event, and its connection with it.
    """
    if refusal.rule:
        sandbox.journal.violated(entry, refusal.rule, refusal.status, str(refusal.detail))
    stream: EventStream | None = request.get(STREAM)
    if stream is None:
        return refusal.response()
    await stream.fail(refusal.status, str(refusal.detail))
    return stream.response


async def _outside(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except Refusal as refusal:
        return refusal.response()


def _entry(request: web.Request, sandbox: Sandbox) -> Entry:
    return sandbox.journal.open(
        request.method,
        request.path,
        {name: request.query.getall(name) for name in request.query},
        {name: request.headers[name] for name in _FRAMING if name in request.headers},
        # aiohttp allows no route name with the word "in" between hyphens.
        (request.match_info.route.name or "unknown").replace("_", "-"),
    )


def _admit(request: web.Request, sandbox: Sandbox, entry: Entry) -> dict[str, str]:
    """Who is asking, may they ask now; returns headers about the limits for the answer."""
    _legible(request)
    if entry.operation in PUBLIC:
        if entry.operation == "sign-in":
            _organization(request, sandbox)
        _injected(sandbox, entry)
        return {}
    who = _identity(request, sandbox)
    entry.user = who.user
    request[IDENTITY] = who
    _organization(request, sandbox)
    headers = sandbox.limits.count(entry.operation, who.user)
    _injected(sandbox, entry)
    return headers


def _legible(request: web.Request) -> None:
    """Bytes of a head that are not UTF-8 come as half surrogates, which no answer could echo."""
    try:
        "".join([request.path, request.query_string, *request.headers.values()]).encode()
    except UnicodeEncodeError:
        raise invalid("header", "", "the head of the request is not UTF-8", rule="7") from None


def _identity(request: web.Request, sandbox: Sandbox) -> Identity:
    scheme, _, given = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    user, token = None, given.strip()
    if scheme.lower() == "basic" and sandbox.options.revision == "2026-04":
        user, token = _basic(token)
    elif scheme.lower() != "bearer" or not token:
        raise Refusal(401, "a bearer token is required", rule="3")
    try:
        claims = sandbox.tokens.read(token)
    except BadToken as exc:
        raise Refusal(401, str(exc), rule="3") from None
    if user not in (None, f"{claims.organization}_{claims.user}"):
        raise Refusal(401, "the token is of another user", rule="3")
    if not sandbox.people.may_sign_in(claims.user):
        raise Refusal(401, "the user was deleted", rule="3")
    role = sandbox.people.role_named(claims.role) or USER
    return Identity(claims.organization, claims.user, role)


def _basic(encoded: str) -> tuple[str, str]:
    """Name `{organization}_{user}` and token, the password (2026-04)."""
    try:
        name, _, token = base64.b64decode(encoded, validate=True).decode().partition(":")
    except ValueError:
        raise Refusal(
            401, "the credentials are not base64 of a name and a token", rule="3"
        ) from None
    return name, token


def _organization(request: web.Request, sandbox: Sandbox) -> None:
    if request.match_info.get("organization") != sandbox.options.credentials.organization:
        raise Refusal(404, "organization not found", rule="4")


def _injected(sandbox: Sandbox, entry: Entry) -> None:
    strike = sandbox.strike_status(entry)
    if strike is None:
        return
    status = int(strike.kind)
    wait = {"Retry-After": f"{-(-strike.ms // 1000)}"} if status in (429, 503) else {}
    raise Refusal(status, f"injected fault {status}", headers=wait)


def _no_such_operation(sandbox: Sandbox, entry: Entry, exc: web.HTTPException) -> web.Response:
    """404 and 405 of the router; the wrong slash at the end of a path is one of them."""
    detail = exc.reason
    if entry.path.startswith("/v1/"):
        sandbox.journal.violated(entry, "31", exc.status, f"{entry.method} {entry.path}: {detail}")
    allowed = {"Allow": exc.headers["Allow"]} if "Allow" in exc.headers else {}
    return Refusal(exc.status, detail, headers=allowed).response()


def _log(entry: Entry) -> None:
    log.info(
        "%s %s in %s ms, %s events%s",
        entry.operation,
        entry.status,
        entry.done_ms,
        len(entry.events),
        f", faults {' '.join(entry.faults)}" if entry.faults else "",
    )
