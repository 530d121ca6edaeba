"""The phases of a call and the moves between them: everything else is a bug.

The value of a phase is the `status` of the call record, except that a call whose caller is away is
`ringing`, one that ends with a transfer `transferring`, one that settles `ending`, and an ended one
`completed` or `failed`. `docs/how-it-works.md` draws this table; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final


class Phase(Enum):
    """Who has the floor, and what the call is waiting for."""

    RINGING = "ringing"
    """Answered; the carrier has not opened the media stream yet."""
    GREETING = "greeting"
    """The caller is there; the greeting is awaited or playing."""
    LISTENING = "listening"
    """The caller's turn; nothing accepted yet."""
    UPLOADING = "uploading"
    """The caller is speaking and has been accepted."""
    THINKING = "thinking"
    """The caller has finished; the agent's first sound is awaited."""
    SPEAKING = "speaking"
    """The agent's reply is playing."""
    AWAY = "away"
    """The line is lost; the caller may come back with a new one."""
    ENDING = "ending"
    """Last words, ours or the agent's, then we hang up."""
    SETTLING = "settling"
    """The caller is gone; the conversation is being finished."""
    ENDED = "ended"
    """Nothing is owed."""


_TALK = {Phase.LISTENING, Phase.UPLOADING, Phase.THINKING, Phase.SPEAKING}
_OUT = {Phase.AWAY, Phase.ENDING, Phase.SETTLING}

NEXT: Final[Mapping[Phase, frozenset[Phase]]] = {
    Phase.RINGING: frozenset({Phase.GREETING, Phase.SETTLING}),
    Phase.GREETING: frozenset({Phase.LISTENING, Phase.UPLOADING, Phase.THINKING} | _OUT),
    Phase.LISTENING: frozenset((_TALK - {Phase.LISTENING}) | _OUT),
    Phase.UPLOADING: frozenset({Phase.LISTENING, Phase.THINKING, Phase.SPEAKING} | _OUT),
    Phase.THINKING: frozenset({Phase.LISTENING, Phase.UPLOADING, Phase.SPEAKING} | _OUT),
    Phase.SPEAKING: frozenset({Phase.LISTENING, Phase.UPLOADING, Phase.THINKING} | _OUT),
    Phase.AWAY: frozenset({Phase.GREETING, Phase.LISTENING, Phase.THINKING, Phase.SETTLING}),
    Phase.ENDING: frozenset({Phase.SETTLING}),
    Phase.SETTLING: frozenset({Phase.ENDED}),
    Phase.ENDED: frozenset(),
}

LIVE: Final = frozenset({Phase.GREETING} | _TALK)
"""Phases in which caller and agent can talk."""

AGENTS_TURN: Final = frozenset({Phase.GREETING, Phase.THINKING, Phase.SPEAKING})
"""Phases in which silence is ours to fill."""

UNHEARD: Final = frozenset({Phase.RINGING, Phase.AWAY})
"""Phases in which there is no line yet, or none any more, and one may come."""
