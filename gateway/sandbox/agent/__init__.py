"""The sandbox's agent: a script as data, and the engine that follows it. Pure, no I/O but reading a script."""

from gateway.sandbox.agent.overrides import overridden
from gateway.sandbox.agent.reading import load_script, read_script
from gateway.sandbox.agent.script import Script, Starter
from gateway.sandbox.agent.talk import (
    Agent,
    AgentState,
    Memory,
    Outcome,
    Reply,
    StateInfo,
    Transition,
)

__all__ = [
    "Agent",
    "AgentState",
    "Memory",
    "Outcome",
    "Reply",
    "Script",
    "Starter",
    "StateInfo",
    "Transition",
    "load_script",
    "overridden",
    "read_script",
]
