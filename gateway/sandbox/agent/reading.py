"""A script from a TOML file: what is wrong with it is said by place, all of it at once."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from gateway.errors import BadSetting, ConfigError
from gateway.sandbox.agent.script import (
    Answer,
    Exit,
    Keys,
    Line,
    Script,
    Slot,
    SlotKind,
    Starter,
    State,
    Words,
)
from gateway.sandbox.agent.talk import PLACE

OPTION: Final = "--script"
_LONGEST_FILE: Final = 1_000_000
_TableT = TypeVar("_TableT", bound=BaseModel)


def load_script(path: Path | None) -> Script:
    """The script of this file; None is the one that ships. Raises `ConfigError` naming every place."""
    if path is None:
        text = (files("gateway.sandbox.agent") / "receptionist.toml").read_text("utf-8")
        return read_script(text, "receptionist.toml")
    try:
        with path.open("rb") as file:
            raw = file.read(_LONGEST_FILE)
        return read_script(raw.decode(), str(path))
    except OSError as error:
        problem = f"cannot read {path}: {error.strerror or error}"
        raise ConfigError([BadSetting(OPTION, problem)]) from error
    except UnicodeDecodeError as error:
        raise ConfigError([BadSetting(OPTION, f"{path} is not a text file")]) from error


def read_script(text: str, name: str) -> Script:
    """The script in this TOML text; `name` is the file's name in messages."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([BadSetting(f"{OPTION} {name}", f"is not TOML: {error}")]) from error
    problems = []
    try:
        script = _ScriptTable.model_validate(table).value()
    except ValidationError as error:
        problems = [_complaint(item) for item in error.errors(include_url=False)]
        script = _readable(table)
    problems += loose_ends(script)
    if problems:
        raise ConfigError([BadSetting(f"{OPTION} {name}", problem) for problem in problems])
    return script


def _complaint(item: Any) -> str:
    place = ".".join(str(part) for part in item["loc"]) or "the file"
    return f"{place}: {item['msg'][:1].lower()}{item['msg'][1:]}"


def loose_ends(script: Script) -> Iterator[str]:
    """Names that lead nowhere, and states nobody can leave."""
    for place, name in (("start", script.start), ("goodbye", script.goodbye)):
        if name not in script.states:
            yield f"{place}: there is no state {name!r}"
    farewell = script.states.get(script.goodbye)
    if farewell is not None and not farewell.terminal:
        yield f"states.{farewell.name}: the state of a goodbye must be terminal"
    if script.keys is not None and not _is_kind(script, script.keys.slot, "digits"):
        yield f"keys.slot: {script.keys.slot!r} is not a slot of kind digits"
    for state in script.states.values():
        yield from _loose_state(script, state)


def _loose_state(script: Script, state: State) -> Iterator[str]:
    place = f"states.{state.name}"
    yield from _unknown_slots(script, f"{place}.fills", state.fills)
    yield from _wrong_lines(script, place, (*state.ask, *state.again, *state.greeting))
    if not state.exits and not state.terminal:
        yield f"{place}: has no exits and is not terminal: the caller could never leave it"
    for number, way in enumerate(state.exits):
        here = f"{place}.exits.{number}"
        if way.next not in script.states:
            yield f"{here}.next: there is no state {way.next!r}"
        if way.put and not _is_kind(script, way.put, "text"):
            yield f"{here}.put: {way.put!r} is not a slot of kind text"
        named = (*way.fresh, *way.filled, *way.lacks, *way.marks, *way.clears)
        yield from _unknown_slots(script, here, named)
        yield from _wrong_lines(script, here, way.say)


def _wrong_lines(script: Script, place: str, lines: Iterable[Line]) -> Iterator[str]:
    for line in lines:
        named = [name for name in PLACE.findall(line.text) if name != "agent"]
        yield from _unknown_slots(script, place, (*named, *line.filled, *line.lacks))


def _unknown_slots(script: Script, place: str, names: Iterable[str]) -> Iterator[str]:
    for name in names:
        if name not in script.slots:
            yield f"{place}: there is no slot {name!r}"


def _is_kind(script: Script, slot: str, kind: SlotKind) -> bool:
    return slot in script.slots and script.slots[slot].kind in {kind, _UNKNOWN_KIND}


# ---------------------------------------------------------------- a file with faults


def _readable(table: Mapping[str, Any]) -> Script:
    """What can be read of it, so that names that lead nowhere are told together with its faults.

    A part that cannot be read keeps its name and breaks no rule of its own.
    """
    slots = {
        name: Slot(name=name, **dict(slot))
        if slot
        else Slot(name=name, kind=_UNKNOWN_KIND, about="")
        for name, slot in _parts(table, "slots", _SlotTable)
    }
    states = {
        name: state.value(name) if state else _unknown_state(name)
        for name, state in _parts(table, "states", _StateTable)
    }
    states[""] = _unknown_state("")  # for the names that are missing
    keys = _part(table.get("keys"), _KeysTable)
    return Script(
        name="",
        role="",
        start=_name(table.get("start")),
        goodbye=_name(table.get("goodbye")),
        states=states,
        slots=slots,
        words=Words(),
        help=(),
        filler="",
        still_there="",
        noted="",
        keys=Keys(slot=keys.slot, say=_lines(keys.say)) if keys else None,
    )


