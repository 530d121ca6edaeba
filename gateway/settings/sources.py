"""Where values come from: command-line options, environment, `.env`, the TOML file, and secret files.

Nothing is validated here beyond names; each value keeps the name the operator wrote, for messages.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dotenv.parser import parse_stream

from gateway.errors import BadSetting
from gateway.settings.later import LATER
from gateway.settings.model import TABLES
from gateway.settings.names import (
    FILE_SUFFIX,
    OWN_PREFIXES,
    is_foreign,
    misspelt,
    nearest,
    unknown_key,
)
from gateway.settings.options import BY_KEY, BY_VARIABLE, OPTIONS, Option

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MAX_SECRET_BYTES: Final = 64 * 1024


class Origin(Enum):
    """Who set a value; the text is what `config` prints."""

    DEFAULT = "default"
    TOML = "file"
    DOTENV = ".env"
    ENVIRONMENT = "env"
    ROUTES = "routes file"
    SECRET_FILE = "secret file"  # noqa: S105 - a label
    OPTION = "option"


@dataclass(frozen=True, slots=True)
class Given:
    """One value as it was given, before validation."""

    option: Option
    value: object = field(repr=False)
    name: str
    """As the operator wrote it: a variable, a TOML key, an option."""
    origin: Origin


@dataclass(slots=True)
class Gathered:
    """Everything the sources hold, and what is wrong with their names."""

    given: dict[Option, Given]
    problems: list[BadSetting]
    faulty: set[tuple[str, ...]]
    """Paths of options that were meant to be set, but could not be read."""
    variables: dict[str, str] = field(default_factory=dict, repr=False)
    """The environment, `.env` included: the routes file names variables of its own."""
    strange: dict[str, BadSetting] = field(default_factory=dict)
    """Variables that look like misspelt ones of ours."""
    ignored: dict[str, BadSetting] = field(default_factory=dict)
    """Variables with a prefix of ours that mean nothing to us."""

    def add(self, given: Given) -> None:
        self.given[given.option] = given

    def refuse(self, name: str, problem: str, option: Option | None = None) -> None:
        self.problems.append(BadSetting(name, problem))
        if option is not None:
            self.faulty.add(option.path)


def gather(
    *,
    options: Mapping[str, object],
    assignments: Iterable[str] = (),
    environ: Mapping[str, str],
    dotenv: Path | None,
    config: Path | None,
) -> Gathered:
    """Collect values, the strongest source last: TOML, `.env`, environment, `--set`, other options of the command line."""
    gathered = Gathered({}, [], set())
    if config is not None:
        _read_toml(gathered, config)
    if dotenv is not None:
        _read_environment(gathered, _dotenv_values(gathered, dotenv), Origin.DOTENV)
    _read_environment(gathered, environ, Origin.ENVIRONMENT)
    for text in assignments:
        _read_assignment(gathered, text)
    for attribute, value in options.items():
        if value is not None:
            option = BY_VARIABLE[attribute.upper()]
            gathered.add(Given(option, value, f"{option.variable} (option)", Origin.OPTION))
    return gathered


# ---------------------------------------------------------------- the command line


def _read_assignment(gathered: Gathered, text: str) -> None:
    """Take one `--set KEY=VALUE`; the key is written as in the TOML file."""
    key, equals, value = (part.strip() for part in text.partition("="))
    name = f"{key} (--set)"
    option = BY_KEY.get(key)
    if not equals:
        gathered.refuse(name, "is not KEY=VALUE", option)
    elif option is None:
        gathered.refuse(name, _unknown_key(key))
    elif option.secret:
        problem = f"is a secret and has no place on a command line; set {option.variable} instead"
        gathered.refuse(name, problem, option)
    else:
        gathered.add(Given(option, value, name, Origin.OPTION))


# ---------------------------------------------------------------- environment and .env


def _read_environment(gathered: Gathered, values: Mapping[str, str], origin: Origin) -> None:
    """Take our variables; an empty one counts as not set (compose files leave such lines behind)."""
    here = f" (in {origin.value})" if origin is Origin.DOTENV else ""
    gathered.variables.update(values)
    for option in OPTIONS:
        value = values.get(option.variable, "")
        file_name = values.get(option.variable + FILE_SUFFIX, "") if option.file_allowed else ""
        if value and file_name:
            gathered.refuse(
                option.variable + here,
                f"is set together with {option.variable}{FILE_SUFFIX}; keep one",
            )
        elif value:
            gathered.add(Given(option, value.strip(), option.variable + here, origin))
        elif file_name:
            _read_secret_file(gathered, option, file_name)
    for name, value in values.items():
        if value:
            _mind_unknown_variable(gathered, name, value, here)


def _mind_unknown_variable(gathered: Gathered, name: str, value: str, here: str) -> None:
    if name in BY_VARIABLE or _is_file_variable(name):
        return
    if name in LATER:
        gathered.refuse(name + here, LATER[name])
        return
    if is_foreign(name, value):
        return
    problem = misspelt(name)
    if problem is not None:
        gathered.strange[name] = BadSetting(name + here, problem)
    elif name.startswith(OWN_PREFIXES):
        gathered.ignored[name] = BadSetting(name + here, "is not a setting and has no effect")


def _is_file_variable(name: str) -> bool:
    option = BY_VARIABLE.get(name.removesuffix(FILE_SUFFIX))
    return option is not None and option.file_allowed


def _read_secret_file(gathered: Gathered, option: Option, file_name: str) -> None:
    name = option.variable + FILE_SUFFIX
    try:
        value = secret_in(file_name)
    except ValueError as error:
        gathered.refuse(name, str(error), option)
    else:
        gathered.add(Given(option, value, name, Origin.SECRET_FILE))


def secret_in(file_name: str) -> str:
    """Return the secret a file holds; `ValueError` says why there is none."""
    try:
        with Path(file_name).open("rb") as file:
            value = file.read(MAX_SECRET_BYTES).decode().strip()
    except OSError as error:
        raise ValueError(f"cannot read {file_name!r}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{file_name!r} is not a text file") from None
    if not value:
        raise ValueError(f"{file_name!r} is empty")
    return value


def _dotenv_values(gathered: Gathered, path: Path) -> dict[str, str]:
    """Read the file's lines as they stand: `export` and quotes are understood, `$` means nothing."""
    values: dict[str, str] = {}
    try:
        with path.open(encoding="utf-8") as file:
            bindings = list(parse_stream(file))
    except FileNotFoundError:
        return values
    except (OSError, UnicodeDecodeError) as error:
        gathered.refuse(str(path), f"cannot be read: {error}")
        return values
    for binding in bindings:
        if binding.error:
            gathered.refuse(f"{path}, line {binding.original.line}", "is not NAME=value")
        elif binding.key is not None:
            values[binding.key] = binding.value or ""
    return values


