"""The conversation API's client: one method per thing the gateway asks of it.

It repeats a request in two cases only: after a 401 with a new token, and a voice turn refused as
written in the wrong revision. Everything else, time-outs of turns included, is for the call to
decide. Every failure is an `AmigoError`.
"""

from __future__ import annotations

import json
from contextlib import AsyncExitStack, asynccontextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Self

from gateway.amigo.archive import Archive
from gateway.amigo.around import AroundConversations
from gateway.amigo.auth import Tokens
from gateway.amigo.directory import Directory
from gateway.amigo.interaction import InteractionStream
from gateway.amigo.models import (
    FinishResult,
    ServiceInfo,
    ServicePage,
    read_answer,
)
from gateway.amigo.negotiation import RevisionChoice
from gateway.amigo.requests import Requests
from gateway.amigo.revisions import Revision, revision_from_openapi
from gateway.amigo.transport import Transport
from gateway.amigo.wishes import Opening
from gateway.errors import AmigoError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager
    from types import TracebackType

    from gateway.amigo.models import AmigoOptions, VoiceBody
    from gateway.amigo.requests import Request
    from gateway.amigo.transport import Exchange, Observer
    from gateway.amigo.wishes import Events, MessageKind, ReplyFormat
    from gateway.clock import Clock
    from gateway.ids import ConversationId, UserId


_PLAIN = Opening()


def _unobserved(_operation: str, _status: int | None, _seconds: float) -> None: ...


