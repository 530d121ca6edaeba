"""One seed from its first ring to the last process's exit."""

from __future__ import annotations

import asyncio
import gc
import logging
import sqlite3
import sys
import warnings
from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

import gateway.bridge.neighbours
import gateway.bridge.recovery
import gateway.store.sql
from gateway import compose
from gateway.web import media
from tests.simulation import doors, replica
from tests.simulation.api import Api
from tests.simulation.caller import Caller
from tests.simulation.carrier import Carrier
from tests.simulation.judge import Complaints, Judge
from tests.simulation.loop import Deadlock, SimLoop, dispose
from tests.simulation.operator import Operator
from tests.simulation.plan import Plan, ProcessEvent, make_plan
from tests.simulation.replica import Replica
from tests.simulation.store import open_database
from tests.simulation.world import Violation, World

LONGEST_TALK: Final = 400.0
"""Seconds after which all calls must be over."""
LONGEST_CALM: Final = 600.0
"""Seconds without faults after which nothing may be owed."""
LONGEST_EXIT: Final = 120.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a seed."""

    seed: int
    violations: tuple[Violation, ...]
    log: str
    faults: Counter[str]
    facts: Counter[str]
    seconds: float
    """Virtual."""
    steps: int


class Run:
    """The whole of one scenario."""

    def __init__(self, plan: Plan, loop: SimLoop) -> None:
        self.plan = plan
        self.world = World(plan.seed, loop)
        self.replicas: dict[str, Replica] = {}
        self.judge = Judge(self.world, plan, lambda: self.replicas)
        self.api = Api(self.world, plan, self.judge.witness())
        self.database: sqlite3.Connection = open_database(self.judge.tell)
        self.carrier = Carrier(
            self.world, plan, lambda: list(self.replicas.values()), self.judge.judged()
        )
        self.judge.know(self.api, self.carrier.calls)

    # ------------------------------------------------------------ processes

    def start(self, machine: int) -> Replica:
        name = f"g{len(self.replicas) + 1}"
        parts = (self.api, self.carrier, self.database)
        made = Replica(self.world, self.plan, name, machine, parts)
        made.on_exit = lambda it: self.judge.exited(it, self.database)
        self.replicas[name] = made
        return made

    def proven_dead(self, name: str) -> bool:
        """Stands for the look into the machine's process table."""
        known = self.replicas.get(name)
        return self.plan.one_machine and known is not None and known.process.gone

    async def _happen(self, event: ProcessEvent) -> None:
        await asyncio.sleep(event.at)
        if self.world.calm:
            return
        alive = [one for one in self.replicas.values() if one.alive]
        if not alive:
            return
        it = alive[event.which % len(alive)]
        if event.aimed:
            talking = [call.stream for call in self.carrier.calls.values() if call.stream]
            held = [one for one in alive for stream in talking if one.process is stream.process]
            it = held[event.which % len(held)] if held else it
        self.world.fault(f"process-{event.kind}", it.name)
        match event.kind:
            case "crash":
                it.crash()
            case "restart":
                it.crash()
                await asyncio.sleep(event.seconds)
                self.start(event.which)
            case "drain":
                it.terminate()
                if event.seconds > 9.0:
                    await asyncio.sleep(event.seconds)
                    it.terminate()
                await asyncio.sleep(event.seconds)
                self.start(event.which)
            case _:
                it.pause()
                await asyncio.sleep(event.seconds)
                it.resume()

    async def _step_clock(self, at: float, seconds: float) -> None:
        await asyncio.sleep(at)
        if not self.world.calm:
            self.world.fault("clock-step", "all", seconds)
            self.world.wall_offset += seconds

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            self.judge.look()

    # ------------------------------------------------------------ the run

    async def run(self) -> None:
        loop, plan = self.world.loop, self.plan
        for machine in range(plan.replicas):
            self.start(machine)
        while not any(one.listening for one in self.replicas.values()):
            await asyncio.sleep(0.05)
        callers = []
        for call_plan in plan.calls:
            call = self.carrier.call(call_plan)
            callers.append(loop.world(call.run(), f"call {call.sid}"))
            callers.append(loop.world(Caller(self.carrier, call).run(), f"caller {call.sid}"))
        events = [loop.world(self._happen(event), event.kind) for event in plan.processes]
        events += [loop.world(self._step_clock(*step), "clock") for step in plan.wall_steps]
        operator = Operator(self.world, plan, self.carrier)
        events += [loop.world(operator.give(order), order.kind) for order in plan.orders]
        watch = loop.world(self._watch(), "watch")
        done, late = await asyncio.wait(callers, timeout=LONGEST_TALK)
        for task in done:
            task.result()
        for task in late:
            self.world.violated("call-never-over", task.get_name())
        await self._calm()
        for event in events:
            event.cancel()
        await asyncio.wait(events) if events else None
        await self._exit()
        watch.cancel()
        self.judge.final(self.database, self.carrier.calls)

    async def _calm(self) -> None:
        """The faults are over: what is owed must be paid now."""
        world = self.world
        world.calm = True
        world.note("world", "calm")
        for one in self.replicas.values():
            one.resume()
        if not any(one.alive and one.drain_at is None for one in self.replicas.values()):
            self.start(0)
        until = world.loop.time() + LONGEST_CALM
        while world.loop.time() < until:
            await asyncio.sleep(2.0)
            if self.judge.settled(self.database):
                break

    async def _exit(self) -> None:
        for one in self.replicas.values():
            if one.alive:
                one.terminate()
        for _ in range(int(LONGEST_EXIT * 2)):
            if not any(one.alive for one in self.replicas.values()):
                return
            await asyncio.sleep(0.5)
        for one in self.replicas.values():
            if one.alive:
                names = [task.get_name() for task in one.process.left]
                self.world.violated("never-exits", f"{one.name}: {names[:6]}")


