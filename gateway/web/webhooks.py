"""The carrier asks what to do with a call, and tells what became of it."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, assert_never

from aiohttp import web

from gateway.bridge.answers import Answer as Decision
from gateway.bridge.answers import Connect, Elsewhere, HandOver, Incoming, Refuse, Wait
from gateway.bridge.switchboard import Switchboard
from gateway.carriers import Answer, Signatures, Wire
from gateway.ids import CallSid
from gateway.log import fact
from gateway.web.relay import RELAYED, Relay

_log = logging.getLogger(__name__)

FORM_TYPE: Final = "application/x-www-form-urlencoded"
MARKUP_TYPE: Final = "text/xml"
FINAL_STATUSES: Final = frozenset({"completed", "busy", "no-answer", "failed", "canceled"})
"""`CallStatus` of a call that is over (status callback documentation)."""
SINCE: Final = "waiting_since"
"""Query parameter that a caller who waits for a free user comes back with; wall seconds."""
SID: Final = re.compile(r"[\w-]{1,64}", re.ASCII)
"""Names of calls become file names and parts of URLs; carriers alike use hex digits or UUIDs."""


@dataclass(frozen=True, slots=True)
class Desk:
    """What the carrier's doors need."""

    switchboard: Switchboard
    signatures: Signatures | None
    """None: `GATEWAY_INSECURE`, no request is checked."""
    markup: Answer
    make_wire: Callable[[], Wire]
    account_sid: str
    public_url: str
    """How the carrier reaches us, without a slash at its end."""
    relay: Relay


DESK: Final = web.AppKey("DESK", Desk)


def add_routes(app: web.Application) -> None:
    """The carrier's webhooks."""
    app.router.add_post("/twilio/voice", voice)
    app.router.add_post("/twilio/connected", connected)
    app.router.add_post("/twilio/status", status)
    app.router.add_post("/twilio/stream-status", stream_status)


async def voice(request: web.Request) -> web.Response:
    """A call comes in: answer at once, with everything slow already under way."""
    desk = request.app[DESK]
    form = await _signed_form(request)
    sid = form.get("CallSid", "")
    if not SID.fullmatch(sid):
        raise web.HTTPBadRequest(text="CallSid is missing, or no name of a call")
    account = form.get("AccountSid", "")
    if account != desk.account_sid:
        fact(_log, "webhook.foreign-account", level=logging.WARNING)
        raise web.HTTPForbidden
    incoming = Incoming(
        call_sid=CallSid(sid),
        account_sid=account,
        direction=_direction(form.get("Direction", "")),
        caller=form.get("From", ""),
        called=form.get("To", ""),
        waiting_since=_wall_time(request.query.get(SINCE, "")),
    )
    fact(_log, "call.asked", call_sid=sid, caller=incoming.caller)
    try:
        answer = await desk.switchboard.answer(incoming)
    except Exception as error:  # noqa: BLE001 - anything but markup is the carrier's "application error"
        fact(_log, "webhook.failed", level=logging.ERROR, exc=error)
        return _markup(_apology(desk, incoming.called))
    return _markup(_document(desk, answer, incoming.called))


def _apology(desk: Desk, called: str) -> str:
    words = desk.switchboard.announcements(called)
    return desk.markup.say_and_hangup(words.sorry, words.language)


def _document(desk: Desk, answer: Decision, called: str, path: str = "/twilio/voice") -> str:
    markup, words = desk.markup, desk.switchboard.announcements(called)
    match answer:
        case Connect():
            return answer.document
        case HandOver():
            return markup.dial(answer.target)
        case Wait():
            # signed by the carrier like all of the URL: nobody else can make a caller wait
            url = f"{desk.public_url}{path}?{SINCE}={answer.since:.3f}"
            text = words.hold if answer.speak else None
            return markup.hold(text, answer.seconds, url, words.language)
        case Refuse.BUSY:
            return markup.busy()
        case Refuse.WAITED:
            return markup.say_and_hangup(words.busy, words.language)
        case Refuse.UNROUTED:
            return markup.reject()
        case Refuse.ENDED:
            return markup.hangup()
        case Refuse.LOST:
            return markup.say_and_hangup(words.lost, words.language)
        case Refuse.SORRY:
            return markup.say_and_hangup(words.sorry, words.language)
        case _:
            assert_never(answer)


async def connected(request: web.Request) -> web.Response:
    """The media stream is over and the caller may still be there: what is next?"""
    desk = request.app[DESK]
    form = await _signed_form(request)
    sid = CallSid(form.get("CallSid", ""))
    called = form.get("To", "")
    gone = form.get("CallStatus", "") in FINAL_STATUSES
    try:
        since = _wall_time(request.query.get(SINCE, ""))
        answer = await desk.switchboard.after_stream(sid, gone=gone, asked_since=since)
        if isinstance(answer, Elsewhere):
            answered = None
            if answer.address is not None and RELAYED not in request.headers:
                answered = await desk.relay.request(request, answer.address)
            if answered is not None:
                return answered
            if answer.address and await desk.relay.alive(answer.address, answer.replica):
                answer = desk.switchboard.ask_again(since)
            else:
                # its process is gone, or stands still: the call goes on here
                answer = await desk.switchboard.take_up(sid, answer.replica, since)
    except Exception as error:  # noqa: BLE001 - as in voice
        fact(_log, "webhook.failed", level=logging.ERROR, exc=error)
        return _markup(_apology(desk, called))
    return _markup(_document(desk, answer, called, "/twilio/connected"))


async def status(request: web.Request) -> web.Response:
    """The call's progress; a final status ends it, whether or not the socket has noticed."""
    desk = request.app[DESK]
    form = await _signed_form(request)
    if form.get("CallStatus", "") in FINAL_STATUSES:
        await desk.switchboard.over(CallSid(form.get("CallSid", "")))
    return web.Response(status=204)


async def stream_status(request: web.Request) -> web.Response:
    """The only place where a refused message of ours (31951 and friends) becomes visible."""
    form = await _signed_form(request)
    if form.get("StreamEvent", "") == "stream-error":
        fact(
            _log,
            "stream.error",
            level=logging.WARNING,
            call_sid=form.get("CallSid", ""),
            detail=form.get("StreamError", "")[:200],
        )
    return web.Response(status=204)


async def _signed_form(request: web.Request) -> Mapping[str, str]:
    """The form, if the carrier signed it; 403 before anything is read into it otherwise."""
    desk = request.app[DESK]
    try:
        form = await request.post() if request.content_type == FORM_TYPE else None
    except (ValueError, LookupError):  # not in the character set it names, or in none we know
        form = None
    except (web.RequestPayloadError, ConnectionError):  # cut off, by a fault or by the sender
        raise web.HTTPBadRequest(text="the body cannot be read") from None
    signatures = desk.signatures
    if form is None or (
        signatures is not None and not signatures.webhook(request.raw_path, form, request.headers)
    ):
        fact(_log, "webhook.unsigned", level=logging.WARNING, path=request.path)
        raise web.HTTPForbidden
    return {name: value for name, value in form.items() if isinstance(value, str)}


def _wall_time(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _direction(value: str) -> str:
    return "outbound" if value.startswith("outbound") else "inbound"


def _markup(document: str) -> web.Response:
    return web.Response(text=document, content_type=MARKUP_TYPE)
