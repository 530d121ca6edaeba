"""What a seed stands for: how many gateways and callers there are, and what goes wrong when.

Each run allows only some kinds of faults (a random half of the families, a random share of each), so
that runs differ in what they try hard, and some faults meet a world that is otherwise well.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from gateway.settings import Settings
from gateway.settings.model import BargeIn, Playback, Silence, TurnTaking

ORGANIZATION: Final = "org"
SERVICE: Final = "5a9db0c55a9db0c55a9db0c5"
ACCOUNT: Final = "AC00000000000000000000000000000001"
NUMBER: Final = "+15550002222"
PUBLIC: Final = "https://gateway.example"

API_FAULTS: Final = (
    "connect-refused",
    "connect-timeout",
    "request-lost",
    "answer-lost",
    "slow-answer",
    "status-401",
    "status-409",
    "status-429",
    "status-500",
    "status-503",
    "status-403",
    "status-408",
    "status-400",
    "error-before",
    "error-mid",
    "error-after",
    "cut-before",
    "cut-mid",
    "cut-after",
    "eof-early",
    "stall-mid",
    "slow-first-sound",
    "malformed",
)
STORE_FAULTS: Final = ("error-before", "answer-lost", "slow", "very-slow")
CARRIER_FAULTS: Final = (
    "webhook-twice",
    "status-twice",
    "status-reordered",
    "status-early",
    "socket-lost",
    "socket-silent",
    "socket-burst",
    "audio-gap",
    "marks-late",
    "marks-lost",
    "no-stop",
    "hang-up-refused",
    "hang-up-late",
    "hang-up-answer-lost",
    "second-start",
    "rubbish",
    "token-twice",
    "never-streams",
    "answer-lost",
)
PROCESS_FAULTS: Final = ("crash", "pause", "long-pause", "stall", "drain", "restart")
AIMED: Final = 6
"""One seed in so many is an aimed one."""
ORDERS: Final = ("hang-up", "transfer")


@dataclass(frozen=True, slots=True)
class CallPlan:
    """One caller."""

    at: float
    """When the telephone rings, seconds."""
    caller: str
    hang_up_at: float | None
    """Seconds after ringing at which the caller hangs up whatever happens; None: never for no reason."""
    turns: int
    patience: float
    """Seconds on the line after which the caller leaves in any case."""


@dataclass(frozen=True, slots=True)
class ProcessEvent:
    """Something that happens to one of the gateway processes."""

    at: float
    kind: str
    which: int
    seconds: float
    aimed: bool = False
    """It strikes a process that carries a call just then."""


@dataclass(frozen=True, slots=True)
class OrderPlan:
    """What an operator wants of one of the calls."""

    at: float
    kind: str
    which: int


@dataclass(frozen=True, slots=True)
class Outage:
    """A time in which a service does not work at all."""

    begins: float
    ends: float
    how: str

    def holds(self, now: float) -> bool:
        return self.begins <= now < self.ends


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A whole scenario."""

    seed: int
    replicas: int
    one_machine: bool
    """All processes see each other's deaths at once; else only heartbeats tell."""
    store_server: bool
    """The store is a server: what was sent to it is done even if the sender dies."""
    settings: Settings
    users: tuple[str, ...]
    calls: tuple[CallPlan, ...]
    api: Mapping[str, float] = field(default_factory=dict)
    """Kind of fault to its probability, for each request or answer."""
    api_outages: tuple[Outage, ...] = ()
    rolls_back: bool = False
    """What the API does when its client goes away in the middle of an answer."""
    void_create_stays: bool = False
    """A create that failed by an `error` event leaves its conversation behind."""
    ends_after: int = 3
    """The agent ends the conversation after so many turns, with some chance."""
    store: Mapping[str, float] = field(default_factory=dict)
    store_outages: tuple[Outage, ...] = ()
    carrier: Mapping[str, float] = field(default_factory=dict)
    processes: tuple[ProcessEvent, ...] = ()
    orders: tuple[OrderPlan, ...] = ()
    aimed: bool = False
    """Healthy but for what happens to the processes in the middle of their calls."""
    wall_steps: tuple[tuple[float, float], ...] = ()
    """(when, seconds) by which all wall clocks step."""
    skews: tuple[float, ...] = ()
    """Seconds by which each machine's wall clock is wrong all the time."""
    rings_until: float = 30.0