def run_seed(seed: int, *, facts: bool = False) -> Outcome:
    """Run one seed; `facts` puts every line the gateway would log into the event log."""
    return run_plan(make_plan(seed), facts=facts)


def run_plan(plan: Plan, *, facts: bool = False) -> Outcome:
    """Run one scenario."""
    loop = SimLoop()
    asyncio.set_event_loop(loop)
    run = Run(plan, loop)
    world = run.world
    loop.set_exception_handler(lambda _loop, context: _unhandled(world, context))
    log = logging.getLogger("gateway")
    complaints = Complaints(world, facts=facts)
    level = log.level
    log.addHandler(complaints)
    log.setLevel(complaints.level)
    log.propagate = False
    gc.disable()
    try:
        with _Ports(run):
            try:
                loop.run_until_complete(loop.world(run.run(), "run"))
            except Deadlock as error:
                world.violated("deadlock", str(error) or "everything waits for ever")
            outcome = Outcome(
                plan.seed,
                tuple(world.violations),
                world.log() if facts or world.violations else "",
                world.faults,
                world.facts,
                world.now(),
                loop.steps,
            )
            _dispose(run, loop)
    finally:
        log.removeHandler(complaints)
        log.setLevel(level)
        log.propagate = True
        gc.enable()
    return outcome


def _dispose(run: Run, loop: SimLoop) -> None:
    """Let go of the run: what its dead processes left half done is ended where nobody looks."""
    hook, sys.unraisablehook = sys.unraisablehook, lambda _error: None
    loop.set_exception_handler(lambda _loop, _context: None)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            loop.close()
            dispose(loop, [one.process for one in run.replicas.values()])
            run.replicas.clear()
            run.database.close()
            asyncio.set_event_loop(None)
    finally:
        sys.unraisablehook = hook


def _unhandled(world: World, context: dict[str, Any]) -> None:
    error = context.get("exception")
    world.violated("unhandled", f"{context.get('message')} {error!r}")


class _Ports:
    """Every name of the product that the simulation replaces, for the time of one run."""

    def __init__(self, run: Run) -> None:
        self._names: tuple[tuple[Any, str, Any], ...] = (
            (gateway.store.sql, "proven_dead", run.proven_dead),
            (gateway.bridge.recovery, "proven_dead", run.proven_dead),
            (gateway.bridge.neighbours, "proven_dead", run.proven_dead),
            (compose, "detector_factory", replica.detectors),
            (compose, "load_phrases", replica.phrases),
            (media, "web", doors.sockets),
        )
        self._before: list[Any] = []

    def __enter__(self) -> None:
        for module, name, value in self._names:
            self._before.append(getattr(module, name))
            setattr(module, name, value)

    def __exit__(self, *_: object) -> None:
        for (module, name, _value), before in zip(self._names, self._before, strict=True):
            setattr(module, name, before)
