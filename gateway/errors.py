"""The exception tree: whose fault it is, said by the name.

GatewayError
├── ConfigError        a setting is wrong (ours to refuse at start)
├── OutOfTurn          the core was asked for an impossible move (our bug)
├── StoreError         the store cannot be reached or did not answer in time
│   └── Forgotten            it answered, and knows nothing of this call: it lost its memory
├── Fenced             another replica has this call by now; nothing was changed
├── AmigoError         the conversation API misbehaved or refused (a status of no class below)
│   ├── AmigoUnreachable     no answer came: connection, time-out, cut stream
│   ├── AmigoInvalid         never sent: a parameter breaks a documented limit
│   ├── AmigoNotOffered      never sent: the API's revision has no such operation
│   ├── AmigoRejected        400, 413, 415, 422: the request itself is wrong; repeating is no use
│   ├── AmigoUnauthorized    401: the token or the key is not accepted
│   ├── AmigoForbidden       403: the role lacks a permission
│   ├── AmigoNotFound        404: no such thing, or not in this region
│   ├── AmigoConflict        409: busy, or done already
│   ├── AmigoRateLimited     429: asked too often; `retry_after` says when to ask again
│   └── AmigoUnavailable     408, 425, 5xx: the service cannot now
└── CarrierError       the carrier misbehaved or refused
"""

from __future__ import annotations

from dataclasses import dataclass


class GatewayError(Exception):
    """Everything this project raises on purpose."""


@dataclass(frozen=True, slots=True)
class BadSetting:
    """One wrong setting, ready to be printed: never holds a secret's value."""

    name: str
    """The environment variable or TOML key as the operator writes it."""
    problem: str
    """What is wrong with it and, where we know, what would be right."""

    def __str__(self) -> str:
        return f"{self.name}: {self.problem}"


class ConfigError(GatewayError):
    """One or more settings are wrong; commands print one line for each and exit with 2."""

    def __init__(self, problems: list[BadSetting]) -> None:
        super().__init__(problems)
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


class OutOfTurn(GatewayError):  # noqa: N818 - reads as the sentence it is
    """The call core was asked for a move its phase table does not allow: a bug of ours."""


class StoreError(GatewayError):
    """The store could not be reached, or did not answer within the time allowed."""


class Forgotten(StoreError):  # noqa: N818 - reads as the sentence it is
    """The store does not know this call, although it was stored before."""


class Fenced(GatewayError):  # noqa: N818 - reads as the sentence it is
    """Another replica has this call by now: nothing was changed, and trying again is no use."""

    def __init__(self, call_sid: str) -> None:
        super().__init__(call_sid)
        self.call_sid = call_sid

    def __str__(self) -> str:
        return f"call {self.call_sid!r} is another replica's by now"


class AmigoError(GatewayError):
    """The conversation API refused, failed, or could not be reached."""

    def __init__(
        self,
        operation: str,
        *,
        status: int | None = None,
        detail: str = "",
        request_id: str | None = None,
        retry_after: float | None = None,
        retryable: bool = False,
        asked: bool = True,
    ) -> None:
        super().__init__(operation, status, detail)
        self.operation = operation
        """What was being done: `sign-in`, `create`, `interact`, `finish`, ..."""
        self.status = status
        """HTTP status, or None where no answer came (connection, time-out, cut stream)."""
        self.detail = detail
        """Excerpt of the answer's body or of the transport's complaint; no secrets, at most 300 characters."""
        self.request_id = request_id
        self.retry_after = retry_after
        """Seconds the service asked us to wait (`Retry-After`), or None."""
        self.retryable = retryable
        """True when the same request may succeed if it is sent again later."""
        self.asked = asked
        """False when the request never left: nothing can have come of it."""

    def __str__(self) -> str:
        status = f"status {self.status}" if self.status is not None else "no answer"
        request = f", request {self.request_id}" if self.request_id else ""
        return f"{self.operation}: {status}{request}: {self.detail}"


class AmigoUnreachable(AmigoError):  # noqa: N818 - these names say what happened
    """No answer came; whether the request arrived is unknown unless `asked` is False."""


class AmigoInvalid(AmigoError):  # noqa: N818
    """The request was not sent: a parameter breaks a documented limit; `detail` names it."""


class AmigoNotOffered(AmigoError):  # noqa: N818
    """The request was not sent: the revision of the API has no such operation."""


class AmigoRejected(AmigoError):  # noqa: N818
    """400, 413, 415, 422: the request itself is wrong."""


class AmigoUnauthorized(AmigoError):  # noqa: N818
    """401: the token or the key is not accepted."""


class AmigoForbidden(AmigoError):  # noqa: N818
    """403: the role of the user lacks a permission."""


class AmigoNotFound(AmigoError):  # noqa: N818
    """404: no such thing, or not in this region."""


class AmigoConflict(AmigoError):  # noqa: N818
    """409: a related operation is running, or it was done already."""


class AmigoRateLimited(AmigoError):  # noqa: N818
    """429: asked too often."""


class AmigoUnavailable(AmigoError):  # noqa: N818
    """408, 425 and 5xx: the service cannot now."""


class CarrierError(GatewayError):
    """The carrier's REST interface refused or could not be reached."""

    def __init__(self, operation: str, *, status: int | None = None, detail: str = "") -> None:
        super().__init__(operation, status, detail)
        self.operation = operation
        self.status = status
        self.detail = detail

    def __str__(self) -> str:
        status = f"status {self.status}" if self.status is not None else "no answer"
        return f"{self.operation}: {status}: {self.detail}"
