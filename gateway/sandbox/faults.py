"""Faults on request: which exist, how they are written, and the dice that decide when one strikes.

A fault is written `NAME=RATE[:COUNT][@MS]`: how often (0..1), at most how many times, and for those
that last, how long. `interact-429=1:2@1500` refuses the first two interactions and asks for a wait
of 1.5 s. A name may be narrowed to an operation: `create-stall-think=1@8000`.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any, Final

OPERATIONS: Final = (
    "sign-in",
    "create",
    "interact",
    "finish",
    "list",
    "messages",
    "services",
    "openapi",
    "source",
    "insights",
    "recommend",
    "starters",
    "simulate",
    "tags",
    "users",
    "user-search",
    "user-create",
    "user-update",
    "user-variables",
    "user-delete",
    "feedback-list",
    "feedback-create",
    "feedback-update",
    "feedback-delete",
    "remark-create",
    "remark-update",
    "remark-delete",
)
LONGEST_MS: Final = 3_600_000
"""An hour: longer than any client waits."""
_STREAMS: Final = ("create", "interact")
_SYNTAX: Final = re.compile(
    r"(?P<name>[a-z0-9-]+)=(?P<rate>[0-9.]+)(:(?P<count>\d+))?(@(?P<ms>\d+))?"
)


@dataclass(frozen=True, slots=True)
class FaultKind:
    """One thing that can go wrong."""

    meaning: str
    ms: int = 0
    """How long it lasts unless the rule says otherwise; 0 where time plays no part."""
    operations: tuple[str, ...] = _STREAMS


KINDS: Final[Mapping[str, FaultKind]] = MappingProxyType(
    {
        "late-create": FaultKind("the answer to create begins late", 3000, ("create",)),
        "late-finish": FaultKind(
            "finish takes long, the conversation is busy meanwhile", 1000, ("finish",)
        ),
        "late-eof": FaultKind("the connection ends long after interaction-complete", 2000),
        "stall-think": FaultKind("the agent thinks much longer", 20_000),
        "filler": FaultKind(
            "an action-too-long event with a spoken WAV while the agent thinks long", 800
        ),
        "filler-text": FaultKind("an action-too-long event with text only", 800),
        "slow-drip": FaultKind("the reply arrives in 1 KiB crumbs, this long apart", 20),
        "error-before": FaultKind("an error event before the first piece: the interaction is void"),
        "error-mid": FaultKind("an error event after the second piece: the interaction is void"),
        "error-after": FaultKind(
            "an error event after interaction-complete: it stands, and is over"
        ),
        "cut-create": FaultKind("connection reset after conversation-created", 0, ("create",)),
        "cut-before-reply": FaultKind("connection reset before the first piece"),
        "cut-mid-reply": FaultKind("connection reset after the second piece"),
        "cut-upload": FaultKind("connection reset in the middle of the upload", 0, ("interact",)),
        "cut-headers": FaultKind(
            "connection reset before the answer's first byte; the turn goes on"
        ),
        "cut-before-completion": FaultKind("connection reset after the last piece"),
        "cut-after-completion": FaultKind("connection reset right after interaction-complete"),
        "eof-early": FaultKind("a clean end after the second piece, without completion"),
        "truncated-line": FaultKind("a clean end in the middle of the third line of the reply"),
        "huge-line": FaultKind("one event is longer than 1 MiB"),
        "malformed-line": FaultKind("a line that is not JSON between the pieces"),
        "unknown-event": FaultKind("an event of an unknown type between the pieces"),
        "unknown-action": FaultKind("a current-agent-action of an unknown type"),
        "extra-fields": FaultKind("unknown fields in every event"),
        "duplicate-fields": FaultKind("every field of an event is there twice"),
        "missing-fields": FaultKind("fields a client can do without are left out of every event"),
        "audio-mp3": FaultKind("the agent's voice comes as MP3"),
        "audio-wav": FaultKind("the agent's voice comes with a WAV header"),
        "audio-24k": FaultKind("the agent's voice comes at 24 kHz"),
        "crlf": FaultKind("lines end in CR LF, and some are blank"),
        "no-final-newline": FaultKind("the last line has no newline"),
        "odd-pieces": FaultKind("pieces with an odd number of bytes"),
        "empty-piece": FaultKind("the last piece is empty"),
        "reversed-alignment": FaultKind("alignment pairs with the character first"),
        "sparse-alignment": FaultKind("alignment null, missing or empty on some pieces"),
    }
)


@dataclass(frozen=True, slots=True)
class FaultRule:
    """One wish for trouble, as it was written."""

    text: str
    kind: str
    """A name of `KINDS`, or an HTTP status as digits."""
    operation: str | None
    """None = every operation the kind can strike."""
    rate: float
    count: int | None
    ms: int


@dataclass(frozen=True, slots=True)
class Strike:
    """A fault that strikes now."""

    kind: str
    ms: int


def parse_fault(text: str) -> FaultRule:
    """Read `NAME=RATE[:COUNT][@MS]`; raises `ValueError` with a sentence for the operator."""
    found = _SYNTAX.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is not of the form NAME=RATE[:COUNT][@MS]")
    operation, kind = _named(found["name"])
    try:
        rate = float(found["rate"])
    except ValueError:
        rate = -1.0
    if not 0.0 <= rate <= 1.0:
        raise ValueError(f"{text!r}: the rate must be between 0 and 1")
    count = int(found["count"]) if found["count"] else None
    default_ms = KINDS[kind].ms if kind in KINDS else 1000
    ms = int(found["ms"]) if found["ms"] else default_ms
    if ms > LONGEST_MS:
        raise ValueError(f"{text!r}: nothing lasts longer than {LONGEST_MS} ms")
    return FaultRule(text.strip(), kind, operation, rate, count, ms)


def _named(name: str) -> tuple[str | None, str]:
    """Operation (None = any) and kind of a fault's name."""
    if name in KINDS:
        return None, name
    for prefix in ("status", *OPERATIONS):
        kind = name.removeprefix(prefix + "-")
        if kind == name:
            continue
        if re.fullmatch(r"[45]\d\d", kind):
            return (None if prefix == "status" else prefix), kind
        if kind in KINDS and prefix in KINDS[kind].operations:
            return prefix, kind
    known = [*KINDS, *(f"{operation}-503" for operation in OPERATIONS), "status-503"]
    near = get_close_matches(name, known, n=1)
    hint = f", did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"unknown fault {name!r}{hint}")


