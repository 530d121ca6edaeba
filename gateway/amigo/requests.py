"""Every request we send, as values: method, exact path, query, headers, body.

Paths end with or without a slash exactly as the API's documents spell them; what the service does
with the other spelling is not documented, and redirects are never followed.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlencode

from gateway.amigo.limits import Limits
from gateway.amigo.models import AmigoOptions, VoiceBody
from gateway.amigo.revisions import EventParts, Framing, Query, Revision
from gateway.amigo.wishes import (
    Events,
    MessageKind,
    Opening,
    ReplyFormat,
    check_events,
    offered,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.ids import ConversationId, UserId

NDJSON: Final = "application/x-ndjson"
PAGE: Final = 150
"""Conversations in one page; the documented maximum and default."""


@dataclass(frozen=True, slots=True)
class Recording:
    """A body that is sent while it is still being spoken."""

    voice: VoiceBody
    framing: Framing


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One HTTP request, not yet signed in."""

    operation: str
    """Name in errors and metrics."""
    method: str
    url: str
    """Complete and already percent-encoded."""
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    body: bytes | Recording | None = field(default=None, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    """What must never show in an error's text, should the service quote it."""

    def with_token(self, token: str) -> Request:
        """The same request, made by the user whom the token names."""
        return replace(
            self,
            headers=(*self.headers, ("Authorization", f"Bearer {token}")),
            secrets=(*self.secrets, token),
        )


class Requests:
    """Builds the requests of one organization at one base URL."""

    def __init__(self, options: AmigoOptions) -> None:
        self._options = options
        self._root = f"{options.base_url.rstrip('/')}/v1"
        self._base = f"{self._root}/{_segment(options.organization)}"

    def sign_in(self, user: UserId) -> Request:
        """POST without a body; the key and whom to act as are headers."""
        options = self._options
        request = self._post("sign-in", f"{self._base}/user/signin_with_api_key")
        keys = (
            ("x-api-key", options.api_key),
            ("x-api-key-id", options.api_key_id),
            ("x-user-id", user),
        )
        return replace(request, headers=request.headers + keys)

    def create(
        self, revision: Revision, service_id: str, version_set: str, opening: Opening
    ) -> Request:
        body = {"service_id": service_id, "service_version_set_name": version_set}
        body |= opening.body(revision)
        return self._post(
            "create",
            f"{self._base}/conversation/",
            self._with_extra(revision.answer_query(opening.response)),
            accept=NDJSON,
            content_type="application/json",
            body=json.dumps(body).encode(),
        )

    def interact_voice(
        self,
        revision: Revision,
        cid: ConversationId,
        voice: VoiceBody,
        response: ReplyFormat,
        events: Events,
    ) -> Request:
        check_events("interact", revision, events)
        framing = revision.voice_framing(_boundary(), _parts(events))
        query = (
            ("request_format", "voice"),
            *revision.answer_query(response),
            *revision.upload_query(voice.sample_rate),
        )
        return self._interact(cid, query, framing.content_type, Recording(voice, framing))

    def interact_text(
        self,
        revision: Revision,
        cid: ConversationId,
        text: str,
        response: ReplyFormat,
        events: Events = (),
        kind: MessageKind = "user-message",
    ) -> Request:
        check_events("interact", revision, events)
        if kind != "user-message":
            offered("interact", revision, f"message of type {kind}")
        if kind == "external-event":
            Limits("interact").filled(text=text)
        content_type, body = revision.text_body(text, _boundary(), kind, _parts(events))
        query = (("request_format", "text"), *revision.answer_query(response))
        return self._interact(cid, query, content_type, body)

    def finish(self, cid: ConversationId) -> Request:
        return self._post("finish", f"{self._conversation(cid)}/finish/")

    def conversations(
        self,
        users: Sequence[UserId],
        *,
        service_id: str | None,
        is_finished: bool | None,
        ids: Sequence[ConversationId],
        token: int,
        more: Query = (),
        limit: int = PAGE,
    ) -> Request:
        query = [*(("user_id", user) for user in users), *(("id", cid) for cid in ids)]
        if service_id is not None:
            query.append(("service_id", service_id))
        if is_finished is not None:
            query.append(("is_finished", "true" if is_finished else "false"))
        query += [*more, ("limit", str(limit)), ("continuation_token", str(token))]
        return self._get("conversations", f"{self._base}/conversation/", tuple(query))

    def messages(self, cid: ConversationId, token: int, query: Query = ()) -> Request:
        url = f"{self._conversation(cid)}/messages/"
        return self._get("messages", url, (*query, ("continuation_token", str(token))))

    def service(self, service_id: str) -> Request:
        return self._get("service", f"{self._base}/service/", (("id", service_id),))

    def plain(
        self, operation: str, method: str, place: str, query: Query = (), body: bytes | None = None
    ) -> Request:
        """A request below the organization; `place` is spelled as in the documents, slashes and all."""
        url = f"{self._base}/{place}"
        if method == "POST":
            kind = "application/json" if body is not None else ""
            return self._post(operation, url, query, content_type=kind, body=body)
        return replace(self._get(operation, url, query), method=method)

    def openapi(self) -> Request:
        """The service's own description, public and outside any organization."""
        return self._get("openapi", f"{self._root}/openapi.json", ())

    def _conversation(self, cid: ConversationId) -> str:
        return f"{self._base}/conversation/{_segment(cid)}"

    def _interact(
        self, cid: ConversationId, query: Query, content_type: str, body: bytes | Recording
    ) -> Request:
        return self._post(
            "interact",
            f"{self._conversation(cid)}/interact",
            self._with_extra(query),
            accept=NDJSON,
            content_type=content_type,
            body=body,
        )

    def _with_extra(self, query: Query) -> Query:
        extra = self._options.extra_query
        names = {name for name, _ in extra}
        return (*(pair for pair in query if pair[0] not in names), *extra)

    def _get(self, operation: str, url: str, query: Query) -> Request:
        return Request(
            operation=operation,
            method="GET",
            url=_with_query(url, query),
            headers=self._headers("application/json"),
            secrets=(self._options.api_key,),
        )

    def _post(
        self,
        operation: str,
        url: str,
        query: Query = (),
        *,
        accept: str = "application/json",
        content_type: str = "",
        body: bytes | Recording | None = None,
    ) -> Request:
        kind = (("Content-Type", content_type),) if content_type else ()
        return Request(
            operation=operation,
            method="POST",
            url=_with_query(url, query),
            headers=(*self._headers(accept), *kind),
            body=body,
            secrets=(self._options.api_key,),
        )

    def _headers(self, accept: str) -> tuple[tuple[str, str], ...]:
        cluster = self._options.cluster_name
        # A proxy that compresses a stream may hold events back until its block is full.
        plain = (("Accept-Encoding", "identity"),) if accept == NDJSON else ()
        return (
            ("Accept", accept),
            *plain,
            *((("x-mongo-cluster-name", cluster),) if cluster else ()),
        )


def _parts(events: Events) -> EventParts:
    return tuple((event.content, event.stamp) for event in events)


def _segment(text: str) -> str:
    return quote(text, safe="")


def _with_query(url: str, query: Query) -> str:
    return f"{url}?{urlencode(query, quote_via=quote, safe='')}" if query else url


def _boundary() -> str:
    return f"gateway-{secrets.token_hex(16)}"
