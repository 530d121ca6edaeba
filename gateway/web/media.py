"""The carrier's media socket meets its call."""

from __future__ import annotations

import asyncio
import logging
from typing import Final, assert_never

from aiohttp import WSCloseCode, WSMsgType, web

from gateway.bridge.answers import Elsewhere
from gateway.bridge.bridge import Bridge
from gateway.call import events as ev
from gateway.carriers import (
    CallerAudio,
    Connected,
    DigitPressed,
    Ignored,
    LineEvent,
    Malformed,
    MarkReached,
    StreamStarted,
    StreamStopped,
    Wire,
)
from gateway.log import bind_call, fact
from gateway.metrics import Metrics
from gateway.web.keys import METRICS
from gateway.web.relay import RELAYED
from gateway.web.webhooks import DESK

_log = logging.getLogger(__name__)

MAX_MESSAGE: Final = 64 * 1024
"""Characters; a media message of 20 ms has 400. Longer ones are thrown away unread."""
MAX_FRAME_BYTES: Final = 16 * 1024 * 1024
"""Above this a message is not even taken in: the socket closes with 1009."""
START_SECONDS: Final = 5.0
"""From the upgrade to `start`."""
CLOSE_SECONDS: Final = 2.0
MAX_MALFORMED: Final = 20
"""In a row; a peer that sends nothing but rubbish is no carrier."""


class SocketLine:
    """The socket as the bridge's mouth sees it: sends are no-ops once it is gone."""

    def __init__(self, socket: web.WebSocketResponse, transport: asyncio.Transport | None) -> None:
        self._socket = socket
        self._transport = transport
        self._stopped = False
        self.over = False
        """The carrier said `stop`: the call is over, not just its socket."""

    def stop(self) -> None:
        """The carrier said `stop`: nothing may be sent any more."""
        self._stopped = self.over = True

    async def send(self, text: str) -> None:
        if self._stopped or self._socket.closed:
            return
        try:
            await self._socket.send_str(text)
        except (ConnectionError, RuntimeError):
            self._stopped = True

    async def close(self, code: int = WSCloseCode.OK) -> None:
        """Close, within `CLOSE_SECONDS`; safe to repeat."""
        self._stopped = True
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._socket.close(code=code)
        except TimeoutError:
            # a peer that takes nothing any more: our close would wait behind our sound for ever
            if self._transport is not None:
                self._transport.abort()


def add_routes(app: web.Application) -> None:
    app.router.add_get("/twilio/media/{token}", media, allow_head=False)


async def media(request: web.Request) -> web.StreamResponse:
    """Check signature and token before the upgrade, then feed the call until the stream ends."""
    desk = request.app[DESK]
    if desk.signatures is not None and not desk.signatures.socket(
        request.raw_path, request.headers
    ):
        fact(_log, "media.unsigned", level=logging.WARNING)
        raise web.HTTPForbidden
    token = request.match_info["token"]
    place = await desk.switchboard.place_of(token)
    if place is None:
        fact(_log, "media.token-refused", level=logging.WARNING)
        raise web.HTTPForbidden
    socket = web.WebSocketResponse(
        compress=False, max_msg_size=MAX_FRAME_BYTES, timeout=CLOSE_SECONDS / 2, autoping=True
    )
    if not socket.can_prepare(request).ok:
        raise web.HTTPBadRequest(text="this is a WebSocket")
    if isinstance(place, Elsewhere) and place.address and RELAYED not in request.headers:
        relayed = await desk.relay.socket(request, place.address)
        if relayed is not None:
            return relayed
        if await desk.relay.alive(place.address, place.replica):
            raise web.HTTPServiceUnavailable  # slow, not gone: the carrier asks what is next
    dead = place.replica if isinstance(place, Elsewhere) else None
    bridge = await desk.switchboard.spend(token, dead)
    if bridge is None:
        raise web.HTTPForbidden
    await socket.prepare(request)
    bind_call(bridge.record.call_sid)
    line = SocketLine(socket, request.transport)
    stream = _Stream(socket, line, bridge, desk.make_wire(), request.app[METRICS], desk.account_sid)
    await stream.run()
    return socket


