"""Tags of a conversation (2026-04): changed after it was created."""

from __future__ import annotations

import re
from typing import Annotated, Final

from aiohttp import web
from pydantic import Field, StringConstraints

from gateway.sandbox import queries, roles
from gateway.sandbox.bodies import Body, Filled, read_body
from gateway.sandbox.creation import MAX_TAGS
from gateway.sandbox.errors import Refusal
from gateway.sandbox.state import ENTRY, IDENTITY, SANDBOX

_WORDS: Final = re.compile(r"^[\w\s]+$")
# Narrower than at creation, where values may hold any character: a trap of the real service.
_TagWord = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, pattern=_WORDS)]


class _Tags(Body):
    updates: dict[_TagWord, _TagWord | None] = Field(default_factory=dict, max_length=MAX_TAGS)
    deletes: list[Filled] = Field(default_factory=list)


async def modify(request: web.Request) -> web.Response:
    """POST …/conversation/{cid}/tags/: set and delete; 400 beyond twenty; 204."""
    sandbox, who = request.app[SANDBOX], request[IDENTITY]
    conversation_id = queries.path_id(request, "conversation_id", rule="tags")
    request[ENTRY].conversation_id = conversation_id
    who.need(roles.MODIFY)
    wanted = await read_body(request, _Tags, rule="tags")
    conversation = sandbox.conversations.find(who, conversation_id, rule="tags")
    tags = {key: value for key, value in conversation.tags.items() if key not in wanted.deletes}
    tags |= wanted.updates
    if len(tags) > MAX_TAGS:
        raise Refusal(400, f"a conversation has at most {MAX_TAGS} tags", rule="tags")
    conversation.tags = tags
    sandbox.conversations.keep_head(conversation)
    return web.Response(status=204)
