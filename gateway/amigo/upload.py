"""Sends a recording while it is still being spoken, and makes sure that half of one never counts.

The service takes a clean end of the body for "the caller has finished". So the end may be written
only after the recording has ended by itself; on every other way out (hang-up, cancellation, an
early answer, a crash of this process) the peer sees a reset connection.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import TYPE_CHECKING, Final

from aiohttp import Payload

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp.abc import AbstractStreamWriter

    from gateway.amigo.requests import Recording

_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)
_CLOSE_NORMALLY: Final = struct.pack("ii", 0, 0)


class Upload(Payload):
    """One sending of one recording as a request body; a repeated request needs a new one."""

    _autoclose = True  # nothing is open before writing begins

    def __init__(self, recording: Recording) -> None:
        super().__init__(recording, content_type=recording.framing.content_type)
        self._recording = recording
        self._transport: asyncio.WriteTransport | None = None
        self._settled = asyncio.Event()
        self.complete = False
        """The recording has ended and all of it is with the transport."""
        self.failure: Exception | None = None
        """What the recording itself raised, if it did."""

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:  # noqa: ARG002
        """Asked of payloads that are shown or signed; this one exists only while it is sent."""
        raise TypeError("a recording is sent as it is spoken and cannot be shown")

    async def write(self, writer: AbstractStreamWriter) -> None:
        await self.write_with_length(writer, None)

    async def write_with_length(
        self, writer: AbstractStreamWriter, content_length: int | None
    ) -> None:
        """Write the framed recording; returning tells aiohttp to end the body cleanly."""
        assert content_length is None  # a length would mean that the body is not chunked
        self._transport = writer.transport
        try:
            # Set before the first byte: whoever closes the socket from here on resets it.
            self._linger(_RESET_ON_CLOSE)
            await self._write_all(writer)
            self._linger(_CLOSE_NORMALLY)
            self.complete = True
        finally:
            if not self.complete:
                self.cut()
            self._settled.set()

    def cut(self) -> None:
        """Reset the connection unless the whole recording has been sent."""
        if self._transport is not None and not self.complete:
            self._transport.abort()

    async def settled(self) -> None:
        """Return when no task writes any more; the request must have ended or been closed."""
        if self._transport is not None:
            await self._settled.wait()
        await asyncio.sleep(0)  # the writing task itself ends one step later

    async def _write_all(self, writer: AbstractStreamWriter) -> None:
        framing = self._recording.framing
        if framing.head:
            await writer.write(framing.head)
        pieces = self._recording.voice.chunks()
        try:
            while (piece := await self._next(pieces)) is not None:
                await writer.write(piece)
        finally:
            if (close := getattr(pieces, "aclose", None)) is not None:
                await close()
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            # The recording swallowed our cancellation and seems to have ended well.
            raise asyncio.CancelledError
        if framing.tail:
            await writer.write(framing.tail)

    async def _next(self, pieces: AsyncIterator[bytes]) -> bytes | None:
        try:
            return await anext(pieces, None)
        except Exception as problem:
            self.failure = problem
            raise

    def _linger(self, value: bytes) -> None:
        if self._transport is None:
            return
        sock: socket.socket | None = self._transport.get_extra_info("socket")
        if sock is None:
            return
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, value)
        except OSError:
            pass  # the peer was faster and the socket is closed: there is nothing left to end
