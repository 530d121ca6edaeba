"""What calls share: how they are held, and the services they lean on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from gateway.bridge.aftermath import Aftermath, Archive
from gateway.bridge.ears import Detector
from gateway.bridge.finisher import Finisher, Payer
from gateway.bridge.phrases import Phrases
from gateway.bridge.pulse import Pulse
from gateway.bridge.turn import VoiceFormat
from gateway.call.policy import Policy
from gateway.call.record import CallRecord
from gateway.carriers import Remote
from gateway.clock import Clock
from gateway.metrics import Metrics
from gateway.store import CallStore


@dataclass(frozen=True, slots=True, kw_only=True)
class CallOptions:
    """How calls are held; one value for all calls of a route."""

    policy: Policy
    voice: VoiceFormat
    lookahead_ms: int = 400
    message_ms: int = 100
    pre_roll_ms: int = 400
    max_utterance_ms: int = 30_000
    recordings: Path | None = None
    tell_heard: bool = True
    """Whether the agent is told what of its words was heard, where the API can be told."""


class Account(Payer, Archive, Protocol):
    """The API of one organization, as far as it concerns calls that are over."""


class Probe(Protocol):
    """A way to other replicas that leads past the store."""

    async def alive(self, address: str, replica: str) -> bool:
        """Whether the process that answers there is this very replica."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """What the calls of one route share; all but options, account and left-overs is the process's."""

    options: CallOptions
    account: Account
    clock: Clock
    store: CallStore
    finisher: Finisher
    aftermath: Aftermath
    remote: Remote
    phrases: Phrases
    metrics: Metrics
    pulse: Pulse
    make_detector: Callable[[], Detector]
    free_user: Callable[[CallRecord, float | None], Awaitable[tuple[bool, bool]]]
    """Look for a left-over conversation of this user; conversations made since that wall time are
    ours whatever the store says. Answers (one was finished, one is not ours to touch)."""
