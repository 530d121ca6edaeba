"""Twilio's REST interface, version 2010-04-01: end a live call, look at and set a number's webhook.

Own requests on aiohttp: the twilio package's client blocks the event loop, and its asynchronous one
ignores its own time-out. A test holds these requests against the ones that package sends. All of
them may be repeated without harm, so refusals that can pass (429, 5xx, no answer) are tried again,
a bounded number of times: whoever waits for a hang-up still has a caller on the line.
"""

from __future__ import annotations

import asyncio
import json
import re
from base64 import b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import quote

import aiohttp
from yarl import URL

from gateway.errors import CarrierError
from gateway.redact import without

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from gateway.ids import CallSid

BASE_URL: Final = "https://api.twilio.com"
"""Twilio's own; regions have others, and simulated calls never come near it."""

_NOT_FOUND: Final = 20404
"""Twilio's code of a resource that is not there; a call that ended a while ago is one."""
_WRONG_STATE: Final = 21220
"""Twilio's code of a call that can no longer be changed."""
_LONGEST_PAUSE: Final = 0.8
"""Seconds; a longer `Retry-After` is cut: three tries of two seconds must stay below eight."""
_LONG_NUMBER: Final = re.compile(r"\d{4,}(?=\d{3})")
"""All but the last three digits of what may be a telephone number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long one order to the carrier may take: with these values, under eight seconds."""

    timeout: float = 2.0
    """Seconds for one try, connecting included."""
    pauses: tuple[float, ...] = (0.2, 0.6)
    """Seconds before the second, third, ... try; their number bounds the tries."""


@dataclass(frozen=True, slots=True)
class IncomingNumber:
    """A telephone number of the account, as far as incoming calls are concerned."""

    sid: str
    phone_number: str
    voice_url: str
    voice_method: str
    status_callback: str
    overridden_by: str | None
    """Sid of the application or trunk that takes the calls instead of `voice_url`, if any."""


@dataclass(frozen=True, slots=True)
class _Reply:
    status: int
    body: Mapping[str, Any]
    retry_after: float = 0.0

    @property
    def code(self) -> int | None:
        """Twilio's own number for what went wrong."""
        code = self.body.get("code")
        return code if isinstance(code, int) else None

    @property
    def passing(self) -> bool:
        return self.status == 429 or self.status >= 500


