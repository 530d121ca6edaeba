"""The wire between gateway and API, cut where a test wants it cut."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit


class Wire:
    """Passes connections on, byte by byte; loses an answer, or everything, when told to."""

    def __init__(self) -> None:
        self.url = ""
        self._upstream = ("", 0)
        self._port = 0
        self._server: asyncio.Server | None = None
        self._lose = b""
        self._near: set[asyncio.StreamWriter] = set()
        self._held: set[asyncio.Task[None]] = set()

    def leads_to(self, url: str) -> None:
        parts = urlsplit(url)
        self._upstream = (str(parts.hostname), int(parts.port or 0))

    def lose_the_answer_to(self, request: str) -> None:
        """The next request with this in its first line arrives; its answer does not come back."""
        self._lose = request.encode()

    async def up(self) -> None:
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}"

    async def down(self) -> None:
        """Nobody listens any more, and what was connected is cut."""
        if self._server is not None:
            self._server.close()
        for writer in list(self._near):
            writer.transport.abort()
        await asyncio.sleep(0)

    async def gone(self) -> None:
        """Down for good; nothing of this wire is left to be found by another test."""
        await self.down()
        for task in self._held:
            task.cancel()
        await asyncio.gather(*self._held, return_exceptions=True)

    def _accepted(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._connected(near, back))
        self._held.add(task)
        task.add_done_callback(self._held.discard)

    async def _connected(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        self._near.add(back)
        try:
            far, on = await asyncio.open_connection(*self._upstream)
            answers = asyncio.create_task(self._answers(far, back))
            try:
                while data := await near.read(65536):
                    if self._lose and self._lose in data.partition(b"\r\n")[0]:
                        self._lose = b""
                        self._near.discard(back)
                    on.write(data)
                on.write_eof()
                await answers
            finally:
                answers.cancel()
                await asyncio.gather(answers, return_exceptions=True)
                on.close()
        except OSError:
            pass  # either side may go at any time: that is what this wire is for
        finally:
            self._near.discard(back)
            back.close()

    async def _answers(self, far: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        while data := await far.read(65536):
            if back not in self._near:
                back.transport.abort()
            elif not back.is_closing():
                back.write(data)
        back.close()


@asynccontextmanager
async def a_wire() -> AsyncIterator[Wire]:
    wire = Wire()
    await wire.up()
    try:
        yield wire
    finally:
        await wire.gone()
