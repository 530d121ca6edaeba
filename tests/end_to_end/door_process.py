"""`voice-gateway serve` as it is run: a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import re
import secrets
import signal
import sqlite3
import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Self

import gateway
from tests.end_to_end.door_carrier import Message, eventually


class Served:
    """One running `voice-gateway serve`; what it says goes to a file."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self.process = process
        self.log = log

    @classmethod
    async def start(cls, folder: Path, environ: Mapping[str, str]) -> Self:
        log = folder / f"serve-{secrets.token_hex(4)}.log"
        ours = ("AMIGO_", "TWILIO_", "GATEWAY_", "LOG_", "OTEL_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        repository = str(Path(gateway.__file__).parent.parent)
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "gateway", "serve"),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=kept | dict(environ) | {"PYTHONPATH": repository, "LOG_FORMAT": "json"},
                cwd=folder,
            )
        return cls(process, log)

    async def ready(self) -> str:
        """Where it listens."""

        def listening() -> re.Match[str] | None:
            log = self.log.read_text()
            assert self.process.returncode is None, log
            return re.search(r"listening on (http://[\d.]+:\d+)", log)

        found: re.Match[str] = await eventually(listening, 40, "the start")
        return found[1]

    def logged(self, event: str) -> list[Message]:
        """The lines of its log about one event."""
        return [line for line in self._lines() if line["event"] == event]

    def complaints(self) -> list[Message]:
        return [line for line in self._lines() if line["level"] in {"error", "critical"}]

    def _lines(self) -> list[Message]:
        # what stands behind the last newline is still being written
        whole = self.log.read_text().split("\n")[:-1]
        return [json.loads(line) for line in whole if line.startswith("{")]

    async def exit_status(self, seconds: float = 20.0) -> int:
        async with asyncio.timeout(seconds):
            return await self.process.wait()

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    async def stand_still(self, file: Path) -> None:
        """Stop it, but not in the middle of a change of the store's file: nobody else could write there."""
        while True:
            self.signal(signal.SIGSTOP)
            await eventually(self._stopped)
            if not file.exists() or writable(file):
                return
            self.signal(signal.SIGCONT)
            await asyncio.sleep(0.05)

    def _stopped(self) -> bool:
        stat = Path(f"/proc/{self.process.pid}/stat").read_text()
        return stat.rpartition(")")[2].split()[0] == "T"

    async def kill(self) -> None:
        """The end that asks nobody."""
        self.process.kill()
        await self.process.wait()

    async def end(self) -> None:
        if self.process.returncode is None:
            await self.kill()


def writable(file: Path) -> bool:
    """Whether nobody holds the database's lock."""
    with closing(sqlite3.connect(file, timeout=0.0, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return False
        connection.execute("ROLLBACK")
        return True
