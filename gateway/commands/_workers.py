"""Several gateways of one machine on one port: started, watched, started again, and ended together.

The system spreads connections over the processes that listen on the port (SO_REUSEPORT). The parent
takes no calls. It speaks to a worker through the worker's standard input, not by signals, so that
whoever sends SIGTERM to all processes of a service has asked each of them once.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import gateway
from gateway.errors import BadSetting, ConfigError
from gateway.log import fact
from gateway.metrics import VARIABLE, Shelf
from gateway.worker import HURRY, READY, STOP, Stopping

_log = logging.getLogger(__name__)

FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 30.0
"""Seconds before a worker that ended soon after its start is started again; doubled each time."""
STEADY_SECONDS: Final = 10.0
"""A worker that was ready for so long is started again at once."""
FAILED: Final = 1


@dataclass(frozen=True, slots=True)
class Site:
    """Where the workers listen, what they read, and the folder they share."""

    host: str
    port: int
    config: Path | None
    folder: Path


@contextmanager
def shared_folder() -> Iterator[Path]:
    """What the workers share besides the store, for the time of the context: numbers, log turns."""
    with tempfile.TemporaryDirectory(prefix="voice-gateway-") as name:
        yield Path(name)


async def supervise(count: int, site: Site, told: Callable[[tuple[str, int]], None]) -> int:
    """Keep `count` workers until SIGTERM or SIGINT, then until all have drained.

    `told` is called once, when all are ready. Returns 0 when every worker ended with 0; the status
    of one that could not be started at all, which ends the others. Raises ConfigError where the
    port cannot be had.
    """
    if not hasattr(socket, "SO_REUSEPORT"):
        problem = "this system cannot share a port between processes; one is all it can have"
        raise ConfigError([BadSetting("GATEWAY_WORKERS", problem)])
    with _reserved(site.host, site.port) as port:
        crew = _Crew(count, Site(site.host, port, site.config, site.folder), told)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, crew.stopping.signalled)
        return await crew.run()


@contextmanager
def _reserved(host: str, port: int) -> Iterator[int]:
    """The port, kept for the workers: bound, but not listening.

    What listens on it already is found here: without this look, another gateway with workers would
    share its calls with ours.
    """
    try:
        with ExitStack() as stack:
            for family, kind, protocol, _, address in socket.getaddrinfo(
                host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            ):
                place = (address[0], port, *address[2:])
                if port:
                    with _bound(family, kind, protocol, place) as probe:
                        probe.listen(1)
                kept = _bound(family, kind, protocol, place, shared=True)
                port = stack.enter_context(kept).getsockname()[1]
            kept_open = stack.pop_all()
    except OSError as error:
        reason = error.strerror or str(error)
        problem = f"cannot listen on {host}:{port}: {reason}"
        raise ConfigError([BadSetting("GATEWAY_PORT", problem)]) from error
    with kept_open:
        yield port


def _bound(
    family: int, kind: int, protocol: int, place: tuple[object, ...], *, shared: bool = False
) -> socket.socket:
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind(place)
    except BaseException:
        bound.close()
        raise
    return bound


class _Hand:
    """One running worker."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.ready: tuple[str, int] | None = None
        """Where it listens, as soon as it does."""

    @property
    def pid(self) -> int:
        return self._process.pid

    async def wait_ready(self) -> bool:
        """Whether it has become ready; False: it ended before."""
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            if line.startswith(READY):
                host, port = json.loads(line.removeprefix(READY))
                self.ready = (host, port)
                return True
        return False

    async def wait_ended(self) -> int:
        return await self._process.wait()

    def ask(self, word: bytes) -> None:
        """Have it end; one that is not ready yet holds no call, and need not become so."""
        with suppress(ProcessLookupError, OSError):
            if self.ready is None:
                self._process.terminate()
            else:
                assert self._process.stdin is not None
                self._process.stdin.write(word)


