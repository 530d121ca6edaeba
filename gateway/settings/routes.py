"""The routes file: for each dialled number, what differs from the settings of all calls.

A table is named by a number (E.164), a `sip:` address, or `default`. Its keys are settings without
`amigo_` or `gateway_` in front; what it leaves out is inherited, except that a route to another
organization inherits nothing that belongs to the first one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gateway.errors import BadSetting
from gateway.settings.model import DEFAULT_ROUTE, TABLES
from gateway.settings.names import FILE_SUFFIX, nearest, unknown_key
from gateway.settings.options import BY_PATH, BY_VARIABLE, OPTIONS
from gateway.settings.sources import Given, Origin, listed, secret_in, toml_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from gateway.settings.options import Option

NUMBER: Final = re.compile(r"\+[1-9]\d{6,14}|sips?:\S+")
VARIABLE: Final = re.compile("[A-Za-z_][A-Za-z0-9_]*")

_OF_ORGANIZATION: Final = (
    "amigo_organization_id",
    "amigo_api_key",
    "amigo_api_key_id",
    "amigo_user_id",
    "amigo_user_pool",
    "amigo_admin_user_id",
    "amigo_service_id",
)
"""What means nothing, or the wrong thing, in another organization."""
_PLAIN: Final = {
    "organization": "amigo_organization_id",
    "revision": "amigo_api_revision",
    **{
        name.removeprefix("amigo_"): name
        for name in (
            *(name for name in _OF_ORGANIZATION if name != "amigo_api_key"),
            "amigo_base_url",
            "amigo_version_set",
            "amigo_audio_format",
            "amigo_audio_rate",
            "amigo_extra_query",
            "amigo_cluster_name",
            "amigo_finish_foreign",
            "amigo_patience_seconds",
            "amigo_new_user_role",
        )
    },
    "identity": "gateway_identity",
    "busy_wait_seconds": "gateway_busy_wait_seconds",
    **{
        name.removeprefix("gateway_"): name
        for name in (
            "gateway_hold_text",
            "gateway_busy_text",
            "gateway_sorry_text",
            "gateway_lost_text",
            "gateway_say_language",
        )
    },
    "rating": "gateway_rating",
    "max_call_seconds": "gateway_max_call_seconds",
    "service": "amigo_service_id",
}
"""Key of a route and the setting it stands for."""
_BY_VARIABLE: Final = {
    "api_key_env": "amigo_api_key",
    "api_key_id_env": "amigo_api_key_id",
    "identity_secret_env": "gateway_identity_secret",
}
"""Keys that name an environment variable: no secret stands in this file."""
TARGETS: Final = ("overflow", "transfer")
KEYS: Final = (*_PLAIN, *_BY_VARIABLE, *TARGETS, *TABLES)
_SECRETS: Final = {
    spelling: key
    for key, name in _BY_VARIABLE.items()
    if name != "amigo_api_key_id"
    for spelling in (name, name.removeprefix("amigo_").removeprefix("gateway_"))
}
"""What a secret written into the file would be called, and the key that names its variable."""
_OF_ALL_CALLS: Final = {
    spelling: option.variable
    for option in OPTIONS
    if len(option.path) == 1
    for spelling in (option.key, option.key.partition("_")[2])
}
"""Settings that are not a route's, under both spellings."""


@dataclass(slots=True)
class RouteText:
    """One table of the file, not validated yet."""

    number: str
    given: dict[Option, Given]
    """What the route sets itself."""
    targets: dict[str, object]
    variables: set[str]
    """Environment variables it names."""
    problems: list[BadSetting]

    def name(self, key: str) -> str:
        """How a problem of this key is told."""
        return f"GATEWAY_ROUTES {self.number}.{key}"

    def refuse(self, key: str, problem: str) -> None:
        self.problems.append(BadSetting(self.name(key), problem))

    def over(self, all_calls: Mapping[Option, Given]) -> dict[Option, Given]:
        """Everything that holds on this route, the settings of all calls included."""
        elsewhere = any(
            BY_PATH[(name,)] in self.given for name in ("amigo_organization_id", "amigo_base_url")
        )
        own_key = BY_PATH[("amigo_api_key",)] in self.given
        left_out = set(_OF_ORGANIZATION if elsewhere else ())
        left_out |= {"amigo_api_key_id"} if own_key else set()
        if BY_PATH[("amigo_organization_id",)] not in self.given:
            left_out.discard("amigo_organization_id")
        kept = {option: one for option, one in all_calls.items() if option.path[0] not in left_out}
        return kept | self.given


