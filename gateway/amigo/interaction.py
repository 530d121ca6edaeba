"""The streamed answer of one create or interact, as events."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Self

from gateway.amigo.stream import (
    EventReader,
    InteractionCompleted,
    InteractionEvent,
    StreamError,
)
from gateway.errors import AmigoError

if TYPE_CHECKING:
    from gateway.amigo.transport import Exchange


class InteractionStream:
    """Iterate to the end: the service allows nothing else on the conversation before that.

    One reader at a time. Cancelling a read loses nothing: the next one goes on where it was.
    Raises `AmigoError` (`retryable`, no status) after the last event if the connection broke
    before the interaction was settled, and whatever the uploaded recording raised.
    """

    def __init__(self, exchange: Exchange, *, voice: bool = True) -> None:
        self._exchange = exchange
        self._reader = EventReader(voice=voice)
        self._events: deque[InteractionEvent] = deque()
        self._ended = False
        self._failure: AmigoError | None = None
        self._settled = False
        self.cut = False
        """The connection broke after the interaction was settled: nothing we need was lost, but
        an `end-session` may have been."""

    @property
    def request_id(self) -> str | None:
        """The service's name for this request, if it gave one."""
        return self._exchange.request_id

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> InteractionEvent:
        while not self._events and not self._ended:
            await self._read()
        if self._events:
            event = self._events.popleft()
            self._settled = self._settled or isinstance(event, InteractionCompleted | StreamError)
            return event
        if self._failure is not None and not self._settled:
            failure, self._failure = self._failure, None
            raise failure
        self.cut = self._failure is not None
        raise StopAsyncIteration

    async def _read(self) -> None:
        try:
            data = await self._exchange.read()
        except AmigoError as failure:
            self._failure = failure
            self._events += self._reader.feed(self._exchange.salvage())
            data = b""
        if data:
            self._events += self._reader.feed(data)
        else:
            self._ended = True
            self._events += self._reader.close()
