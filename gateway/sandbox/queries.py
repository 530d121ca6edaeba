"""Query parameters, checked the way the service's validation does: a wrong one is a 422 that names it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import re2
from aiohttp import web
from multidict import MultiMapping

from gateway.sandbox.errors import invalid
from gateway.sandbox.options import SandboxOptions
from gateway.sandbox.roles import INSIGHTS
from gateway.sandbox.tokens import Identity

_ID: Final = re.compile(r"[a-f0-9]{24}")
_FLAGS: Final[Mapping[str, bool]] = {
    "true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False,
}  # fmt: skip
_FORMATS: Final = ("text", "voice")
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,18}")
NOTHING: Final = "(?!)"
"""What the page of 2025-06 gives as matching nothing; RE2 itself knows no looking ahead."""
LONGEST_PATTERN: Final = 8192
"""Characters of an expression: the dearest ones of this length take a fifth of a second."""
_QUIET: Final = re2.Options()
_QUIET.log_errors = False
_QUIET.never_capture = True  # nobody asks for groups, and thousands of them cost gigabytes
_QUIET.max_mem = 1 << 20  # compiled expressions are cached

Query = MultiMapping[str]
T = TypeVar("T")


def is_id(text: str) -> bool:
    """Does it look like an identifier of the service?"""
    return _ID.fullmatch(text) is not None


def path_id(request: web.Request, name: str, *, rule: str) -> str:
    value = request.match_info[name]
    if not is_id(value):
        raise invalid("path", name, "must match ^[a-f0-9]{24}$", rule=rule)
    return value


def message_format(query: Query, name: str, *, rule: str) -> str:
    """`text` or `voice`; required."""
    value = query.get(name)
    if value not in _FORMATS:
        raise invalid("query", name, "must be 'text' or 'voice'", rule=rule)
    return value


def flag(query: Query, name: str, *, rule: str) -> bool | None:
    """True, false, or None where it is missing."""
    value = query.get(name)
    if value is None:
        return None
    if value.lower() not in _FLAGS:
        raise invalid("query", name, "must be a boolean", rule=rule)
    return _FLAGS[value.lower()]


def several(query: Query, name: str, options: SandboxOptions, *, rule: str) -> frozenset[str]:
    """A repeated text; empty where it is missing. 2026-04 wants each of them once."""
    values = query.getall(name, [])
    if options.revision == "2026-04" and len(set(values)) < len(values):
        raise invalid("query", name, "must not hold the same item twice", rule=rule)
    return frozenset(values)


def ids(query: Query, name: str, options: SandboxOptions, *, rule: str) -> frozenset[str]:
    """A repeated identifier; empty where it is missing."""
    values = several(query, name, options, rule=rule)
    if not all(is_id(value) for value in values):
        raise invalid("query", name, "must match ^[a-f0-9]{24}$", rule=rule)
    return values


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list is wanted."""

    limit: int
    start: int
    order: tuple[tuple[str, bool], ...]
    """Field and whether it is sorted downwards; first the most important."""


def page(
    query: Query, *, most: int, usual: int, fields: tuple[str, ...], rule: str, least: int = 1
) -> Page:
    """`limit` (`least`..`most`), `continuation_token` and `sort_by` of a list."""
    limit = _integer(query, "limit", usual, rule=rule)
    if not least <= limit <= most:
        raise invalid("query", "limit", f"must be between {least} and {most}", rule=rule)
    start = _integer(query, "continuation_token", 0, rule=rule)
    if start < 0:
        raise invalid("query", "continuation_token", "must not be negative", rule=rule)
    order = []
    for wish in query.getall("sort_by", []):
        if wish[:1] not in ("+", "-") or wish[1:] not in fields:
            # A plus sign that was not percent-encoded arrives here as a blank.
            raise invalid("query", "sort_by", f"must be + or - and one of {fields}", rule=rule)
        order.append((wish[1:], wish[0] == "-"))
    return Page(limit, start, tuple(order))


def paged(
    found: Iterable[T], page: Page, keys: Mapping[str, Callable[[T], Any]]
) -> tuple[list[T], dict[str, Any]]:
    """One page, and the fields that tell whether there is another."""
    ordered = list(found)
    for name, downwards in reversed(page.order):
        ordered.sort(key=keys[name], reverse=downwards)
    end = page.start + page.limit
    more = end < len(ordered)
    shown = ordered[page.start : end]
    return shown, {"has_more": more, "continuation_token": end if more else None}


def tags(query: Query, *, rule: str) -> tuple[tuple[str, str], ...]:
    """Repeated `tag` filters, `key:value` each; the value `*` stands for any, an empty one for null."""
    found = []
    for text in query.getall("tag", []):
        key, colon, value = text.partition(":")
        if not colon or not key:
            raise invalid("query", "tag", "must be of the form key:value", rule=rule)
        found.append((key, value))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class ActionFilter:
    """Which `current-agent-action` events the client wants."""

    pattern: Any
    """An expression of RE2; None = none at all."""

    def wants(self, kind: str) -> bool:
        return self.pattern is not None and self.pattern.search(kind) is not None


def action_filter(query: Query, options: SandboxOptions, who: Identity) -> ActionFilter:
    """2025-06: events only on demand; 2026-04: always, unless the expression matches nothing.

    Nobody without the permission for insights gets any.
    """
    text = query.get("current_agent_action_type", "^.*$")
    on_demand = options.revision == "2025-06"
    if on_demand and text == NOTHING:
        pattern = None
    else:
        try:
            pattern = _compiled(text)
        except ValueError:
            if options.strict:
                raise invalid(
                    "query", "current_agent_action_type", "is not a regular expression", rule="13"
                ) from None
            pattern = None
    if on_demand and not flag(query, "emit_current_agent_action_event", rule="12"):
        return ActionFilter(None)
    return ActionFilter(pattern if who.may(INSIGHTS) else None)


def _compiled(text: str) -> Any:
    """The expression; `ValueError` for what RE2 does not know, or would be at for too long."""
    if len(text) > LONGEST_PATTERN:
        raise ValueError("it is too long")
    try:
        return re2.compile(text, _QUIET)
    except re2.error as error:
        raise ValueError("it is not one") from error


def _integer(query: Query, name: str, usual: int, *, rule: str) -> int:
    text = query.get(name, str(usual))
    # Not `int` alone: it takes blanks, underscores and digits of other scripts, and gigabytes of them.
    if not _INTEGER.fullmatch(text):
        raise invalid("query", name, "must be an integer", rule=rule)
    return int(text)