class _Stream:
    """One media stream: its socket, its wire, its call."""

    def __init__(
        self,
        socket: web.WebSocketResponse,
        line: SocketLine,
        bridge: Bridge,
        wire: Wire,
        metrics: Metrics,
        account_sid: str,
    ) -> None:
        self._socket = socket
        self._line = line
        self._bridge = bridge
        self._wire = wire
        self._account_sid = account_sid
        self._heard = metrics.frames_total.labels(direction="in")
        self._errors = metrics.media_errors_total
        self._started = False
        self._malformed = 0
        self._told: set[str] = set()
        """Reasons that stand in the log: one line for each tells as much as fifty a second."""

    async def run(self) -> None:
        """Read until the stream ends, whoever ends it."""
        try:
            if await self._start():
                await self._listen()
        finally:
            self._bridge.lost(self._line, stopped=self._line.over)
            if self._wire.sequence_breaks:
                fact(_log, "media.sequence-breaks", count=self._wire.sequence_breaks)
            await self._line.close()

    async def _start(self) -> bool:
        """Wait for `start`, but not for ever."""
        try:
            async with asyncio.timeout(START_SECONDS):
                while not self._started and not self._socket.closed:
                    if not await self._receive():
                        break
        except TimeoutError:
            fact(_log, "media.no-start", level=logging.WARNING)
            await self._line.close(WSCloseCode.POLICY_VIOLATION)
        return self._started

    async def _listen(self) -> None:
        while await self._receive():
            pass

    async def _receive(self) -> bool:
        """One message; False when the stream is over."""
        message = await self._socket.receive()
        if message.type is WSMsgType.TEXT:
            if len(message.data) > MAX_MESSAGE:
                return await self._rare(Malformed("oversize-message"))
            event = self._wire.receive(message.data)
            if type(event) is CallerAudio:  # the hot path first
                self._heard.inc()
                self._malformed = 0
                self._bridge.hear(event.payload, event.timestamp_ms)
                return True
            return await self._rare(event)
        if message.type is WSMsgType.BINARY:
            return await self._rare(Malformed("binary"))
        if message.type is WSMsgType.ERROR:
            self._count("socket-error")
            self._tell_once(
                "media.socket-error", str(self._socket.exception())[:100], logging.WARNING
            )
        return False

    async def _rare(self, event: LineEvent) -> bool:
        self._bridge.last_heard = self._bridge.now()
        match event:
            case StreamStarted():
                return await self._begin(event)
            case DigitPressed():
                self._bridge.feed(ev.DigitPressed(event.digit))
            case MarkReached():
                self._bridge.mouth.mark_reached(event.name)
            case StreamStopped():
                self._line.stop()
                return False
            case Malformed():
                return await self._bad(event.reason)
            case Ignored():
                self._count(event.reason)
                self._tell_once("media.ignored", event.reason, logging.INFO)
            case Connected() | CallerAudio():
                pass
            case _:
                assert_never(event)
        return True

    async def _begin(self, event: StreamStarted) -> bool:
        """`start` must name the call the token was made for, in sound we can decode."""
        theirs = event.call_sid != self._bridge.record.call_sid
        if theirs or (event.account_sid and event.account_sid != self._account_sid):
            self._count("foreign-start")
            fact(_log, "media.foreign-start", level=logging.WARNING)
            await self._line.close(WSCloseCode.POLICY_VIOLATION)
            return False
        if not event.decodable:
            self._count("undecodable-format")
            fact(
                _log,
                "media.format-refused",
                level=logging.WARNING,
                encoding=event.encoding,
                rate=event.sample_rate,
            )
            self._bridge.sorry = True
            await self._line.close(WSCloseCode.UNSUPPORTED_DATA)
            return False
        self._started = self._bridge.attach(self._line, self._wire, event.stream_sid)
        return self._started

    async def _bad(self, reason: str) -> bool:
        """Rubbish loses nothing but itself; nothing but rubbish ends the stream."""
        self._count(reason)
        self._malformed += 1
        self._tell_once("media.malformed", reason, logging.WARNING)
        if self._malformed < MAX_MALFORMED:
            return True
        await self._line.close(WSCloseCode.UNSUPPORTED_DATA)
        return False

    def _count(self, reason: str) -> None:
        self._errors.labels(kind=reason).inc()

    def _tell_once(self, event: str, reason: str, level: int) -> None:
        if reason not in self._told:
            self._told.add(reason)
            fact(_log, event, level=level, reason=reason)
