"""A gateway with its real doors, asked over loopback from the same thread: what it answers and what it logs.

It takes no calls (it drains), so that the doors alone are tried: `+15550002222` is handed on to another
number, `+15550004444` gets busy, every other is nobody's.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from aiohttp.http_exceptions import HttpProcessingError

from gateway.app import run_gateway
from gateway.log import JsonLines
from gateway.settings import Needs, load_settings
from tests.support.stack import TOKEN, environment

ADMIN = "admin-token-0123456789"
OVERFLOW, BUSY = "+15550002222", "+15550004444"
ROUTES = f"""
["{OVERFLOW}"]
service = "0123456789abcdef01234567"
overflow = "+15550003333"
["{BUSY}"]
service = "0123456789abcdef01234567"
"""
NOWHERE = "http://127.0.0.1:9"
SECONDS = 30.0
"""After which an answer counts as never coming."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


class _Listening(logging.Handler):
    """Formats every line as the gateway would write it, and keeps what went wrong."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.setFormatter(JsonLines((TOKEN, ADMIN)))
        self.wrong: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and isinstance(record.exc_info[1], HttpProcessingError):
            return  # no HTTP at all: aiohttp answers 400 and says so
        line = self.format(record)
        if record.levelno >= logging.ERROR or "\n" in line or TOKEN in line or ADMIN in line:
            self.wrong.append(line)


class Doors:
    """Open from the first question to `close`."""

    def __init__(self) -> None:
        self._loop = asyncio.Runner()
        self._stack = AsyncExitStack()
        self._folder = Path(tempfile.mkdtemp(prefix="fuzz-doors-"))
        self._log = _Listening()
        self._line: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        root = logging.getLogger()
        self._level = root.level
        root.addHandler(self._log)
        root.setLevel(logging.INFO)
        self._loop.run(self._open())

    async def _open(self) -> None:
        routes = self._folder / "routes.toml"
        routes.write_text(ROUTES)
        environ = environment(
            self._folder,
            NOWHERE,
            NOWHERE,
            AMIGO_SERVICE_ID="",
            AMIGO_API_REVISION="2026-04",
            GATEWAY_ADMIN_TOKEN=ADMIN,
            GATEWAY_ROUTES=str(routes),
        )
        settings = load_settings(needs=Needs.SERVE, environ=environ, dotenv=None)
        gateway = await self._stack.enter_async_context(run_gateway(settings))
        gateway.switchboard.admission.closed = True
        self._address = gateway.address

    def ask(
        self, method: str, target: str, headers: Sequence[tuple[str, str]], body: bytes = b""
    ) -> Answer:
        """One request, on one connection as long as it lasts; raises for a fault in answer or log."""
        lines = [f"{method} {target} HTTP/1.1", f"Content-Length: {len(body)}"]
        if not any(name.lower() == "host" for name, _ in headers):
            lines.append("Host: localhost")
        lines += [f"{name}: {value}" for name, value in headers]
        head = "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape")
        answer = self._loop.run(self._asked(head + body))
        wrong, self._log.wrong = self._log.wrong, []
        assert answer.status < 500, (answer, wrong)
        assert not wrong, wrong
        return answer

    async def _asked(self, request: bytes) -> Answer:
        async with asyncio.timeout(SECONDS):
            try:
                return await self._once(request)
            except (ConnectionError, asyncio.IncompleteReadError):
                # the server may close after any answer; the next question needs a new line
                await self._hang_up()
                return await self._once(request)

    async def _once(self, request: bytes) -> Answer:
        if self._line is None:
            self._line = await asyncio.open_connection(*self._address)
        reader, writer = self._line
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *rest = head[:-4].split("\r\n")
        headers = {
            name.lower(): value for name, _, value in (line.partition(": ") for line in rest)
        }
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        if headers.get("connection", "").lower() == "close":
            await self._hang_up()
        return Answer(int(first.split(" ")[1]), headers, body)

    async def _hang_up(self) -> None:
        if self._line is not None:
            writer = self._line[1]
            self._line = None
            writer.close()
            try:
                await writer.wait_closed()
            except ConnectionError:
                pass  # closed is closed

    def close(self) -> None:
        self._loop.run(self._closed())
        self._loop.close()
        root = logging.getLogger()
        root.removeHandler(self._log)
        root.setLevel(self._level)
        shutil.rmtree(self._folder)

    async def _closed(self) -> None:
        await self._hang_up()
        await self._stack.aclose()


def header_safe(text: str) -> str:
    """Text that a client's library would let into a header line."""
    return "".join(one for one in text if one >= " " and one != "\x7f").strip()