_UNKNOWN_KIND: Final[Any] = ""
"""Kind of a slot whose table is wrong: it may be any."""


def _unknown_state(name: str) -> State:
    return State(name=name, objective="", action="", ask=(), terminal=True)


def _name(value: object) -> str:
    return value if isinstance(value, str) else ""


def _parts(
    table: Mapping[str, Any], key: str, model: type[_TableT]
) -> Iterator[tuple[str, _TableT | None]]:
    found = table.get(key)
    for name, value in found.items() if isinstance(found, dict) else ():
        yield name, _part(value, model)


def _part(value: object, model: type[_TableT]) -> _TableT | None:
    try:
        return model.model_validate(value)
    except ValidationError:
        return None


# ---------------------------------------------------------------- the file's tables

Text = Annotated[str, Field(min_length=1)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _LineTable(_Table):
    text: Text
    filled: frozenset[str] = frozenset()
    lacks: frozenset[str] = frozenset()

    def value(self) -> Line:
        return Line(text=self.text, filled=self.filled, lacks=self.lacks)


def _as_lines(value: Any) -> Any:
    """A text, a list of texts, or tables that say when each is said."""
    listed = [value] if isinstance(value, str | dict) else value
    if not isinstance(listed, list):
        return listed
    return tuple({"text": item} if isinstance(item, str) else item for item in listed)


_Lines = Annotated[tuple[_LineTable, ...], BeforeValidator(_as_lines)]


def _lines(tables: tuple[_LineTable, ...]) -> tuple[Line, ...]:
    return tuple(table.value() for table in tables)


class _SlotTable(_Table):
    kind: SlotKind
    about: Text
    examples: tuple[Text, ...] = ()
    least: int = Field(3, ge=1, le=30)
    opens: int = Field(8, ge=0, le=12)


class _ExitTable(_Table):
    when: Text
    next: Text
    words: tuple[Text, ...] = ()
    longest: int = Field(0, ge=0)
    answer: Answer = ""
    anything: bool = False
    fresh: frozenset[str] = frozenset()
    spoken: bool = False
    filled: frozenset[str] = frozenset()
    lacks: frozenset[str] = frozenset()
    tries: int = Field(0, ge=0)
    say: _Lines = ()
    quiet: bool = False
    put: str = ""
    marks: frozenset[str] = frozenset()
    clears: frozenset[str] = frozenset()
    reflect: str = ""

    def value(self) -> Exit:
        plain = {name: getattr(self, name) for name in type(self).model_fields}
        words = tuple(word.lower() for word in self.words)
        return Exit(**plain | {"say": _lines(self.say), "words": words})


class _StateTable(_Table):
    objective: Text
    action: Text
    ask: _Lines = Field(min_length=1)
    again: _Lines = ()
    greeting: _Lines = ()
    answers: tuple[Text, ...] = ()
    fills: tuple[str, ...] = ()
    exits: tuple[_ExitTable, ...] = ()
    terminal: bool = False

    def value(self, name: str) -> State:
        return State(
            name=name,
            objective=self.objective,
            action=self.action,
            ask=_lines(self.ask),
            again=_lines(self.again),
            greeting=_lines(self.greeting),
            answers=self.answers,
            fills=self.fills,
            exits=tuple(way.value() for way in self.exits),
            terminal=self.terminal,
        )


class _KeysTable(_Table):
    slot: Text
    say: _Lines = ()


class _WordsTable(_Table):
    goodbye: tuple[Text, ...] = Field(min_length=1)
    repeat: tuple[Text, ...] = ()
    help: tuple[Text, ...] = ()
    yes: tuple[Text, ...] = ()
    no: tuple[Text, ...] = ()


class _StarterTable(_Table):
    prompt: Text
    facets: tuple[Text, ...] = Field(min_length=1)


class _ScriptTable(_Table):
    name: Text
    role: Text = "receptionist"
    start: Text
    goodbye: Text
    filler: Text = "One moment, please."
    still_there: Text = "Are you still there?"
    noted: Text = "Thank you, I noted that."
    help: tuple[Text, ...] = ()
    keys: _KeysTable | None = None
    words: _WordsTable
    slots: dict[str, _SlotTable] = Field(default_factory=dict)
    states: dict[str, _StateTable] = Field(min_length=1)
    starters: tuple[_StarterTable, ...] = ()

    def value(self) -> Script:
        return Script(
            name=self.name,
            role=self.role,
            start=self.start,
            goodbye=self.goodbye,
            states={name: state.value(name) for name, state in self.states.items()},
            slots={name: Slot(name=name, **dict(slot)) for name, slot in self.slots.items()},
            words=Words(**{name: _lowered(words) for name, words in dict(self.words).items()}),
            help=self.help,
            filler=self.filler,
            still_there=self.still_there,
            noted=self.noted,
            keys=Keys(slot=self.keys.slot, say=_lines(self.keys.say)) if self.keys else None,
            starters=tuple(Starter(one.prompt, one.facets) for one in self.starters),
        )


def _lowered(words: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(word.lower() for word in words)
