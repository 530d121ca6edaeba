"""One gateway process of the simulation: the product's own parts, put together as `gateway.app` does.

Only what stands at a port is another: the API client's session, the carrier's REST and sockets, the
store's lane, the clock, the detector of the ears.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import cache
from typing import Any, Final

from audio.endpoint import EndpointOptions
from gateway.amigo.client import AmigoClient
from gateway.app import TOKEN_SECONDS, make_switchboard
from gateway.background import Background
from gateway.bridge.aftermath import Aftermath
from gateway.bridge.finisher import Finisher
from gateway.bridge.phrases import Phrases
from gateway.bridge.pulse import Pulse
from gateway.bridge.recovery import Recovery
from gateway.bridge.switchboard import Switchboard
from gateway.bridge.waiting import WaitingRoom
from gateway.call.commands import Phrase
from gateway.carriers.twilio import markup
from gateway.carriers.twilio.wire import TwilioWire
from gateway.compose import Services, amigo_options, make_routes
from gateway.leaving import leave
from gateway.metrics import Metrics
from gateway.web import Doors, make_web
from tests.simulation import doors, sound
from tests.simulation.api import Api
from tests.simulation.carrier import Carrier, Remote, address_of
from tests.simulation.ears import CheapDetector
from tests.simulation.loop import Process
from tests.simulation.network import Session, SimTransport
from tests.simulation.plan import ACCOUNT, PUBLIC, Plan
from tests.simulation.relay import SimRelay
from tests.simulation.sound import Voice
from tests.simulation.store import make_store
from tests.simulation.world import MachineClock, World

PHRASES: Final = tuple(Phrase)
"""A phrase's number is its place here."""


@cache
def metrics() -> Metrics:
    """One for all: nobody reads them, and making one takes longer than a call."""
    return Metrics()


@cache
def phrases(_directory: object = None) -> Phrases:
    """Every phrase as sound that names it, 0.6 s each."""
    return {phrase: sound.sound(Voice.PHRASE, number, 30) for number, phrase in enumerate(PHRASES)}


def detectors(settings: Any) -> Any:
    """Stands for `gateway.compose.detector_factory`."""
    turns, barge_in = settings.turn_taking, settings.barge_in
    options = EndpointOptions(
        end_silence_ms=turns.end_silence_ms,
        milestones_ms=(turns.upload_after_ms,),
        confirm_ms=barge_in.confirm_ms,
        echo_guard_db=barge_in.echo_guard_db,
    )
    return lambda: CheapDetector(options)


