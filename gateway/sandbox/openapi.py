"""A small OpenAPI document of what this sandbox serves, in the shape each revision describes itself.

A client that asks for it tells the revisions apart at the interact operation: 2025-06 documents no
form body there (the recording is the body), 2026-04 requires `multipart/form-data`.
"""

from __future__ import annotations

from typing import Any

from gateway.sandbox.openapi_extra import further_paths
from gateway.sandbox.options import Revision

Schema = dict[str, Any]

_ID: Schema = {"type": "string", "pattern": "^[a-f0-9]{24}$"}
_FORMAT: Schema = {"type": "string", "enum": ["text", "voice"]}
_STREAM = "application/x-ndjson"
_KEY_HEADERS = ("x-api-key", "x-api-key-id", "x-user-id")


def describe(revision: Revision) -> Schema:
    """The whole document."""
    root = "/v1/{organization}"
    conversation = root + "/conversation/{conversation_id}"
    return {
        "openapi": "3.1.0",
        "info": {"title": "Conversation API (sandbox)", "version": revision},
        "security": [{"Bearer": []}],
        "paths": {
            f"{root}/user/signin_with_api_key": {"post": _sign_in()},
            f"{root}/service/": {"get": _services()},
            f"{root}/conversation/": {"get": _list(), "post": _create(revision)},
            f"{conversation}/messages/": {"get": _messages(revision)},
            f"{conversation}/finish/": {"post": _finish()},
            f"{conversation}/interact": {"post": _interact(revision)},
            **further_paths(revision),
        },
        "components": {
            "securitySchemes": {
                "Bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
            },
            "schemas": {"Event": _event(revision)},
        },
    }


def _sign_in() -> Schema:
    return {
        "operationId": "sign-in-with-api-key",
        "security": [],
        "parameters": [
            _organization(),
            *(
                _parameter("header", name, {"type": "string"}, required=True)
                for name in _KEY_HEADERS
            ),
        ],
        "responses": _responses("200", 401, 404, 422, 429, 503),
    }


def _services() -> Schema:
    return {
        "operationId": "get-services",
        "parameters": [
            _organization(),
            _parameter("query", "id", {"type": "array", "items": _ID}),
            _parameter("query", "is_active", {"type": "boolean"}),
            *_paging(20, 10),
        ],
        "responses": _responses("200", 401, 404, 422, 429, 503),
    }


def _list() -> Schema:
    return {
        "operationId": "get-conversations",
        "parameters": [
            _organization(),
            _parameter("query", "user_id", {"type": "array", "items": {"type": "string"}}),
            _parameter("query", "service_id", {"type": "array", "items": _ID}),
            _parameter("query", "is_finished", {"type": "boolean"}),
            _parameter("query", "id", {"type": "array", "items": _ID}),
            *_paging(150, 150),
        ],
        "responses": _responses("200", 401, 403, 404, 422, 429, 503),
    }


def _create(revision: Revision) -> Schema:
    properties: Schema = {
        "service_id": _ID,
        "service_version_set_name": {"type": "string", "default": "release"},
    }
    if revision == "2026-04":
        properties |= {
            "initial_message": {"type": "string", "minLength": 1},
            "initial_message_type": {"enum": ["user-message", "external-event"]},
            "tags": {"type": "object", "maxProperties": 20},
            "is_test": {"type": "boolean", "default": False},
        }
    body = {"type": "object", "required": ["service_id"], "properties": properties}
    return {
        "operationId": "create-conversation",
        "parameters": [
            _organization(),
            _parameter("query", "response_format", _FORMAT, required=True),
            *_actions(revision),
        ],
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": _responses("201", 400, 401, 403, 404, 409, 422, 429, 503, stream=True),
    }


