"""The agent: follows a script through one conversation.

Pure: a state and what was heard give an outcome with the next state, so an interaction that fails
leaves no trace by simply not keeping the new state.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from gateway.sandbox.agent.script import Answer, Exit, Line, Script, Starter, State
from gateway.sandbox.agent.slots import expected, found_in, said_again
from gateway.sandbox.agent.words import phrase_in, words_of

REQUEST_WORDS: Final = 7
"""A longer sentence with "help" or "repeat" in it says something else."""
ANSWER_WORDS: Final = 6
"""A longer sentence that begins with "no" is not merely an answer."""
GO_ON: Final = "Please go on."
"""Said where a script has nothing to say: a caller must not hear silence."""
MOST_VALUES: Final = 50
"""Sentences kept in one text slot."""
_KEYS: Final = re.compile(r"[0-9*#A-D ]+")
PLACE: Final = re.compile(r"\{([a-z_]+)\}")

TransitionKind = Literal["action", "jumpback"]
Values = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Reply:
    """What the agent says, sentence by sentence."""

    sentences: tuple[str, ...]
    ends: bool = False
    """The conversation is over once this is said."""

    @property
    def text(self) -> str:
        return " ".join(self.sentences)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentState:
    """Where one conversation stands."""

    name: str
    """The script's state."""
    values: Values
    """What was found out, by slot; a text slot holds all its sentences."""
    asked: int = 0
    """How often the present question was asked again in vain."""
    last: Reply = Reply(())

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "values": {slot: list(values) for slot, values in self.values.items()},
            "asked": self.asked,
            "last": {"sentences": list(self.last.sentences), "ends": self.last.ends},
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> AgentState:
        return cls(
            name=data["name"],
            values={slot: tuple(values) for slot, values in data["values"].items()},
            asked=data["asked"],
            last=Reply(tuple(data["last"]["sentences"]), data["last"]["ends"]),
        )


