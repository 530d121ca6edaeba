"""Orders to Twilio over real HTTP: their shape beside the twilio package's, and every bad answer."""

from __future__ import annotations

import asyncio
import json
import logging
from base64 import b64decode, b64encode
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port
from twilio.http import HttpClient
from twilio.http.response import Response as TwilioResponse
from twilio.rest import Client

from gateway.carriers import Remote
from gateway.carriers.twilio.rest import BASE_URL, IncomingNumber, Patience, TwilioRest
from gateway.errors import CarrierError
from gateway.ids import CallSid

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

ACCOUNT = "AC00000000000000000000000000000001"
CALL = CallSid("CA00000000000000000000000000000001")
NUMBER = "PN00000000000000000000000000000001"
TOKEN = "a token: with colons"  # the user's part ends at the first one
QUICK = Patience(timeout=10.0, pauses=(0.0, 0.0))
GONE = (404, {"code": 20404, "message": "The requested resource was not found", "status": 404})


@dataclass
class Asked:
    """One request as it reached the carrier."""

    method: str
    path: str
    query: dict[str, str]
    form: dict[str, str]
    token: str
    accept: str


@dataclass
class Carrier:
    """A carrier that gives the answers it is told to, the last one for ever."""

    answers: list[tuple[int, Any] | Callable[[], Awaitable[web.Response]]]
    asked: list[Asked] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    url: str = ""

    async def handle(self, request: web.Request) -> web.Response:
        user, _, token = b64decode(request.headers["Authorization"][6:]).decode().partition(":")
        assert user == ACCOUNT
        form = {name: str(value) for name, value in (await request.post()).items()}
        accept = request.headers["Accept"]
        self.asked.append(
            Asked(request.method, request.path, dict(request.query), form, token, accept)
        )
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if callable(answer):
            return await answer()
        status, body = answer
        text = body if isinstance(body, str) else json.dumps(body)
        return web.Response(status=status, text=text, headers=self.headers)


@asynccontextmanager
async def carrier(*answers: Any, **headers: str) -> AsyncIterator[Carrier]:
    double = Carrier(list(answers), headers={k.replace("_", "-"): v for k, v in headers.items()})
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", double.handle)
    async with TestServer(app) as server:
        double.url = str(server.make_url("/"))
        yield double


def rest(base_url: str, *tokens: str, patience: Patience = QUICK) -> TwilioRest:
    return TwilioRest(ACCOUNT, tokens or (TOKEN,), base_url, patience)


# ------------------------------------------------------------------ beside the twilio package


class Recorder(HttpClient):  # type: ignore[misc]
    """Takes the twilio package's requests down instead of sending them."""

    def __init__(self, body: object) -> None:
        super().__init__(logging.getLogger(__name__), is_async=False)
        self.body = body
        self.asked: list[Asked] = []

    def request(self, method: str, uri: str, **rest: Any) -> TwilioResponse:
        headers = rest["headers"]
        user, token = rest["auth"]
        assert user == ACCOUNT
        assert uri.startswith(BASE_URL)
        query = {k: str(v) for k, v in (rest["params"] or {}).items()}
        form = {k: str(v) for k, v in (rest["data"] or {}).items()}
        self.asked.append(
            Asked(method, uri.removeprefix(BASE_URL), query, form, token, headers["Accept"])
        )
        return TwilioResponse(200, json.dumps(self.body))


async def test_a_hang_up_is_the_request_the_twilio_package_sends() -> None:
    recorder = Recorder({"sid": CALL})
    Client(ACCOUNT, TOKEN, http_client=recorder).calls(CALL).update(status="completed")

    async with (
        carrier((200, {"sid": CALL, "status": "completed"})) as double,
        rest(double.url) as twilio,
    ):
        remote: Remote = twilio
        await remote.hang_up(CALL)

    assert recorder.asked == double.asked
    assert double.asked[0].form == {"Status": "completed"}


async def test_looking_up_a_number_is_the_request_the_twilio_package_sends() -> None:
    recorder = Recorder({"incoming_phone_numbers": [], "next_page_uri": None})
    twilio_package = Client(ACCOUNT, TOKEN, http_client=recorder)
    twilio_package.incoming_phone_numbers.page(phone_number="+15550002222")

    async with carrier((200, {"incoming_phone_numbers": []})) as double, rest(double.url) as twilio:
        assert await twilio.find_number("+15550002222") is None

    assert recorder.asked == double.asked


