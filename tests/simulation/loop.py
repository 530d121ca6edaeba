"""An event loop in virtual time that knows which process each piece of work belongs to.

A process is a `contextvars` context: every task and callback it starts inherits the mark. So a whole
process can be stopped (its callbacks wait until it goes on), or killed (they never run), while the
others and the world around them go on. Nothing here waits for real: when nobody has anything to do,
the time jumps to the next timer.

The order of everything is a function of what the program does alone: tasks have serial numbers for
hashes, so that sets of tasks are walked in the same order in every run.
"""

from __future__ import annotations

import asyncio
from asyncio import Handle, TimerHandle
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context, ContextVar
from heapq import heappop
from typing import Any, Final, TypeVar

T = TypeVar("T")

PROCESS: Final[ContextVar[Process | None]] = ContextVar("process", default=None)
"""Whose work this is; None: the world's."""

WORLD: Final = Context()
"""The context of the world's own work: carrier, API, network."""

_MOST_CLOSES: Final = 50
START: Final = 1000.0
"""Loop time at which every run begins."""


class Deadlock(Exception):  # noqa: N818 - reads as the sentence it is
    """Everything waits and no timer is set: this would hang for ever."""


class Process:
    """One process of the machine: running, paused (SIGSTOP), or gone (exit, or kill -9)."""

    def __init__(self, name: str, loop: SimLoop) -> None:
        self.name = name
        self.loop = loop
        self.paused = False
        self.gone = False
        self.tasks: list[SimTask[Any]] = []
        """Every task it ever started."""
        self.on_gone: dict[int, Callable[[], None]] = {}
        """What its end does to its connections."""
        self._held: list[Handle] = []
        self._next = 0
        self._context = Context()
        self._context.run(PROCESS.set, self)

    def context(self) -> Context:
        """A context of this process, for one more of its tasks."""
        return self._context.copy()

    def start(self, work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        """Run this as a task of the process."""
        return self.loop.create_task(work, name=name, context=self.context())

    def watch(self, gone: Callable[[], None]) -> int:
        """Have `gone` called when the process ends; returns what `unwatch` takes."""
        self._next += 1
        self.on_gone[self._next] = gone
        return self._next

    def unwatch(self, key: int) -> None:
        self.on_gone.pop(key, None)

    @property
    def running(self) -> bool:
        return not (self.paused or self.gone)

    def pause(self) -> None:
        """SIGSTOP."""
        if not self.gone:
            self.paused = True
            self.loop.stopped.add(self)

    def resume(self) -> None:
        """SIGCONT: everything that became due meanwhile runs now, in its order."""
        if self.paused and not self.gone:
            self.paused = False
            self.loop.stopped.discard(self)
            held, self._held = self._held, []
            self.loop.take_back(held)

    def kill(self) -> None:
        """Nothing of it ever runs again; its connections break."""
        if self.gone:
            return
        self.gone = True
        self.paused = False
        self._held.clear()
        self.loop.stopped.add(self)
        watchers, self.on_gone = list(self.on_gone.values()), {}
        for gone in watchers:
            gone()

    def hold(self, handle: Handle) -> None:
        """Its callback is due while it does not run."""
        if not self.gone:
            self._held.append(handle)

    @property
    def left(self) -> list[SimTask[Any]]:
        """Tasks that have not ended."""
        return [task for task in self.tasks if not task.done()]


class SimTask(asyncio.Task[T]):
    """A task whose hash is its number: sets of tasks have the same order in every run."""

    def __init__(
        self,
        coro: Generator[Any, None, T] | Coroutine[Any, Any, T],
        *,
        serial: int,
        loop: asyncio.AbstractEventLoop,
        name: str | None = None,
        context: Context | None = None,
    ) -> None:
        self._serial = serial
        super().__init__(coro, loop=loop, name=name, context=context)

    def __hash__(self) -> int:
        return self._serial

    __eq__ = object.__eq__


class SimLoop(asyncio.BaseEventLoop):
    """Runs callbacks in order and lets the time jump; no selector, no threads, no real waiting."""

    _ready: Any
    _scheduled: list[TimerHandle]

    def __init__(self) -> None:
        super().__init__()
        self._now = START
        self._serial = 0
        self.stopped: set[Process] = set()
        """Processes that do not run."""
        self.world_tasks: list[SimTask[Any]] = []
        self.steps = 0
        self.limit = 5_000_000
        """Callbacks after which a run counts as one that never ends."""

    def time(self) -> float:
        return self._now

    def create_task(  # type: ignore[override]
        self,
        coro: Coroutine[Any, Any, T],
        *,
        name: str | None = None,
        context: Context | None = None,
    ) -> SimTask[T]:
        self._serial += 1
        task = SimTask(coro, serial=self._serial, loop=self, name=name, context=context)
        process = PROCESS.get() if context is None else context.get(PROCESS)
        (self.world_tasks if process is None else process.tasks).append(task)
        return task

    def later(self, delay: float, callback: Callable[..., object], *args: Any) -> TimerHandle:
        """The world's own timer: it runs whatever becomes of the process that caused it."""
        return self.call_at(self._now + delay, callback, *args, context=WORLD)

    def soon(self, callback: Callable[..., object], *args: Any) -> Handle:
        """The world's own next step."""
        return self.call_soon(callback, *args, context=WORLD)

    def world(self, work: Coroutine[Any, Any, T], name: str) -> SimTask[T]:
        """A task of the world."""
        return self.create_task(work, name=name, context=WORLD)

    def take_back(self, handles: list[Handle]) -> None:
        """Callbacks that were held: they are due."""
        self._ready.extend(handles)

    def call_soon_threadsafe(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Handle:
        return self.call_soon(callback, *args, context=context)

    def _process_events(self, event_list: object) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """Nobody waits in a selector."""

    def _run_once(self) -> None:
        ready = self._ready
        if not ready:
            scheduled = self._scheduled
            while scheduled and scheduled[0].cancelled():
                heappop(scheduled)._scheduled = False  # type: ignore[attr-defined]
            if not scheduled:
                raise Deadlock
            self._now = max(self._now, scheduled[0].when())
            while scheduled and scheduled[0].when() <= self._now:
                handle = heappop(scheduled)
                handle._scheduled = False  # type: ignore[attr-defined]
                ready.append(handle)
        count = len(ready)
        self.steps += count
        if self.steps > self.limit:
            raise Deadlock(f"{self.limit} callbacks: this run never ends")
        if self.stopped:
            self._run_some(count)
            return
        while count:
            handle = ready.popleft()
            count -= 1
            if not handle._cancelled:
                handle._run()
                if self.stopped:
                    # a process was stopped just now: what is left is looked at one by one
                    self._run_some(count)
                    return

    def _run_some(self, count: int) -> None:
        ready = self._ready
        for _ in range(count):
            handle = ready.popleft()
            if handle._cancelled:
                continue
            process = handle._context.get(PROCESS)
            if process is None or process.running:
                handle._run()
            else:
                process.hold(handle)


def dispose(loop: SimLoop, processes: list[Process]) -> None:
    """After a run: end what a killed process left half done, without a word.

    Whatever its `finally` blocks do then happens to a world that nobody looks at any more.
    """
    tasks = [task for process in processes for task in process.tasks] + loop.world_tasks
    for task in tasks:
        if not task.done():
            task._log_destroy_pending = False  # type: ignore[attr-defined]
            _close(task.get_coro())
    for process in processes:
        process.tasks.clear()
        process.on_gone.clear()
    loop.world_tasks.clear()


def _close(coro: Any) -> None:
    """End it, however often its `finally` blocks want to wait for something."""
    for _ in range(_MOST_CLOSES):
        try:
            coro.close()
        except BaseException:  # noqa: BLE001 - "ignored GeneratorExit", a closed loop: it is dead
            continue
        return
