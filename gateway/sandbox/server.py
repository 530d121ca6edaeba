"""The sandbox as an aiohttp application."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from aiohttp import hdrs, web

from gateway.clock import Clock, SystemClock
from gateway.sandbox import control, lookup, opinions, sources, tags, talk, thoughts, users
from gateway.sandbox.agent import Agent, load_script
from gateway.sandbox.conversations import Conversations
from gateway.sandbox.door import front_door
from gateway.sandbox.engines import Recogniser, Voice
from gateway.sandbox.errors import Refusal
from gateway.sandbox.faults import Faults
from gateway.sandbox.feedback import Feedbacks
from gateway.sandbox.journal import Journal
from gateway.sandbox.limits import Limits
from gateway.sandbox.links import Links
from gateway.sandbox.openapi import describe
from gateway.sandbox.options import Revision, SandboxOptions
from gateway.sandbox.people import People
from gateway.sandbox.records import Records
from gateway.sandbox.state import SANDBOX, Sandbox
from gateway.sandbox.tokens import Tokens

LONGEST_LINE: Final = 64 * 1024
"""Bytes of a request's first line: lists may be asked for by hundreds of ids."""
_ORGANIZATION = "/v1/{organization}"
_CONVERSATION = _ORGANIZATION + "/conversation/{conversation_id}"


def make_app(
    options: SandboxOptions,
    recogniser: Recogniser,
    voice: Voice,
    clock: Clock | None = None,
    agent: Agent | None = None,
) -> web.Application:
    """One sandbox with its own state; run it on any port, more than one may live in a process.

    Raises `ConfigError` when `options.data` cannot be used.
    """
    clock, agent = clock or SystemClock(), agent or Agent(load_script(None))
    records = Records(options.data)
    app = web.Application(middlewares=[front_door], client_max_size=options.max_upload)
    app[SANDBOX] = Sandbox(
        options=options,
        clock=clock,
        agent=agent,
        recogniser=recogniser,
        voice=voice,
        hearing=ThreadPoolExecutor(1, "sandbox-hearing"),
        speaking=ThreadPoolExecutor(1, "sandbox-speaking"),
        tokens=Tokens(clock, options.token_seconds, records.secret("token-secret")),
        limits=Limits(clock, options.limits, options.revision),
        faults=Faults(options.faults, options.seed),
        journal=Journal(clock),
        records=records,
        conversations=Conversations(clock, options, agent, records),
        feedbacks=Feedbacks(records),
        people=People(options.credentials, records),
        links=Links(clock, records.secret("link-secret")),
    )
    app.on_shutdown.append(_abandon_work)
    app.cleanup_ctx.append(_engine_threads)
    app.add_routes(routes(options.revision))
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
    app[SANDBOX].records.close()


async def _expected(request: web.Request) -> None:
    """`Expect: 100-continue` is met; whatever else is expected is a 417, as JSON like every refusal."""
    if request.headers.get(hdrs.EXPECT, "").lower() != "100-continue":
        refusal = Refusal(417, "only 100-continue can be expected").response()
        raise web.HTTPExpectationFailed(text=refusal.text, content_type="application/json")
    assert request.transport is not None
    request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")


def routes(revision: Revision) -> list[web.RouteDef]:
    """Paths exactly as the service spells them, trailing slashes included; any other spelling is a 404."""
    fixed = [
        web.get("/v1/openapi.json", _openapi, name="openapi"),
        web.get("/_sandbox/log", control.show_log),
        web.get("/_sandbox/faults", control.show_faults),
        web.post("/_sandbox/faults", control.set_faults),
        web.get("/_sandbox/source/{secret}", sources.recording),
    ]
    of_revision = _ROUTES_2026_04 if revision == "2026-04" else _ROUTES_2025_06
    every = [*_ROUTES, *of_revision, *fixed]
    return [
        web.RouteDef(one.method, one.path, one.handler, {**one.kwargs, "expect_handler": _expected})
        for one in every
    ]


_USER = _ORGANIZATION + "/user/{user_id:(?!search$)[^{}/]+}"  # `search` has a slash: 404 without
_INTERACTION = _CONVERSATION + "/interaction/{interaction_id}"
_ROUTES: Final = (
    web.post(_ORGANIZATION + "/user/signin_with_api_key", lookup.sign_in, name="sign_in"),
    web.get(_ORGANIZATION + "/user/", users.listed, name="users"),
    web.get(_ORGANIZATION + "/user/search/", users.search, name="user_search"),
    web.delete(_USER, users.delete, name="user_delete"),
    web.get(_ORGANIZATION + "/service/", lookup.services, name="services"),
    web.get(_ORGANIZATION + "/conversation/", lookup.conversations, name="list"),
    web.post(_ORGANIZATION + "/conversation/", talk.create, name="create"),
    web.post(
        _ORGANIZATION + "/conversation/conversation_starter", thoughts.starters, name="starters"
    ),
    web.get(_CONVERSATION + "/messages/", lookup.messages, name="messages"),
    web.get(_CONVERSATION + "/messages/{message_id}/source", sources.source, name="source"),
    web.post(_CONVERSATION + "/interact", talk.interact, name="interact"),
    web.post(_CONVERSATION + "/finish/", lookup.finish, name="finish"),
    web.get(_INTERACTION + "/insights", thoughts.insights, name="insights"),
)
"""What both revisions have."""
_FEEDBACK = "/feedback/{feedback_id}"
_ROUTES_2025_06: Final = (
    web.post(_ORGANIZATION + "/user/invite", users.create, name="user_create"),
    web.post(_USER + "/user", users.update, name="user_update"),
    web.get(_INTERACTION + "/recommend_responses", thoughts.recommend, name="recommend"),
    web.post(_INTERACTION + "/simulate", thoughts.simulate, name="simulate"),
    web.get(_ORGANIZATION + "/conversation/feedback/", opinions.listed, name="feedback_list"),
    web.post(_CONVERSATION + "/feedback", opinions.create_on_conversation, name="feedback_create"),
    web.post(_CONVERSATION + _FEEDBACK, opinions.update_on_conversation, name="feedback_update"),
    web.delete(_CONVERSATION + _FEEDBACK, opinions.delete_on_conversation, name="feedback_delete"),
    web.post(_INTERACTION + "/feedback", opinions.create_on_interaction, name="remark_create"),
    web.post(_INTERACTION + _FEEDBACK, opinions.update_on_interaction, name="remark_update"),
    web.delete(_INTERACTION + _FEEDBACK, opinions.delete_on_interaction, name="remark_delete"),
)
_ROUTES_2026_04: Final = (
    web.post(_ORGANIZATION + "/user/", users.create, name="user_create"),
    web.post(_USER, users.update, name="user_update"),
    web.post(_USER + "/variable", users.variables, name="user_variables"),
    web.post(_INTERACTION + "/recommend_responses", thoughts.recommend, name="recommend"),
    web.post(_CONVERSATION + "/tags/", tags.modify, name="tags"),
)


async def _openapi(request: web.Request) -> web.Response:
    return web.json_response(describe(request.app[SANDBOX].options.revision))
