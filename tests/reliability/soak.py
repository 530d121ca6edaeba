"""Calls with faults through real processes for as long as one likes, and what must hold meanwhile and after."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from time import monotonic
from typing import Any

from tests.end_to_end.door_carrier import eventually
from tests.reliability.callers_by_chance import Told, ring_on
from tests.reliability.chaos import Chaos
from tests.reliability.field import Field, Ledger, Replica, open_field
from tests.support.redis_server import running_redis

CALLERS = 16
FAULTS = (
    *("interact-429=0.02@1000", "interact-503=0.02", "create-429=0.02@1000", "create-503=0.02"),
    *("finish-503=0.05", "finish-429=0.02@1000", "sign-in-503=0.02", "late-finish=0.05"),
    *("late-create=0.02", "late-eof=0.05", "stall-think=0.01@5000", "slow-drip=0.02"),
    *("error-before=0.01", "error-mid=0.01", "error-after=0.01", "eof-early=0.01"),
    *("cut-create=0.01", "cut-before-reply=0.01", "cut-mid-reply=0.01", "cut-upload=0.02"),
    *("cut-headers=0.01", "cut-before-completion=0.01", "cut-after-completion=0.01"),
    *("malformed-line=0.01", "unknown-event=0.02", "truncated-line=0.01", "audio-24k=0.02"),
)
ENV = {
    "GATEWAY_RECONCILE_SECONDS": "60",
    "GATEWAY_DRAIN_SECONDS": "10",
    "GATEWAY_MAX_CALLS": "100",
}
LOOK_EVERY = 5.0
"""Seconds between two looks at every process."""
MORE_TASKS = 8
"""An idle process may have so many more than when it was new: connections it keeps open."""
MORE_MEMORY = 0.10
"""The lasting replica may hold so much more, in the last third of the looks at it, than in the middle one ..."""
MEGABYTES = 8.0
"""... or so much, where that is more."""
LOOKS = 30
"""So few looks say nothing of growth: a minute is mostly warming up, and the replica stands still for parts of it."""
LONG = 300.0
"""Seconds after which there must be enough looks."""


@dataclass(frozen=True, slots=True)
class Look:
    """The lasting replica at one time."""

    at: float
    megabytes: float
    tasks: float
    calls: float


@dataclass
class Report:
    """What a soak found; `failures` is empty where all was as promised."""

    seconds: float = 0.0
    told: Told = field(default_factory=Told)
    looks: list[Look] = field(default_factory=list)
    troubles: dict[str, int] = field(default_factory=dict)
    ledger: Ledger = field(default_factory=Ledger)
    settled: float = 0.0
    """Seconds from the last caller's end until every conversation was finished."""
    failures: list[str] = field(default_factory=list)

    def check(self, holds: object, what: str) -> None:
        if not holds:
            self.failures.append(what)

    def memory(self) -> tuple[float, float] | None:
        """Megabytes of the lasting replica in the middle and in the last third of the looks; None: too few."""
        if len(self.looks) < LOOKS:
            return None
        held = [look.megabytes for look in self.looks]
        third = len(held) // 3
        return median(held[third:-third]), median(held[-third:])

    def check_memory(self) -> None:
        memory = self.memory()
        if memory is None:
            self.check(self.seconds < LONG, f"only {len(self.looks)} looks in {self.seconds:.0f} s")
            return
        middle, last = memory
        allowed = middle + max(MEGABYTES, MORE_MEMORY * middle)
        self.check(last <= allowed, f"memory grew from {middle:.1f} to {last:.1f} MB")

    def _memory_told(self) -> str:
        memory = self.memory()
        if memory is None:
            return f"not judged by {len(self.looks)} looks"
        return f"{memory[0]:.1f} MB in the middle third, {memory[1]:.1f} MB in the last"

    def lines(self) -> list[str]:
        """For the reader: Markdown."""
        told, ledger = self.told, self.ledger
        calls = [look.calls for look in self.looks]
        rows = {
            "minutes": f"{self.seconds / 60:.0f}",
            "calls": f"{told.calls} ({_counted(told.outcomes)})",
            "at once, in the mean": f"{sum(calls) / max(1, len(calls)):.1f} at the lasting replica",
            "turns answered": str(told.answered),
            "streams connected again after a loss": str(told.reconnects),
            "callers who heard nothing for 45 s": str(told.gave_up),
            "troubles": _counted(self.troubles),
            "conversations": str(len(ledger.conversations)),
            "finished by us / by the agent": f"{len(ledger.finished)} / {self._by_agent()}",
            "finished twice / still open": f"{len(ledger.twice)} / {len(ledger.open)}",
            "finish asked again or in vain, by status": _counted(ledger.refused) or "0",
            "all settled after the last call": f"{self.settled:.1f} s",
            "memory of the lasting replica": self._memory_told(),
        }
        return ["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items())]

    def _by_agent(self) -> int:
        return sum(
            one["finished"] and one["id"] not in self.ledger.finished
            for one in self.ledger.conversations
        )


def _counted(counts: Any) -> str:
    return ", ".join(f"{name}: {times}" for name, times in sorted(counts.items(), key=str))


async def soak(
    folder: Path, minutes: float, seed: int, tell: Callable[[str], None], *, calm: bool = False
) -> Report:
    """`calm`: no process is hurt; the API's faults stay."""
    report = Report()
    async with AsyncExitStack() as stack:
        data = folder / "redis"
        data.mkdir()
        redis = stack.enter_context(running_redis(data, durable=True))
        env = ENV | {"GATEWAY_STORE_URL": redis.url}
        opened = open_field(folder, users=CALLERS * 3, faults=FAULTS, env=env)
        ground = await stack.enter_async_context(opened)
        lasting, mortal = await ground.start(), await ground.start()
        idle = await _settled_tasks(ground, lasting)
        chaos = Chaos(ground, redis, lasting, mortal, random.Random(seed))
        await _hold(report, chaos, minutes, seed, tell, calm=calm)
        tell("the last callers have hung up")
        await _settle(report, chaos, idle)
    return report


async def _hold(
    report: Report,
    chaos: Chaos,
    minutes: float,
    seed: int,
    tell: Callable[[str], None],
    *,
    calm: bool,
) -> None:
    """Callers, troubles and looks, until the time is up and the last caller has hung up."""
    over, began = asyncio.Event(), monotonic()
    async with asyncio.TaskGroup() as tasks:
        looking = tasks.create_task(_look(report, chaos, began, tell), name="looks")
        callers = [
            tasks.create_task(
                ring_on(chaos.ground, report.told, random.Random(f"{seed} {number}"), over),
                name=f"caller {number}",
            )
            for number in range(CALLERS)
        ]
        raging = None if calm else tasks.create_task(chaos.rage(tell, over), name="chaos")
        await asyncio.sleep(minutes * 60)
        report.seconds = monotonic() - began
        over.set()
        if raging is not None:
            await raging
        await asyncio.gather(*callers)
        looking.cancel()
    report.troubles = dict(chaos.done)


async def _look(report: Report, chaos: Chaos, began: float, tell: Callable[[str], None]) -> None:
    """Read the API's journal before it forgets, and the lasting replica's numbers; tell each minute."""
    minute = 0
    while True:
        await asyncio.sleep(LOOK_EVERY)
        report.ledger = await chaos.ground.count()
        at = monotonic() - began
        try:
            async with asyncio.timeout(LOOK_EVERY):
                numbers = await chaos.lasting.numbers(chaos.ground.http)
        except TimeoutError:
            continue  # it stands still
        resident = numbers["process_resident_memory_bytes"] / 1e6
        report.looks.append(Look(at, resident, numbers["tasks"], numbers["calls_active"]))
        if at >= minute * 60:
            minute += 1
            told, ledger = report.told, report.ledger
            tell(
                f"{at / 60:4.1f} min: {resident:.1f} MB, {numbers['tasks']:.0f} tasks, "
                f"{numbers['calls_active']:.0f} calls here; {told.calls} calls ended, {told.answered} "
                f"turns answered, {told.reconnects} streams again; {len(ledger.conversations)} "
                f"conversations, {len(ledger.open)} open"
            )


async def _settle(report: Report, chaos: Chaos, idle: float) -> None:
    """All calls are over: everything must come to rest, with nothing owed."""
    ground, began = chaos.ground, monotonic()
    try:
        report.ledger = await ground.all_finished(0, 240.0)
    except AssertionError:
        report.ledger = await ground.count()
    report.settled = monotonic() - began
    ledger = report.ledger
    left = [one for one in ledger.conversations if one["id"] in ledger.open]
    report.check(not left, f"never finished: {left}")
    report.check(not ledger.twice, f"finished twice: {ledger.twice}")
    report.check(not ledger.missed, f"{ledger.missed} requests were not seen")
    report.check(not chaos.unclean, f"did not end in order: {chaos.unclean}")
    for replica in (chaos.lasting, chaos.mortal):
        try:
            tasks = await _settled_tasks(ground, replica)
        except AssertionError as error:
            report.check(False, str(error))
            continue
        what = f"replica {replica.number}: {tasks:.0f} tasks at rest, {idle:.0f} when it was new"
        report.check(tasks <= idle + MORE_TASKS, what)
    report.check_memory()
    for replica in (chaos.lasting, chaos.mortal):
        replica.process.signal(signal.SIGTERM)
        status = await replica.process.exit_status(60.0)
        report.check(status == 0, f"replica {replica.number} ended with {status}: something owed")
    for replica in ground.replicas:
        crashes = [line for line in replica.process.complaints() if "error" in line]
        report.check(not crashes, f"replica {replica.number}: {crashes[:3]}")


async def _settled_tasks(ground: Field, replica: Replica) -> float:
    """Tasks of a replica without calls, once their number stays the same."""
    before = -1.0

    async def steady() -> float | None:
        nonlocal before
        await asyncio.sleep(1.0)
        numbers = await replica.numbers(ground.http)
        tasks, last, before = numbers["tasks"], before, numbers["tasks"]
        return tasks if tasks == last and not numbers["calls_active"] else None

    return float(await eventually(steady, 60.0, f"replica {replica.number} at rest"))
