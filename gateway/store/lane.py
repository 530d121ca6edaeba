"""One thread with one SQLite connection: what is asked while it commits goes into the next commit.

A durable commit costs a sync of the disk, whether it holds one change or a hundred; gathering
them is what makes `synchronous=FULL` affordable (dependencies.md section 4 has the figures).
Rules: only the thread touches the connection; only the event loop touches futures' results.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from gateway.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

T = TypeVar("T")

MAX_BATCH: Final = 256
"""Changes in one transaction."""
MAX_WAITING: Final = 10_000
"""Changes asked for and not yet done; beyond, new ones are refused at once."""


@dataclass(slots=True)
class _Job(Generic[T]):
    work: Callable[[sqlite3.Connection], T]
    future: asyncio.Future[T] | None
    """None: nobody waits (an undo)."""
    undo: Callable[[sqlite3.Connection], object] | None = None
    result: T | None = None
    error: Exception | None = None

    @property
    def unwanted(self) -> bool:
        return self.future is not None and self.future.cancelled()


class Lane:
    """A worker thread; enter it in a running event loop, await `run` from that loop only."""

    def __init__(self, name: str, connect: Callable[[], sqlite3.Connection], begin: str) -> None:
        self._connect = connect
        self._begin = begin
        self._jobs: queue.SimpleQueue[_Job[Any] | None] = queue.SimpleQueue()
        # Daemon: a process that dies without closing the store must not hang; SQLite survives that.
        self._thread = threading.Thread(target=self._main, name=name, daemon=True)
        self._waiting = 0
        self._open = False
        self._loop: asyncio.AbstractEventLoop
        self._opened: asyncio.Future[None]

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._opened = self._loop.create_future()
        self._thread.start()
        await self._opened
        self._open = True
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Finish what was asked for, then close the connection."""
        self._open = False
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)

    async def run(
        self,
        work: Callable[[sqlite3.Connection], T],
        undo: Callable[[sqlite3.Connection], object] | None = None,
    ) -> T:
        """Do the work in a transaction and return its result once that is committed.

        Cancelled before the work began, it is left out; cancelled later, `undo` is run after it.
        """
        if not self._open:
            raise StoreError("the store is closed")
        if self._waiting >= MAX_WAITING:
            raise StoreError("the store is overloaded")
        future: asyncio.Future[T] = self._loop.create_future()
        self._post(_Job(work, future, undo))
        try:
            return await future
        except asyncio.CancelledError:
            # done already, but whoever waited was cancelled before it could learn of it
            done = future.done() and not future.cancelled() and future.exception() is None
            if done and undo is not None:
                self._undo(undo)
            raise

    def _undo(self, undo: Callable[[sqlite3.Connection], object]) -> None:
        if self._open:
            self._post(_Job(undo, None))

    def _post(self, job: _Job[Any]) -> None:
        self._waiting += 1
        self._jobs.put(job)

    # ------------------------------------------------------------ in the event loop

    def _deliver(self, batch: list[_Job[Any]]) -> None:
        self._waiting -= len(batch)
        for job in batch:
            if job.unwanted:
                if job.undo is not None and job.error is None:
                    self._undo(job.undo)
            elif job.future is None:
                pass  # nobody waits for an undo
            elif job.error is not None:
                job.future.set_exception(job.error)
            else:
                job.future.set_result(job.result)

    def _set_opened(self, error: Exception | None) -> None:
        if self._opened.cancelled():
            self._jobs.put(None)
        elif error is None:
            self._opened.set_result(None)
        else:
            self._opened.set_exception(error)

    # ------------------------------------------------------------ in the thread

    def _tell(self, callback: Callable[..., None], *arguments: object) -> None:
        # A loop that is closed has nobody left who waits.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(callback, *arguments)

    def _main(self) -> None:
        try:
            connection = self._connect()
        except Exception as error:  # noqa: BLE001 - whatever it is, the one who opens waits for it
            self._tell(self._set_opened, _translated(error))
            return
        self._tell(self._set_opened, None)
        try:
            while batch := self._take():
                self._perform(connection, batch)
                self._tell(self._deliver, batch)
        finally:
            connection.close()

    def _take(self) -> list[_Job[Any]]:
        """Wait for a job and take all that wait behind it; empty: the lane closes."""
        batch: list[_Job[Any]] = []
        job = self._jobs.get()
        while job is not None:
            batch.append(job)
            if len(batch) == MAX_BATCH:
                break
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                break
        else:
            # The end mark must be met again once this batch is done.
            if batch:
                self._jobs.put(None)
        return batch

    def _perform(self, connection: sqlite3.Connection, batch: list[_Job[Any]]) -> None:
        """Run the batch in one transaction; a job that fails takes none of the others with it."""
        try:
            connection.execute(self._begin)
            for job in batch:
                if job.unwanted:
                    job.error = StoreError("cancelled before it began")
                else:
                    _attempt(connection, job)
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            for job in batch:
                job.error = _translated(error)
            if connection.in_transaction:
                with suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")


def _attempt(connection: sqlite3.Connection, job: _Job[Any]) -> None:
    connection.execute("SAVEPOINT job")
    try:
        job.result = job.work(connection)
    except Exception as error:
        job.error = _translated(error)
        if not connection.in_transaction:
            raise  # SQLite gave up the whole transaction (disk full): all of the batch failed
        connection.execute("ROLLBACK TO job")
    connection.execute("RELEASE job")


def _translated(error: Exception) -> Exception:
    if isinstance(error, sqlite3.Error | OSError):
        translated = StoreError(f"{type(error).__name__}: {error}")
        translated.__cause__ = error
        return translated
    return error
