"""A real redis-server on a free loopback port: started, stopped, killed and started again by tests."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

MISSING = (
    "redis-server is not installed, and the stores are tested against a real one: run `make setup`,"
    " or install it with the system's package manager (Debian: apt-get install redis-server)"
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class RedisServer:
    """One server, its data in a folder; it may be ended and started as often as a test likes."""

    def __init__(self, folder: Path, *options: str, durable: bool = False) -> None:
        program = shutil.which("redis-server")
        assert program is not None, MISSING
        kept = ("--appendonly", "yes", "--appendfsync", "always") if durable else ()
        self.port = free_port()
        self._folder = folder
        self._words = [
            *(program, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(folder)),
            *("--save", "", "--appendonly", "no", "--daemonize", "no", *kept, *options),
        ]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        log = (self._folder / "redis.log").open("ab")
        with log:
            self._process = subprocess.Popen(self._words, stdout=log, stderr=log)
        for _ in range(200):
            assert self._process.poll() is None, (self._folder / "redis.log").read_text()
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                time.sleep(0.02)
            else:
                return
        raise AssertionError("redis-server does not listen")

    def send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def end(self, number: signal.Signals = signal.SIGKILL) -> None:
        """End it; killed unless told otherwise, since nothing has to be kept."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.send_signal(number)
            self._process.wait(10)
            self._process = None

    @contextmanager
    def client(self, **options: str) -> Iterator[redis.Redis]:
        """The server as its operator sees it."""
        with redis.Redis(port=self.port, decode_responses=True, protocol=2, **options) as client:  # type: ignore[arg-type]
            yield client

    def forget(self) -> None:
        with self.client() as client:
            client.flushall()


@contextmanager
def running_redis(folder: Path, *options: str, durable: bool = False) -> Iterator[RedisServer]:
    server = RedisServer(folder, *options, durable=durable)
    server.start()
    try:
        yield server
    finally:
        server.end()
