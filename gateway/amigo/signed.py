"""What every method of the client stands on: requests sent as a user, whole lists, one sign-in more on a 401."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any, Final, TypeVar

from gateway.amigo.auth import Tokens
from gateway.amigo.models import Page, read_answer
from gateway.amigo.negotiation import RevisionChoice
from gateway.amigo.requests import Request, Requests
from gateway.amigo.revisions import R2026_04, Query, Revision
from gateway.amigo.transport import Exchange, Reply, Transport
from gateway.errors import AmigoError, AmigoNotOffered
from gateway.ids import UserId

_PAGES: Final = 50
"""Pages followed at most: a service that never stops saying "more" must not hold us for ever."""

AnswerT = TypeVar("AnswerT")
PageT = TypeVar("PageT", bound=Page)


class SignedIn:
    """Sends requests in the name of users."""

    _requests: Requests
    _transport: Transport
    _tokens: Tokens
    _choice: RevisionChoice

    @property
    def revision(self) -> Revision:
        """The revision requests are written in; with `auto` it may change while we run."""
        return self._choice.current

    def _current(self, operation: str, *, offered: bool) -> None:
        if not offered:
            detail = f"revision {self.revision.name} of the API has no such operation"
            raise AmigoNotOffered(operation, detail=detail, asked=False)

    @property
    def _later(self) -> bool:
        return self.revision.name == R2026_04.name

    async def _ask(
        self, user: UserId, operation: str, method: str, place: str, query: Query = ()
    ) -> bytes:
        """The whole body of an answer to a request without one."""
        request = self._requests.plain(operation, method, place, query)
        return (await self._fetch(user, request)).body

    async def _tell(
        self, user: UserId, operation: str, place: str, body: Mapping[str, Any]
    ) -> bytes:
        """The whole body of an answer to a posted JSON object."""
        request = self._requests.plain(operation, "POST", place, body=json.dumps(body).encode())
        return (await self._fetch(user, request)).body

    async def _pages(
        self, user: UserId, model: type[PageT], build: Callable[[int], Request]
    ) -> AsyncIterator[PageT]:
        token = 0
        for _ in range(_PAGES):
            request = build(token)
            reply = await self._fetch(user, request)
            page = read_answer(model, request.operation, reply.status, reply.body)
            yield page
            if not page.has_more or page.continuation_token in {None, token}:
                return
            token = page.continuation_token or 0

    async def _open(self, user: UserId, request: Request) -> Exchange:
        return await self._signed_in(user, request, self._transport.open)

    async def _fetch(self, user: UserId, request: Request) -> Reply:
        return await self._signed_in(user, request, self._transport.fetch)

    async def _signed_in(
        self, user: UserId, request: Request, send: Callable[[Request], Awaitable[AnswerT]]
    ) -> AnswerT:
        """Send as `user`; after a 401 sign in anew and send once more."""
        token = await self._tokens.token(user)
        try:
            return await send(request.with_token(token))
        except AmigoError as refusal:
            if refusal.status != HTTPStatus.UNAUTHORIZED:
                raise
        self._tokens.discard(user, token)
        return await send(request.with_token(await self._tokens.token(user)))
