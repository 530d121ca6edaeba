"""The operations on users: create, list, search, update, variables, delete, as the identity strategies need them."""

from __future__ import annotations

from typing import Annotated, Any

from aiohttp import web
from pydantic import ConfigDict, Field, StringConstraints

from gateway.clock import iso
from gateway.sandbox import queries, roles
from gateway.sandbox.bodies import Body, Filled, read_body
from gateway.sandbox.errors import invalid
from gateway.sandbox.people import Person, checked_email
from gateway.sandbox.state import IDENTITY, SANDBOX, Sandbox

_RULE = "users"
_VARIABLE = "^[a-z_][a-z0-9_]+$"
_Variable = Annotated[str, StringConstraints(strip_whitespace=True, pattern=_VARIABLE)]
_Language = Annotated[str, StringConstraints(pattern=r"^([a-z]{3}|\w{2})$")]
_SORTS = ("first_name", "last_name", "email", "user_stats.num_conversations", "user_stats.num_messages",
          "user_stats.last_message_time")  # fmt: skip


class _Preferences(Body):
    enable_response_recommendation: bool = False
    preferred_language: _Language | None = None
    conversations_visible_to_admins: bool = True
    user_model_visible_to_admins: bool = True
    timezone: str | None = None
    audio_keyterms: list[str] = Field(default_factory=list)


class _NewUser(Body):
    first_name: Filled
    last_name: Filled
    email: Filled
    role_name: str
    login_link: str | None = Field(None, min_length=1, max_length=2083)
    nonsensitive_user_variables: dict[_Variable, str] = Field(default_factory=dict, max_length=19)
    sensitive_user_variables: dict[_Variable, str] = Field(default_factory=dict, max_length=20)
    user_preferences: _Preferences | None = None
    preferences: _Preferences | None = None


class _Changes(Body):
    # `_NotSet` is an empty object: leave the field as it is.
    model_config = ConfigDict(frozen=True, strict=True)

    first_name: Filled | None = None
    last_name: Filled | None = None
    enable_response_recommendation: bool | None = None
    preferred_language: _Language | dict[str, Any] | None = Field(default_factory=dict)
    timezone: str | dict[str, Any] | None = Field(default_factory=dict)
    conversations_visible_to_admins: bool | None = None
    user_model_visible_to_admins: bool | None = None
    additional_context: list[Filled] | None = None
    audio_keyterms: Annotated[list[Filled], Field(max_length=20)] | None = None


class _Upsert(Body):
    name: _Variable
    value: str = Field(min_length=1, max_length=255)
    is_secret: bool


class _Deletion(Body):
    name: _Variable


class _Variables(Body):
    upserts: list[_Upsert] = Field(default_factory=list)
    deletes: list[_Deletion] = Field(default_factory=list)


async def create(request: web.Request) -> web.Response:
    """POST …/user/ (2025-06: …/user/invite): a user of the organization, e-mail addresses unique."""
    sandbox, who = request.app[SANDBOX], request[IDENTITY]
    who.need(roles.INVITE)
    wanted = await read_body(request, _NewUser, rule=_RULE)
    role = sandbox.people.role_named(wanted.role_name)
    if role is not None and not role.permissions <= who.role.permissions:
        who.need(*sorted(role.permissions))
    chosen = wanted.user_preferences or wanted.preferences
    person = sandbox.people.create(
        Person(
            id="",
            number=0,
            first_name=wanted.first_name,
            last_name=wanted.last_name,
            email=checked_email(wanted.email),
            role=wanted.role_name,
            created_at=sandbox.clock.wall(),
            preferences=chosen.model_dump() if chosen else {},
            variables=dict(wanted.nonsensitive_user_variables),
            secret_variables=dict(wanted.sensitive_user_variables),
        )
    )
    link = wanted.login_link
    return web.json_response({"user_id": person.id, "verify_link": link}, status=201)


async def listed(request: web.Request) -> web.Response:
    """GET …/user/: those created here, filtered by id and e-mail, sorted, paged."""
    sandbox, query = request.app[SANDBOX], request.query
    request[IDENTITY].need(roles.GET_USER)
    ids = queries.several(query, "user_id", sandbox.options, rule=_RULE)
    addresses = queries.several(query, "email", sandbox.options, rule=_RULE)
    emails = frozenset(email.lower() for email in addresses)
    page = queries.page(query, most=100, usual=100, fields=_SORTS, rule=_RULE, least=0)
    found = [
        person
        for person in sandbox.people
        if (not ids or person.id in ids) and (not emails or person.email.lower() in emails)
    ]
    keys = {name: _sort_key(sandbox, name) for name in _SORTS}
    shown, more = queries.paged(found, page, keys)
    users = [_user(person, sandbox) for person in shown]
    return web.json_response({"users": users, **more})


