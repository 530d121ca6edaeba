"""From sources to one valid tree, or to one `ConfigError` that names everything that is wrong."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pydantic import TypeAdapter, ValidationError

from gateway.errors import BadSetting, ConfigError
from gateway.settings.model import TABLES, Route, Settings
from gateway.settings.options import BY_PATH, OPTIONS, Option
from gateway.settings.routes import RouteText, in_keys, key_of, read_routes, same_line
from gateway.settings.rules import Needs, broken_route_rules, broken_rules
from gateway.settings.sources import Gathered, Given, Origin, gather
from gateway.settings.values import Target

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pydantic_core import ErrorDetails

DOTENV: Final = Path(".env")
MASK: Final = "********"
CREDENTIALS: Final = re.compile("(?<=:)(//)?.*@")
"""User name and password in an address, even a misspelt one: they are never shown."""
SOURCE: Final = Origin.ROUTES.value
LONGEST_SHOWN: Final = 80
"""Characters of a wrong value that a message repeats."""


PLAIN_WORDS: Final = {
    "int_parsing": "is not a whole number",
    "int_parsing_size": "is not a whole number of this size",
    "int_type": "is not a whole number",
    "int_from_float": "is not a whole number",
    "float_parsing": "is not a number",
    "float_type": "is not a number",
    "finite_number": "is not a finite number",
    "bool_parsing": "is neither true nor false",
    "bool_type": "is neither true nor false",
    "string_type": "is not text",
    "greater_than_equal": "is too small; the least is {ge:g}",
    "less_than_equal": "is too large; the most is {le:g}",
    "multiple_of": "is not a multiple of {multiple_of:g}",
    "literal_error": "is unknown; expected {expected}",
}
"""What pydantic's kinds of errors mean to an operator."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One setting in effect, fit to be shown to anybody: secrets are masked."""

    variable: str
    key: str
    value: object
    """A JSON value; `MASK` for a secret that is set, None for what is not set."""
    source: str
    """`default`, `file`, `.env`, `env`, `secret file` or `option`."""
    description: str


@dataclass(frozen=True, slots=True)
class Effective:
    """Settings together with where each value came from."""

    settings: Settings
    given: Mapping[Option, Given]
    routes: tuple[RouteText, ...] = ()
    ignored: tuple[BadSetting, ...] = ()
    """Variables that begin like ours, are no settings, and are not near enough to one to be an error."""

    def entries(self) -> tuple[Entry, ...]:
        return tuple(self._entry(option) for option in OPTIONS)

    def route_entries(self) -> dict[str, tuple[Entry, ...]]:
        """What each route sets itself, by number."""
        return {
            text.number: (
                *(_own_entry(text, route, option) for option in text.given),
                *(
                    Entry(f"GATEWAY_ROUTES {text.number}", key, getattr(route, key), SOURCE, "")
                    for key in text.targets
                ),
            )
            for text, route in zip(self.routes, self.settings.routes, strict=True)
        }

    def _entry(self, option: Option) -> Entry:
        given = self.given.get(option)
        return Entry(
            variable=option.variable,
            key=option.key,
            value=shown(option, _value(self.settings, option)),
            source=(given.origin if given else Origin.DEFAULT).value,
            description=option.description,
        )


def load_settings(
    *,
    needs: Needs = Needs.NOTHING,
    config: Path | None = None,
    options: Mapping[str, object] | None = None,
    assignments: Iterable[str] = (),
    environ: Mapping[str, str] | None = None,
    dotenv: Path | None = DOTENV,
) -> Settings:
    """Build the tree; raise `ConfigError` with one problem for each wrong, missing or unknown setting.

    `options` are values of the command line by attribute name (None: not given). They win over
    `assignments` (texts `KEY=VALUE` with TOML keys, the last one of a key counts), those over
    `environ` (the process's when None), that over the file `dotenv` (None: read none), that over
    the TOML file `config`.
    """
    return read_settings(
        needs=needs,
        config=config,
        options=options,
        assignments=assignments,
        environ=environ,
        dotenv=dotenv,
    ).settings


def read_settings(
    *,
    needs: Needs = Needs.NOTHING,
    config: Path | None = None,
    options: Mapping[str, object] | None = None,
    assignments: Iterable[str] = (),
    environ: Mapping[str, str] | None = None,
    dotenv: Path | None = DOTENV,
) -> Effective:
    """Do as `load_settings` does, and keep where each value came from."""
    gathered = gather(
        options=options or {},
        assignments=assignments,
        environ=os.environ if environ is None else environ,
        dotenv=dotenv,
        config=config,
    )
    settings, wrong = _validate(gathered.given.values())
    routes = _routes(settings, gathered)
    named = {variable for route in routes for variable in route.variables}
    problems = [
        *gathered.problems,
        *(one for name, one in gathered.strange.items() if name not in named),
        *(_problem(gathered.given[option], error) for option, error in wrong.items()),
    ]
    settings = settings.model_copy(
        update={"routes": tuple(_route(route, gathered, needs, problems) for route in routes)}
    )
    wrong_paths = gathered.faulty | {option.path for option in wrong}
    problems += broken_rules(settings, needs, wrong_paths)
    if problems:
        raise ConfigError(list(dict.fromkeys(problems)))
    ignored = (one for name, one in gathered.ignored.items() if name not in named)
    return Effective(settings, gathered.given, tuple(routes), tuple(ignored))


