"""Around every request: a line in the log, a bound on bodies, and no error that tells too much."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from gateway.errors import StoreError
from gateway.log import fact
from gateway.web.guard import timed
from gateway.web.problems import problem

MAX_BODY_BYTES: Final = 64 * 1024
"""The carrier's forms are some 2 KiB; pass it to the application as `client_max_size` too."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_log = logging.getLogger(__name__)

_API: Final = "/v1/"
_QUIET: Final = frozenset({"/healthz", "/readyz", "/metrics"})
_TOKEN: Final = re.compile(r"(/media/)[^/]+")
_UNPRINTABLE: Final = re.compile(r"[^!-~]")


@web.middleware
async def log_requests(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Log each request once it is answered: no query, no token, no body, no header."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    status = 499  # cancelled as the server closes: nobody gets an answer
    try:
        response = await handler(request)
        status = response.status
    except web.HTTPException as error:
        status = error.status
        raise
    else:
        return response
    finally:
        path = loggable_path(request)
        level = logging.DEBUG if path in _QUIET else logging.INFO
        ms = round((loop.time() - began) * 1000, 1)
        fact(
            _log,
            "http.request",
            level=level,
            method=request.method,
            path=path,
            status=status,
            ms=ms,
        )


@web.middleware
async def plain_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn what goes wrong into an answer: problems for the API, a bare status for everybody else."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400 or not request.path.startswith(_API):
            raise
        allowed = error.headers.get("Allow")
        headers = {"Allow": allowed} if allowed else None
        return problem(error.status, error.reason, headers=headers)
    except StoreError as error:
        fact(_log, "http.store_failed", level=logging.ERROR, exc=error, path=loggable_path(request))
        return _refusal(request, 503, "the store does not answer")
    except (ConnectionError, web.RequestPayloadError):
        # the client left, or was cut off, or sent a body that is none: nothing of ours is broken
        return _refusal(request, 400, "the request did not come whole")
    except Exception as error:  # noqa: BLE001 - the door: whatever it is, the log has it
        fact(_log, "http.failed", level=logging.ERROR, exc=error, path=loggable_path(request))
        return _refusal(request, 500, "this is a fault of the gateway; its log says more")


@web.middleware
async def bound_bodies(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse a body that says it is too long before any of it is read."""
    if (request.content_length or 0) > MAX_BODY_BYTES:
        raise web.HTTPRequestEntityTooLarge(MAX_BODY_BYTES, request.content_length or 0)
    return await handler(request)


MIDDLEWARES: Final = (timed, log_requests, plain_errors, bound_bodies)
"""In the order the application takes them: the log sees what the others answer."""


def loggable_path(request: web.Request) -> str:
    """Return the route's pattern, or for a path without route what of it may stand in a log."""
    resource = request.match_info.route.resource
    if resource is not None:
        return resource.canonical
    return _UNPRINTABLE.sub("?", _TOKEN.sub(r"\1***", request.path))[:80]


def _refusal(request: web.Request, status: int, detail: str) -> web.Response:
    if request.path.startswith(_API):
        return problem(status, detail)
    return web.Response(status=status, text=detail)
