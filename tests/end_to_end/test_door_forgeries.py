"""Requests that are nearly what the carrier or an operator would send: none of them opens a door."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest
from aiohttp import web

from gateway import app as gateway_app
from gateway.web import Doors, api, make_web
from tests.end_to_end.door_carrier import Carrier, new_call_sid
from tests.end_to_end.door_kit import House, open_house
from tests.end_to_end.door_order import store_rows
from tests.security.raw import answered, status
from tests.support.stack import PUBLIC

FORM = "application/x-www-form-urlencoded"
ADMIN = "an-admin-token-of-32-characters!"


def port_of(house: House) -> int:
    return int(house.gateway.address[1])


def request_of(
    method: str,
    target: str,
    headers: Mapping[str, str] | list[tuple[str, str]],
    body: bytes = b"",
    version: str = "HTTP/1.1",
) -> bytes:
    """As bytes; headers in their order, repeated ones too, and the connection closed behind it."""
    pairs = list(headers.items()) if isinstance(headers, Mapping) else headers
    lines = [f"{method} {target} {version}", "Host: gateway.example", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in pairs]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


async def nothing_made(house: House) -> None:
    assert store_rows(house.store_path, "SELECT call_sid FROM calls") == []
    operations = [one["operation"] for one in (await house.log())["requests"]]
    assert "create" not in operations


# ---------------------------------------------------------------- webhooks


def nearly_signed(carrier: Carrier, fields: dict[str, str]) -> dict[str, bytes]:
    """Requests that carry a true signature, or nearly, of something else than what they are."""
    right = carrier.sign(f"{PUBLIC}/twilio/voice", fields)
    of_socket = carrier.sign("wss://gateway.example/twilio/voice", fields)
    body = urlencode(fields).encode()
    twice = body + b"&" + urlencode({"From": "+15559999999"}).encode()
    before = urlencode({"From": "+15559999999"}).encode() + b"&" + body

    def post(
        target: str = "/twilio/voice",
        signature: str = right,
        body: bytes = body,
        kind: str = FORM,
        method: str = "POST",
        more: tuple[tuple[str, str], ...] = (),
        version: str = "HTTP/1.1",
    ) -> bytes:
        headers = [("Content-Type", kind), ("X-Twilio-Signature", signature), *more]
        return request_of(method, target, headers, body, version)

    return {
        "GET": post(method="GET"),
        "HEAD": post(method="HEAD"),
        "PUT": post(method="PUT"),
        "the method in lower case": post(method="post"),
        "HTTP/1.0 without a signature": post(signature="", version="HTTP/1.0"),
        "a wrong signature before the right one": request_of(
            "POST",
            "/twilio/voice",
            [
                ("Content-Type", FORM),
                ("X-Twilio-Signature", "d3Jvbmc="),
                ("X-Twilio-Signature", right),
            ],
            body,
        ),
        "two signatures in one": post(signature=f"{right},{right}"),
        "lower case": post(signature=right.lower()),
        "upper case": post(signature=right.upper()),
        "without padding": post(signature=right.rstrip("=")),
        "more padding": post(signature=right + "="),
        "quoted": post(signature=f'"{right}"'),
        "with a scheme": post(signature=f"sha1={right}"),
        "of the socket's address": post(signature=of_socket),
        "an escaped path": post("/twilio/%76oice"),
        "a slash doubled": post("//twilio/voice"),
        "a step back": post("/twilio/x/../voice"),
        "an empty query": post("/twilio/voice?"),
        "a fragment": post("/twilio/voice#x"),
        "a parameter of the path": post("/twilio/voice;x"),
        "the path in upper case": post("/TWILIO/VOICE"),
        "another path": post("/twilio/status"),
        "an address as target": post("http://evil.example/twilio/voice"),
        "an address of ours as target": post(f"{PUBLIC}/twilio/voice"),
        "a field twice": post(body=twice),
        "a field twice, the forged one first": post(body=before),
        "a field in another case": post(body=body.replace(b"CallSid=", b"callsid=")),
        "a field in brackets": post(body=body.replace(b"CallSid=", b"CallSid[]=")),
        "separated by semicolons": post(body=body.replace(b"&", b";")),
        "with a byte order mark": post(body=b"\xef\xbb\xbf" + body),
        "utf-16": post(body=body.decode().encode("utf-16"), kind=f"{FORM}; charset=utf-16"),
        "utf-7": post(kind=f"{FORM}; charset=utf-7"),
        "punycode": post(kind=f"{FORM}; charset=punycode"),
        "another type": post(kind="text/plain"),
        "two types": post(kind=f"{FORM}, text/plain"),
        "surrogates": post(body=body + b"&x=%ED%A0%80"),
        "more fields than any carrier sends": post(body=body + b"&x=1" * 300),
        "an unknown algorithm": post(
            more=(("X-Twilio-Webhooks-Signature-Settings", "algorithm=HMAC_MD5"),)
        ),
        "another algorithm than the one that signed": post(
            more=(("X-Twilio-Webhooks-Signature-Settings", "key=KX1,algorithm=HMAC_SHA256"),)
        ),
        "no body": post(body=b""),
    }


async def test_what_the_carrier_signed_is_good_for_itself_and_nothing_else(
    tmp_path: Path,
) -> None:
    async with open_house(tmp_path) as house:
        fields = house.carrier.form(new_call_sid())
        for name, request in nearly_signed(house.carrier, fields).items():
            answer = await answered(port_of(house), request)
            assert status(answer) in {400, 403, 404, 405}, (name, answer)
            assert b"<Response" not in answer, name
        await nothing_made(house)


async def test_behind_a_signed_request_an_unsigned_one_is_not_let_in(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        fields = house.carrier.form(new_call_sid(), CallStatus="ringing")
        body = urlencode(fields).encode()
        signature = house.carrier.sign(f"{PUBLIC}/twilio/status", fields)
        head = (
            "POST /twilio/status HTTP/1.1\r\nHost: x\r\nContent-Type: {}\r\nContent-Length: {}\r\n"
        )
        first = head.format(FORM, len(body)).encode()
        first += f"X-Twilio-Signature: {signature}\r\n\r\n".encode() + body
        second = request_of("POST", "/twilio/voice", {"Content-Type": FORM}, body)
        answer = await answered(port_of(house), first + second)

        assert [line.split()[1] for line in answer.split(b"\r\n") if line[:5] == b"HTTP/"] == [
            b"204",
            b"403",
        ]
        await nothing_made(house)


async def test_the_signatures_header_is_found_in_any_case_and_over_http_1_0(
    tmp_path: Path,
) -> None:
    async with open_house(tmp_path) as house:
        fields = house.carrier.form(new_call_sid(), CallStatus="ringing")
        signature = house.carrier.sign(f"{PUBLIC}/twilio/status", fields)
        body = urlencode(fields).encode()
        for name in ("x-twilio-signature", "X-TWILIO-SIGNATURE"):
            headers = {"Content-Type": FORM, name: signature}
            for version in ("HTTP/1.1", "HTTP/1.0"):
                request = request_of("POST", "/twilio/status", headers, body, version)
                assert status(await answered(port_of(house), request)) == 204, (name, version)


# ---------------------------------------------------------------- media sockets


def nearly_the_socket(carrier: Carrier, url: str) -> dict[str, bytes]:
    path = url.removeprefix("wss://gateway.example")
    token = path.rpartition("/")[2]
    other = token.swapcase()
    right = carrier.sign(url)

    def upgrade(
        target: str = path,
        signature: str = right,
        method: str = "GET",
        version: str = "HTTP/1.1",
        **changes: str,
    ) -> bytes:
        headers = {
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
            "X-Twilio-Signature": signature,
        } | {name.replace("_", "-"): value for name, value in changes.items()}
        request = request_of(method, target, headers, version=version)
        return request.replace(b"Connection: close", b"Connection: Upgrade, close")

    def signed(target: str) -> str:
        return carrier.sign(f"wss://gateway.example{target}")

    return {
        "unsigned": upgrade(signature=""),
        "signed over https": upgrade(signature=carrier.sign(f"{PUBLIC}{path}")),
        "signed over ws": upgrade(signature=carrier.sign(f"ws://gateway.example{path}")),
        "a token in another case, signed": upgrade(
            f"/twilio/media/{other}", signed(f"/twilio/media/{other}")
        ),
        "half a token, signed": upgrade(path[:-4], signed(path[:-4])),
        "a longer token, signed": upgrade(path + "A", signed(path + "A")),
        "an escaped token": upgrade(f"/twilio/media/%{ord(token[0]):02X}{token[1:]}"),
        "no token, signed": upgrade("/twilio/media/", signed("/twilio/media/")),
        "nul for a token, signed": upgrade("/twilio/media/%00", signed("/twilio/media/%00")),
        "a step back, signed": upgrade("/twilio/media/..%2Fvoice", signed("/twilio/media/..%2Fvoice")),
        "an added query": upgrade(path + "?a=b"),
        "POST": upgrade(method="POST"),
        "HEAD": upgrade(method="HEAD"),
        "another upgrade": upgrade(Upgrade="h2c"),
        "an unknown version": upgrade(Sec_WebSocket_Version="99"),
        "no key": upgrade(Sec_WebSocket_Key=""),
        "marked as passed on by a replica": upgrade(
            signature="", X_Voice_Gateway_Relayed="1"
        ),
    }  # fmt: skip


async def test_nothing_but_the_signed_upgrade_itself_spends_the_token(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        sid, url = await house.answered()
        for name, request in nearly_the_socket(house.carrier, url).items():
            answer = await answered(port_of(house), request)
            assert status(answer) in {0, 400, 403, 404, 405, 426}, (name, answer)
        async with house.socket(url, sid) as stream:
            await stream.start()
            await stream.hears()
            await stream.stop()


async def test_of_many_who_use_one_token_at_once_one_gets_in(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        sid, url = await house.answered()

        attempts = (house.carrier.upgrade(url) for _ in range(16))
        ends = await asyncio.gather(*attempts, return_exceptions=True)
        opened = [one for one in ends if isinstance(one, aiohttp.ClientWebSocketResponse)]
        refused = [one.status for one in ends if isinstance(one, aiohttp.WSServerHandshakeError)]
        assert (len(opened), refused) == (1, [403] * 15)
        assert await house.carrier.refusal(url) == 403
        await opened[0].close()
        await house.carrier.status(sid)


# ---------------------------------------------------------------- operators


def nearly_an_operator() -> dict[str, list[tuple[str, str]]]:
    def bearer(token: str, scheme: str = "Bearer") -> list[tuple[str, str]]:
        return [("Authorization", f"{scheme} {token}")]

    return {
        "nobody": [],
        "an empty token": bearer(""),
        "a beginning": bearer(ADMIN[:-1]),
        "more than the token": bearer(ADMIN + "x"),
        "another case": bearer(ADMIN.upper()),
        "no scheme": [("Authorization", ADMIN)],
        "another scheme": bearer(ADMIN, "Basic"),
        "quoted": bearer(f'"{ADMIN}"'),
        "twice in one": bearer(f"{ADMIN}, Bearer {ADMIN}"),
        "a wrong one before the right one": bearer("wrong") + bearer(ADMIN),
        "in another header": [("X-Authorization", f"Bearer {ADMIN}")],
        "a cookie": [("Cookie", f"token={ADMIN}; Authorization=Bearer {ADMIN}")],
        "nul": bearer("\u0001"),
        "letters that look the same": bearer(ADMIN.replace("a", "\u0430")),
        "from a web page elsewhere": [*bearer(ADMIN), ("Origin", "https://evil.example")],
    }


async def test_nothing_but_the_whole_admin_token_lets_an_operator_in(tmp_path: Path) -> None:
    async with open_house(tmp_path, env={"GATEWAY_ADMIN_TOKEN": ADMIN}) as house:
        for name, headers in nearly_an_operator().items():
            for version in ("HTTP/1.1", "HTTP/1.0"):
                request = request_of("GET", "/v1/calls", headers, version=version)
                answer = await answered(port_of(house), request)
                assert status(answer) in {400, 401, 403}, (name, answer)
                assert b"call_sid" not in answer
        for target in (f"/v1/calls?token={ADMIN}", f"/v1/calls?access_token={ADMIN}"):
            assert status(await answered(port_of(house), request_of("GET", target, {}))) == 401
        right = request_of("GET", "/v1/calls", {"Authorization": f"bearer {ADMIN}"})
        assert status(await answered(port_of(house), right)) == 200


async def test_the_admin_token_is_compared_in_constant_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[tuple[Any, Any]] = []

    class Watched:
        @staticmethod
        def compare_digest(one: Any, other: Any) -> bool:
            compared.append((one, other))
            return hmac.compare_digest(one, other)

    monkeypatch.setattr(api, "hmac", Watched)
    async with open_house(tmp_path, env={"GATEWAY_ADMIN_TOKEN": ADMIN}) as house:
        for wrong in ("x", ADMIN[:-1] + "?", ADMIN * 2):
            headers = {"Authorization": f"Bearer {wrong}"}
            await answered(port_of(house), request_of("GET", "/v1/calls", headers))

    assert [one for one, _ in compared] == [b"x", ADMIN[:-1].encode() + b"?", ADMIN.encode() * 2]
    assert {other for _, other in compared} == {ADMIN.encode()}


# ---------------------------------------------------------------- every door there is


OPEN = {"/healthz", "/readyz", "/metrics"}
"""Doors that tell nothing of callers, and that orchestrators ask without a secret."""


async def test_every_door_but_three_is_shut_to_strangers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    apps: list[web.Application] = []

    def watched(doors: Doors) -> web.Application:
        apps.append(make_web(doors))
        return apps[-1]

    monkeypatch.setattr(gateway_app, "make_web", watched)
    async with open_house(tmp_path, env={"GATEWAY_ADMIN_TOKEN": ADMIN}) as house:
        doors = {
            (route.method, route.resource.canonical)
            for route in apps[0].router.routes()
            if route.resource is not None and route.method != "HEAD"
        }
        assert {path for _, path in doors} > OPEN
        for method, path in sorted(doors):
            target = path.replace("{", "").replace("}", "")
            answer = await answered(port_of(house), request_of(method, target, {}))
            expected = {200} if path in OPEN else {401, 403}
            assert status(answer) in expected, (method, path, answer)
        await nothing_made(house)
