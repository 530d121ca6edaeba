"""Who may use the sandbox: the defaults as settings of the gateway, or a strict list from a file."""

from __future__ import annotations

import shlex
import tomllib
from pathlib import Path
from typing import Any, Final

from gateway.errors import BadSetting, ConfigError
from gateway.sandbox.options import Credentials, Service
from gateway.sandbox.queries import is_id

OPTION: Final = "--strict-credentials"
_TEXTS: Final = ("organization", "api_key", "api_key_id")


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
    return [f"export {name}={shlex.quote(value)}" for name, value in settings.items()]


def read_credentials(path: Path) -> Credentials:
    """Read a TOML file: `organization`, `api_key`, `api_key_id`, `users`, `admins`, `[[services]]`.

    Only the listed users may be signed in. Raises `ConfigError` naming everything that is wrong,
    never the key's value.
    """
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except OSError as exc:
        raise ConfigError([BadSetting(OPTION, f"cannot read {path}: {exc.strerror}")]) from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise ConfigError([BadSetting(OPTION, f"{path} is not TOML: {exc}")]) from exc
    problems = [*_wrong_texts(table), *_wrong_lists(table), *_wrong_services(table)]
    if problems:
        raise ConfigError([BadSetting(f"{OPTION} {path}", problem) for problem in problems])
    return Credentials(
        organization=table["organization"],
        api_key=table["api_key"],
        api_key_id=table["api_key_id"],
        user=table["users"][0],
        users=frozenset(table["users"]) | frozenset(table.get("admins", ())),
        admins=frozenset(table.get("admins", ())),
        services=tuple(_service(item) for item in table["services"]),
    )


def _wrong_texts(table: dict[str, Any]) -> list[str]:
    wrong = (name for name in _TEXTS if not isinstance(table.get(name), str) or not table[name])
    return [f"{name} must be a text that is not empty" for name in wrong]


def _wrong_lists(table: dict[str, Any]) -> list[str]:
    problems = []
    if not _texts(table.get("users")) or not table["users"]:
        problems.append("users must be a list of at least one user id")
    if not _texts(table.get("admins", [])):
        problems.append("admins must be a list of user ids")
    known = {*_TEXTS, "users", "admins", "services"}
    return problems + [f"unknown key {name!r}" for name in sorted(set(table) - known)]


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


def _service(item: dict[str, Any]) -> Service:
    sets = tuple(item.get("version_sets", ("release", "edge")))
    return Service(item["id"], str(item.get("name", "front desk")), sets)
