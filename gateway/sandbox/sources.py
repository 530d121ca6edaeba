"""Message sources: where the recording behind a message can be had, and the recording itself."""

from __future__ import annotations

from aiohttp import web

from gateway.clock import iso
from gateway.sandbox import queries, roles
from gateway.sandbox.errors import Refusal
from gateway.sandbox.links import LONG_SECONDS
from gateway.sandbox.state import ENTRY, IDENTITY, SANDBOX

_RULE = "source"


async def source(request: web.Request) -> web.Response:
    """GET …/messages/{mid}/source: a link to the recording; 400 for a message that was text."""
    sandbox, who = request.app[SANDBOX], request[IDENTITY]
    conversation_id = queries.path_id(request, "conversation_id", rule=_RULE)
    message_id = queries.path_id(request, "message_id", rule=_RULE)
    request[ENTRY].conversation_id = conversation_id
    revised = sandbox.options.revision == "2026-04"
    long = revised and queries.flag(request.query, "long_lived", rule=_RULE) is True
    who.need(roles.GET_MESSAGE)
    conversation = sandbox.conversations.find(who, conversation_id, rule=_RULE)
    message = next((one for one in conversation.messages if one.id == message_id), None)
    if message is None:
        raise Refusal(404, "message not found", rule=_RULE)
    sound = sandbox.records.sound(message_id)
    if sound is None:
        raise Refusal(400, "the message originated as text", rule=_RULE)
    seconds = LONG_SECONDS if long else sandbox.options.source_seconds
    secret, expires = sandbox.links.make(message_id, seconds)
    url = f"{request.scheme}://{request.host}/_sandbox/source/{secret}"
    answer = {"url": url, "expires_at": iso(expires), "content_type": sound[0]}
    return web.json_response(answer)


async def recording(request: web.Request) -> web.Response:
    """GET /_sandbox/source/{secret}: the recording, for whoever knows the link, while it lives."""
    sandbox = request.app[SANDBOX]
    message_id = sandbox.links.message(request.match_info["secret"])
    sound = None if message_id is None else sandbox.records.sound(message_id)
    if sound is None:
        raise Refusal(404, "there is no such link, or it has expired")
    media, data = sound
    return web.Response(body=data, content_type=media, headers={"Cache-Control": "no-store"})
