"""A script: what an agent wants to find out, which states its talk has, and the words of both.

Only values; `reading` makes them from TOML, `talk` follows them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

SlotKind = Literal["name", "day", "time", "digits", "text", "mark"]
Answer = Literal["", "yes", "no"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """One thing to find out."""

    name: str
    kind: SlotKind
    about: str
    """What it is, in the words of the working memory."""
    examples: tuple[str, ...] = ()
    """Values the recogniser may expect."""
    least: int = 3
    """Digits: fewer than this are words of a sentence, not a number."""
    opens: int = 8
    """Time: the hour before which an hour alone means the afternoon."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A sentence that is said only where these slots are known and those are not."""

    text: str
    filled: frozenset[str] = frozenset()
    lacks: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """A way out of a state; all conditions that are given must hold."""

    when: str
    """The condition in words, as the insights tell it."""
    next: str
    words: tuple[str, ...] = ()
    """Any of these phrases was said."""
    longest: int = 0
    """... in a sentence of at most so many words; 0 = of any length."""
    answer: Answer = ""
    anything: bool = False
    """Whatever was said."""
    fresh: frozenset[str] = frozenset()
    """One of these slots was filled by what was just said."""
    spoken: bool = False
    """... and not typed on the keys."""
    filled: frozenset[str] = frozenset()
    lacks: frozenset[str] = frozenset()
    tries: int = 0
    """The question was asked again at least so often."""
    say: tuple[Line, ...] = ()
    quiet: bool = False
    """The next state's question is not asked: what is said invites to speak."""
    put: str = ""
    """The text slot that takes the whole sentence."""
    marks: frozenset[str] = frozenset()
    clears: frozenset[str] = frozenset()
    reflect: str = ""
    """A thought the agent has on taking this way."""

    @property
    def silent(self) -> bool:
        """It needs nothing said: it holds as soon as the slots do."""
        return not (self.words or self.answer or self.anything or self.fresh)


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """One step of the talk."""

    name: str
    objective: str
    action: str
    ask: tuple[Line, ...]
    again: tuple[Line, ...] = ()
    """How the question is put when it was not answered; empty: as the first time."""
    greeting: tuple[Line, ...] = ()
    """Said before the question when the state is entered from another one, or first of all."""
    answers: tuple[str, ...] = ()
    """What a caller could say here."""
    fills: tuple[str, ...] = ()
    """Slots listened for; the first is the one that is asked for."""
    exits: tuple[Exit, ...] = ()
    terminal: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """What becomes of digits typed on the telephone's keys."""

    slot: str
    say: tuple[Line, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """What a caller may say anywhere."""

    goodbye: tuple[str, ...] = ()
    repeat: tuple[str, ...] = ()
    help: tuple[str, ...] = ()
    yes: tuple[str, ...] = ()
    no: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Starter:
    """A sentence a caller could begin with, and what it is about."""

    prompt: str
    facets: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """Everything an agent knows to do."""

    name: str
    role: str
    start: str
    goodbye: str
    """The state entered when the caller wants to end the call."""
    states: Mapping[str, State]
    slots: Mapping[str, Slot]
    words: Words
    help: tuple[str, ...]
    filler: str
    still_there: str
    noted: str
    keys: Keys | None = None
    starters: tuple[Starter, ...] = field(default_factory=tuple)