class Replica:
    """One process, from its start to its exit or its death."""

    def __init__(
        self,
        world: World,
        plan: Plan,
        name: str,
        machine: int,
        parts: tuple[Api, Carrier, sqlite3.Connection],
    ) -> None:
        self.world = world
        self.plan = plan
        self.name = name
        self.process = Process(name, world.loop)
        self.listening = False
        self.draining = False
        self.drain_at: float | None = None
        """When it got SIGTERM, loop time."""
        self.drained_in_trouble = False
        """It got SIGTERM while faults could keep it from paying in time."""
        self.status: int | None = None
        """Exit status."""
        self.stopped_from: float | None = None
        self.stops: list[tuple[float, float]] = []
        """When it was stopped, loop time."""
        self.clock = MachineClock(
            world, zero=1000.0 * machine, skew=plan.skews[machine % len(plan.skews)]
        )
        self.app: Any = None
        self.switchboard: Switchboard | None = None
        self.finisher: Finisher | None = None
        self._api, self._carrier, self._database = parts
        self._handlers: list[asyncio.Task[tuple[int, str]]] = []
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self.on_exit: Callable[[Replica], None] = lambda _: None
        self.main = self.process.start(self._main(), f"main {name}")

    # ------------------------------------------------------------ what can happen to it

    def serve(self, request: doors.SimRequest) -> asyncio.Task[tuple[int, str]]:
        """A request arrives: its handler is a task of the process."""
        request.app = self.app
        task = self.process.start(doors.answer(request), f"http {request.path}")
        self._handlers.append(task)
        return task

    def terminate(self) -> None:
        """SIGTERM; a second one shortens the drain."""
        if self.drain_at is None:
            self.drain_at = self.world.loop.time()
            self.drained_in_trouble = not self.world.calm
        (self._hurry if self._stop.is_set() else self._stop).set()

    def pause(self) -> None:
        if self.process.running:
            self.stopped_from = self.world.loop.time()
            self.process.pause()

    def resume(self) -> None:
        if self.stopped_from is not None:
            self.stops.append((self.stopped_from, self.world.loop.time()))
            self.stopped_from = None
        self.process.resume()

    def crash(self) -> None:
        """kill -9."""
        self.listening = False
        if self.stopped_from is None:
            self.stopped_from = self.world.loop.time()
        self.process.kill()

    def stopped_within(self, begins: float, ends: float) -> float:
        """Seconds of this time in which it did not run."""
        stops = list(self.stops)
        if self.stopped_from is not None:
            stops.append((self.stopped_from, float("inf")))
        return sum(max(0.0, min(ends, until) - max(begins, since)) for since, until in stops)

    @property
    def alive(self) -> bool:
        return not self.process.gone

    # ------------------------------------------------------------ its life

    async def _main(self) -> None:
        """As `gateway.app.serve` and `run_gateway`."""
        settings, clock = self.plan.settings, self.clock
        store = make_store(self.world, self.plan, self.process, self._database, clock)
        chance = self.world.chance(f"replica {self.name}")
        waiting, pulse = WaitingRoom(), Pulse(clock, lambda _late: None)
        relay: Any = SimRelay(self._carrier, self.process)
        options = amigo_options(settings)
        session = Session(
            self.world,
            self.process,
            self._api.serve,
            self._api.fate,
            self._api.latency,
            options.connect_seconds,
        )
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(
                AmigoClient(
                    options,
                    clock,
                    make_transport=lambda options, clock, observe: SimTransport(
                        options, clock, observe, session
                    ),
                )
            )
            finisher = await stack.enter_async_context(
                Finisher(
                    clock,
                    on_retry=metrics().finish_retries_total.inc,
                    chance=random.Random(chance.random()),
                )
            )
            aftermath = await stack.enter_async_context(
                Aftermath(store, clock, random.Random(chance.random()))
            )
            tasks = await stack.enter_async_context(Background())
            services = Services(
                clients={options: client},
                clock=clock,
                store=store,
                finisher=finisher,
                aftermath=aftermath,
                remote=Remote(self._carrier, self.process),
                metrics=metrics(),
                pulse=pulse,
                token_seconds=TOKEN_SECONDS,
            )
            routes = make_routes(settings, services)
            switchboard = await stack.enter_async_context(
                make_switchboard(settings, routes, services, self.name, waiting, relay)
            )
            recovery = Recovery(
                store,
                routes,
                finisher,
                aftermath,
                clock,
                metrics(),
                self.name,
                waiting=waiting,
                holds=switchboard.holds,
                probe=relay,
                reconnect_seconds=settings.gateway_reconnect_seconds,
                address=address_of(self.name),
            )
            tasks.start(recovery.run(), "recovery")
            self.app = make_web(
                Doors(
                    switchboard=switchboard,
                    store=store,
                    metrics=metrics(),
                    signatures=None,
                    markup=markup,
                    make_wire=TwilioWire,
                    account_sid=ACCOUNT,
                    public_url=PUBLIC,
                    admin_token=None,
                    relay=relay,
                    replica=self.name,
                )
            )
            self.switchboard, self.finisher = switchboard, finisher
            self.listening = True
            self.world.note(self.name, "ready")
            await self._stop.wait()
            self.draining = True
            self.world.note(self.name, "drains", f"calls {switchboard.active}")
            owing = await leave(
                switchboard,
                recovery,
                finisher,
                aftermath,
                settings.gateway_drain_seconds,
                self._hurry,
                lambda: relay.streams > 0,
            )
            self.listening = False
            switchboard.stop()
            await self._close_doors()
        self.status = 1 if owing else 0
        self.world.note(self.name, "exits", self.status)
        self.world.loop.soon(self._exited)

    async def _close_doors(self) -> None:
        """As aiohttp's runner: handlers have a moment, then they are cancelled."""
        handlers = [task for task in self._handlers if not task.done()]
        if handlers:
            _, late = await asyncio.wait(handlers, timeout=2.0)
            for task in late:
                task.cancel()
            await asyncio.wait(handlers)

    def _exited(self) -> None:
        self.stopped_from = self.world.loop.time()
        left = [task.get_name() for task in self.process.left if task is not self.main]
        if left:
            self.world.violated("task-left", f"{self.name} exited, still running: {left[:5]}")
        self.on_exit(self)
        self.process.kill()
