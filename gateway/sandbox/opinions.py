"""The operations on feedback (2025-06): create, list, update, resolve, delete."""

from __future__ import annotations

from typing import Any, Literal

from aiohttp import web

from gateway.clock import iso
from gateway.sandbox import queries, roles
from gateway.sandbox.bodies import Body, Filled, read_body
from gateway.sandbox.conversations import Conversation, new_id
from gateway.sandbox.errors import Refusal, invalid
from gateway.sandbox.feedback import Feedback
from gateway.sandbox.state import ENTRY, IDENTITY, SANDBOX, Sandbox

_RULE = "37"
_KINDS = ("conversation", "interaction")
_SORTS = ("created_at", "user_id", "user_org_id", "conversation_id")
_INTERACTION_SORT = "feedback_content.interaction_id"


class _Comment(Body):
    comment: Filled


class _NewComment(Body):
    """An update names the field otherwise than a creation does (API page of 2025-06)."""

    feedback: Filled


class _InteractionComment(Body):
    type: Literal["interaction_comment"]
    comment: Filled
    resolved: bool | None = None


class _OnInteraction(Body):
    feedback: _InteractionComment


async def listed(request: web.Request) -> web.Response:
    """GET …/conversation/feedback/: of one kind, filtered, sorted, paged by at most 50."""
    sandbox, query = request.app[SANDBOX], request.query
    kind = query.get("type")
    if kind not in _KINDS:
        raise invalid("query", "type", "must be 'conversation' or 'interaction'", rule=_RULE)
    conversations = queries.ids(query, "conversation_id", sandbox.options, rule=_RULE)
    interactions = queries.ids(query, "interaction_id", sandbox.options, rule=_RULE)
    sorts = (*_SORTS, _INTERACTION_SORT) if kind == "interaction" else _SORTS
    page = queries.page(query, most=50, usual=10, fields=sorts, rule=_RULE)
    needed = roles.GET_FEEDBACK if kind == "conversation" else roles.GET_INTERACTION_FEEDBACK
    found = [
        one
        for one in sandbox.feedbacks
        if one.kind == kind
        and request[IDENTITY].may(needed)
        and _visible(request, one)
        and (not conversations or one.conversation_id in conversations)
        and (kind == "conversation" or not interactions or one.interaction_id in interactions)
    ]
    keys: dict[str, Any] = {
        "created_at": lambda one: one.created_at,
        "user_id": lambda one: one.user_id,
        "user_org_id": lambda _one: "",
        "conversation_id": lambda one: one.conversation_id,
        _INTERACTION_SORT: lambda one: one.interaction_id,
    }
    shown, more = queries.paged(found, page, keys)
    return web.json_response({"feedbacks": [_feedback(one, sandbox) for one in shown], **more})


async def create_on_conversation(request: web.Request) -> web.Response:
    """POST …/conversation/{cid}/feedback."""
    request[IDENTITY].need(roles.PUT_FEEDBACK)
    wanted = await read_body(request, _Comment, rule=_RULE)
    made = _add(request, _conversation(request), "", wanted.comment, resolved=False)
    return web.json_response({"conversation_feedback_id": made.id})


async def update_on_conversation(request: web.Request) -> web.Response:
    """POST …/conversation/{cid}/feedback/{fid}; 204."""
    request[IDENTITY].need(roles.PUT_FEEDBACK)
    wanted = await read_body(request, _NewComment, rule=_RULE)
    found = _found(request, "")
    found.comment = wanted.feedback
    request.app[SANDBOX].feedbacks.keep(found)
    return web.Response(status=204)


async def delete_on_conversation(request: web.Request) -> web.Response:
    """DELETE …/conversation/{cid}/feedback/{fid}; 204."""
    request[IDENTITY].need(roles.PUT_FEEDBACK)
    request.app[SANDBOX].feedbacks.remove(_found(request, ""))
    return web.Response(status=204)


async def create_on_interaction(request: web.Request) -> web.Response:
    """POST …/interaction/{iid}/feedback."""
    request[IDENTITY].need(roles.PUT_INTERACTION_FEEDBACK)
    wanted = (await read_body(request, _OnInteraction, rule=_RULE)).feedback
    conversation = _conversation(request)
    interaction = conversation.interaction(_interaction_id(request))
    resolved = wanted.resolved is True
    made = _add(request, conversation, interaction.id, wanted.comment, resolved=resolved)
    return web.json_response({"interaction_feedback_id": made.id})


async def update_on_interaction(request: web.Request) -> web.Response:
    """POST …/interaction/{iid}/feedback/{fid}; a resolved comment keeps its words; 204."""
    # The page prints the permission of conversation feedback here.
    request[IDENTITY].need(roles.PUT_FEEDBACK)
    wanted = (await read_body(request, _OnInteraction, rule=_RULE)).feedback
    found = _found(request, _interaction_id(request))
    if found.resolved and wanted.comment != found.comment:
        raise Refusal(400, "the comment is resolved and cannot be changed", rule=_RULE)
    found.comment = wanted.comment
    found.resolved = found.resolved if wanted.resolved is None else wanted.resolved
    request.app[SANDBOX].feedbacks.keep(found)
    return web.Response(status=204)


async def delete_on_interaction(request: web.Request) -> web.Response:
    """DELETE …/interaction/{iid}/feedback/{fid}; 204."""
    request[IDENTITY].need(roles.PUT_INTERACTION_FEEDBACK)
    request.app[SANDBOX].feedbacks.remove(_found(request, _interaction_id(request)))
    return web.Response(status=204)


def _conversation(request: web.Request) -> Conversation:
    conversation_id = queries.path_id(request, "conversation_id", rule=_RULE)
    request[ENTRY].conversation_id = conversation_id
    house = request.app[SANDBOX].conversations
    return house.find(request[IDENTITY], conversation_id, rule=_RULE)


def _interaction_id(request: web.Request) -> str:
    return queries.path_id(request, "interaction_id", rule=_RULE)


def _found(request: web.Request, interaction_id: str) -> Feedback:
    feedback_id = queries.path_id(request, "feedback_id", rule=_RULE)
    conversation = _conversation(request)
    return request.app[SANDBOX].feedbacks.find(feedback_id, conversation.id, interaction_id)


def _visible(request: web.Request, one: Feedback) -> bool:
    house, who = request.app[SANDBOX].conversations, request[IDENTITY]
    about = next((item for item in house if item.id == one.conversation_id), None)
    return about is not None and house.may_see(who, about)


def _add(
    request: web.Request, about: Conversation, interaction_id: str, comment: str, *, resolved: bool
) -> Feedback:
    sandbox = request.app[SANDBOX]
    return sandbox.feedbacks.add(
        Feedback(
            id=new_id(),
            number=0,
            kind="interaction" if interaction_id else "conversation",
            user_id=request[IDENTITY].user,
            conversation_id=about.id,
            interaction_id=interaction_id,
            created_at=sandbox.clock.wall(),
            comment=comment,
            resolved=resolved,
        )
    )


def _feedback(one: Feedback, sandbox: Sandbox) -> dict[str, Any]:
    content: dict[str, Any] = {"type": "conversation", "comment": one.comment}
    if one.kind == "interaction":
        content = {
            "type": "interaction_comment",
            "interaction_id": one.interaction_id,
            "comment": one.comment,
            "resolved": one.resolved,
        }
    return {
        "id": one.id,
        "user_id": one.user_id,
        "user_org_id": sandbox.options.credentials.organization,
        "conversation_id": one.conversation_id,
        "created_at": iso(one.created_at),
        "feedback_content": content,
    }
