"""This process as one of several that share a port: what it was given, and how it is asked to end."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from typing import Final

from gateway.log import fact
from gateway.metrics import Shelf

_log = logging.getLogger(__name__)

STOP: Final = b"stop\n"
HURRY: Final = b"hurry\n"
"""What the parent writes to a worker's standard input; its end means that the parent is gone."""
READY: Final = b"ready "
"""How the line begins that a worker writes to its standard output, once; its address as JSON follows."""


@dataclass(frozen=True, slots=True)
class Worker:
    """One of the workers of a parent."""

    shelf: Shelf

    def first(self, what: str) -> bool:
        """Whether nobody under this parent has done this yet; whoever asks first is to do it."""
        try:
            (self.shelf.directory / f"{what}.done").touch(exist_ok=False)
        except FileExistsError:
            return False
        return True


class Stopping:
    """How far this process was asked to end.

    Signals are counted apart from what the parent says: whoever stops a service may send SIGTERM to
    all its processes at once, and that is one request, not two.
    """

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        """Take no new calls, let live ones go on."""
        self.hurried = asyncio.Event()
        """Let them go on no longer."""
        self._signals = 0

    def signalled(self) -> None:
        """SIGTERM or SIGINT: the second one hurries."""
        self._signals += 1
        self.asked.set()
        if self._signals > 1:
            self._hurry()

    def _hurry(self) -> None:
        if not self.hurried.is_set():
            fact(_log, "gateway.hurried")
            self.hurried.set()

    async def obey_parent(self) -> None:
        """Do as the parent says; without one, end politely. Returns when there is nobody to obey."""
        words = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        try:
            pipe, _ = await loop.connect_read_pipe(
                lambda: asyncio.StreamReaderProtocol(words), sys.stdin.buffer
            )
            with closing(pipe):
                while word := await words.readline():
                    self.asked.set()
                    if word == HURRY:
                        self._hurry()
        finally:
            self.asked.set()


@asynccontextmanager
async def obeying_parent(stopping: Stopping) -> AsyncIterator[None]:
    """Listen to the parent for the time of the context."""
    listening = asyncio.create_task(stopping.obey_parent(), name="parent's word")
    try:
        yield
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