async def test_setting_a_webhook_is_the_request_the_twilio_package_sends() -> None:
    voice, status = "https://gw.example.com/twilio/voice", "https://gw.example.com/twilio/status"
    recorder = Recorder({"sid": NUMBER})
    Client(ACCOUNT, TOKEN, http_client=recorder).incoming_phone_numbers(NUMBER).update(
        voice_url=voice, voice_method="POST", status_callback=status, status_callback_method="POST"
    )

    async with carrier((200, {"sid": NUMBER})) as double, rest(double.url) as twilio:
        await twilio.set_webhook(NUMBER, voice, status)

    assert recorder.asked == double.asked


# ------------------------------------------------------------------ a call that is over


@pytest.mark.parametrize(
    "answer",
    [
        GONE,
        (404, "not json"),
        (400, {"code": 21220, "message": "Call is not in-progress", "status": 400}),
    ],
)
async def test_a_call_that_is_over_already_is_hung_up(answer: tuple[int, object]) -> None:
    async with carrier(answer) as double, rest(double.url) as twilio:
        await twilio.hang_up(CALL)

        assert len(double.asked) == 1


# ------------------------------------------------------------------ refusals and silence


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
async def test_a_passing_refusal_is_tried_again(status: int) -> None:
    async with carrier((status, "busy"), (status, {}), (200, {})) as double:
        async with rest(double.url) as twilio:
            await twilio.hang_up(CALL)

        assert len(double.asked) == 3


async def test_after_three_tries_the_refusal_is_reported() -> None:
    async with carrier((503, {"code": 20503, "message": "unavailable"})) as double:
        async with rest(double.url) as twilio:
            with pytest.raises(CarrierError) as caught:
                await twilio.hang_up(CALL)

        assert len(double.asked) == 3
    assert caught.value.status == 503
    assert str(caught.value) == "hang-up: status 503: unavailable (code 20503)"


@pytest.mark.parametrize("status", [301, 307, 400, 401, 403, 409, 422])
async def test_a_lasting_refusal_is_reported_at_once(status: int) -> None:
    async with carrier((status, "<html>"), Location="/elsewhere") as double:
        async with rest(double.url) as twilio:
            with pytest.raises(CarrierError) as caught:
                await twilio.hang_up(CALL)

        assert len(double.asked) == 1
    assert caught.value.status == status


async def test_a_carrier_that_says_nothing_costs_three_short_tries() -> None:
    forever = asyncio.Event()

    async def silence() -> web.Response:
        await forever.wait()
        return web.Response()

    async with carrier(silence) as double:
        async with rest(double.url, patience=Patience(timeout=0.3, pauses=(0, 0))) as twilio:
            with pytest.raises(CarrierError) as caught:
                await twilio.hang_up(CALL)
        forever.set()

        assert len(double.asked) == 3
    assert caught.value.status is None
    assert "TimeoutError" in str(caught.value)


async def test_one_lost_answer_is_made_good_by_the_next_try() -> None:
    forever = asyncio.Event()

    async def lost() -> web.Response:
        await forever.wait()
        return web.Response()

    async with carrier(lost, (200, {})) as double:
        async with rest(double.url, patience=Patience(timeout=0.5, pauses=(0,))) as twilio:
            await twilio.hang_up(CALL)
        forever.set()

        assert len(double.asked) == 2


async def test_a_refused_connection_is_reported_quickly() -> None:
    loop = asyncio.get_running_loop()
    async with rest(f"http://127.0.0.1:{unused_port()}", patience=Patience()) as twilio:
        began = loop.time()
        with pytest.raises(CarrierError) as caught:
            await twilio.hang_up(CALL)

    assert loop.time() - began < 8
    assert caught.value.status is None


def test_all_tries_and_pauses_together_stay_below_eight_seconds() -> None:
    patience = Patience()

    assert patience.timeout * (len(patience.pauses) + 1) + sum(patience.pauses) < 8


async def test_the_carrier_may_ask_for_a_pause_but_not_for_a_long_one() -> None:
    loop = asyncio.get_running_loop()
    async with (
        carrier((429, {}), (200, {}), Retry_After="3600") as double,
        rest(double.url) as twilio,
    ):
        began = loop.time()
        await twilio.hang_up(CALL)

    assert 0.7 < loop.time() - began < 8


async def test_a_hang_up_can_be_cancelled() -> None:
    reached = asyncio.Event()
    forever = asyncio.Event()

    async def silence() -> web.Response:
        reached.set()
        await forever.wait()
        return web.Response()

    async with carrier(silence) as double:
        async with rest(double.url, patience=Patience(timeout=30)) as twilio:
            task = asyncio.create_task(twilio.hang_up(CALL))
            await reached.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        forever.set()


