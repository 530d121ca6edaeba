"""One media socket of the carrier, spoken by hand and read strictly."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import secrets
import socket
import struct
from collections import deque

import aiohttp

from gateway.simulator.playback import Playback
from gateway.simulator.sound import frames, noise_frame
from gateway.simulator.wire import Media, Wrong, read
from tests.end_to_end.door_carrier import Message, eventually
from tests.support.stack import ACCOUNT, spoken

TICK = 0.02
WEASELS = spoken("weasels").sound
GOODBYE = spoken("goodbye").sound


class Stream:
    """One media socket: what it sends is up to the test, between that it keeps the line alive."""

    def __init__(
        self, ws: aiohttp.ClientWebSocketResponse, call_sid: str, account: str = ACCOUNT
    ) -> None:
        self.ws = ws
        self.call_sid = call_sid
        self.account = account
        self.sid = f"MZ{secrets.token_hex(16)}"
        self.frames: list[tuple[float, str]] = []
        """Every text frame as it came, and when."""
        self.received: list[Message] = []
        self.wrong: list[Wrong] = []
        self.hung_up = asyncio.Event()
        """The gateway asked for the end of the call over REST."""
        self.closed = asyncio.Event()
        self.sound_heard = 0
        """Bytes of agent sound that have begun to play."""
        self.echoes = True
        """Marks come back, as they should."""
        self._playback = Playback()
        self._sequence = 0
        self._chunk = 0
        self._to_say: deque[bytes] = deque()
        self._said = asyncio.Event()
        self._started = False
        self._mute = False

    # -------------------------------------------------------- sending

    async def send(self, message: Message | str | bytes) -> None:
        """Send one message as it is; a socket that is gone takes it too."""
        with contextlib.suppress(ConnectionError, aiohttp.ClientError):
            if isinstance(message, bytes):
                await self.ws.send_bytes(message)
            else:
                await self.ws.send_str(message if isinstance(message, str) else json.dumps(message))

    def message(self, event: str, body: object, **changes: object) -> Message:
        """A message as the carrier writes it; a change to None leaves the field out."""
        self._sequence += 1
        found = {
            "event": event,
            "sequenceNumber": str(self._sequence),
            "streamSid": self.sid,
            event: body,
        } | changes
        return {name: value for name, value in found.items() if value is not None}

    def media(self, sound: bytes, **changes: object) -> Message:
        self._chunk += 1
        body = {
            "track": "inbound",
            "chunk": str(self._chunk),
            "timestamp": str(self._chunk * 20),
            "payload": base64.b64encode(sound).decode(),
        } | changes
        return self.message("media", {k: v for k, v in body.items() if v is not None})

    def start_message(self, **changes: object) -> Message:
        body = {
            "streamSid": self.sid,
            "accountSid": self.account,
            "callSid": self.call_sid,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": {},
        } | changes
        return self.message("start", {k: v for k, v in body.items() if v is not None})

    async def start(self, **changes: object) -> None:
        await self.send({"event": "connected", "protocol": "Call", "version": "1.0.0"})
        await self.send(self.start_message(**changes))
        self._started = True

    async def stop(self) -> None:
        self.mute()
        await self.send(
            self.message("stop", {"accountSid": self.account, "callSid": self.call_sid})
        )

    async def say(self, sound: bytes) -> None:
        """Speak in real time; returns when the last frame is out."""
        self._to_say.extend(frames(sound))
        self._said.clear()
        await self._said.wait()

    def mute(self) -> None:
        """Send nothing by itself any more."""
        self._mute = True

    async def reset(self) -> None:
        """Lose the connection as a network does: a TCP reset, no close frame."""
        self.mute()
        connection = self.ws._response.connection
        if connection is not None and connection.transport is not None:
            raw = connection.transport.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.transport.abort()

    # -------------------------------------------------------- receiving

    def of(self, event: str) -> list[Message]:
        return [message for message in self.received if message["event"] == event]

    async def hears(self, more: int = 1, seconds: float = 10.0) -> None:
        """Wait until the agent is heard (again): so many bytes beyond what was heard before."""
        wanted = self.sound_heard + more
        await eventually(lambda: self.sound_heard >= wanted, seconds, "agent sound")

    async def ends(self, seconds: float = 10.0) -> int | None:
        """Wait for the gateway's close; returns its code."""
        await eventually(self.closed.is_set, seconds, "the close of the media socket")
        return self.ws.close_code

    async def run(self) -> None:
        """Read, play and keep the line alive until the socket closes."""
        pump = asyncio.create_task(self._pump(), name="test pump")
        try:
            async for message in self.ws:
                assert message.type is aiohttp.WSMsgType.TEXT, message
                await self._take(message.data)
        finally:
            self.closed.set()
            self._said.set()
            pump.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await pump

    async def _take(self, text: str) -> None:
        self.frames.append((asyncio.get_running_loop().time(), text))
        judged = read(text, self.sid)
        if isinstance(judged, Wrong):
            self.wrong.append(judged)
            return
        message = json.loads(text)
        self.received.append(message)
        match message["event"]:
            case "media" if isinstance(judged, Media):
                self._playback.play(judged.payload)
            case "mark":
                await self._echo(self._playback.mark(message["mark"]["name"]))
            case "clear":
                await self._echo(self._playback.clear())

    async def _echo(self, names: tuple[str, ...]) -> None:
        for name in names if self.echoes else ():
            await self.send(self.message("mark", {"name": name}))

    async def _pump(self) -> None:
        loop = asyncio.get_running_loop()
        due, number = loop.time(), 0
        while True:
            played = self._playback.tick()
            self.sound_heard += len(played.frame or b"")
            await self._echo(played.marks)
            if self.hung_up.is_set() and not self._mute:
                await self.stop()
            if self._started and not self._mute:
                frame = self._to_say.popleft() if self._to_say else noise_frame(number)
                await self.send(self.media(frame))
            if not self._to_say:
                self._said.set()
            number += 1
            due += TICK
            await asyncio.sleep(max(0.0, due - loop.time()))
