"""JSON bodies: read, checked against a model, refused field by field as the service's validation does."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Annotated, Any, Final, TypeVar

from aiohttp import web
from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from gateway.sandbox.errors import Refusal, invalid

DEEPEST: Final = 64
"""Arrays and objects within each other; no body of the API needs a fifth of it."""


class Body(BaseModel):
    """A request body; unknown fields are ignored, as the service does."""

    model_config = ConfigDict(frozen=True, strict=True)


Filled = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
"""Text that is not only blanks."""
ObjectId = Annotated[str, StringConstraints(pattern="^[a-f0-9]{24}$")]

BodyT = TypeVar("BodyT", bound=Body)


async def read_object(request: web.Request, *, rule: str) -> dict[str, Any]:
    """The body as a JSON object."""
    if request.content_type != "application/json":
        raise invalid("header", "content-type", "must be application/json", rule=rule)
    return _object(await request.read(), rule=rule)


async def read_body(request: web.Request, model: type[BodyT], *, rule: str) -> BodyT:
    """The body as this model; 422 that names every wrong field."""
    return checked(model, await read_object(request, rule=rule), rule=rule)


async def read_optional_body(request: web.Request, model: type[BodyT], *, rule: str) -> BodyT:
    """Like `read_body`, where no body at all means every default."""
    raw = await request.read()
    if not raw.strip():
        return model()
    if request.content_type != "application/json":
        raise invalid("header", "content-type", "must be application/json", rule=rule)
    return checked(model, _object(raw, rule=rule), rule=rule)


def checked(model: type[BodyT], data: dict[str, Any], *, rule: str) -> BodyT:
    try:
        return model.model_validate(data)
    except ValidationError as error:
        detail = [
            {"loc": ["body", *item["loc"]], "msg": item["msg"], "type": item["type"]}
            for item in error.errors(include_url=False, include_input=False, include_context=False)
        ]
        raise Refusal(422, detail, rule=rule) from None


def outside_json(raw: str | bytes) -> Any:
    """Parse JSON somebody sent; raises `ValueError` for all that must not come further.

    That is what nests so deep that whoever walks it would run out of stack, and text with half of a
    surrogate pair: no answer that echoes it could be written as UTF-8.
    """
    try:
        value = json.loads(raw)
    except RecursionError:
        raise ValueError("it nests too deep") from None
    level, depth = [value], 0
    while level:
        if depth == DEEPEST:
            raise ValueError("it nests too deep")
        level, depth = [inner for outer in level for inner in _within(outer)], depth + 1
    json.dumps(value, ensure_ascii=False).encode()
    return value


def _within(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _object(raw: bytes, *, rule: str) -> dict[str, Any]:
    try:
        body = outside_json(raw)
    except ValueError:
        raise invalid("body", "", "is not JSON in UTF-8", rule=rule) from None
    if not isinstance(body, dict):
        raise invalid("body", "", "must be an object", rule=rule)
    return body
