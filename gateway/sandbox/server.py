"""The sandbox as an aiohttp application."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

from aiohttp import web

from gateway.clock import Clock, SystemClock
from gateway.sandbox import control, lookup, talk
from gateway.sandbox.conversations import Conversations
from gateway.sandbox.door import front_door
from gateway.sandbox.engines import Recogniser, Voice
from gateway.sandbox.faults import Faults
from gateway.sandbox.journal import Journal
from gateway.sandbox.limits import Limits
from gateway.sandbox.openapi import describe
from gateway.sandbox.options import SandboxOptions
from gateway.sandbox.state import SANDBOX, Sandbox
from gateway.sandbox.tokens import Tokens

_ORGANIZATION = "/v1/{organization}"
_CONVERSATION = _ORGANIZATION + "/conversation/{conversation_id}"


def make_app(
    options: SandboxOptions,
    recogniser: Recogniser,
    voice: Voice,
    clock: Clock | None = None,
) -> web.Application:
    """One sandbox with its own state; run it on any port, more than one may live in a process."""
    clock = clock or SystemClock()
    app = web.Application(middlewares=[front_door], client_max_size=options.max_upload)
    app[SANDBOX] = Sandbox(
        options=options,
        clock=clock,
        recogniser=recogniser,
        voice=voice,
        hearing=ThreadPoolExecutor(1, "sandbox-hearing"),
        speaking=ThreadPoolExecutor(1, "sandbox-speaking"),
        tokens=Tokens(clock, options.token_seconds),
        limits=Limits(clock, options.limits, options.revision),
        faults=Faults(options.faults, options.seed),
        journal=Journal(clock),
        conversations=Conversations(clock, options),
    )
    app.on_shutdown.append(_abandon_work)
    app.cleanup_ctx.append(_engine_threads)
    app.add_routes(_routes())
    return app


async def _abandon_work(app: web.Application) -> None:
    """Stopping does not wait for replies: a stalled one would hold it up for its whole stall."""
    work = app[SANDBOX].work
    for task in work:
        task.cancel()
    await asyncio.gather(*work, return_exceptions=True)


async def _engine_threads(app: web.Application) -> AsyncIterator[None]:
    yield
    for pool in (app[SANDBOX].hearing, app[SANDBOX].speaking):
        pool.shutdown(wait=True, cancel_futures=True)


def _routes() -> list[web.RouteDef]:
    """Paths exactly as the service spells them, trailing slashes included; any other spelling is a 404."""
    return [
        web.post(_ORGANIZATION + "/user/signin_with_api_key", lookup.sign_in, name="sign_in"),
        web.get(_ORGANIZATION + "/service/", lookup.services, name="services"),
        web.get(_ORGANIZATION + "/conversation/", lookup.conversations, name="list"),
        web.post(_ORGANIZATION + "/conversation/", talk.create, name="create"),
        web.get(_CONVERSATION + "/messages/", lookup.messages, name="messages"),
        web.post(_CONVERSATION + "/interact", talk.interact, name="interact"),
        web.post(_CONVERSATION + "/finish/", lookup.finish, name="finish"),
        web.get("/v1/openapi.json", _openapi, name="openapi"),
        web.get("/_sandbox/log", control.show_log),
        web.get("/_sandbox/faults", control.show_faults),
        web.post("/_sandbox/faults", control.set_faults),
    ]


async def _openapi(request: web.Request) -> web.Response:
    return web.json_response(describe(request.app[SANDBOX].options.revision))
