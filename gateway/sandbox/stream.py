"""The NDJSON answer: one event per line, flushed one by one, with the wire's faults applied."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import struct
from typing import Any, Final

from aiohttp import web

from gateway.sandbox.journal import Entry
from gateway.sandbox.state import Sandbox

log = logging.getLogger("gateway.sandbox")

Event = dict[str, Any]

CRUMB: Final = 1024
"""Bytes written at a time under `slow-drip`."""
SPARE: Final = frozenset(
    {
        "stop",
        "sequence_number",
        "message_metadata",
        "transcript_alignment",
    }
)
"""Fields left out under `missing-fields`: what is left can still be followed."""
HUGE: Final = 1_200_000
"""Characters that make one line longer than 1 MiB."""


class ClientGone(Exception):  # noqa: N818 - reads as the sentence it is
    """The client went away and the sandbox was told to roll back when that happens."""


def reset(request: web.Request) -> None:
    """Break the connection with a TCP reset, as a service that dies does."""
    if request.transport is None:
        return
    sock = request.transport.get_extra_info("socket")
    if sock is not None:
        # Without this the kernel would end the connection in order, and the client see a clean FIN.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    request.transport.abort()


class EventStream:
    """One streaming response. Events go out whole and at once, unless a fault says otherwise."""

    def __init__(self, sandbox: Sandbox, entry: Entry, request: web.Request, status: int) -> None:
        self._sandbox = sandbox
        self._entry = entry
        self._request = request
        self._cut = False
        self.response = web.StreamResponse(
            status=status, headers={"Content-Type": "application/x-ndjson"}
        )
        self.response.enable_chunked_encoding()
        # "The connection will then terminate": the service closes it, so do we.
        self.response.force_close()
        self._newline = b"\r\n" if sandbox.strike("crlf", entry) else b"\n"
        self._drip = sandbox.strike("slow-drip", entry)
        self._extra = sandbox.strike("extra-fields", entry) is not None
        self._twice = sandbox.strike("duplicate-fields", entry) is not None
        self._spare = sandbox.strike("missing-fields", entry) is not None
        self._headless = sandbox.strike("cut-headers", entry) is not None
        self._lazy_newline = sandbox.strike("no-final-newline", entry) is not None
        self._owed_newline = b""

    async def open(self) -> None:
        """Send status and headers; from now on an answer can only be ended, not replaced."""
        self._entry.status = self.response.status
        self._request[STREAM] = self
        if self._headless:
            self.cut()
            self._lost()
            return
        try:
            await self.response.prepare(self._request)
        except ConnectionError:
            self._lost()

    async def send(self, event: Event) -> None:
        """Send one event; raises `ClientGone` only under the roll-back policy."""
        self._entry.events.append((self._sandbox.journal.since(self._entry), event["type"]))
        if self._extra:
            event = {**event, "x_trace": {"span": "7f"}, "x_region": None}
        if self._spare:
            event = {name: value for name, value in event.items() if name not in SPARE}
        line = json.dumps(event, ensure_ascii=False).encode()
        await self.send_line(line[:-1] + b", " + line[1:] if self._twice else line)

    async def send_line(self, line: bytes) -> None:
        """Send one line that need not be an event."""
        ending = self._newline if self._newline == b"\n" else self._newline * 2
        lead = self._owed_newline
        self._owed_newline = ending if self._lazy_newline else b""
        await self.send_raw(lead + line + (b"" if self._lazy_newline else ending))

    async def send_raw(self, data: bytes) -> None:
        step = CRUMB if self._drip else len(data)
        for at in range(0, len(data), step):
            await self._write(data[at : at + step])
            if self._drip is not None:
                await asyncio.sleep(self._drip.ms / 1000)

    async def error(self, code: int, description: str) -> None:
        await self.send(
            {"type": "error", "http_error_code": code, "error_description": description}
        )

    async def fail(self, code: int, description: str) -> None:
        """The end of an answer that cannot go on: an `error` event, where anybody still hears it, and EOF."""
        try:
            await self.error(code, description)
        except ClientGone:
            log.info("%s: the client left before its error", self._entry.operation)
        await self.finish()

    def cut(self) -> None:
        """Reset the connection; the work may go on behind it, as with a client that left."""
        self._cut = True
        reset(self._request)

    async def finish(self) -> None:
        """The clean end of the answer, if it began and anybody is still there to see it."""
        if not self.response.prepared:
            return
        try:
            await self.response.write_eof()
        except ConnectionError:
            self._note_gone()

    async def _write(self, data: bytes) -> None:
        transport = self._request.transport
        if self._cut or transport is None or transport.is_closing():
            self._lost()
            return
        try:
            await self.response.write(data)
        except ConnectionError:
            self._lost()

    def _lost(self) -> None:
        self._note_gone()
        if self._sandbox.options.on_disconnect == "rollback":
            raise ClientGone

    def _note_gone(self) -> None:
        if self._entry.client_gone_ms is None and not self._cut:
            self._entry.client_gone_ms = self._sandbox.journal.since(self._entry)


STREAM = web.RequestKey("STREAM", EventStream)
"""The answer that has begun to stream, if one has."""