class TwilioRest:
    """One account at Twilio. An async context manager: it owns its connections.

    With several auth tokens (they are being rotated) the first is used until Twilio refuses it,
    then the next. Methods raise CarrierError and are safe to cancel.
    """

    def __init__(
        self,
        account_sid: str,
        auth_tokens: tuple[str, ...],
        base_url: str = BASE_URL,
        patience: Patience | None = None,
    ) -> None:
        self._account_sid = account_sid
        self._auth_tokens = auth_tokens
        self._root = f"{base_url.rstrip('/')}/2010-04-01/Accounts/{quote(account_sid, safe='')}"
        self._patience = patience or Patience()
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(),  # ours spans the change of a token
            headers={"Accept": "application/json", "User-Agent": "voice-gateway"},
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def hang_up(self, call_sid: CallSid) -> None:
        """End a live call. One that is over already, or that Twilio has forgotten, is fine."""
        path = f"Calls/{quote(call_sid, safe='')}.json"
        reply = await self._send("hang-up", "POST", path, form={"Status": "completed"})
        over = reply.status == 404 or reply.code in {_NOT_FOUND, _WRONG_STATE}
        if not over:
            _demand_success("hang-up", reply)

    async def find_number(self, e164: str) -> IncomingNumber | None:
        """The account's number `e164` (`+15550001111`), or None if it has no such number."""
        query = {"PhoneNumber": e164}
        reply = await self._send("find-number", "GET", "IncomingPhoneNumbers.json", query=query)
        _demand_success("find-number", reply)
        # The filter also finds numbers that merely contain these digits.
        found = (_incoming_number(item) for item in _items(reply))
        return next((number for number in found if number.phone_number == e164), None)

    async def set_webhook(self, sid: str, voice_url: str, status_url: str) -> None:
        """Let the number with this sid ask `voice_url` about calls and tell `status_url` of them."""
        form = {
            "VoiceUrl": voice_url,
            "VoiceMethod": "POST",
            "StatusCallback": status_url,
            "StatusCallbackMethod": "POST",
        }
        path = f"IncomingPhoneNumbers/{quote(sid, safe='')}.json"
        _demand_success("set-webhook", await self._send("set-webhook", "POST", path, form=form))

    async def _send(
        self,
        operation: str,
        method: str,
        path: str,
        *,
        form: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> _Reply:
        url = URL(f"{self._root}/{path}", encoded=True).update_query(query)
        for pause in (*self._patience.pauses, None):
            try:
                reply = await self._authorized(method, url, form)
            except (TimeoutError, aiohttp.ClientError) as error:
                wait = 0.0
                failure = CarrierError(operation, detail=str(error) or type(error).__name__)
            else:
                if not reply.passing:
                    return reply
                wait = min(reply.retry_after, _LONGEST_PAUSE)
                failure = _refusal(operation, reply)
            if pause is not None:
                await asyncio.sleep(max(pause, wait))
        raise failure

    async def _authorized(self, method: str, url: URL, form: Mapping[str, str] | None) -> _Reply:
        """Make one try; as long as Twilio refuses the token, with the next token."""
        async with asyncio.timeout(self._patience.timeout):
            reply = _Reply(status=401, body={"message": "no auth token is set"})
            for token in self._auth_tokens:
                reply = await self._once(method, url, form, token)
                if reply.status != 401:
                    break
            return reply

    async def _once(
        self, method: str, url: URL, form: Mapping[str, str] | None, token: str
    ) -> _Reply:
        if self._session is None:
            raise RuntimeError("TwilioRest is used outside its context")
        credentials = self._credentials(token)
        async with self._session.request(
            method,
            url,
            data=form,
            headers={"Authorization": f"Basic {credentials}"},
            allow_redirects=False,  # credentials go nowhere but where they were sent
        ) as response:
            return _Reply(
                status=response.status,
                retry_after=_seconds(response.headers.get("Retry-After", "")),
                body=self._harmless(_json_object(await response.read())),
            )

    def _credentials(self, token: str) -> str:
        return b64encode(f"{self._account_sid}:{token}".encode()).decode()

    def _harmless(self, body: dict[str, Any]) -> dict[str, Any]:
        """A refusal may repeat the request: what we quote of it must not hold what we sent."""
        if "message" in body:
            secrets = (*self._auth_tokens, *map(self._credentials, self._auth_tokens))
            body["message"] = without(str(body["message"]), secrets)
        return body


def _demand_success(operation: str, reply: _Reply) -> None:
    if not 200 <= reply.status < 300:
        raise _refusal(operation, reply)


def _refusal(operation: str, reply: _Reply) -> CarrierError:
    message = _LONG_NUMBER.sub("…", str(reply.body.get("message", "no reason given")))[:200]
    detail = message if reply.code is None else f"{message} (code {reply.code})"
    return CarrierError(operation, status=reply.status, detail=detail)


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):  # a proxy's error page, or nothing at all
        return {}
    return document if isinstance(document, dict) else {}


def _seconds(retry_after: str) -> float:
    return float(retry_after) if retry_after.isdecimal() else 0.0


def _items(reply: _Reply) -> list[dict[str, Any]]:
    numbers = reply.body.get("incoming_phone_numbers")
    return [item for item in numbers if isinstance(item, dict)] if isinstance(numbers, list) else []


def _incoming_number(item: Mapping[str, Any]) -> IncomingNumber:
    def text(name: str) -> str:
        return str(item.get(name) or "")

    return IncomingNumber(
        sid=text("sid"),
        phone_number=text("phone_number"),
        voice_url=text("voice_url"),
        voice_method=text("voice_method"),
        status_callback=text("status_callback"),
        overridden_by=text("trunk_sid") or text("voice_application_sid") or None,
    )
