"""The part of `check` that looks at who answers: identity, organization and service of every route."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import urlsplit

from gateway.errors import AmigoError

if TYPE_CHECKING:
    from gateway.amigo import AmigoClient
    from gateway.clock import Clock
    from gateway.ids import UserId
    from gateway.settings import Settings
    from gateway.store import CallStore

USERS_TRIED: Final = 4
"""Users of a pool that are signed in: one more would meet the limit of sign-ins."""
SIGN_INS: Final = 5
CREATES: Final = 5
TURNS: Final = 15
"""Published limits a minute (Amigo's documentation)."""
TURNS_OF_A_CALL: Final = 7
"""Turns a minute in a lively call."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at."""

    subject: str
    verdict: Literal["ok", "warn", "fail"]
    detail: str
    fix: str = ""
    """What to do about it."""


async def examine_answering(
    settings: Settings, store: CallStore, clock: Clock, number: str | None = None
) -> AsyncGenerator[Finding, None]:
    """Yield what is found of each route, named by its number where there is more than one.

    `number` is one that this gateway answers, route or not.
    """
    from gateway.compose import answering

    ours = [route.number for route in settings.routes] + ([number] if number else [])
    for name, own, overflow in answering(settings):
        if overflow is not None:
            yield _of_route(name, _overflow(overflow, ours))
        async for finding in _route(own, store, clock):
            yield _of_route(name, finding) if name else finding


def _of_route(name: str, finding: Finding) -> Finding:
    """The finding in the words of the routes file."""
    from gateway.settings.routes import in_keys

    return Finding(
        subject=f"{name}: {in_keys(finding.subject)}",
        verdict=finding.verdict,
        detail=in_keys(finding.detail),
        fix=in_keys(finding.fix),
    )


def _overflow(target: str, ours: Sequence[str]) -> Finding:
    """Whether a call that is passed on would come back to us."""
    from gateway.settings.routes import same_line

    if any(same_line(target, one) for one in ours):
        detail = f"{target} is answered here too: callers may be passed around, at your cost"
        return Finding("overflow", "warn", detail, "name somebody this gateway does not answer for")
    return Finding("overflow", "ok", f"calls that cannot be taken go to {target}")


async def _route(
    settings: Settings, store: CallStore, clock: Clock
) -> AsyncGenerator[Finding, None]:
    from gateway.amigo import AmigoClient
    from gateway.compose import amigo_options
    from gateway.settings.values import is_loopback_name

    for finding in _identity(settings):
        yield finding
    amigo = urlsplit(settings.amigo_base_url)
    if amigo.scheme == "http" and not is_loopback_name(amigo.hostname or ""):
        yield Finding("AMIGO_BASE_URL", "warn", "keys and speech travel in clear", "use https://")
    async with AmigoClient(amigo_options(settings), clock) as client:
        yield await _revision(settings, client)
        try:
            async for finding in _service(settings, client, store):
                yield finding
        except AmigoError as error:
            yield Finding("Amigo", "fail", str(error), _advice(error))


# ---------------------------------------------------------------- identity


def _identity(settings: Settings) -> Iterator[Finding]:
    pool = len(settings.amigo_user_pool)
    match settings.gateway_identity:
        case "fixed":
            yield Finding(
                "identity",
                "warn",
                "one call at a time: the API lets a user hold one conversation per service",
                "for more, set GATEWAY_IDENTITY=pool and AMIGO_USER_POOL, or GATEWAY_IDENTITY=per-caller",
            )
            if pool:
                yield Finding(
                    "identity", "warn", "AMIGO_USER_POOL is not used", "set GATEWAY_IDENTITY=pool"
                )
        case "pool" if pool < settings.gateway_max_calls:
            yield Finding("identity", "ok", f"{pool} users: {pool} calls at once, then busy")
        case "per-caller":
            yield from _per_caller(settings)
    yield _limits(settings)


def _per_caller(settings: Settings) -> Iterator[Finding]:
    from gateway.settings.model import SHORTEST_SECRET

    shared = len(settings.amigo_user_pool) or int(bool(settings.amigo_user_id))
    others = f"share {shared} user(s)" if shared else "hear busy"
    yield Finding(
        "identity", "ok", f"a user for each caller; those who withhold who they are {others}"
    )
    if settings.guessable_callers:
        yield Finding(
            "GATEWAY_IDENTITY_SECRET",
            "warn",
            "is short: numbers could be guessed from their digests",
            f"take at least {SHORTEST_SECRET} random characters, before the first call",
        )


def _limits(settings: Settings) -> Finding:
    """What the published limits let through; the documentation says of whom they count both ways."""
    shared = (
        f"if its limits count for the organization, all calls together make {CREATES} new calls and"
        f" {TURNS} turns a minute, about {TURNS // TURNS_OF_A_CALL} lively calls at once"
    )
    match settings.gateway_identity:
        case "fixed":
            detail = f"{CREATES} new calls and {TURNS} turns a minute, however they count"
        case "pool":
            users = len(settings.amigo_user_pool)
            detail = (
                f"if the API's limits count for each user, {users * CREATES} new calls a minute;"
                f" {shared}; {SIGN_INS} sign-ins a minute: the pool is warm after"
                f" {ceil(users / SIGN_INS)} min"
            )
        case "per-caller":
            detail = (
                f"if the API's limits count for each user, they do not matter; {shared};"
                f" {SIGN_INS} callers a minute who did not call within the hour"
            )
    return Finding("rate limits", "ok", detail)


# ---------------------------------------------------------------- the API


async def _revision(settings: Settings, client: AmigoClient) -> Finding:
    found, wanted = await client.detect_revision(), settings.amigo_api_revision
    if found is None:
        detail = f"/v1/openapi.json does not tell; {client.revision.name} is used"
        fix = "set AMIGO_API_REVISION if you know it" if wanted == "auto" else ""
        return Finding("Amigo revision", "warn" if wanted == "auto" else "ok", detail, fix)
    if wanted not in {"auto", found.name}:
        detail = f"the API describes itself as {found.name}, AMIGO_API_REVISION is {wanted}"
        return Finding("Amigo revision", "warn", detail, "set AMIGO_API_REVISION=auto")
    return Finding("Amigo revision", "ok", found.name)


async def _service(
    settings: Settings, client: AmigoClient, store: CallStore
) -> AsyncGenerator[Finding, None]:
    from gateway.ids import UserId

    users = _signing_in(settings)
    tried = [UserId(user) for user in users[:USERS_TRIED]]
    for user in tried:
        await client.sign_in(user)
    yield Finding("Amigo sign-in", "ok", f"{len(tried)} of {len(users)} user(s) signed in")
    if settings.gateway_identity == "per-caller":
        yield await _directory(client, tried[0])
        tried = tried[1:] or tried
    service, version_set = settings.amigo_service_id, settings.amigo_version_set
    listed = await _service_listed(client, tried[0], service, version_set)
    yield listed
    for user in tried if listed.verdict != "fail" else ():
        if await _may_begin(client, user, service, version_set) is False:
            detail = f"the role of user {user!r} may not create conversations"
            fix = "give it a role with Conversation:CreateConversation"
            yield Finding("Amigo role", "fail", detail, fix)
    for user in tried:
        open_ones = await client.conversations(user, service_id=service, is_finished=False)
        foreign = [one for one in open_ones if await store.find_conversation(one.id) is None]
        if foreign and not settings.amigo_finish_foreign:
            yield Finding(
                "Amigo conversation",
                "warn",
                f"user {user!r} has an unfinished conversation we did not begin: callers get busy",
                "finish it where it was begun, or set AMIGO_FINISH_FOREIGN=true",
            )


def _signing_in(settings: Settings) -> tuple[str, ...]:
    one = (settings.amigo_user_id,) if settings.amigo_user_id else ()
    match settings.gateway_identity:
        case "fixed":
            return one
        case "pool":
            return settings.amigo_user_pool
        case "per-caller":
            return (settings.amigo_admin_user_id, *(settings.amigo_user_pool or one))


async def _directory(client: AmigoClient, admin: UserId) -> Finding:
    """Whether the admin may look for users; that it may make them shows with the first caller."""
    subject = "Amigo users"
    try:
        await client.users(admin, emails=("nobody@callers.example",))
    except AmigoError as error:
        if error.status != 403:
            raise
        fix = "give AMIGO_ADMIN_USER_ID a role that may list and invite users"
        return Finding(subject, "fail", f"{admin!r} may not look users up", fix)
    return Finding(subject, "ok", f"{admin!r} may look users up")


async def _may_begin(
    client: AmigoClient, user: UserId, service: str, version_set: str
) -> bool | None:
    """Whether this user may create conversations; None where that cannot be known.

    Asked for a starter: that begins nothing, and the API wants the same permission for it.
    """
    from gateway.amigo.answers import StarterRequest

    wanted = StarterRequest(
        service_id=service, facets=("greeting",), version_set=version_set, max_count=1
    )
    try:
        await client.starters(user, wanted)
    except AmigoError as error:
        return False if error.status == 403 else None
    return True


async def _service_listed(
    client: AmigoClient, user: UserId, service: str, version_set: str
) -> Finding:
    subject = "Amigo service"
    try:
        found = await client.find_service(user, service)
    except AmigoError as error:
        if error.status != 404:  # signed in: the organization is right, only the list is missing
            raise
        found = None
    match found:
        case None:
            return Finding(subject, "warn", "services are not listed for this user")
        case ():
            fix = "set AMIGO_SERVICE_ID to one of the organization's services"
            return Finding(subject, "fail", f"{service} is not the organization's", fix)
    sets = sorted({name for one in found for name in one.version_sets})
    if sets and version_set not in sets:
        fix = f"set AMIGO_VERSION_SET to one of {', '.join(sets)}"
        return Finding(subject, "fail", f"{service} has no version set {version_set!r}", fix)
    return Finding(subject, "ok", f"{service} is the organization's")


def _advice(error: AmigoError) -> str:
    match error.status:
        case None:
            return "is AMIGO_BASE_URL right, and may this machine reach it?"
        case 401 | 403:
            return "check AMIGO_API_KEY, AMIGO_API_KEY_ID and the user ids"
        case 404:
            return "check AMIGO_ORGANIZATION_ID and AMIGO_BASE_URL"
        case 429:
            return "too many sign-ins within a minute: try again later"
        case _:
            return "the service refuses; its status page or support may know why"