def make_plan(seed: int) -> Plan:
    """The scenario of this seed."""
    plan = _by_chance(seed)
    return _aimed(plan) if seed % AIMED == 0 else plan


def _aimed(plan: Plan) -> Plan:
    """The same callers in a healthy world, where a process that carries a call dies, sleeps or is ended."""
    chance = random.Random(f"{plan.seed}/aimed")
    replicas = chance.choice((2, 3))
    calls = tuple(
        replace(call, hang_up_at=None, turns=max(2, call.turns), patience=call.patience + 20.0)
        for call in plan.calls
    )
    events = tuple(
        ProcessEvent(
            call.at + chance.uniform(2.0, 12.0),
            chance.choice(PROCESS_FAULTS),
            chance.randrange(8),
            chance.uniform(8.0, 25.0),
            aimed=True,
        )
        for call in calls[: chance.choice((1, 1, 2))]
    )
    return replace(
        plan,
        replicas=replicas,
        settings=plan.settings.model_copy(update={"gateway_reconnect_seconds": 10.0}),
        calls=calls,
        api={},
        api_outages=(),
        store={},
        store_outages=(),
        carrier={},
        processes=tuple(sorted(events, key=lambda event: event.at)),
        wall_steps=(),
        skews=(0.0,) * replicas,
        aimed=True,
    )


def _by_chance(seed: int) -> Plan:
    chance = random.Random(f"{seed}/plan")
    replicas = chance.choice((1, 1, 2, 2, 3))
    settings, users = _settings(chance)
    rings_until = chance.choice((5.0, 15.0, 25.0))
    calls = tuple(_call(chance, rings_until) for _ in range(chance.choice((1, 2, 2, 3, 4))))
    one_machine = chance.random() < 0.5
    last = rings_until + 30.0
    wall_steps: tuple[tuple[float, float], ...] = ()
    if chance.random() < 0.15:
        step = chance.choice((-3600.0, -30.0, -2.0, 2.0, 30.0, 3600.0))
        wall_steps = ((chance.uniform(1.0, last), step),)
    return Plan(
        seed=seed,
        replicas=replicas,
        one_machine=one_machine,
        store_server=chance.random() < 0.5,
        settings=settings,
        users=users,
        calls=tuple(sorted(calls, key=lambda call: call.at)),
        api=_rates(chance, API_FAULTS, 0.6),
        api_outages=_outages(chance, last, ("connect-refused", "status-503", "slow-answer"), 0.15),
        rolls_back=chance.random() < 0.5,
        void_create_stays=chance.random() < 0.3,
        ends_after=chance.choice((1, 2, 3, 6)),
        store=_rates(chance, STORE_FAULTS, 0.4),
        store_outages=_outages(chance, last, ("error-before", "very-slow"), 0.15),
        carrier=_rates(chance, CARRIER_FAULTS, 0.5),
        processes=_processes(chance, replicas, last),
        orders=_orders(random.Random(f"{seed}/operator"), last),
        wall_steps=wall_steps,
        skews=tuple(0.0 if one_machine else chance.uniform(-1.5, 1.5) for _ in range(replicas)),
        rings_until=rings_until,
    )


def _call(chance: random.Random, rings_until: float) -> CallPlan:
    sudden = chance.random() < 0.4
    return CallPlan(
        at=chance.uniform(0.0, rings_until),
        caller=chance.choice(("+15550001111", "+15550001112", "+15550001113", "anonymous")),
        hang_up_at=chance.choice((1.0, 6.0, 20.0)) * chance.random() if sudden else None,
        turns=chance.choice((0, 1, 1, 2, 3)),
        patience=chance.uniform(15.0, 50.0),
    )


def _rates(chance: random.Random, kinds: tuple[str, ...], likely: float) -> Mapping[str, float]:
    if chance.random() >= likely:
        return {}
    rate = chance.choice((0.02, 0.08, 0.25))
    share = chance.choice((0.15, 0.4, 0.8))
    return {kind: rate for kind in kinds if chance.random() < share}