@dataclass(frozen=True, slots=True)
class Transition:
    """One step from state to state, and why."""

    previous: str
    next: str
    kind: TransitionKind
    reason: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one turn came to."""

    state: AgentState
    reply: Reply
    transitions: tuple[Transition, ...] = ()
    reflections: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StateInfo:
    """A state as the insights tell it."""

    name: str
    action: str
    objective: str


@dataclass(frozen=True, slots=True)
class Memory:
    """One thing the agent knows: `slot: value`, and what the slot means."""

    content: str
    context: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Heard:
    """One utterance, as the exits look at it."""

    text: str
    words: list[str]
    answer: Answer
    fresh: frozenset[str]
    typed: bool


class Agent:
    """An agent made from a script; holds no conversation itself."""

    def __init__(self, script: Script) -> None:
        self.script = script

    @property
    def name(self) -> str:
        return self.script.name

    # ------------------------------------------------------------ one turn

    def greet(self) -> Outcome:
        """The first words of every conversation."""
        state = AgentState(name=self.script.start, values={})
        return self._arrive(state, (), (), entered=True, quiet=False)

    def hear(self, state: AgentState, text: str) -> Outcome:
        """Answer a caller's words, or keys typed as text."""
        if _KEYS.fullmatch(text) and any(character.isdigit() for character in text):
            return self._typed(state, text)
        words = words_of(text)
        known = self.script.words
        if _parts(words, known.goodbye):
            return self._leave(state)
        if len(words) <= REQUEST_WORDS:
            if any(phrase_in(words, phrase) for phrase in known.repeat):
                return Outcome(state, state.last)
            if any(phrase_in(words, phrase) for phrase in known.help):
                return self._aside(state, self.script.help)
        return self._told(state, text, words)

    def note_event(self, state: AgentState, text: str) -> Outcome:
        """Take note of an event that is not the caller's words."""
        outcome = self._aside(state, (self.script.noted,))
        return replace(outcome, reflections=(f"Noted an event: {text}",))

    def prompt_again(self, state: AgentState) -> Outcome:
        """Take a turn although the caller said nothing."""
        return self._aside(state, (self.script.still_there,))

    # ------------------------------------------------------------ what it knows

    def describe(self, state: AgentState) -> StateInfo:
        here = self._state(state)
        return StateInfo(here.name, here.action, here.objective)

    def memory(self, state: AgentState) -> tuple[Memory, ...]:
        """Everything found out so far."""
        return tuple(
            Memory(f"{slot}: {value}", self.script.slots[slot].about)
            for slot, values in state.values.items()
            if slot in self.script.slots
            for value in values
        )

    def recommend(self, state: AgentState) -> tuple[str, ...]:
        """Sentences a caller could say now."""
        here = self._state(state)
        return here.answers or ("Yes, please.", "No, thank you.")

    def starters(
        self, facets: Iterable[str], least: int, most: int, instructions: str
    ) -> tuple[Starter, ...]:
        """Between `least` and `most` sentences to begin with, each about some of these facets."""
        del instructions  # a scripted agent generates nothing
        wanted = list(dict.fromkeys(facets))
        fitting = [
            Starter(one.prompt, shared)
            for one in self.script.starters
            if (shared := tuple(facet for facet in wanted if facet.lower() in one.facets))
        ]
        number = 0
        while len(fitting) < max(least, 1) and wanted:
            facet = wanted[number % len(wanted)]
            again = " again" if number >= len(wanted) else ""
            fitting.append(Starter(f"I am calling{again} about {facet}.", (facet,)))
            number += 1
        return tuple(fitting[:most])

    def hints(self, state: AgentState) -> tuple[str, ...]:
        """Phrases the present state expects, the likeliest first, for a recogniser."""
        here = self._state(state)
        asked = {way.answer for way in here.exits}
        yes_no = ("yes", "no", "no, thank you")
        # what the question is about comes first: a recogniser may use only so many
        slots = [self.script.slots[slot] for slot in here.fills]
        # a number held out as an example would be heard into every other number
        numbers = any(slot.kind == "digits" for slot in slots)
        found = [
            *(yes_no if "yes" in asked else ()),
            *(word for slot in slots if slot.kind != "digits" for word in expected(slot)),
            *(() if numbers else here.answers),
            *(yes_no if "no" in asked else ()),
            "goodbye",
        ]
        return tuple(dict.fromkeys(found))

    def filler(self) -> str:
        """Said while a step takes long."""
        return self.script.filler

    # ------------------------------------------------------------ following the script

    def _state(self, state: AgentState) -> State:
        return self.script.states.get(state.name) or self.script.states[self.script.start]

    def _typed(self, state: AgentState, text: str) -> Outcome:
        digits = re.sub(r"\D", "", text)
        keys = self.script.keys
        if keys is None:
            return self._told(state, " ".join(digits), list(digits))
        known = replace(state, values={**state.values, keys.slot: (digits,)})
        said = self._sentences(keys.say, known.values)
        heard = _Heard(text="", words=[], answer="", fresh=frozenset({keys.slot}), typed=True)
        return self._move(known, heard, said)

    def _told(self, state: AgentState, text: str, words: list[str]) -> Outcome:
        here = self._state(state)
        found = {
            slot: value
            for at, slot in enumerate(here.fills)
            if (value := found_in(self.script.slots[slot], text, asked=at == 0))
        }
        heard = _Heard(
            text=text,
            words=words,
            answer=self._answer(words),
            fresh=frozenset(found),
            typed=False,
        )
        values = {**state.values, **{slot: (value,) for slot, value in found.items()}}
        return self._move(replace(state, values=values), heard, ())

    def _answer(self, words: list[str]) -> Answer:
        if not words or len(words) > ANSWER_WORDS:
            return ""
        known = self.script.words
        if words[0] in known.no or phrase_in(words, "not right"):
            return "no"
        return "yes" if words[0] in known.yes or phrase_in(words, "that's right") else ""

    def _move(self, state: AgentState, heard: _Heard, said: tuple[str, ...]) -> Outcome:
        """Take the first exit that fits; without one, ask again."""
        here = self._state(state)
        way = next((way for way in here.exits if _fits(way, state, heard)), None)
        if way is None:
            return self._ask_again(state, heard, said)
        values = _changed(state.values, way, heard.text)
        stays = way.next == here.name
        asked = state.asked + (0 if way.quiet else 1) if stays else 0
        moved = replace(state, name=way.next, values=values, asked=asked)
        return self._arrive(
            moved,
            (*said, *self._sentences(way.say, values)),
            (_transition(state, way),),
            entered=not stays,
            quiet=way.quiet,
            thoughts=(way.reflect,) if way.reflect else (),
        )

    def _arrive(
        self,
        state: AgentState,
        said: tuple[str, ...],
        steps: tuple[Transition, ...],
        *,
        entered: bool,
        quiet: bool,
        thoughts: tuple[str, ...] = (),
    ) -> Outcome:
        """Go on through states whose question is answered already, then ask."""
        for _ in range(len(self.script.states)):
            here = self._state(state)
            way = next((way for way in here.exits if way.silent and _known(way, state)), None)
            if way is None or way.next == here.name:
                break
            values = _changed(state.values, way, "")
            said, steps = (
                (*said, *self._sentences(way.say, values)),
                (*steps, _transition(state, way)),
            )
            state, entered, quiet = (
                replace(state, name=way.next, values=values, asked=0),
                True,
                False,
            )
        here = self._state(state)
        greeting = self._sentences(here.greeting, state.values) if entered else ()
        question = () if quiet else self._sentences(here.ask, state.values)
        reply = Reply((*said, *greeting, *question) or (GO_ON,), ends=here.terminal)
        return Outcome(replace(state, last=reply), reply, steps, thoughts)

    def _ask_again(self, state: AgentState, heard: _Heard, said: tuple[str, ...]) -> Outcome:
        here = self._state(state)
        question = self._sentences(here.again if not heard.typed else (), state.values)
        question = question or self._sentences(here.ask, state.values) or (GO_ON,)
        reply = Reply((*said, *question), ends=here.terminal)
        if heard.typed:
            return Outcome(replace(state, last=reply), reply)
        thought = f"The caller did not help to: {here.objective[:1].lower()}{here.objective[1:]}"
        return Outcome(replace(state, asked=state.asked + 1, last=reply), reply, (), (thought,))

    def _aside(self, state: AgentState, said: tuple[str, ...]) -> Outcome:
        """Say something, then come back to the question."""
        here = self._state(state)
        reply = Reply((*said, *self._sentences(here.ask, state.values)), ends=here.terminal)
        return Outcome(replace(state, last=reply), reply)

    def _leave(self, state: AgentState) -> Outcome:
        step = Transition(
            self._state(state).name, self.script.goodbye, "action", "The caller ends the call"
        )
        gone = replace(state, name=self.script.goodbye, asked=0)
        return self._arrive(gone, (), (step,), entered=True, quiet=False)

    def _sentences(self, lines: Iterable[Line], values: Values) -> tuple[str, ...]:
        return tuple(
            text
            for line in lines
            if line.filled <= values.keys() and not line.lacks & values.keys()
            if (text := self._filled(line.text, values))
        )

    def _filled(self, text: str, values: Values) -> str:
        """The sentence with its places filled; empty where one of them is not known."""
        known = {slot: self._say(slot, found[-1]) for slot, found in values.items() if found}
        known["agent"] = self.name
        if not {*PLACE.findall(text)} <= known.keys():
            return ""
        # A value may bring the full stop with which the sentence ends, too.
        return re.sub(r"\.{2}$", ".", PLACE.sub(lambda place: known[place[1]], text))

    def _say(self, slot: str, value: str) -> str:
        known = self.script.slots.get(slot)
        return said_again(known, value) if known is not None else value