def _routes(settings: Settings, gathered: Gathered) -> list[RouteText]:
    if settings.gateway_routes is None:
        return []
    try:
        return list(read_routes(settings.gateway_routes, gathered.variables))
    except ValueError as error:
        gathered.problems.append(
            BadSetting("GATEWAY_ROUTES", f"{str(settings.gateway_routes)!r} {error}")
        )
        return []


def _route(text: RouteText, gathered: Gathered, needs: Needs, problems: list[BadSetting]) -> Route:
    """Validate one route; what is wrong with it alone is added to the problems."""
    given = text.over(gathered.given)
    settings, wrong = _validate(given.values())
    problems += text.problems
    problems += (
        _problem(text.given[option], e) for option, e in wrong.items() if option in text.given
    )
    targets: dict[str, str] = {}
    for key, value in text.targets.items():
        try:
            targets[key] = TypeAdapter(Target).validate_python(value)
        except ValidationError as error:
            sentence = _sentence(error.errors(include_url=False)[0])
            problems.append(BadSetting(text.name(key), f"{_excerpt(value)} {sentence}"))
    if same_line(targets.get("overflow"), text.number):
        what = f"{targets['overflow']!r} is this very number: a caller would be passed on for ever"
        problems.append(BadSetting(text.name("overflow"), what))
    if not text.problems:
        faulty = gathered.faulty | {option.path for option in wrong}
        for rule in broken_route_rules(settings, needs, faulty):
            problems.append(_of_route(text, rule))
    return Route(number=text.number, settings=settings, **targets)


def _of_route(text: RouteText, broken: BadSetting) -> BadSetting:
    # no variable of the process stands for a route's key
    problem = broken.problem.replace(f" (or {broken.name}_FILE)", "")
    return BadSetting(text.name(key_of(broken.name)), in_keys(problem))


def shown(option: Option, value: object) -> object:
    """Return the value as JSON may show it to anybody."""
    if value in (None, "", ()):
        return None
    if option.secret:
        return MASK
    match value:
        case tuple():
            value = ",".join(item if isinstance(item, str) else "=".join(item) for item in value)
        case Path():
            value = str(value)
        case float() if value.is_integer():
            value = int(value)
        case str() if "://" in value:
            value = _without_credentials(value)
    return value


def _without_credentials(text: str) -> str:
    return CREDENTIALS.sub(r"\1***@", text)


def _own_entry(text: RouteText, route: Route, option: Option) -> Entry:
    return Entry(
        variable=f"GATEWAY_ROUTES {text.number}",
        key=key_of(option.variable),
        value=shown(option, _value(route.settings, option)),
        source=SOURCE,
        description=option.description,
    )


def _value(settings: Settings, option: Option) -> object:
    value: object = settings
    for name in option.path:
        value = getattr(value, name)
    return value


def _validate(given: Iterable[Given]) -> tuple[Settings, dict[Option, ErrorDetails]]:
    """Return the tree and the wrong options; those stand at their defaults, so that rules can go on."""
    values = list(given)
    try:
        return Settings.model_validate(_tree(values)), {}
    except ValidationError as error:
        wrong: dict[Option, ErrorDetails] = {}
        for detail in error.errors(include_url=False):
            wrong.setdefault(_option(detail), detail)
    return Settings.model_validate(_tree(v for v in values if v.option not in wrong)), wrong


def _tree(given: Iterable[Given]) -> dict[str, object]:
    tree: dict[str, object] = {}
    tables: dict[str, dict[str, object]] = {}
    for value in given:
        *above, name = value.option.path
        place = tables.setdefault(above[0], {}) if above else tree
        place[name] = value.value
    return {**tree, **tables}


def _option(detail: ErrorDetails) -> Option:
    where = tuple(str(part) for part in detail["loc"])
    return BY_PATH[where[:2] if where[0] in TABLES else where[:1]]


def _problem(given: Given, detail: ErrorDetails) -> BadSetting:
    sentence = _sentence(detail)
    if given.option.secret:
        return BadSetting(given.name, sentence)
    return BadSetting(given.name, f"{_excerpt(given.value)} {sentence}")


def _excerpt(value: object) -> str:
    """A wrong value, fit for a message."""
    text = _without_credentials(repr(value))
    return text if len(text) <= LONGEST_SHOWN else text[:LONGEST_SHOWN] + "..."


def _sentence(detail: ErrorDetails) -> str:
    """Say in plain words what pydantic found; the value stands before it."""
    if detail["type"] == "value_error":
        return str(detail["ctx"]["error"])
    plain = PLAIN_WORDS.get(detail["type"])
    return plain.format(**detail.get("ctx", {})) if plain else f"is wrong: {detail['msg']}"
