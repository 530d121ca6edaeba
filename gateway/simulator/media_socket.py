"""The carrier's end of the media WebSocket: opening, plain text in and out, close codes, resets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Final

import aiohttp
from aiohttp import WSCloseCode, WSMsgType
from aiohttp.http_websocket import WebSocketError
from yarl import URL

from gateway.simulator.webhook import CallFailed

UPGRADE_WITHIN: Final = 5.0
"""Seconds for the socket to open; the carrier reports 31901 or 31920 afterwards."""

READS_WITHIN: Final = 5.0
"""A gateway that takes nothing for this long is reported as congested (31930)."""

MAX_MESSAGE: Final = 1 << 20
"""Characters: large enough that an oversized payload is read, and judged, rather than cut off."""

NO_CLOSE_FRAME: Final = 1006
NO_STATUS: Final = 1005


class NotOpened(CallFailed):
    """The socket did not come up: the carrier goes on as after a stream that has ended."""


@dataclass(frozen=True, slots=True)
class NotText:
    """A frame no carrier accepts: binary, or broken at the level of the WebSocket protocol."""

    rule: str
    what: str


class MediaSocket:
    """One open socket."""

    def __init__(
        self,
        ws: aiohttp.ClientWebSocketResponse,
        http: aiohttp.ClientSession,
        reads_within: float = READS_WITHIN,
    ) -> None:
        self._ws = ws
        self._http = http
        self._reads_within = reads_within
        self.close_code: int | None = None
        """The gateway's close code once it has closed; 1005 none given, 1006 no close frame."""

    async def send(self, text: str) -> None:
        """Send one text frame; raises `ConnectionError` when closed, `CallFailed` when unread."""
        try:
            async with asyncio.timeout(self._reads_within):
                await self._ws.send_str(text)
        except TimeoutError as error:
            raise CallFailed("the gateway stopped reading the media socket (31930)") from error

    async def receive(self) -> str | NotText | None:
        """The next frame; None when the gateway's side is closed. Pings are answered unseen."""
        message = await self._ws.receive()
        match message.type:
            case WSMsgType.TEXT:
                return str(message.data)
            case WSMsgType.BINARY:
                return NotText("S1", f"a binary frame of {len(message.data)} bytes")
            case WSMsgType.ERROR if isinstance(message.data, WebSocketError):
                rule = "S2" if message.data.code == WSCloseCode.INVALID_TEXT else "S11"
                return NotText(rule, f"the WebSocket protocol was broken: {message.data}")
            case WSMsgType.CLOSE:
                self.close_code = message.data or NO_STATUS
            case _:
                self.close_code = self.close_code or NO_CLOSE_FRAME
        return None

    async def reset(self) -> None:
        """Lose the connection as a network does: a TCP reset, no close frame."""
        raw = self._ws.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if self._http.connector is not None:
            await self._http.connector.close()


@contextlib.asynccontextmanager
async def open_socket(
    url: URL, headers: Mapping[str, str], *, reads_within: float = READS_WITHIN
) -> AsyncIterator[MediaSocket]:
    """Connect; raises `NotOpened` with the carrier's error number. Closed on leaving."""
    # A session of its own: resetting its connection must not touch anybody else's.
    async with aiohttp.ClientSession() as http:
        try:
            async with asyncio.timeout(UPGRADE_WITHIN):
                ws = await http.ws_connect(
                    url,
                    headers=headers,
                    compress=0,
                    max_msg_size=MAX_MESSAGE,
                    timeout=aiohttp.ClientWSTimeout(ws_close=1.0),
                )
        except aiohttp.WSServerHandshakeError as error:
            raise NotOpened(f"the media socket was refused with {error.status} (31920)") from error
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise NotOpened(f"the media socket: {type(error).__name__} (31901)") from error
        try:
            yield MediaSocket(ws, http, reads_within)
        finally:
            await ws.close()
