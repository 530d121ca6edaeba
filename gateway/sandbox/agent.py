"""The front desk: takes a message and a number by phone, and has an answer to whatever is said.

Pure: a state and what was heard give the next state and the reply, so an interaction that fails
leaves no trace by simply not keeping the new state.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final

from gateway.sandbox import script
from gateway.sandbox.script import Intent, Step

_KEYS: Final = re.compile(r"[0-9*# ]+")


@dataclass(frozen=True, slots=True)
class Reply:
    """What the agent says, sentence by sentence."""

    sentences: tuple[str, ...]
    ends: bool = False
    """The conversation is over once this is said."""

    @property
    def text(self) -> str:
        return " ".join(self.sentences)


@dataclass(frozen=True, slots=True)
class DeskState:
    """What the desk knows of one conversation."""

    step: Step = Step.MESSAGE
    notes: tuple[str, ...] = ()
    number: str = ""
    asked: int = 0
    """How often the present question was asked in vain."""
    last: Reply = Reply(script.GREETING)


Answer = tuple[DeskState, Reply]


def greeting() -> Answer:
    """The state and words every conversation begins with."""
    state = DeskState()
    return state, state.last


def hear(state: DeskState, heard: str) -> Answer:
    """Answer a caller's words or typed keys."""
    if _KEYS.fullmatch(heard):
        return _said(*_typed(state, heard))
    match intent_of(heard):
        case Intent.GOODBYE:
            return _said(*_farewell(state))
        case Intent.HELP:
            return _said(state, (*script.HELP, script.QUESTIONS[state.step]))
        case Intent.REPEAT:
            return state, state.last
        case Intent.NO:
            return _said(*_declined(state))
        case Intent.YES:
            prompt = script.SPEAK_NUMBER if state.step is Step.NUMBER else script.GO_AHEAD
            return _said(state, (prompt,))
        case None:
            return _said(*_told(state, heard))


def note_event(state: DeskState) -> Answer:
    """Answer an event that is not the caller's words."""
    return state, Reply((script.EVENT_NOTED, script.QUESTIONS[state.step]))


def prompt_again(state: DeskState) -> Answer:
    """Take a turn although the caller said nothing."""
    return state, Reply((script.STILL_THERE, script.QUESTIONS[state.step]))


def intent_of(heard: str) -> Intent | None:
    """What the caller wants, or None for plain words to write down."""
    words = _words(heard)
    spoken = f" {' '.join(words)} "
    if any(spoken.startswith(f" {end} ") or spoken.endswith(f" {end} ") for end in script.ENDINGS):
        return Intent.GOODBYE
    if len(words) <= script.REQUEST_WORDS:
        for intent, phrases in script.REQUESTS.items():
            if any(f" {phrase} " in spoken for phrase in phrases):
                return intent
    if words and len(words) <= script.ANSWER_WORDS:
        return next((intent for intent, first in script.ANSWERS.items() if words[0] in first), None)
    return None


def digits_in(heard: str) -> str:
    """All digits in a text, written or spoken: "five, 5-5 oh" gives 5550."""
    return "".join(
        word if word.isdecimal() else script.DIGIT_WORDS.get(word, "")
        for word in re.findall(r"\d+|[a-z]+", heard.lower())
    )


def spoken_digits(number: str) -> str:
    """Digits as words, in groups of three with a pause between: easier to follow on the phone."""
    groups = [number[at : at + 3] for at in range(0, len(number), 3)]
    if len(groups) > 1 and len(groups[-1]) == 1:
        groups[-2:] = [groups[-2] + groups[-1]]
    return ", ".join(" ".join(script.DIGITS[int(digit)] for digit in group) for group in groups)


def _said(state: DeskState, sentences: tuple[str, ...]) -> Answer:
    reply = Reply(sentences, ends=state.step is Step.DONE)
    return replace(state, last=reply), reply


def _ask(state: DeskState, step: Step, *said: str) -> tuple[DeskState, tuple[str, ...]]:
    asked = state.asked + 1 if step is state.step else 0
    return replace(state, step=step, asked=asked), (*said, script.QUESTIONS[step])


def _typed(state: DeskState, heard: str) -> tuple[DeskState, tuple[str, ...]]:
    number = re.sub(r"\D", "", heard)
    if not number:
        return _ask(state, state.step)
    confirmed = script.KEYS_NOTED.format(number=spoken_digits(number))
    known = replace(state, number=number)
    return _ask(known, Step.MORE if state.notes else Step.MESSAGE, confirmed)


def _told(state: DeskState, heard: str) -> tuple[DeskState, tuple[str, ...]]:
    number = digits_in(heard)
    if state.step is Step.NUMBER and len(number) >= script.NUMBER_DIGITS:
        confirmed = script.NUMBER_NOTED.format(number=spoken_digits(number))
        return _ask(replace(state, number=number), Step.MORE, confirmed)
    said = (script.ADDED if state.notes else script.WROTE).format(note=_read_back(heard))
    noted = replace(state, notes=(*state.notes, heard))
    # Whoever does not give a number after being asked twice does not want to.
    wanted = not state.number and state.step is not Step.MORE and state.asked < 1
    return _ask(noted, Step.NUMBER if wanted else Step.MORE, said)


def _declined(state: DeskState) -> tuple[DeskState, tuple[str, ...]]:
    if state.step is Step.NUMBER:
        return _ask(state, Step.MORE, script.NO_NUMBER)
    return _farewell(state)


def _farewell(state: DeskState) -> tuple[DeskState, tuple[str, ...]]:
    taken = script.PASSED_ON if state.notes else script.NOTHING_TAKEN
    return replace(state, step=Step.DONE), (taken, script.GOODBYE)


def _read_back(heard: str) -> str:
    words = heard.split()
    text = " ".join(words[: script.READ_BACK_WORDS])
    if len(words) > script.READ_BACK_WORDS:
        return f"{text.rstrip(',.;')}, and so on."
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _words(heard: str) -> list[str]:
    return re.findall(r"[\w']+", heard.lower().replace("’", "'"))