def key_of(variable: str) -> str:
    """Return how a route spells a setting."""
    name = variable.lower()
    if name in _SECRETS:
        return _SECRETS[name]
    option = BY_VARIABLE.get(variable)
    if option is not None and len(option.path) > 1:
        return option.key
    return next((key for key, path in _PLAIN.items() if path == name), name)


def same_line(one: str | None, other: str) -> bool:
    """Whether two numbers or `sip:` addresses lead to the same place; a host has no case."""
    return one is not None and one.lower() == other.lower()


def in_keys(text: str) -> str:
    """The text with a route's own words for the settings a route can have."""
    return _NAMED.sub(lambda found: key_of(found[0]), text)


_NAMED: Final = re.compile(
    "|".join(
        rf"\b{option.variable}\b"
        for option in OPTIONS
        if len(option.path) > 1 or option.path[0] in {*_PLAIN.values(), *_BY_VARIABLE.values()}
    )
)


def read_routes(path: Path, variables: Mapping[str, str]) -> Iterator[RouteText]:
    """Yield the file's tables with what is wrong with each; `ValueError` when there is no reading it."""
    tables = toml_in(path)
    if not tables:
        raise ValueError("names no route")
    for number, table in tables.items():
        route = RouteText(number, {}, {}, set(), [])
        if number != DEFAULT_ROUTE and not NUMBER.fullmatch(number):
            route.problems.append(
                BadSetting(
                    f"GATEWAY_ROUTES {number}",
                    "is no number like +15550001111, no sip: address and not `default`",
                )
            )
        elif not isinstance(table, dict):
            route.problems.append(
                BadSetting(
                    f"GATEWAY_ROUTES {number}", f'is a table; write ["{number}"] above its keys'
                )
            )
        else:
            _read_table(route, table, variables)
        yield route


def _read_table(
    route: RouteText, table: Mapping[str, object], variables: Mapping[str, str]
) -> None:
    for key, value in table.items():
        if key in TARGETS:
            route.targets[key] = value
        elif key in _BY_VARIABLE:
            _take_variable(route, key, value, variables)
        elif key in TABLES:
            _take_table(route, key, value)
        else:
            name = _PLAIN.get(key) or _full(key)
            if name is None:
                route.refuse(key, _unknown(key))
            else:
                _take(route, key, BY_PATH[(name,)], value)


def _unknown(key: str) -> str:
    if key in _SECRETS:
        wanted = _SECRETS[key]
        return f"no secret stands in this file; {wanted} names the variable that holds it"
    if key in _OF_ALL_CALLS:
        return f"is not a setting of a route but of all calls: {_OF_ALL_CALLS[key]}"
    found = nearest(key, KEYS)
    hint = f"; did you mean {found}?" if found else f"; a route has {', '.join(KEYS)}"
    return f"is not a setting of a route{hint}"


def _full(key: str) -> str | None:
    """A setting under its whole name is understood as well."""
    return key if key in _PLAIN.values() else None


def _take(route: RouteText, key: str, option: Option, value: object) -> None:
    if option in route.given:
        route.refuse(key, "is given twice")
    else:
        route.given[option] = Given(option, listed(value), route.name(key), Origin.ROUTES)


def _take_table(route: RouteText, table: str, values: object) -> None:
    if not isinstance(values, dict):
        route.refuse(table, f'is a table; write ["{route.number}".{table}] above its keys')
        return
    known = [option.path[1] for option in OPTIONS if option.path[0] == table]
    for key, value in values.items():
        if key in known:
            _take(route, f"{table}.{key}", BY_PATH[(table, key)], value)
        else:
            route.refuse(f"{table}.{key}", unknown_key(table, key))


def _take_variable(route: RouteText, key: str, value: object, variables: Mapping[str, str]) -> None:
    """The value of the variable named, or of the file that VARIABLE_FILE names."""
    if not isinstance(value, str) or not VARIABLE.fullmatch(value):
        # not repeated: it may be the secret itself
        route.refuse(key, "is not the name of an environment variable")
        return
    route.variables |= {value, value + FILE_SUFFIX}
    text, file_name = variables.get(value, ""), variables.get(value + FILE_SUFFIX, "")
    if text and file_name:
        route.refuse(key, f"{value} is set together with {value}{FILE_SUFFIX}; keep one")
        return
    if not text and file_name:
        try:
            text = secret_in(file_name)
        except ValueError as error:
            route.refuse(key, f"{value}{FILE_SUFFIX}: {error}")
            return
    if not text:
        route.refuse(key, f"neither {value} nor {value}{FILE_SUFFIX} is set")
        return
    _take(route, key, BY_PATH[(_BY_VARIABLE[key],)], text.strip())
