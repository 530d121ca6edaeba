"""The body of a create call, by the rules of either revision."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from aiohttp import web

from gateway.sandbox.bodies import read_object
from gateway.sandbox.errors import Refusal, invalid
from gateway.sandbox.options import SandboxOptions
from gateway.sandbox.queries import is_id

_SEED_FIELDS: Final = frozenset({"service_id", "service_version_set_name"})
_CURRENT_FIELDS: Final = _SEED_FIELDS | {
    "initial_message",
    "initial_message_type",
    "tags",
    "is_test",
}
_TAG_KEY: Final = re.compile(r"[\w\s_]+")
MAX_TAGS: Final = 20
MAX_TAG_VALUE: Final = 100


@dataclass(frozen=True, slots=True)
class CreateRequest:
    """A checked create body."""

    service_id: str
    version_set: str
    initial_message: str | None = None
    initial_kind: Literal["user-message", "external-event"] = "user-message"
    tags: Mapping[str, str | None] = field(default_factory=dict)


async def read_create(request: web.Request, options: SandboxOptions) -> CreateRequest:
    """422 for what is malformed, 404 for a service or version set nobody has heard of."""
    body = await read_object(request, rule="7")
    known = _CURRENT_FIELDS if options.revision == "2026-04" else _SEED_FIELDS
    unknown = sorted(set(body) - known)
    if unknown and options.strict:
        raise invalid("body", unknown[0], "extra fields are not permitted", rule="11")
    service_id = _string(body, "service_id", None)
    version_set = _string(body, "service_version_set_name", "release")
    if not is_id(service_id):
        raise invalid("body", "service_id", "must match ^[a-f0-9]{24}$", rule="7")
    service = options.service(service_id)
    if service is None:
        raise Refusal(404, "service not found", rule="7")
    if version_set not in service.version_sets:
        raise Refusal(404, "version set not found", rule="7")
    if options.revision == "2025-06":
        return CreateRequest(service_id, version_set)
    message, kind = _initial(body)
    return CreateRequest(service_id, version_set, message, kind, _tags(body))


def _string(body: dict[str, Any], name: str, usual: str | None) -> str:
    value = body.get(name, usual)
    if not isinstance(value, str):
        raise invalid("body", name, "must be a string", rule="7")
    return value


def _initial(body: dict[str, Any]) -> tuple[str | None, Literal["user-message", "external-event"]]:
    message, kind = body.get("initial_message"), body.get("initial_message_type")
    if kind not in (None, "user-message", "external-event"):
        raise invalid("body", "initial_message_type", "unknown type", rule="11")
    if message is None:
        if kind is not None:
            raise invalid("body", "initial_message_type", "needs an initial_message", rule="11")
        return None, "user-message"
    if not isinstance(message, str) or not message.strip():
        raise invalid("body", "initial_message", "must not be empty", rule="11")
    return message.strip(), "external-event" if kind == "external-event" else "user-message"


def _tags(body: dict[str, Any]) -> dict[str, str | None]:
    tags = body.get("tags", {})
    if not isinstance(tags, dict) or len(tags) > MAX_TAGS:
        raise invalid("body", "tags", f"must be an object of at most {MAX_TAGS}", rule="11")
    for key, value in tags.items():
        if not _TAG_KEY.fullmatch(key):
            raise invalid(
                "body", "tags", "keys are letters, digits, underscores, blanks", rule="11"
            )
        if value is not None and not (isinstance(value, str) and 1 <= len(value) <= MAX_TAG_VALUE):
            raise invalid("body", "tags", "values have 1 to 100 characters, or are null", rule="11")
    return tags