# ------------------------------------------------------------------ tokens and texts


async def test_a_refused_token_makes_way_for_the_next() -> None:
    async with carrier((401, {"code": 20003}), (200, {})) as double:
        async with rest(double.url, "retired", "current") as twilio:
            await twilio.hang_up(CALL)

        assert [asked.token for asked in double.asked] == ["retired", "current"]


async def test_when_no_token_is_good_the_refusal_names_none_of_them() -> None:
    async with (
        carrier((401, {"code": 20003, "message": "Authenticate"})) as double,
        rest(double.url, "first", "second") as twilio,
    ):
        with pytest.raises(CarrierError) as caught:
            await twilio.hang_up(CALL)

    assert caught.value.status == 401
    assert str(caught.value) == "hang-up: status 401: Authenticate (code 20003)"


async def test_telephone_numbers_do_not_reach_the_text_of_an_error() -> None:
    message = "The number +15550001111 is not yours"
    async with (
        carrier((400, {"code": 21452, "message": message})) as double,
        rest(double.url) as twilio,
    ):
        with pytest.raises(CarrierError) as caught:
            await twilio.set_webhook(NUMBER, "https://a", "https://b")

    assert "+…111 is not yours" in str(caught.value)
    assert "5550" not in str(caught.value)


@pytest.mark.parametrize("body", ["", "null", "[]", "7", "{", "[" * 30_000, '{"code": []}'])
async def test_an_answer_that_is_no_twilio_document_is_still_an_answer(body: str) -> None:
    async with carrier((400, body), (400, body)) as double, rest(double.url) as twilio:
        with pytest.raises(CarrierError) as caught:
            await twilio.hang_up(CALL)

    assert caught.value.status == 400


async def test_without_any_token_nothing_is_sent() -> None:
    async with carrier((200, {})) as double, TwilioRest(ACCOUNT, (), double.url) as twilio:
        with pytest.raises(CarrierError, match="no auth token"):
            await twilio.hang_up(CALL)

        assert double.asked == []


async def test_use_outside_its_context_is_told_as_such() -> None:
    with pytest.raises(RuntimeError, match="context"):
        await rest("http://127.0.0.1:1").hang_up(CALL)


# ------------------------------------------------------------------ numbers

OURS: dict[str, object] = {
    "sid": NUMBER,
    "phone_number": "+15550002222",
    "voice_url": "https://gw.example.com/twilio/voice",
    "voice_method": "POST",
    "status_callback": None,
    "voice_application_sid": "",
    "trunk_sid": None,
}


async def test_a_number_is_found_by_all_of_its_digits() -> None:
    longer = OURS | {"sid": "PN2", "phone_number": "+155500022223"}
    async with (
        carrier((200, {"incoming_phone_numbers": [longer, "?", OURS]})) as double,
        rest(double.url) as twilio,
    ):
        found = await twilio.find_number("+15550002222")

    assert found == IncomingNumber(
        sid=NUMBER,
        phone_number="+15550002222",
        voice_url="https://gw.example.com/twilio/voice",
        voice_method="POST",
        status_callback="",
        overridden_by=None,
    )


@pytest.mark.parametrize("name", ["voice_application_sid", "trunk_sid"])
async def test_a_number_says_what_takes_its_calls_instead_of_its_webhook(name: str) -> None:
    body = {"incoming_phone_numbers": [OURS | {name: "XX1"}]}
    async with carrier((200, body)) as double, rest(double.url) as twilio:
        found = await twilio.find_number("+15550002222")

    assert found is not None
    assert found.overridden_by == "XX1"


@pytest.mark.parametrize("body", [{}, {"incoming_phone_numbers": None}, []])
async def test_an_answer_without_numbers_has_no_number(body: object) -> None:
    async with carrier((200, body)) as double, rest(double.url) as twilio:
        assert await twilio.find_number("+15550002222") is None


async def test_a_refusal_that_repeats_the_credentials_is_quoted_without_them() -> None:
    pair = b64encode(f"{ACCOUNT}:secret-token".encode()).decode()
    message = f"Authorization: Basic {pair} with secret-token"
    async with (
        carrier((400, {"code": 20003, "message": message})) as double,
        rest(double.url, "secret-token") as twilio,
    ):
        with pytest.raises(CarrierError) as caught:
            await twilio.hang_up(CALL)

    assert "Basic *** with ***" in str(caught.value)
