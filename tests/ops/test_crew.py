"""The parent of workers, with processes that are none."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.commands import _workers
from gateway.commands._workers import Site, _Crew
from gateway.worker import READY, STOP

HANG_LIMIT = 20.0


class Process:
    """A worker that is ready at once and runs until it is told to end."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.stdin = self
        self.stdout = self._lines()
        self.ended = asyncio.Event()
        self.status = 0

    async def _lines(self) -> AsyncIterator[bytes]:
        yield READY + b'["127.0.0.1", 1]\n'

    def write(self, word: bytes) -> None:
        if word == STOP:
            self.ended.set()

    def die(self) -> None:
        self.status = -signal.SIGKILL
        self.ended.set()

    async def wait(self) -> int:
        await self.ended.wait()
        return self.status


class System:
    """Has a process for whoever asks, or `fails` as often as it says."""

    def __init__(self) -> None:
        self.processes: list[Process] = []
        self.fails = 0

    async def start(self, *_: object, **__: object) -> Process:
        if self.fails:
            self.fails -= 1
            raise BlockingIOError(11, "Resource temporarily unavailable")
        self.processes.append(Process(len(self.processes) + 1))
        return self.processes[-1]

    async def until(self, processes: int) -> None:
        async with asyncio.timeout(HANG_LIMIT):
            while len(self.processes) < processes:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.01)


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch) -> System:
    system = System()
    monkeypatch.setattr(asyncio, "create_subprocess_exec", system.start)
    monkeypatch.setattr(_workers, "FIRST_PAUSE", 0.01)
    return system


def crew(folder: Path) -> _Crew:
    return _Crew(2, Site("127.0.0.1", 1, None, folder), lambda _address: None)


async def test_a_worker_for_whom_there_is_no_process_is_tried_again_and_ends_nobody_else(
    tmp_path: Path, system: System
) -> None:
    parent = crew(tmp_path)
    running = asyncio.create_task(parent.run())
    await system.until(2)
    await asyncio.sleep(0.05)
    system.fails = 3
    system.processes[1].die()
    await system.until(3)

    assert not system.processes[0].ended.is_set()
    parent.stopping.asked.set()
    assert await asyncio.wait_for(running, HANG_LIMIT) == 0


async def test_no_process_for_the_first_workers_ends_the_start(
    tmp_path: Path, system: System
) -> None:
    system.fails = 1

    assert await asyncio.wait_for(crew(tmp_path).run(), HANG_LIMIT) == 1