class _Crew:
    """The workers, each in its place."""

    def __init__(self, count: int, site: Site, told: Callable[[tuple[str, int]], None]) -> None:
        self._places = range(1, count + 1)
        self._site = site
        self._told = told
        self._hands: dict[int, _Hand] = {}
        self._complete = False
        """All were ready once: from now on a worker that cannot be started ends nobody else."""
        self._statuses: list[int] = []
        self.stopping = Stopping()

    async def run(self) -> int:
        async with asyncio.TaskGroup() as tasks:
            passing_on = tasks.create_task(self._pass_on(), name="requests to end")
            await self._keep_all(tasks)
            passing_on.cancel()
        return next((status if status > 0 else FAILED for status in self._statuses if status), 0)

    async def _keep_all(self, tasks: asyncio.TaskGroup) -> None:
        """The first alone: what is wrong for all is told once, and a store is brought up to date once."""
        ready = {place: asyncio.Event() for place in self._places}
        keepers = []
        for some in (self._places[:1], self._places[1:]):
            for place in some:
                keep = self._keep(place, ready[place])
                keepers.append(tasks.create_task(keep, name=f"worker {place}"))
            for place in some:
                await ready[place].wait()
            if self.stopping.asked.is_set():
                break
        else:
            self._complete = True
            self._tell()
        await asyncio.gather(*keepers)

    def _tell(self) -> None:
        address = next((hand.ready for hand in self._hands.values() if hand.ready), None)
        self._told(address or (self._site.host, self._site.port))

    async def _pass_on(self) -> None:
        await self.stopping.asked.wait()
        fact(_log, "workers.stopping", workers=len(self._hands))
        self._ask(STOP)
        await self.stopping.hurried.wait()
        self._ask(HURRY)

    def _ask(self, word: bytes) -> None:
        for hand in self._hands.values():
            hand.ask(word)

    async def _keep(self, place: int, ready: asyncio.Event) -> None:
        """Have a worker in this place until the end; `ready` is set once it was, or never will be."""
        pause, loop = 0.0, asyncio.get_running_loop()
        try:
            while not self.stopping.asked.is_set():
                hand = await self._start(place)
                if hand is not None and await hand.wait_ready():
                    ready.set()
                was_ready = hand is not None and hand.ready is not None
                since = loop.time()
                status = FAILED if hand is None else await self._ended(place, hand)
                if self.stopping.asked.is_set():
                    # one that was not ready ended as it was asked to: by the signal
                    self._statuses.append(status if was_ready or hand is None else max(status, 0))
                    return
                if not was_ready and not self._complete:
                    self._statuses.append(status)
                    self.stopping.asked.set()
                    return
                steady = was_ready and loop.time() - since >= STEADY_SECONDS
                pause = 0.0 if steady else min(LONGEST_PAUSE, 2 * pause or FIRST_PAUSE)
                if await self._stops_within(pause):
                    # what it owed nobody may have taken over yet
                    self._statuses.append(status)
        finally:
            ready.set()

    async def _start(self, place: int) -> _Hand | None:
        """Start a worker; None: the system has no process for it (memory, descriptors, the program)."""
        site = self._site
        config = () if site.config is None else ("--config", str(site.config))
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "gateway", "serve", "--worker", str(place)),
                *("--host", site.host, "--port", str(site.port), *config),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                env=_environment(site.folder),
                process_group=0,  # Ctrl-C reaches the parent alone, which passes it on
            )
        except OSError as error:
            reason = error.strerror or str(error)
            fact(_log, "worker.not-started", level=logging.ERROR, worker=place, reason=reason)
            return None
        hand = self._hands[place] = _Hand(process)
        fact(_log, "worker.started", worker=place, pid=hand.pid)
        if self.stopping.asked.is_set():  # it was not there yet when the others were asked
            hand.ask(STOP)
        return hand

    async def _ended(self, place: int, hand: _Hand) -> int:
        status = await hand.wait_ended()
        del self._hands[place]
        Shelf(self._site.folder, place).leave()
        level = logging.INFO if status == 0 else logging.ERROR
        if hand.ready is None and self.stopping.asked.is_set():
            level = logging.INFO
        fact(_log, "worker.ended", level=level, worker=place, pid=hand.pid, status=status)
        return status

    async def _stops_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self.stopping.asked.wait()
        except TimeoutError:
            return False
        return True


def _environment(folder: Path) -> dict[str, str]:
    """Ours, with the folder; a checkout that is not installed is found from anywhere, too."""
    env = {**os.environ, VARIABLE: str(folder)}
    code = str(Path(gateway.__file__).parent.parent)
    if code != sysconfig.get_path("purelib"):
        env["PYTHONPATH"] = os.pathsep.join(filter(None, (code, env.get("PYTHONPATH"))))
    return env
