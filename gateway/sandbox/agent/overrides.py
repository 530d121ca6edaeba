"""Another version of an agent, for a simulated interaction: the overrides of the API's 2025-06 page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from gateway.sandbox.agent.script import Exit, Line, Script, State
from gateway.sandbox.agent.talk import Agent
from gateway.sandbox.agent.words import words_of

_LIGHT_WORDS: Final = frozenset(
    {
        "the",
        "a",
        "an",
        "to",
        "of",
        "is",
        "and",
        "or",
        "user",
        "caller",
        "wants",
        "has",
        "that",
        "their",
        "they",
        "for",
    }
)


def overridden(
    agent: Agent, identity: Mapping[str, Any] | None, machine: Mapping[str, Any] | None
) -> Agent:
    """The agent with another identity, other states, or both; raises `ValueError` with a sentence."""
    script = agent.script
    if identity is not None:
        script = _with_identity(script, identity)
    if machine is not None:
        script = _with_machine(script, machine)
    return Agent(script)


def _with_identity(script: Script, override: Mapping[str, Any]) -> Script:
    identity = override.get("identity", {})
    if not isinstance(identity, Mapping):
        raise ValueError("identity: must be an object")  # noqa: TRY004 - one kind of complaint
    name, role = identity.get("name", script.name), identity.get("role", script.role)
    if not isinstance(name, str) or not name or not isinstance(role, str):
        raise ValueError("identity.name: must be a text that is not empty")
    return replace(script, name=name, role=role)


def _with_machine(script: Script, override: Mapping[str, Any]) -> Script:
    given = override.get("states", {})
    if not isinstance(given, Mapping):
        raise ValueError("states: must be an object")  # noqa: TRY004 - one kind of complaint
    states = dict(script.states)
    for name, table in given.items():
        if not isinstance(table, Mapping):
            raise ValueError(f"states.{name}: must be an object")  # noqa: TRY004 - one kind of complaint
        states[name] = _state(name, table, states.get(name))
    start = override.get("new_user_initial_state") or script.start
    end = override.get("terminal_state") or script.goodbye
    for place, name in (("new_user_initial_state", start), ("terminal_state", end)):
        if name not in states:
            raise ValueError(f"{place}: there is no state {name!r}")
    states[end] = replace(states[end], terminal=True)
    for state in states.values():
        for way in state.exits:
            if way.next not in states:
                raise ValueError(f"states.{state.name}: there is no state {way.next!r} to go on to")
    return replace(script, states=states, start=start, goodbye=end)


def _state(name: str, table: Mapping[str, Any], known: State | None) -> State:
    """A state of the API as one of ours: what it overrides of a known one, or a new one."""
    objective = _text(table, "objective", known.objective if known else name)
    actions = _texts(table, "actions")
    exits = _exits(name, table.get("exit_conditions", []), known)
    if known is None:
        action = actions[0] if actions else objective
        return State(
            name=name,
            objective=objective,
            action=action,
            ask=(Line(text=_sentence(action)),),
            exits=exits,
            terminal=not exits,
        )
    changed = replace(known, objective=objective, exits=exits or known.exits)
    if not actions:
        return changed
    return replace(changed, action=actions[0], ask=(Line(text=_sentence(actions[0])),), again=())


def _exits(name: str, given: Any, known: State | None) -> tuple[Exit, ...]:
    if not isinstance(given, list) or not all(isinstance(item, Mapping) for item in given):
        raise ValueError(f"states.{name}.exit_conditions: must be a list of objects")
    exits = []
    for item in given:
        condition, target = _text(item, "description", ""), _text(item, "next_state", "")
        if not target:
            raise ValueError(f"states.{name}.exit_conditions: next_state is required")
        same = next((way for way in known.exits if way.when == condition), None) if known else None
        exits.append(replace(same, next=target) if same else _exit(condition, target))
    return tuple(exits)


def _exit(condition: str, target: str) -> Exit:
    """A condition in plain words holds when one of its heavier words is said."""
    words = tuple(word for word in words_of(condition) if word not in _LIGHT_WORDS)
    return Exit(when=condition, next=target, words=words, anything=not words)


def _text(table: Mapping[str, Any], key: str, usual: str) -> str:
    value = table.get(key, usual)
    if not isinstance(value, str):
        raise ValueError(f"{key}: must be a text")  # noqa: TRY004 - one kind of complaint
    return value


def _texts(table: Mapping[str, Any], key: str) -> list[str]:
    value = table.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError(f"{key}: must be a list of texts")
    return [item for item in value if item]


def _sentence(action: str) -> str:
    return action if action.endswith((".", "!", "?")) else f"{action}."