# ---------------------------------------------------------------- TOML


def toml_in(path: Path) -> dict[str, object]:
    """Return what a TOML file holds; `ValueError` says why it cannot be read."""
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror or error}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"is not valid TOML: {error}") from None


def _read_toml(gathered: Gathered, path: Path) -> None:
    try:
        document = toml_in(path)
    except ValueError as error:
        gathered.refuse(str(path), str(error))
        return
    for key, value in document.items():
        if key not in TABLES:
            _take_toml(gathered, key, value, path)
        elif isinstance(value, dict):
            for inner, inner_value in value.items():
                _take_toml(gathered, f"{key}.{inner}", inner_value, path)
        else:
            gathered.refuse(f"{key} (in {path})", f"is a table; write [{key}] above its keys")


def _take_toml(gathered: Gathered, key: str, value: object, path: Path) -> None:
    name = f"{key} (in {path})"
    option = BY_KEY.get(key)
    if option is None:
        later = LATER.get(key.upper()) or LATER.get(f"GATEWAY_{key.upper()}")
        gathered.refuse(name, later or _unknown_key(key))
    elif option.secret:
        files = f"{option.variable} or {option.variable}{FILE_SUFFIX}"
        problem = f"is a secret and has no place in this file; set {files} instead"
        gathered.refuse(name, problem, option)
    else:
        gathered.add(Given(option, listed(value), name, Origin.TOML))


def _unknown_key(key: str) -> str:
    table, dot, inner = key.partition(".")
    if dot:
        return unknown_key(table, inner)
    found = nearest(key, [*BY_KEY, *TABLES])
    if found is None:  # a table's key, written without its table?
        by_inner = {option.path[-1]: option.key for option in OPTIONS}
        found = by_inner.get(nearest(key, by_inner) or "")
    return f"is not a setting; did you mean {found}?" if found else "is not a setting"


def listed(value: object) -> object:
    """TOML arrays stand for our comma lists, tables for name=value pairs."""
    match value:
        case list():
            return tuple(value)
        case dict():
            return tuple((key, str(inner)) for key, inner in value.items())
        case _:
            return value
