"""What goes wrong in a soak, one thing after another and some at once; drawn from a seed."""

from __future__ import annotations

import asyncio
import random
import signal
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from tests.end_to_end.door_carrier import eventually
from tests.reliability.field import Field, Replica
from tests.support.redis_server import RedisServer

PAUSES = (4.0, 14.0)
"""Seconds from the beginning of one trouble to the beginning of the next."""
WAITS = 90.0
"""Seconds a drained replica has to end, on a busy machine and with Redis away meanwhile."""


@dataclass
class Chaos:
    """Two replicas, one of which lives through everything, and Redis, to which all of it happens."""

    ground: Field
    redis: RedisServer
    lasting: Replica
    """Is stopped and continued, but never ended: its memory can be watched."""
    mortal: Replica
    """Is killed and drained; another takes its place."""
    chance: random.Random
    done: Counter[str] = field(default_factory=Counter)
    unclean: list[str] = field(default_factory=list)
    """Replicas that were asked to end, and did so with another status than 0."""
    away: bool = False
    """Redis was away at some time since a replica was asked to end."""
    _lasting_free: asyncio.Lock = field(default_factory=asyncio.Lock)
    _mortal_free: asyncio.Lock = field(default_factory=asyncio.Lock)
    _redis_free: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def rage(self, tell: Callable[[str], None], over: asyncio.Event) -> None:
        """Go on until `over`; on return everything is up again."""
        troubles: dict[str, tuple[asyncio.Lock, Callable[[], Awaitable[None]]]] = {
            "kill -9 of a replica": (self._mortal_free, self._kill),
            "SIGTERM to a replica": (self._mortal_free, self._drain),
            "a replica stands still": (self._lasting_free, self._freeze),
            "Redis stands still": (self._redis_free, self._freeze_redis),
            "kill -9 of Redis": (self._redis_free, self._kill_redis),
            "connections break": (asyncio.Lock(), self._cut),
        }
        async with asyncio.TaskGroup() as tasks:
            while not over.is_set():
                name = self.chance.choice(list(troubles))
                lock, trouble = troubles[name]
                if not lock.locked():
                    self.done[name] += 1
                    tell(name)
                    tasks.create_task(self._alone(lock, trouble), name=name)
                try:
                    async with asyncio.timeout(self.chance.uniform(*PAUSES)):
                        await over.wait()
                except TimeoutError:
                    continue

    @staticmethod
    async def _alone(lock: asyncio.Lock, trouble: Callable[[], Awaitable[None]]) -> None:
        async with lock:
            await trouble()

    async def _kill(self) -> None:
        await self.ground.kill(self.mortal)
        await self._replace()

    async def _drain(self) -> None:
        self.away = self._redis_free.locked()
        self.mortal.process.signal(signal.SIGTERM)
        status = await self.mortal.process.exit_status(WAITS)
        # without its store a process cannot write what it owes: it says so and another one takes over
        if status != 0 and not self.away:
            self.unclean.append(f"replica {self.mortal.number}: status {status}")
        await self._replace()

    async def _replace(self) -> None:
        self.ground.balancer.remove(self.mortal.url)
        await asyncio.sleep(self.chance.uniform(0.0, 5.0))
        async with self._redis_free:  # one that cannot reach its store does not start
            self.mortal = await self.ground.start()

    async def _freeze(self) -> None:
        self.lasting.process.signal(signal.SIGSTOP)
        await asyncio.sleep(self.chance.uniform(1.0, 25.0))
        self.lasting.process.signal(signal.SIGCONT)

    async def _freeze_redis(self) -> None:
        self.away = True
        self.redis.send(signal.SIGSTOP)
        await asyncio.sleep(self.chance.uniform(0.5, 15.0))
        self.redis.send(signal.SIGCONT)
        await self._all_ready()

    async def _kill_redis(self) -> None:
        self.away = True
        await asyncio.to_thread(self.redis.end, signal.SIGKILL)
        await asyncio.sleep(self.chance.uniform(0.0, 8.0))
        await asyncio.to_thread(self.redis.start)
        await self._all_ready()

    async def _cut(self) -> None:
        share = self.chance.uniform(0.2, 1.0)
        self.ground.balancer.cut(lambda: self.chance.random() < share)

    async def _all_ready(self) -> None:
        """Give whoever was without Redis the time to find it again."""

        async def answers() -> bool:
            with self.redis.client() as client:
                return bool(await asyncio.to_thread(client.ping))

        await eventually(answers, 30.0, "Redis")
        await asyncio.sleep(1.0)
