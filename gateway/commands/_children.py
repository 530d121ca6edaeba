"""Servers as child processes of a command: a clean environment, readiness, and a certain end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Final

import aiohttp

import gateway
from gateway.errors import GatewayError

OURS: Final = ("AMIGO_", "TWILIO_", "GATEWAY_", "LOG_", "OTEL_")
"""Variables a user has set for a gateway of their own; a demonstration must not touch that one."""

READY_WITHIN: Final = 60.0
"""Seconds until a server must be ready: loading speech models on a busy machine takes a while."""

STOP_WITHIN: Final = 10.0
"""Seconds between asking a child to end and ending it."""


class ChildFailed(GatewayError):  # noqa: N818 - reads as the sentence it is
    """A server did not start, or ended before its time."""


def environment(**settings: str) -> dict[str, str]:
    """The user's environment without settings of a gateway, and with these instead."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    # A checkout that is not installed is found from any folder, too.
    paths = [str(Path(gateway.__file__).parent.parent), kept.get("PYTHONPATH", "")]
    kept["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    return kept | settings


def free_port() -> int:
    """A port of loopback that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Child:
    """One running `voice-gateway` command."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self.name = name
        self._process = process

    async def wait_ready(self, url: str) -> None:
        """Until this URL answers 200; raises `ChildFailed` when the child ends or takes too long."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as http:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(READY_WITHIN):
                    while not await _answers(http, url):
                        if self._process.returncode is not None:
                            status = self._process.returncode
                            raise ChildFailed(f"{self.name} ended with status {status}")
                        await asyncio.sleep(0.1)
                    return
        raise ChildFailed(f"{self.name} was not ready within {READY_WITHIN:.0f} s")

    async def stop(self) -> None:
        """Ask it to end, wait, and end it if it does not."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            async with asyncio.timeout(STOP_WITHIN):
                await self._process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()


@contextlib.asynccontextmanager
async def child(
    *arguments: str, env: Mapping[str, str], folder: Path, log: Path
) -> AsyncIterator[Child]:
    """Run `voice-gateway ARGUMENTS` in `folder`, its output added to `log`; stopped on leaving."""
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "gateway",
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=dict(env),
            cwd=folder,
        )
    running = Child(arguments[0], process)
    try:
        yield running
    finally:
        # Cancelled or not: nobody else will end it.
        await asyncio.shield(running.stop())


async def _answers(http: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with http.get(url) as answer:
            return answer.status == 200
    except (aiohttp.ClientError, OSError, TimeoutError):
        return False