def _outages(
    chance: random.Random, last: float, kinds: tuple[str, ...], likely: float
) -> tuple[Outage, ...]:
    if chance.random() >= likely:
        return ()
    begins = chance.uniform(0.0, last)
    ends = begins + chance.choice((1.0, 5.0, 20.0)) * chance.uniform(0.5, 1.5)
    return (Outage(begins, ends, chance.choice(kinds)),)


def _processes(chance: random.Random, replicas: int, last: float) -> tuple[ProcessEvent, ...]:
    if chance.random() < 0.4:
        return ()
    events = []
    for _ in range(chance.choice((1, 1, 2, 3))):
        kind = chance.choice(PROCESS_FAULTS)
        seconds = {
            "pause": chance.uniform(0.5, 8.0),
            "long-pause": chance.uniform(10.0, 30.0),
            "stall": chance.uniform(0.05, 1.0),
        }.get(kind, chance.uniform(0.0, 12.0))
        events.append(
            ProcessEvent(chance.uniform(0.0, last), kind, chance.randrange(replicas), seconds)
        )
    return tuple(sorted(events, key=lambda event: event.at))


def _orders(chance: random.Random, last: float) -> tuple[OrderPlan, ...]:
    if chance.random() < 0.7:
        return ()
    orders = [
        OrderPlan(chance.uniform(0.0, last), chance.choice(ORDERS), chance.randrange(8))
        for _ in range(chance.choice((1, 2, 5)))
    ]
    return tuple(sorted(orders, key=lambda order: order.at))


def _settings(chance: random.Random) -> tuple[Settings, tuple[str, ...]]:
    identity = chance.choice(("fixed", "pool", "pool", "pool", "per-caller"))
    users = tuple(f"user{number}" for number in range(chance.choice((1, 2, 4))))
    return (
        Settings(
            amigo_base_url="https://api.example",
            amigo_organization_id=ORGANIZATION,
            amigo_api_key="key",
            amigo_api_key_id="key-id",
            amigo_user_id=users[0] if identity == "fixed" else "",
            amigo_user_pool=users if identity != "fixed" else (),
            amigo_admin_user_id="admin" if identity == "per-caller" else "",
            amigo_service_id=SERVICE,
            amigo_api_revision=chance.choice(("2025-06", "2026-04")),
            amigo_audio_format="pcm16",
            amigo_audio_rate=8000,
            amigo_patience_seconds=chance.choice((8.0, 20.0, 45.0)),
            twilio_account_sid=ACCOUNT,
            twilio_auth_token=("token",),
            gateway_public_url=PUBLIC,
            gateway_max_calls=chance.choice((200, 200, 2, 1)),
            gateway_max_call_seconds=chance.choice((25.0, 60.0, 90.0)),
            gateway_reconnect_seconds=chance.choice((0.0, 3.0, 10.0)),
            gateway_drain_seconds=chance.choice((0.0, 5.0, 30.0, 60.0)),
            gateway_identity=identity,
            gateway_identity_secret="a secret of callers",
            gateway_busy_wait_seconds=chance.choice((0.0, 0.0, 12.0)),
            gateway_rating=chance.random() < 0.2,
            gateway_insecure=True,
            turn_taking=TurnTaking(
                vad="webrtc",
                end_silence_ms=chance.choice((400, 660)),
                merge_ms=chance.choice((0, 0, 400)),
                max_utterance_ms=chance.choice((2000, 30_000, 30_000)),
                digits_pause_ms=chance.choice((800, 2500)),
            ),
            barge_in=BargeIn(
                enabled=chance.random() < 0.9,
                drain_ms=chance.choice((1000, 8000)),
                protect_greeting=chance.random() < 0.2,
            ),
            silence=Silence(
                prompt_after_ms=chance.choice((3000, 8000)),
                prompts=chance.choice((0, 1, 2)),
                hang_up_after_ms=chance.choice((3000, 8000)),
                filler_after_ms=chance.choice((None, None, 1500)),
            ),
            playback=Playback(message_ms=200),
        ),
        users,
    )
