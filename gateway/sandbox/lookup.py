"""The operations that answer with plain JSON: sign in, finish, list conversations, messages, services."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from aiohttp import web

from gateway.clock import iso
from gateway.sandbox import queries, roles
from gateway.sandbox.conversations import Conversation, Message
from gateway.sandbox.errors import Refusal, invalid
from gateway.sandbox.options import Service
from gateway.sandbox.state import ENTRY, IDENTITY, SANDBOX, Sandbox
from gateway.sandbox.tokens import Claims, Identity

_KINDS = ("user-message", "agent-message", "external-event", "agent-inner-thought")
_ANALYSES = ("generate-user-models", "extract-memories", "compute-metrics")


async def sign_in(request: web.Request) -> web.Response:
    """POST …/user/signin_with_api_key: a token for the user named in the header."""
    sandbox = request.app[SANDBOX]
    who = sandbox.options.credentials
    names = ("x-api-key", "x-api-key-id", "x-user-id")
    for name in names:
        if not request.headers.get(name):
            raise invalid("header", name, "field required", rule="1")
    key, key_id, user = (request.headers[name] for name in names)
    request[ENTRY].user = user
    known = sandbox.people.may_sign_in(user)
    if (key, key_id) != (who.api_key, who.api_key_id) or not known:
        raise Refusal(401, "the API key or the user is unknown", rule="1")
    headers = sandbox.limits.count("sign-in", user)
    role = sandbox.people.role_of(user).name
    token, expires = sandbox.tokens.issue(Claims(who.organization, user, role))
    answer = {"id_token": token, "expires_at": iso(expires)}
    return web.json_response(answer, headers=headers)


async def finish(request: web.Request) -> web.Response:
    """POST …/conversation/{cid}/finish/: the end, once."""
    sandbox, entry = request.app[SANDBOX], request[ENTRY]
    conversation_id = queries.path_id(request, "conversation_id", rule="31")
    entry.conversation_id = conversation_id
    revised = sandbox.options.revision == "2026-04"
    request[IDENTITY].need(roles.UPDATE_USER, roles.FINISH if revised else roles.INTERACT)
    with sandbox.conversations.closing(request[IDENTITY], conversation_id) as turn:
        late = sandbox.strike("late-finish", entry)
        if late is not None:
            await asyncio.sleep(late.ms / 1000)
        sandbox.conversations.finish(turn)
    return web.Response(status=204)


async def conversations(request: web.Request) -> web.Response:
    """GET …/conversation/: those the user may see, filtered, sorted, paged."""
    sandbox, query = request.app[SANDBOX], request.query
    users = queries.several(query, "user_id", sandbox.options, rule="34")
    services = queries.ids(query, "service_id", sandbox.options, rule="34")
    wanted = queries.ids(query, "id", sandbox.options, rule="34")
    finished = queries.flag(query, "is_finished", rule="34")
    page = queries.page(query, most=150, usual=150, fields=("created_at",), rule="34")
    who = request[IDENTITY]
    tags = queries.tags(query, rule="34") if sandbox.options.revision == "2026-04" else ()
    found = [
        conversation
        for conversation in sandbox.conversations
        if who.may(roles.GET_CONVERSATION)
        and sandbox.conversations.may_see(who, conversation)
        and all(_tagged(conversation, key, value) for key, value in tags)
        and (not users or conversation.user_id in users)
        and (not services or conversation.service_id in services)
        and (not wanted or conversation.id in wanted)
        and finished in (None, conversation.finished)
    ]
    keys: dict[str, Callable[[Conversation], Any]] = {"created_at": lambda item: item.created_at}
    shown, more = queries.paged(found, page, keys)
    listed = [_conversation(item, sandbox, who) for item in shown]
    return web.json_response({"conversations": listed, **more})


async def messages(request: web.Request) -> web.Response:
    """GET …/conversation/{cid}/messages/: what was said, oldest first unless sorted otherwise."""
    sandbox, query = request.app[SANDBOX], request.query
    revision = sandbox.options.revision
    conversation_id = queries.path_id(request, "conversation_id", rule="35")
    request[ENTRY].conversation_id = conversation_id
    stamp = "timestamp" if revision == "2025-06" else "created_at"
    wanted = queries.ids(query, "id", sandbox.options, rule="35")
    interactions = queries.ids(query, "interaction_id", sandbox.options, rule="35")
    page = queries.page(query, most=500, usual=500, fields=("interaction_id", stamp), rule="35")
    revised = revision == "2026-04"
    kinds = queries.several(query, "message_type", sandbox.options, rule="35") if revised else ()
    if not set(kinds) <= set(_KINDS):
        raise invalid("query", "message_type", f"must be one of {_KINDS}", rule="35")
    who = request[IDENTITY]
    conversation = sandbox.conversations.find(who, conversation_id, rule="35")
    found = [
        message
        for message in conversation.messages
        if who.may(roles.GET_MESSAGE)
        and (not wanted or message.id in wanted)
        and (not interactions or message.interaction_id in interactions)
        and (not kinds or message.kind in kinds)
    ]
    order = {message.interaction_id: at for at, message in enumerate(conversation.messages)}
    keys: dict[str, Callable[[Message], Any]] = {
        stamp: lambda item: item.created_at,
        "interaction_id": lambda item: order[item.interaction_id],
    }
    shown, more = queries.paged(found, page, keys)
    return web.json_response({"messages": [_message(item, sandbox) for item in shown], **more})


async def services(request: web.Request) -> web.Response:
    """GET …/service/: what a conversation can be created in."""
    sandbox, query = request.app[SANDBOX], request.query
    request[IDENTITY].need(roles.GET_SERVICE)
    wanted = queries.ids(query, "id", sandbox.options, rule="services")
    active = queries.flag(query, "is_active", rule="services")
    page = queries.page(query, most=20, usual=10, fields=("name", "is_active"), rule="services")
    found = [
        service
        for service in sandbox.options.credentials.services
        if (not wanted or service.id in wanted) and active is not False
    ]
    keys: dict[str, Callable[[Service], Any]] = {
        "name": lambda item: item.name,
        "is_active": lambda _item: True,
    }
    shown, more = queries.paged(found, page, keys)
    listed = [_service(item, sandbox) for item in shown]
    filters: dict[str, list[str]] | None = {"tags": []} if page.start == 0 else None
    return web.json_response({"services": listed, **more, "filter_values": filters})


def _tagged(item: Conversation, key: str, value: str) -> bool:
    if key not in item.tags:
        return False
    return value == "*" or item.tags[key] == (value or None)


def _conversation(item: Conversation, sandbox: Sandbox, who: Identity) -> dict[str, Any]:
    analyzed = item.finished and not item.finish_owed
    last = item.messages[-1].text if item.messages and who.may(roles.GET_MESSAGE) else ""
    listed = {
        "id": item.id,
        "user_id": item.user_id,
        "created_at": iso(item.created_at),
        "is_finished": item.finished,
        "is_analyzed": analyzed,
        "completed_post_processings": list(_ANALYSES) if analyzed else [],
        "final_message": last,
        "service_id": item.service_id,
        "version_set_info": _version_set(item) if who.may(roles.VERSION_SET) else None,
        "num_messages": len(item.messages),
    }
    if sandbox.options.revision == "2026-04":
        listed["tags"] = dict(item.tags)
    return listed


def _version_set(item: Conversation) -> dict[str, Any]:
    return {
        "name": item.version_set,
        "agent_version_info": [item.service_id, 1],
        "service_hierarchical_state_machine_version_info": [item.service_id, 1],
        "llm_model_preferences": {},
    }


def _message(item: Message, sandbox: Sandbox) -> dict[str, Any]:
    seed = sandbox.options.revision == "2025-06"
    listed: dict[str, Any] = {
        "id": item.id,
        "interaction_id": item.interaction_id,
        "timestamp" if seed else "created_at": iso(item.created_at),
        "sender": sandbox.agent.name if item.kind == "agent-message" else "Caller",
        "message": item.text,
        "format": "voice" if item.voice else "text",
        "message_type": item.kind,
    }
    return {**listed, "message_metadata": []} if seed else listed


def _service(item: Service, sandbox: Sandbox) -> dict[str, Any]:
    who = {"org_id": sandbox.options.credentials.organization, "user_id": "sandbox-admin"}
    version: dict[str, Any] = {
        "agent_version_number": None,
        "service_hierarchical_state_machine_version_number": None,
        "llm_model_preferences": {},
    }
    return {
        "id": item.id,
        "name": item.name,
        "version_sets": dict.fromkeys(item.version_sets, version),
        "description": "Takes a message by phone.",
        "is_active": True,
        "service_hierarchical_state_machine_id": item.id,
        "agent_id": item.id,
        "tags": [],
        "keyterms": [],
        "creator": who,
        "updated_by": who,
    }
