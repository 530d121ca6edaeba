"""The web server's face towards the gateway's handlers: requests without HTTP, sockets without TCP.

The handlers of `gateway.web` run as they are. What they use of aiohttp's request and WebSocket is here;
`gateway.web.media` gets its WebSocket from `sockets` below.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from types import SimpleNamespace
from typing import Any, Final, Protocol
from urllib.parse import parse_qsl, urlencode, urlsplit

from aiohttp import WSCloseCode, WSMessage, WSMsgType, web

from gateway.web import api, media, middleware, webhooks
from gateway.web.forms import FORM_TYPE

_ROUTES: Final[Mapping[tuple[str, str], Callable[[web.Request], Awaitable[web.StreamResponse]]]] = {
    ("POST", "/twilio/voice"): webhooks.voice,
    ("POST", "/twilio/connected"): webhooks.connected,
    ("POST", "/twilio/status"): webhooks.status,
    ("POST", "/twilio/stream-status"): webhooks.stream_status,
}
_ORDERS: Final[Mapping[str, Callable[[web.Request], Awaitable[web.StreamResponse]]]] = {
    "hangup": api.hang_up,
    "transfer": api.transfer,
}
_CALLS: Final = "/v1/calls/"
_MEDIA: Final = "/twilio/media/"
_CLOSED: Final = WSMessage(WSMsgType.CLOSED, None, None)
_CLOSING: Final = WSMessage(WSMsgType.CLOSING, None, None)


class Peer(Protocol):
    """The carrier's end of a media socket."""

    def accepted(self, socket: SimSocket) -> None: ...

    def take(self, text: str) -> None: ...

    def closed(self, code: int) -> Awaitable[None]:
        """The gateway closes; returns when the carrier has closed too, perhaps never."""
        ...


class SimRequest:
    """What the handlers ask of a request."""

    def __init__(
        self,
        method: str,
        url: str,
        form: Mapping[str, str] | None = None,
        peer: Peer | None = None,
        text: str = "",
    ) -> None:
        parts = urlsplit(url)
        self.app: web.Application | None = None
        """The gateway's, once it has the request."""
        self.method = method
        self.url = url
        self.form = form
        self.path = parts.path
        self.raw_path = url.removeprefix(f"{parts.scheme}://{parts.netloc}")
        self.query = dict(parse_qsl(parts.query))
        self.headers: Mapping[str, str] = {}
        self.content_type = "" if form is None else FORM_TYPE
        self.content_length = 0
        self.charset = None
        self.transport = None
        self.match_info: Any = _MatchInfo()
        self.peer = peer
        self._form = form or {}
        self._text = text
        self.can_read_body = bool(text)

    async def read(self) -> bytes:
        return urlencode(self._form).encode()

    async def text(self) -> str:
        return self._text


class _MatchInfo(dict[str, str]):
    route: Final = SimpleNamespace(resource=None)


async def answer(request: SimRequest) -> tuple[int, str]:
    """Have the gateway's handler answer; (status, text)."""
    handler = _ROUTES.get((request.method, request.path))
    if request.path.startswith(_MEDIA):
        request.match_info["token"] = request.path.removeprefix(_MEDIA)
        handler = media.media
    if request.path.startswith(_CALLS):
        request.match_info["call_sid"], _, order = request.path.removeprefix(_CALLS).partition("/")
        handler = _ORDERS.get(order)
    if handler is None:
        return 404, ""
    typed: Any = request
    try:
        response = await middleware.plain_errors(typed, handler)
    except web.HTTPException as error:
        return error.status, error.text or ""
    return response.status, getattr(response, "text", None) or ""


class SimSocket:
    """The gateway's end of a media socket, as `aiohttp.web.WebSocketResponse` shows it."""

    status: Final = 101

    def __init__(self, **_options: object) -> None:
        self._peer: Peer | None = None
        self._messages: deque[WSMessage] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self.closed = False
        self._error: Exception | None = None
        self._closing: asyncio.Future[None] | None = None

    def can_prepare(self, request: SimRequest) -> Any:
        return SimpleNamespace(ok=request.peer is not None)

    async def prepare(self, request: SimRequest) -> None:
        self._peer = request.peer
        if self._peer is not None:
            self._peer.accepted(self)

    async def receive(self) -> WSMessage:
        while not self._messages:
            if self.closed:
                return _CLOSED
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        message = self._messages.popleft()
        if message.type is not WSMsgType.TEXT:
            self.closed = True
        return message

    async def send_str(self, text: str) -> None:
        if self.closed or self._peer is None:
            raise ConnectionResetError("Cannot write to closing transport")
        self._peer.take(text)

    async def close(self, *, code: int = WSCloseCode.OK) -> bool:
        if self.closed or self._peer is None:
            return False
        self.closed = True
        self._wake()
        await self._peer.closed(int(code))
        return True

    def exception(self) -> Exception | None:
        return self._error

    # ------------------------------------------------------------ the carrier's side

    def feed(self, text: str) -> None:
        """A message arrives."""
        if not self.closed:
            self._messages.append(WSMessage(WSMsgType.TEXT, text, None))
            self._wake()

    def hung_up(self) -> None:
        """The carrier has closed, in order."""
        self._put(WSMessage(WSMsgType.CLOSE, WSCloseCode.OK, ""))

    def broke(self) -> None:
        """The connection is reset."""
        self._error = ConnectionResetError()
        self._put(WSMessage(WSMsgType.CLOSED, None, None))

    def _put(self, message: WSMessage) -> None:
        if not self.closed:
            self._messages.append(message)
            self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def _stand_in() -> Any:
    """The `aiohttp.web` that `gateway.web.media` sees: its own, but for the WebSocket."""
    names = {name: getattr(web, name) for name in dir(web) if not name.startswith("__")}
    return SimpleNamespace(**(names | {"WebSocketResponse": SimSocket}))


sockets: Final = _stand_in()

__all__ = ["Peer", "SimRequest", "SimSocket", "answer", "api", "sockets"]
