"""Turns what went wrong with a request into `AmigoError`: refusals by status, and no answer at all.

No operation of the API documents its error body, so any shape is read and none is relied on. The
excerpt kept never holds a secret, a long number, or what a validator quotes of our own request.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final

from gateway.errors import (
    AmigoConflict,
    AmigoError,
    AmigoForbidden,
    AmigoNotFound,
    AmigoRateLimited,
    AmigoRejected,
    AmigoUnauthorized,
    AmigoUnavailable,
)

EXCERPT: Final = 300
"""Characters of an error body that are kept."""

_RETRYABLE: Final = frozenset(
    {
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.CONFLICT,
        HTTPStatus.TOO_EARLY,
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.INTERNAL_SERVER_ERROR,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)
_CLASSES: Final[Mapping[int, type[AmigoError]]] = {
    HTTPStatus.BAD_REQUEST: AmigoRejected,
    HTTPStatus.UNAUTHORIZED: AmigoUnauthorized,
    HTTPStatus.FORBIDDEN: AmigoForbidden,
    HTTPStatus.NOT_FOUND: AmigoNotFound,
    HTTPStatus.REQUEST_TIMEOUT: AmigoUnavailable,
    HTTPStatus.CONFLICT: AmigoConflict,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: AmigoRejected,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: AmigoRejected,
    HTTPStatus.UNPROCESSABLE_ENTITY: AmigoRejected,
    HTTPStatus.TOO_EARLY: AmigoUnavailable,
    HTTPStatus.TOO_MANY_REQUESTS: AmigoRateLimited,
}
_REQUEST_IDS: Final = (
    "x-request-id",
    "request-id",
    "x-amzn-requestid",
    "x-amzn-trace-id",
    "cf-ray",
)
_TAG: Final = re.compile(r"<(script|style).*?</\1>|<[^>]*>", re.DOTALL | re.IGNORECASE)
_LONG_NUMBER: Final = re.compile(r"(?<![0-9A-Za-z])\+?\d(?:[ ().-]{0,2}\d){6,}(?![0-9A-Za-z])")


def refusal(
    operation: str,
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    wall: float,
    secrets: tuple[str, ...] = (),
) -> AmigoError:
    """The error for an answer that is not a success.

    `wall` is the time of its arrival in seconds since 1970, `secrets` are strings to black out.
    """
    if 300 <= status < 400:
        detail = "answered with a redirect, which is not followed: check the base URL"
    else:
        detail = excerpt(body, secrets)
    return _class_of(status)(
        operation,
        status=status,
        detail=detail,
        request_id=request_id(headers, secrets),
        retry_after=retry_after(status, headers, wall),
        retryable=status in _RETRYABLE,
    )


def _class_of(status: int) -> type[AmigoError]:
    """What a status means to the caller; every 5xx is the service's own trouble."""
    return AmigoUnavailable if status >= 500 else _CLASSES.get(status, AmigoError)


def request_id(headers: Mapping[str, str], secrets: tuple[str, ...] = ()) -> str | None:
    """The service's or its proxy's name for the request, for asking them about it."""
    for name in _REQUEST_IDS:
        if (value := headers.get(name, "").strip()) and value.isprintable():
            return _blackened(value, secrets)[:128]
    return None


def retry_after(status: int, headers: Mapping[str, str], wall: float) -> float | None:
    """Seconds the service asked us to wait, or None.

    `Retry-After` in seconds or as an HTTP date (RFC 9110, 10.2.3), counted from the answer's own
    `Date` where it has one, so that clocks may differ. A 429 may name the end of its window
    instead (`X-RateLimit-Reset`, epoch seconds; rate limit page of the API's documents).
    """
    value = headers.get("Retry-After", "").strip()
    if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", value):
        return float(value)
    now = _epoch(headers.get("Date", ""))
    now = wall if now is None else now
    until = _epoch(value)
    if until is None and status == HTTPStatus.TOO_MANY_REQUESTS:
        reset = headers.get("X-RateLimit-Reset", "").strip()
        until = float(reset) if re.fullmatch(r"\d{1,12}(\.\d{1,9})?", reset) else None
    return None if until is None else max(0.0, until - now)


def lifetime(expires_at: str | None, headers: Mapping[str, str], wall: float) -> float | None:
    """Seconds from the answer's `Date` (else from `wall`) to the ISO 8601 time `expires_at`."""
    try:
        until = datetime.fromisoformat(expires_at or "")
    except ValueError:
        return None
    until = until if until.tzinfo is not None else until.replace(tzinfo=UTC)
    now = _epoch(headers.get("Date", ""))
    return until.timestamp() - (wall if now is None else now)


def excerpt(body: bytes, secrets: tuple[str, ...] = ()) -> str:
    """A short, harmless line of an error body: JSON of any shape, HTML, text or nothing."""
    text = body.decode("utf-8", "replace")
    try:
        text = _complaint(json.loads(text))
    except (ValueError, RecursionError):
        text = _TAG.sub(" ", text)
    text = _blackened(text, secrets)
    text = _LONG_NUMBER.sub("…", " ".join(text.split()))
    text = "".join(character if character.isprintable() else " " for character in text)
    return text if len(text) <= EXCERPT else text[: EXCERPT - 1] + "…"


def _blackened(text: str, secrets: tuple[str, ...]) -> str:
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    return text


def _complaint(value: object) -> str:
    match value:
        case str():
            return value
        case Mapping():
            return _complaint_of(value)
        case list():
            return "; ".join(filter(None, map(_complaint, value)))
        case _:
            return ""


def _complaint_of(value: Mapping[str, object]) -> str:
    """The service's words in an object; of a validation error only place and message.

    A validator's `input` and `ctx` quote the request, which may be what the caller said.
    """
    if isinstance(place := value.get("loc"), list):
        return f"{'.'.join(map(str, place))}: {value.get('msg', '')}"
    code = value.get("error_code") or value.get("code")
    words = (_complaint(value.get(name)) for name in ("message", "error", "detail", "title"))
    text = next(filter(None, words), "")
    return f"{code}: {text}" if isinstance(code, str | int) and code != text else text


def _epoch(http_date: str) -> float | None:
    try:
        parsed = parsedate_to_datetime(http_date)
    except (ValueError, TypeError, OverflowError):
        return None
    return (parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=UTC)).timestamp()