def _interact(revision: Revision) -> Schema:
    parameters = [
        _organization(),
        _parameter("path", "conversation_id", _ID, required=True),
        _parameter("query", "request_format", _FORMAT, required=True),
        _parameter("query", "response_format", _FORMAT, required=True),
        *_actions(revision),
    ]
    operation: Schema = {"operationId": "interact-with-conversation", "parameters": parameters}
    if revision == "2026-04":
        pattern = {"type": "string", "pattern": "^multipart\\/form-data; boundary=.+$"}
        parameters.append(_parameter("query", "request_audio_config", _audio_config()))
        parameters.append(_parameter("header", "content-type", pattern, required=True))
        operation["requestBody"] = {
            "required": True,
            "content": {"multipart/form-data": {"schema": _form()}},
        }
    failures = (400, 401, 403, 404, 408, 409, 415, 422, 429, 503)
    operation["responses"] = _responses("200", *failures, stream=True)
    return operation


def _audio_config() -> Schema:
    return {
        "oneOf": [
            {"type": "object", "properties": {"type": {"const": "mp3"}}},
            {
                "type": "object",
                "required": ["frame_rate", "n_channels", "sample_width"],
                "properties": {
                    "type": {"const": "pcm"},
                    "frame_rate": {"type": "integer", "minimum": 4000, "maximum": 44100},
                    "n_channels": {"const": 1},
                    "sample_width": {"enum": [2, 4]},
                },
            },
        ]
    }


def _form() -> Schema:
    strings = {"type": "array", "items": {"type": "string"}}
    return {
        "type": "object",
        "required": ["initial_message_type", "recorded_message"],
        "properties": {
            "initial_message_type": {"enum": ["user-message", "external-event", "skip"]},
            "recorded_message": {"type": "string"},
            "external_event_message_content": strings,
            "external_event_message_timestamp": strings,
        },
    }


def _messages(revision: Revision) -> Schema:
    parameters = [
        _organization(),
        _parameter("path", "conversation_id", _ID, required=True),
        _parameter("query", "id", {"type": "array", "items": _ID}),
        _parameter("query", "interaction_id", {"type": "array", "items": _ID}),
        *_paging(500, 500),
    ]
    if revision == "2026-04":
        kinds = {"enum": ["user-message", "agent-message", "external-event", "agent-inner-thought"]}
        parameters.append(_parameter("query", "message_type", {"type": "array", "items": kinds}))
    return {
        "operationId": "get-conversation-messages",
        "parameters": parameters,
        "responses": _responses("200", 401, 403, 404, 422, 429, 503),
    }


def _finish() -> Schema:
    return {
        "operationId": "finish-conversation",
        "parameters": [
            _organization(),
            _parameter("path", "conversation_id", _ID, required=True),
        ],
        "responses": _responses("204", 400, 401, 403, 404, 409, 422, 429, 503),
    }


def _actions(revision: Revision) -> list[Schema]:
    usual = "^.+$" if revision == "2025-06" else "^.*$"
    pattern = {"type": "string", "default": usual}
    listed = [_parameter("query", "current_agent_action_type", pattern)]
    if revision == "2025-06":
        wanted = {"type": "boolean", "default": False}
        listed.append(_parameter("query", "emit_current_agent_action_event", wanted))
    return listed


def _paging(most: int, usual: int) -> list[Schema]:
    limit = {"type": "integer", "minimum": 1, "maximum": most, "default": usual}
    return [
        _parameter("query", "limit", limit),
        _parameter("query", "continuation_token", {"type": "integer", "default": 0}),
        _parameter("query", "sort_by", {"type": "array", "items": {"type": "string"}}),
    ]


def _organization() -> Schema:
    return _parameter("path", "organization", {"type": "string"}, required=True)


def _parameter(where: str, name: str, schema: Schema, *, required: bool = False) -> Schema:
    return {"in": where, "name": name, "required": required, "schema": schema}


def _responses(success: str, *failures: int, stream: bool = False) -> Schema:
    event = {"$ref": "#/components/schemas/Event"}
    content = {"content": {_STREAM: {"schema": event}}} if stream else {}
    answers: Schema = {success: {"description": "Succeeded.", **content}}
    return answers | {str(status): {"description": "Refused."} for status in failures}


def _event(revision: Revision) -> Schema:
    kinds = [
        "conversation-created",
        "user-message-available",
        "current-agent-action",
        "new-message",
        "interaction-complete",
        "error",
    ]
    if revision == "2025-06":
        kinds.append("end-session")
    return {"type": "object", "required": ["type"], "properties": {"type": {"enum": kinds}}}