def _parts(words: list[str], phrases: Iterable[str]) -> bool:
    """Do the words begin or end with one of these phrases?"""
    spoken = f" {' '.join(words)} "
    return any(spoken.startswith(f" {end} ") or spoken.endswith(f" {end} ") for end in phrases)


def _fits(way: Exit, state: AgentState, heard: _Heard) -> bool:
    said = not way.words or (
        any(phrase_in(heard.words, phrase) for phrase in way.words)
        and (way.longest == 0 or len(heard.words) <= way.longest)
    )
    return (
        said
        and way.answer in ("", heard.answer)
        and not (way.anything and heard.typed)
        and (not way.fresh or bool(way.fresh & heard.fresh))
        and not (way.spoken and heard.typed)
        and _known(way, state)
    )


def _known(way: Exit, state: AgentState) -> bool:
    known = state.values.keys()
    return way.filled <= known and not way.lacks & known and state.asked >= way.tries


def _changed(values: Values, way: Exit, text: str) -> Values:
    changed = {slot: found for slot, found in values.items() if slot not in way.clears}
    if way.put and text:
        changed[way.put] = (*changed.get(way.put, ()), text)[-MOST_VALUES:]
    return {**changed, **dict.fromkeys(way.marks, ("yes",))}


def _transition(state: AgentState, way: Exit) -> Transition:
    """Forgetting what was agreed on is going back; everything else is going on."""
    kind: TransitionKind = "jumpback" if way.clears & state.values.keys() else "action"
    return Transition(state.name, way.next, kind, way.when)
