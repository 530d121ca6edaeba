"""The operations around a conversation, as the sandbox's OpenAPI document describes them."""

from __future__ import annotations

from typing import Any, Final

from gateway.sandbox.options import Revision

Schema = dict[str, Any]

ROOT: Final = "/v1/{organization}"
_CONVERSATION: Final = ROOT + "/conversation/{conversation_id}"
_INTERACTION: Final = _CONVERSATION + "/interaction/{interaction_id}"
_ID: Final[Schema] = {"type": "string", "pattern": "^[a-f0-9]{24}$"}
_IDS: Final[Schema] = {"type": "array", "items": _ID}
_TEXT: Final[Schema] = {"type": "string", "minLength": 1}
_TEXTS: Final[Schema] = {"type": "array", "items": {"type": "string"}}
_ANY: Final[Schema] = {"type": ["object", "null"]}
_USUAL: Final = (401, 403, 404, 422, 429, 503)


def further_paths(revision: Revision) -> Schema:
    """Everything but sign-in, services, and the five operations of a plain talk."""
    shared: Schema = {
        f"{_INTERACTION}/insights": {
            "get": _operation("get-interaction-insights", "200", _INTERACTION)
        },
        f"{_CONVERSATION}/messages/{{message_id}}/source": {"get": _source()},
        f"{ROOT}/conversation/conversation_starter": {"post": _starters()},
        f"{ROOT}/user/": {"get": _users()},
        f"{ROOT}/user/search/": {"get": _search()},
        f"{ROOT}/user/{{user_id}}": {
            "delete": _operation("delete-user", "204", ROOT + "/user/{user_id}")
        },
    }
    more = _current() if revision == "2026-04" else _seed()
    return {path: {**shared.get(path, {}), **more.get(path, {})} for path in {**shared, **more}}


def _current() -> Schema:
    user = f"{ROOT}/user/{{user_id}}"
    recommend = _operation("recommend-responses-for-interaction", "200", _INTERACTION, 400)
    context = {"type": "object", "properties": {"context": _TEXT}}
    recommend["requestBody"] = {"content": {"application/json": {"schema": context}}}
    tags = {
        "type": "object",
        "properties": {
            "updates": {
                "type": "object",
                "maxProperties": 20,
                "propertyNames": {"pattern": r"^[\w\s]+$", "minLength": 1},
                "additionalProperties": {"type": ["string", "null"], "pattern": r"^[\w\s]+$"},
            },
            "deletes": _TEXTS,
        },
    }
    upsert = _object(
        name={"type": "string", "pattern": "^[a-z_][a-z0-9_]+$"},
        value=_TEXT,
        is_secret={"type": "boolean"},
    )
    variables = {"type": "object", "properties": {"upserts": {"type": "array", "items": upsert}}}
    return {
        f"{_INTERACTION}/recommend_responses": {"post": recommend},
        f"{_CONVERSATION}/tags/": {
            "post": _with_body("modify-tags-of-conversation", "204", _CONVERSATION, tags, 400)
        },
        f"{ROOT}/user/": {"post": _create_user()},
        user: {"post": _with_body("update-user-info", "204", user, _user_changes(), 409)},
        f"{user}/variable": {
            "post": _with_body("modify-user-variables", "204", f"{user}/variable", variables, 400)
        },
    }


