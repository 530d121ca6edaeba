"""Fetches markup from the gateway and sends it callbacks, as the carrier does: signed form requests.

What is signed is the public URL the carrier was given; where it is sent is the gateway under test.
Form fields: telephony.md 2.1 (voice), 2.3 (status), 2.4 (stream status). Many are empty on real
calls; they are sent, and count in the signature.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Final
from urllib.parse import urlencode, urlsplit, urlunsplit

import aiohttp
from yarl import URL

from gateway.clock import iso
from gateway.simulator.plan import CallPlan, GatewayTarget
from gateway.simulator.signature import HEADER, sign
from gateway.simulator.twiml import BadTwiml, Document, parse

ANSWER_WITHIN: Final = aiohttp.ClientTimeout(total=15, connect=5)
"""Seconds: the carrier's own limits for a webhook (telephony.md 2.2)."""

RETRIES: Final = 1
"""A request that found nobody is sent again so often (`rc`, telephony.md 2.2), hence maybe twice received."""

UNREACHED: Final = "11200"
"""The carrier's error for a document it could not get."""

XML_TYPES: Final = ("text/xml", "application/xml")

AGENT: Final = {"User-Agent": "voice-gateway-simulator"}


class CallFailed(Exception):  # noqa: N818 - reads as the sentence it is
    """The call cannot go on, and the gateway is to blame; the text is for the report."""


class NoDocument(CallFailed):
    """The carrier got no document it can read (11200): it asks at the number's fallback, if there is one."""


class _NobodyThere(NoDocument):
    """The connection failed before any answer came."""