class _Dice:
    """One rule and what became of it; its own random numbers, so rules do not disturb each other."""

    def __init__(self, rule: FaultRule, seed: int) -> None:
        self.rule = rule
        self.struck = 0
        self._random = random.Random(f"{seed}:{rule.text}")  # noqa: S311 - repeatable on purpose

    def roll(self) -> bool:
        if self.rule.count is not None and self.struck >= self.rule.count:
            return False
        strikes = self._random.random() < self.rule.rate
        self.struck += strikes
        return strikes


class Faults:
    """The rules in force. Rolled once wherever a fault could strike, in the order of the rules."""

    def __init__(self, rules: Iterable[FaultRule], seed: int) -> None:
        self._seed = seed
        self._dice: list[_Dice] = []
        self.replace(rules)

    def replace(self, rules: Iterable[FaultRule]) -> None:
        """Forget the old rules and their counts."""
        self._dice = [_Dice(rule, self._seed) for rule in rules]

    def strike(self, kind: str, operation: str) -> Strike | None:
        """Does a fault of this kind strike this operation now?"""
        for dice in self._dice:
            rule = dice.rule
            if rule.kind == kind and rule.operation in (None, operation) and dice.roll():
                return Strike(kind, rule.ms)
        return None

    def first(self, kinds: Iterable[str], operation: str) -> Strike | None:
        """The first of several that strikes; the others are not rolled."""
        strikes = (self.strike(kind, operation) for kind in kinds)
        return next((strike for strike in strikes if strike is not None), None)

    def status(self, operation: str) -> Strike | None:
        """Is this operation refused with an injected HTTP status now?"""
        kinds = dict.fromkeys(dice.rule.kind for dice in self._dice if dice.rule.kind.isdigit())
        return self.first(kinds, operation)

    def report(self) -> list[dict[str, Any]]:
        """The rules and how often each has struck."""
        return [{"rule": dice.rule.text, "struck": dice.struck} for dice in self._dice]