def _seed() -> Schema:
    user = f"{ROOT}/user/{{user_id}}/user"
    on_talk, on_turn = f"{_CONVERSATION}/feedback", f"{_INTERACTION}/feedback"
    remark = _object(feedback=_object(type={"const": "interaction_comment"}, comment=_TEXT))
    overrides = {
        "type": "object",
        "properties": {"agent_version_override": _ANY, "state_machine_version_override": _ANY},
    }
    return {
        f"{_INTERACTION}/recommend_responses": {
            "get": _operation("recommend-responses-for-interaction", "200", _INTERACTION, 400)
        },
        f"{_INTERACTION}/simulate": {
            "post": _with_body("simulate-interaction", "200", _INTERACTION, overrides)
        },
        f"{ROOT}/user/invite": {"post": _create_user()},
        user: {"post": _with_body("update-user-info", "204", user, _user_changes(), 409)},
        f"{ROOT}/conversation/feedback/": {"get": _feedback()},
        on_talk: {
            "post": _with_body(
                "create-conversation-feedback", "200", on_talk, _object(comment=_TEXT)
            )
        },
        f"{on_talk}/{{feedback_id}}": {
            "post": _with_body(
                "update-conversation-feedback",
                "204",
                f"{on_talk}/{{feedback_id}}",
                _object(feedback=_TEXT),
            ),
            "delete": _operation(
                "delete-conversation-feedback", "204", f"{on_talk}/{{feedback_id}}"
            ),
        },
        on_turn: {"post": _with_body("create-interaction-feedback", "200", on_turn, remark)},
        f"{on_turn}/{{feedback_id}}": {
            "post": _with_body(
                "update-interaction-feedback", "204", f"{on_turn}/{{feedback_id}}", remark, 400
            ),
            "delete": _operation(
                "delete-interaction-feedback", "204", f"{on_turn}/{{feedback_id}}"
            ),
        },
    }


def _source() -> Schema:
    path = f"{_CONVERSATION}/messages/{{message_id}}"
    operation = _operation("retrieve-message-source", "200", path, 400)
    operation["parameters"].append(_query("long_lived", {"type": "boolean"}))
    return operation


def _starters() -> Schema:
    count = {"type": "integer", "minimum": 1, "maximum": 10}
    facets = {"type": "array", "items": _TEXT, "minItems": 1}
    body = _object(
        service_id=_ID,
        facets=facets,
        min_count=count,
        max_count=count,
        generation_instructions=_TEXT,
    )
    return _with_body("generate-conversation-starter", "200", ROOT, body)


def _users() -> Schema:
    operation = _operation("get-users", "200", ROOT)
    operation["parameters"] += [
        _query("user_id", _TEXTS),
        _query("email", _TEXTS),
        _query("limit", {"type": "integer", "minimum": 0, "maximum": 100}),
        _query("continuation_token", {"type": "integer"}),
        _query("sort_by", _TEXTS),
    ]
    return operation


def _search() -> Schema:
    operation = _operation("search-users", "200", ROOT)
    wanted = _query("query", {"type": "string"})
    operation["parameters"] += [{**wanted, "required": True}, _query("user_id", _TEXTS)]
    return operation


def _create_user() -> Schema:
    email = {"type": "string", "format": "email"}
    body = _object(first_name=_TEXT, last_name=_TEXT, email=email, role_name={"type": "string"})
    return _with_body("create-invited-user", "201", ROOT, body, 409)


def _user_changes() -> Schema:
    names = ("first_name", "last_name")
    return {
        "type": "object",
        "properties": {name: {"type": ["string", "null"], "minLength": 1} for name in names},
    }


def _feedback() -> Schema:
    operation = _operation("get-conversation-feedbacks", "200", ROOT)
    kind = _query("type", {"enum": ["conversation", "interaction"]})
    operation["parameters"] += [
        {**kind, "required": True},
        _query("conversation_id", _IDS),
        _query("interaction_id", _IDS),
        _query("limit", {"type": "integer", "minimum": 1, "maximum": 50}),
        _query("continuation_token", {"type": "integer"}),
        _query("sort_by", _TEXTS),
    ]
    return operation


def _object(**properties: Schema) -> Schema:
    return {"type": "object", "required": list(properties), "properties": properties}


def _query(name: str, schema: Schema) -> Schema:
    return {"in": "query", "name": name, "required": False, "schema": schema}


def _operation(name: str, success: str, path: str, *failures: int) -> Schema:
    """An operation with the parameters its path has places for."""
    places = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    answers: Schema = {success: {"description": "Succeeded."}}
    answers |= {str(status): {"description": "Refused."} for status in sorted({*failures, *_USUAL})}
    free = {"organization", "user_id"}
    return {
        "operationId": name,
        "parameters": [
            {
                "in": "path",
                "name": place,
                "required": True,
                "schema": {"type": "string"} if place in free else _ID,
            }
            for place in places
        ],
        "responses": answers,
    }


def _with_body(name: str, success: str, path: str, schema: Schema, *failures: int) -> Schema:
    body = {"required": True, "content": {"application/json": {"schema": schema}}}
    return {**_operation(name, success, path, *failures), "requestBody": body}