class AmigoClient(Archive, AroundConversations, Directory):
    """A client of one organization; an async context manager that owns its connections.

    All methods are safe to cancel and may run side by side for any number of calls.
    """

    def __init__(
        self,
        options: AmigoOptions,
        clock: Clock,
        observe: Observer = _unobserved,
        make_transport: Callable[[AmigoOptions, Clock, Observer], Transport] = Transport,
    ) -> None:
        self._requests = Requests(options)
        self._transport = make_transport(options, clock, observe)
        self._tokens = Tokens(self._transport, self._requests, clock)
        self._choice = RevisionChoice(options.revision, self._described_revision)
        self._closing = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as opening:
            await opening.enter_async_context(self._transport)
            await opening.enter_async_context(self._tokens)
            self._closing = opening.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._closing.aclose()

    # ------------------------------------------------------------------ revision

    @property
    def on_revision(self) -> Callable[[Revision], None] | None:
        """Told the new revision whenever the service has taught us another one."""
        return self._choice.on_change

    @on_revision.setter
    def on_revision(self, listener: Callable[[Revision], None] | None) -> None:
        self._choice.on_change = listener

    async def detect_revision(self) -> Revision | None:
        """What the service's own document says; used from now on if the setting is `auto`.

        None if the document cannot be had or read. Never raises.
        """
        found = await self._described_revision()
        if found is not None and self._choice.auto:
            self._choice.adopt(found)
        return found

    def assume_revision(self, revision: Revision) -> None:
        """Begin with `revision`, for instance the last one known to have worked."""
        self._choice.current = revision

    async def _described_revision(self) -> Revision | None:
        try:
            reply = await self._transport.fetch(self._requests.openapi())
            return revision_from_openapi(json.loads(reply.body))
        except (AmigoError, ValueError, RecursionError):
            return None

    # ------------------------------------------------------------------ streams

    def create(
        self, user: UserId, service_id: str, version_set: str, opening: Opening = _PLAIN
    ) -> AbstractAsyncContextManager[InteractionStream]:
        """Begin a conversation and stream the agent's greeting, as voice unless `opening` says not.

        Entering waits for the status only. Leaving before the end resets the connection; whether
        the conversation then exists is unknown.
        """
        return self._interaction(
            user,
            opening.response,
            lambda revision: self._requests.create(revision, service_id, version_set, opening),
        )

    @asynccontextmanager
    async def interact_voice(
        self,
        user: UserId,
        conversation_id: ConversationId,
        body: VoiceBody,
        *,
        response: ReplyFormat = "voice",
        events: Events = (),
    ) -> AsyncIterator[InteractionStream]:
        """One turn: upload what the caller says while it is said, stream the agent's answer.

        Entering returns as soon as the service answers, be it in the middle of the upload; the
        upload goes on while the stream is read. Leaving before the recording has ended resets the
        connection, so that half a sentence never counts as a turn. `events` (2026-04) happened
        before it.
        """
        exchange = await self._open_voice(
            user,
            lambda revision: self._requests.interact_voice(
                revision, conversation_id, body, response, events
            ),
        )
        try:
            yield InteractionStream(exchange, voice=response == "voice")
        finally:
            await exchange.close()

    def interact_text(
        self,
        user: UserId,
        conversation_id: ConversationId,
        text: str,
        *,
        response: ReplyFormat = "voice",
        events: Events = (),
        kind: MessageKind = "user-message",
    ) -> AbstractAsyncContextManager[InteractionStream]:
        """One turn of text (keys the caller pressed), of an event, or of nothing (`skip`: 2026-04)."""
        return self._interaction(
            user,
            response,
            lambda revision: self._requests.interact_text(
                revision, conversation_id, text, response, events, kind
            ),
        )

    @asynccontextmanager
    async def _interaction(
        self, user: UserId, response: ReplyFormat, build: Callable[[Revision], Request]
    ) -> AsyncIterator[InteractionStream]:
        exchange = await self._open(user, build(self.revision))
        try:
            yield InteractionStream(exchange, voice=response == "voice")
        finally:
            await exchange.close()

    async def _open_voice(self, user: UserId, build: Callable[[Revision], Request]) -> Exchange:
        tried = self.revision
        try:
            exchange = await self._open(user, build(tried))
        except AmigoError as refusal:
            other = await self._choice.refused(tried, refusal.status)
            if other is None:
                raise
            exchange = await self._open_again(user, build(other))
        self._choice.accepted()
        return exchange

    async def _open_again(self, user: UserId, request: Request) -> Exchange:
        try:
            return await self._open(user, request)
        except AmigoError as refusal:
            self._choice.refused_again(refusal.status)
            raise

    # ------------------------------------------------------------------ whole answers

    async def sign_in(self, user: UserId) -> None:
        """Have a token for `user` ready; does nothing if there is one."""
        await self._tokens.token(user)

    async def finish(self, user: UserId, conversation_id: ConversationId) -> FinishResult:
        """End a conversation, once every interaction on it has ended.

        Raises `AmigoError(409, retryable=True)` while the service is still busy with it.
        """
        try:
            await self._fetch(user, self._requests.finish(conversation_id))
        except AmigoError as refusal:
            match refusal.status:
                case HTTPStatus.NOT_FOUND:
                    return FinishResult.GONE
                case HTTPStatus.CONFLICT | HTTPStatus.BAD_REQUEST:
                    return await self._unfinishable(user, conversation_id, refusal)
                case _:
                    raise
        return FinishResult.FINISHED

    async def _unfinishable(
        self, user: UserId, conversation_id: ConversationId, refusal: AmigoError
    ) -> FinishResult:
        """Why finish was refused: 409 is "finished" or "busy", 400 is "no interactions"."""
        listed = await self.conversations(user, ids=(conversation_id,))
        found = next((one for one in listed if one.id == conversation_id), None)
        if found is not None and found.is_finished:
            return FinishResult.ALREADY_FINISHED
        if refusal.status == HTTPStatus.BAD_REQUEST and (found is None or not found.num_messages):
            return FinishResult.GONE
        raise refusal

    async def find_service(self, user: UserId, service_id: str) -> tuple[ServiceInfo, ...] | None:
        """The organization's service of this id, or none; None if this user may not know."""
        try:
            reply = await self._fetch(user, self._requests.service(service_id))
        except AmigoError as refusal:
            match refusal.status:
                case HTTPStatus.UNPROCESSABLE_ENTITY:
                    return ()  # not even an id
                case HTTPStatus.FORBIDDEN:
                    return None
                case _:
                    raise
        page = read_answer(ServicePage, "service", reply.status, reply.body)
        return tuple(one for one in page.services if one.id == service_id)