class Webhooks:
    """The HTTP half of one simulated call."""

    def __init__(
        self, http: aiohttp.ClientSession, target: GatewayTarget, plan: CallPlan, call_sid: str
    ) -> None:
        self._http = http
        self._target = target
        self._public = target.public_url.rstrip("/")
        self._call = _call_fields(plan, target.account_sid, call_sid)

    async def voice(self) -> Document:
        """Ask what to do with the ringing call; raises `CallFailed`."""
        url = self._public + self._target.voice_path
        return await self.document(url, "POST", {"CallStatus": "ringing"})

    async def document(self, url: str, method: str, extra: Mapping[str, str]) -> Document:
        """Fetch a document for the call; raises `CallFailed` where the carrier would give up."""
        try:
            return await self._fetch(url, method, extra)
        except NoDocument:
            if not self._target.fallback_path:
                raise
            failed = {"ErrorCode": UNREACHED, "ErrorUrl": url}
            fallback = self._public + self._target.fallback_path
            return await self._fetch(fallback, "POST", {**extra, **failed})

    async def _fetch(self, url: str, method: str, extra: Mapping[str, str]) -> Document:
        status, kind, text = await self._send(url, method, {**self._call, **extra})
        if status != 200:
            raise NoDocument(f"{_path(url)} answered {status} (11200)")
        if kind not in XML_TYPES:
            raise NoDocument(f"{_path(url)} answered with content type {kind!r} (11200)")
        try:
            return parse(text, url)
        except BadTwiml as error:
            raise CallFailed(f"{_path(url)} answered with bad TwiML: {error}") from error

    async def status(self, call_status: str, seconds: float, wall: float) -> str | None:
        """Send the final status callback; returns what was wrong with the answer, if anything."""
        fields = {
            "CallStatus": call_status,
            "CallDuration": str(round(seconds)),
            "Duration": str(int(seconds // 60) + 1),
            "Timestamp": format_datetime(datetime.fromtimestamp(wall, UTC)),
            "SequenceNumber": "0",
            "CallbackSource": "call-progress-events",
        }
        url = self._public + self._target.status_path
        return await self._callback(url, {**self._call, **fields})

    async def stream_status(
        self,
        url: str,
        event: str,
        stream_sid: str,
        wall: float,
        *,
        name: str | None,
        error: str = "",
    ) -> str | None:
        """Send a `<Stream statusCallback>` event; returns what was wrong with the answer."""
        fields = {
            "AccountSid": self._target.account_sid,
            "CallSid": self._call["CallSid"],
            "StreamSid": stream_sid,
            "StreamName": name or stream_sid,
            "StreamEvent": event,
            "Timestamp": iso(wall),
        }
        return await self._callback(url, {**fields, "StreamError": error} if error else fields)

    def socket(self, url: str) -> tuple[URL, dict[str, str]]:
        """Where to connect for a stream url, and the headers; raises `CallFailed`."""
        return self._reached(url), {HEADER: sign(self._target.auth_token, url), **AGENT}

    async def _callback(self, url: str, fields: Mapping[str, str]) -> str | None:
        try:
            status, _, _ = await self._send(url, "POST", fields)
        except CallFailed as failure:
            return str(failure)
        return None if status in (200, 204) else f"{_path(url)} answered {status}"

    async def _send(self, url: str, method: str, fields: Mapping[str, str]) -> tuple[int, str, str]:
        form: Mapping[str, str] | None = fields
        if method == "GET":
            # The carrier signs a GET as the URL alone, its fields being part of that.
            url += ("&" if urlsplit(url).query else "?") + urlencode(fields)
            form = None
        try:
            # all tries together have the time of one
            async with asyncio.timeout(ANSWER_WITHIN.total):
                for _ in range(RETRIES):
                    try:
                        return await self._send_once(url, method, form)
                    except _NobodyThere:
                        continue
                return await self._send_once(url, method, form)
        except TimeoutError as error:
            raise NoDocument(f"{_path(url)} did not answer in time (11200)") from error

    async def _send_once(
        self, url: str, method: str, form: Mapping[str, str] | None
    ) -> tuple[int, str, str]:
        signed = sign(self._target.auth_token, url, (form or {}).items())
        try:
            async with self._http.request(
                method,
                self._reached(url),
                data=form,
                headers={HEADER: signed, **AGENT},
                allow_redirects=False,
                timeout=ANSWER_WITHIN,
            ) as answer:
                return answer.status, answer.content_type, await answer.text(errors="replace")
        except (aiohttp.ClientError, OSError) as error:
            if isinstance(error, TimeoutError):
                raise
            raise _NobodyThere(f"{_path(url)}: {type(error).__name__} (11200)") from error

    def _reached(self, url: str) -> URL:
        """The address under test for a public URL, path and query kept to the byte."""
        parts, public = urlsplit(url), urlsplit(self._public)
        prefix = public.path.rstrip("/")
        if parts.netloc != public.netloc or not parts.path.startswith(f"{prefix}/"):
            raise CallFailed(f"{parts.scheme}://{parts.netloc} is not the gateway's public address")
        tail = urlunsplit(("", "", parts.path[len(prefix) :], parts.query, ""))
        return URL(self._target.connect_to.rstrip("/") + tail, encoded=True)


def _call_fields(plan: CallPlan, account_sid: str, call_sid: str) -> dict[str, str]:
    empty = [
        f"{whose}{part}"
        for whose in ("From", "To", "Caller", "Called")
        for part in ("City", "State", "Zip", "Country")
    ]
    return {
        "CallSid": call_sid,
        "AccountSid": account_sid,
        "From": plan.caller,
        "To": plan.called,
        "Caller": plan.caller,
        "Called": plan.called,
        "CallStatus": "in-progress",
        "ApiVersion": "2010-04-01",
        "Direction": "inbound",
        "ForwardedFrom": "",
        "CallerName": "",
        "StirVerstat": "TN-Validation-Passed-A",
        # JSON inside a form field: the sort of value that breaks home-made signature checks.
        "CallToken": '{"parentCallInfoToken":"simulated+call/=="}',
        **dict.fromkeys(empty, ""),
    }


def _path(url: str) -> str:
    # The last segment of a media path is a secret; of the others nothing is.
    path = urlsplit(url).path
    return path.rpartition("/")[0] + "/..." if "/media/" in path else path
