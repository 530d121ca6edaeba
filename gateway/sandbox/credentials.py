"""Who may use the sandbox: the defaults as settings of the gateway, or a strict list from a file."""

from __future__ import annotations

import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from gateway.errors import BadSetting, ConfigError
from gateway.sandbox.options import Credentials, Service
from gateway.sandbox.queries import is_id
from gateway.sandbox.roles import ADMIN, BUILT_IN, Role, permission_named

OPTION: Final = "--strict-credentials"
_TEXTS: Final = ("organization", "api_key", "api_key_id")
_KEYS: Final = frozenset({*_TEXTS, "users", "admins", "roles", "services"})


def export_lines(base_url: str, credentials: Credentials) -> list[str]:
    """Shell lines that point a gateway at this sandbox."""
    settings = {
        "AMIGO_BASE_URL": base_url,
        "AMIGO_ORGANIZATION_ID": credentials.organization,
        "AMIGO_API_KEY": credentials.api_key,
        "AMIGO_API_KEY_ID": credentials.api_key_id,
        "AMIGO_USER_ID": credentials.user,
        "AMIGO_SERVICE_ID": credentials.services[0].id,
    }
    if credentials.admin is not None:
        settings["AMIGO_ADMIN_USER_ID"] = credentials.admin
    return [f"export {name}={shlex.quote(value)}" for name, value in settings.items()]


def read_credentials(path: Path) -> Credentials:
    """Read a TOML file: `organization`, `api_key`, `api_key_id`, `users`, `admins`, `[[roles]]`, `[[services]]`.

    A user is an id, or a table with `id` and `role`; a role has a `name`, `permissions`, and perhaps
    `everybodys = true` to reach the conversations of others. Only users listed here or created over
    the API may be signed in. Raises `ConfigError` naming everything that is wrong, never the key's
    value.
    """
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except OSError as exc:
        raise ConfigError([BadSetting(OPTION, f"cannot read {path}: {exc.strerror}")]) from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise ConfigError([BadSetting(OPTION, f"{path} is not TOML: {exc}")]) from exc
    problems = [
        *_wrong_texts(table),
        *_wrong_roles(table),
        *_wrong_lists(table),
        *_wrong_services(table),
    ]
    if problems:
        raise ConfigError([BadSetting(f"{OPTION} {path}", problem) for problem in problems])
    users = [item if isinstance(item, str) else item["id"] for item in table["users"]]
    admins = table.get("admins", [])
    given = {item["id"]: item["role"] for item in table["users"] if isinstance(item, dict)}
    role_of = {**dict.fromkeys(admins, ADMIN.name), **given}
    return Credentials(
        organization=table["organization"],
        api_key=table["api_key"],
        api_key_id=table["api_key_id"],
        user=users[0],
        users=frozenset(users) | frozenset(admins),
        roles={role.name: role for role in (*BUILT_IN, *map(_role, table.get("roles", ())))},
        role_of=role_of,
        admin=next((user for user, role in role_of.items() if role == ADMIN.name), None),
        services=tuple(_service(item) for item in table["services"]),
    )


def _wrong_texts(table: dict[str, Any]) -> list[str]:
    wrong = (name for name in _TEXTS if not isinstance(table.get(name), str) or not table[name])
    return [f"{name} must be a text that is not empty" for name in wrong]


def _wrong_roles(table: dict[str, Any]) -> Iterator[str]:
    roles = table.get("roles", [])
    if not isinstance(roles, list) or not all(isinstance(item, dict) for item in roles):
        yield "roles must be tables: [[roles]]"
        return
    for number, item in enumerate(roles, 1):
        if not isinstance(item.get("name"), str) or not item["name"]:
            yield f"role {number} needs a name"
        permissions = item.get("permissions")
        if not _texts(permissions):
            yield f"role {number} needs permissions, a list of their names"
            continue
        for name in permissions or ():
            if permission_named(name) is None:
                yield f"role {number}: there is no permission {name!r}"


def _wrong_lists(table: dict[str, Any]) -> Iterator[str]:
    users = table.get("users")
    if not isinstance(users, list) or not users or not all(map(_is_user, users)):
        yield "users must be a list of at least one user id, or table with id and role"
    elif isinstance(table.get("roles", []), list):
        known = {role.name for role in BUILT_IN}
        known |= {str(r.get("name")) for r in table.get("roles", []) if isinstance(r, dict)}
        for item in users:
            if isinstance(item, dict) and item["role"] not in known:
                yield f"user {item['id']!r}: there is no role {item['role']!r}"
    if not _texts(table.get("admins", [])):
        yield "admins must be a list of user ids"
    yield from (f"unknown key {name!r}" for name in sorted(set(table) - _KEYS))


def _is_user(item: object) -> bool:
    if isinstance(item, str):
        return bool(item)
    return isinstance(item, dict) and all(
        isinstance(item.get(name), str) and item[name] for name in ("id", "role")
    )


def _wrong_services(table: dict[str, Any]) -> list[str]:
    services = table.get("services")
    if not isinstance(services, list) or not services:
        return ["[[services]] must be given at least once, with id and name"]
    return [
        f"service {number} needs an id of 24 hex digits, and version_sets (if any) as a list of names"
        for number, item in enumerate(services, 1)
        if not isinstance(item, dict)
        or not is_id(str(item.get("id", "")))
        or not _texts(item.get("version_sets", ["release"]))
    ]


def _texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) and item for item in value)


def _role(item: dict[str, Any]) -> Role:
    named = (permission_named(name) for name in item["permissions"])
    return Role(
        name=item["name"],
        permissions=frozenset(name for name in named if name is not None),
        everybodys=item.get("everybodys") is True,
    )


def _service(item: dict[str, Any]) -> Service:
    sets = tuple(item.get("version_sets", ("release", "edge")))
    return Service(item["id"], str(item.get("name", "front desk")), sets)
