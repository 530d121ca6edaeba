"""What to do about a request that failed, and about a call that was refused."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

_BY_STATUS: Final[Mapping[int | None, str]] = MappingProxyType(
    {
        None: "no answer came: is the API reachable from here, and up?",
        400: "the API understood no speech in what it was sent",
        401: "check the API key, its id, and the user",
        403: "give the user's role the permissions the README names",
        404: "check organization and service; was the user or the conversation deleted?",
        409: "somebody else uses the same user: give the gateway users of its own",
        415: "set AMIGO_API_REVISION, or AMIGO_AUDIO_FORMAT, to what the API speaks",
        422: "set AMIGO_API_REVISION to what the API speaks",
        429: "the API's rate limit: see docs/identity-and-routes.md for what it lets through",
    }
)
_MAKES_USERS: Final = (
    "give AMIGO_ADMIN_USER_ID a role that may invite and list users and has every permission of"
    " AMIGO_NEW_USER_ROLE"
)
_BY_OPERATION: Final[Mapping[tuple[str | None, int | None], str]] = MappingProxyType(
    {
        ("create-user", 403): _MAKES_USERS,
        ("users", 403): _MAKES_USERS,
        ("create-user", 404): "does AMIGO_NEW_USER_ROLE exist?",
        ("create-user", 422): "does AMIGO_NEW_USER_ROLE exist?",
        ("sign-in", 403): "check the API key, its id, and the user",
        ("sign-in", 429): "more users signed in within a minute than the API lets: see"
        " docs/identity-and-routes.md",
    }
)
"""Operation and status whose cure is not the status's own."""
REFUSED: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "no-user": (
            "every user it could speak for was on another call",
            "GATEWAY_IDENTITY pool or per-caller, or let callers wait: GATEWAY_BUSY_WAIT_SECONDS",
        ),
        "gave-up": (
            "the caller hung up while waiting for a free user",
            "more users, or identity per-caller: nobody waits then",
        ),
        "withheld": (
            "who calls was withheld, and there is no user for such callers",
            "set AMIGO_USER_POOL or AMIGO_USER_ID",
        ),
        "capacity": (
            "the gateway held as many calls as it may",
            "raise GATEWAY_MAX_CALLS, or run another gateway",
        ),
        "draining": (
            "the gateway was about to stop",
            "send new calls elsewhere while /readyz answers 503",
        ),
        "no-route": (
            "nobody answers the number that was called",
            "give it a route, or set AMIGO_SERVICE_ID or a route `default` (GATEWAY_ROUTES)",
        ),
        "store": ("the store failed", "see store.failed in the log, and the store's disk"),
        "store-late": (
            "the store did not answer in time",
            "a faster disk for the store; is something else busy with it?",
        ),
    }
)
"""Why a call was refused at the door: what that means, and what to do about it."""


def cure(failure: Mapping[str, Any]) -> str:
    """What to do about a request that failed."""
    status = failure.get("status")
    own = _BY_OPERATION.get((failure.get("operation"), status))
    return own or _BY_STATUS.get(status, "the API itself failed: ask Amigo's support")
