"""HTTP by hand: requests as nobody's library would send them, and what comes back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


@asynccontextmanager
async def connected(
    port: int,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def everything(reader: asyncio.StreamReader, seconds: float = 20.0) -> bytes:
    """What comes until the other side closes; a reset closes too."""
    got = b""
    with suppress(ConnectionError):
        async with asyncio.timeout(seconds):
            while piece := await reader.read(1 << 16):
                got += piece
    return got


async def answered(port: int, request: bytes) -> bytes:
    """The whole answer to one request, which must ask for the connection to be closed."""
    async with connected(port) as (reader, writer):
        writer.write(request)
        return await everything(reader)


def status(answer: bytes) -> int:
    """Of its first line; 0 where the connection was closed without one."""
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/") else 0