async def search(request: web.Request) -> web.Response:
    """GET …/user/search/: users whose name or e-mail holds the text."""
    sandbox, query = request.app[SANDBOX], request.query
    request[IDENTITY].need(roles.GET_USER)
    text = query.get("query")
    if text is None:
        raise invalid("query", "query", "field required", rule=_RULE)
    ids = queries.several(query, "user_id", sandbox.options, rule=_RULE)
    wanted = text.lower()
    found = [
        _user(person, sandbox)
        for person in sandbox.people
        if (not ids or person.id in ids)
        and any(wanted in part.lower() for part in (_name(person), person.email))
    ]
    return web.json_response({"users": found})


async def update(request: web.Request) -> web.Response:
    """POST …/user/{id} (2025-06: …/user/{id}/user): names, preferences, context; 204."""
    sandbox = request.app[SANDBOX]
    _may_change(request)
    changes = await read_body(request, _Changes, rule=_RULE)
    person = sandbox.people.get(request.match_info["user_id"])
    person.first_name = changes.first_name or person.first_name
    person.last_name = changes.last_name or person.last_name
    for name in _Preferences.model_fields:
        value = getattr(changes, name)
        erased = name in {"preferred_language", "timezone"} and value is None
        if erased or not (value is None or isinstance(value, dict)):
            person.preferences[name] = value
    if changes.additional_context is not None:
        person.context = list(changes.additional_context)
    sandbox.people.keep(person)
    return web.Response(status=204)


async def variables(request: web.Request) -> web.Response:
    """POST …/user/{id}/variable (2026-04): set and delete variables; 204."""
    sandbox = request.app[SANDBOX]
    _may_change(request)
    wanted = await read_body(request, _Variables, rule=_RULE)
    person = sandbox.people.get(request.match_info["user_id"])
    for item in wanted.deletes:
        person.variables.pop(item.name, None)
        person.secret_variables.pop(item.name, None)
    for change in wanted.upserts:
        sandbox.people.set_variable(person, change.name, change.value, secret=change.is_secret)
    sandbox.people.keep(person)
    return web.Response(status=204)


def _may_change(request: web.Request) -> None:
    """One's own data, or anybody's for a role that may also see them."""
    who = request[IDENTITY]
    who.need(roles.UPDATE_USER)
    if request.match_info["user_id"] != who.user:
        who.need(roles.GET_USER)


async def delete(request: web.Request) -> web.Response:
    """DELETE …/user/{id}; 204."""
    request[IDENTITY].need(roles.DELETE_USER)
    request.app[SANDBOX].people.remove(request.match_info["user_id"])
    return web.Response(status=204)


def _name(person: Person) -> str:
    return f"{person.first_name} {person.last_name}"


def _stats(person: Person, sandbox: Sandbox) -> dict[str, Any]:
    own = [one for one in sandbox.conversations if one.user_id == person.id]
    last = max((m.created_at for one in own for m in one.messages), default=None)
    return {
        "num_conversations": len(own),
        "num_messages": sum(len(one.messages) for one in own),
        "last_message_time": None if last is None else iso(last),
    }


def _sort_key(sandbox: Sandbox, name: str) -> Any:
    if name.startswith("user_stats."):
        part = name.removeprefix("user_stats.")
        return lambda person: (
            _stats(person, sandbox)[part] or 0
            if part != "last_message_time"
            else (_stats(person, sandbox)[part] or "")
        )
    return lambda person: getattr(person, name).lower()


def _user(person: Person, sandbox: Sandbox) -> dict[str, Any]:
    usual = _Preferences().model_dump()
    return {
        "org_id": sandbox.options.credentials.organization,
        "user_id": person.id,
        "first_name": person.first_name,
        "last_name": person.last_name,
        "email": person.email,
        "user_stats": _stats(person, sandbox),
        "role": person.role,
        "preferences": {**usual, **person.preferences},
        "nonsensitive_variables": dict(person.variables),
        "sensitive_variables": sorted(person.secret_variables),
        # Required by the official client of October 2026, unknown to the snapshot of spring.
        "enable_actions_access": False,
    }
