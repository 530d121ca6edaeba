"""Signatures: the known vectors, every small forgery, and requests as they come off a socket."""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64encode
from typing import TYPE_CHECKING

import pytest
from aiohttp import ClientSession, FormData, web
from aiohttp.test_utils import TestServer
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict, MultiDict
from yarl import URL

from gateway.carriers import Signatures
from gateway.carriers.twilio.signature import SignatureCheck

if TYPE_CHECKING:
    from collections.abc import Mapping

TOKEN = "0123456789abcdef0123456789abcdef"
PUBLIC = "https://gw.example.com"
VOICE = "/twilio/voice"
SOCKET = "/twilio/media/k3yT0ken"
PARAMS = {
    "CallSid": "CA00000000000000000000000000000001",
    "AccountSid": "AC00000000000000000000000000000001",
    "From": "+15550001111",
    "To": "+15550002222",
    "CallStatus": "ringing",
    "Direction": "inbound",
    "ApiVersion": "2010-04-01",
    "CallerName": "",
}
VECTOR_A = "hGv59jXOzsbyg952i2TCT/lZVwo="
VECTOR_B = "XZWeBjmG3LBDYiq6EkNUX5jRUUA="
VECTOR_C = "6ciQLuUcLW+4BEhTyjJFD+fXmnI="
VECTOR_D = "V5OSUt1lzAUYHT41tWBfP0ZqHH8="
VECTOR_E = "tsWaHKKoipyZSvHWZHyjzfjOspu93xT5quO/KzAtbuM="
SETTINGS = "X-Twilio-Webhooks-Signature-Settings"

CHECK = SignatureCheck((TOKEN,), PUBLIC)


def signed(value: str, **more: str) -> CIMultiDict[str]:
    named = {name.replace("_", "-"): text for name, text in more.items()}
    return CIMultiDict({"X-Twilio-Signature": value, **named})


def sign(url: str, params: Mapping[str, str] | None = None, token: str = TOKEN) -> str:
    """The rule of Twilio's docs, written down a second time: URL, then sorted names and values."""
    text = url + "".join(name + value for name, value in sorted((params or {}).items()))
    return b64encode(hmac.new(token.encode(), text.encode(), hashlib.sha1).digest()).decode()


# ------------------------------------------------------------------ vectors


def test_vector_a_a_webhook_with_an_empty_field() -> None:
    check: Signatures = CHECK

    assert check.webhook(VOICE, PARAMS, signed(VECTOR_A))


def test_vector_b_a_webhook_with_a_query_kept_as_sent() -> None:
    assert CHECK.webhook(VOICE + "?tenant=a%20b", PARAMS, signed(VECTOR_B))
    assert not CHECK.webhook(VOICE + "?tenant=a+b", PARAMS, signed(VECTOR_B))


def test_vector_c_a_socket() -> None:
    assert CHECK.socket(SOCKET, signed(VECTOR_C))


def test_vector_d_the_https_form_does_not_open_a_socket() -> None:
    assert not CHECK.socket(SOCKET, signed(VECTOR_D))


def test_vector_e_a_shared_key_with_sha256() -> None:
    check = SignatureCheck(("another token",), PUBLIC, (f"key_1:{TOKEN}",))
    headers = signed(VECTOR_E)
    headers[SETTINGS] = "key=key_1,algorithm=HMAC_SHA256"

    assert check.webhook(VOICE, PARAMS, headers)


# ------------------------------------------------------------------ refused


def test_no_header_and_an_empty_header_are_refused() -> None:
    assert not CHECK.webhook(VOICE, PARAMS, CIMultiDict())
    assert not CHECK.webhook(VOICE, PARAMS, signed(""))
    assert not CHECK.socket(SOCKET, CIMultiDict())


@given(data=st.data())
def test_every_changed_byte_of_the_signature_is_refused(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(VECTOR_A) - 1))
    other = data.draw(st.characters(blacklist_characters=VECTOR_A[at]))
    forged = VECTOR_A[:at] + other + VECTOR_A[at + 1 :]

    assert not CHECK.webhook(VOICE, PARAMS, signed(forged))


@given(data=st.data())
def test_every_changed_byte_of_the_path_is_refused(data: st.DataObject) -> None:
    path = VOICE + "?tenant=a%20b"
    at = data.draw(st.integers(0, len(path)))
    byte = data.draw(st.characters(min_codepoint=0, max_codepoint=255))
    for forged in (
        path[:at] + byte + path[at:],
        path[:at] + byte + path[at + 1 :],
        path[:at] + path[at + 1 :],
    ):
        if forged != path:
            assert not CHECK.webhook(forged, PARAMS, signed(VECTOR_B))


@pytest.mark.parametrize("tail", ["?", "#", ";", "#x", "?#", ";?", "/", "\t", " ", "%00", "\n"])
def test_nothing_can_be_hung_on_to_a_signed_path(tail: str) -> None:
    assert not CHECK.webhook(VOICE + tail, PARAMS, signed(VECTOR_A))
    assert not CHECK.socket(SOCKET + tail, signed(VECTOR_C))


@given(data=st.data())
def test_every_changed_byte_of_a_field_is_refused(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(PARAMS)))
    value = PARAMS[name]
    at = data.draw(st.integers(0, len(value)))
    byte = data.draw(st.characters(min_codepoint=0, max_codepoint=255))
    for forged in (
        value[:at] + byte + value[at:],
        value[:at] + byte + value[at + 1 :],
        value[:at] + value[at + 1 :],
    ):
        if forged != value:
            assert not CHECK.webhook(VOICE, PARAMS | {name: forged}, signed(VECTOR_A))


@given(name=st.sampled_from(sorted(PARAMS)))
def test_every_missing_field_is_refused(name: str) -> None:
    rest = {key: value for key, value in PARAMS.items() if key != name}

    assert not CHECK.webhook(VOICE, rest, signed(VECTOR_A))


def test_an_added_field_is_refused_even_an_empty_one() -> None:
    assert not CHECK.webhook(VOICE, PARAMS | {"Extra": ""}, signed(VECTOR_A))


def test_another_token_and_another_host_are_refused() -> None:
    assert not SignatureCheck(("f" * 32,), PUBLIC).webhook(VOICE, PARAMS, signed(VECTOR_A))
    assert not SignatureCheck((TOKEN,), "https://evil.example").webhook(
        VOICE, PARAMS, signed(VECTOR_A)
    )


@pytest.mark.parametrize(
    "target",
    ["", "*", "twilio/voice", "https://gw.example.com/twilio/voice", ".evil.example/", ":1/x"],
)
def test_a_request_target_that_is_no_path_is_refused(target: str) -> None:
    assert not CHECK.webhook(target, PARAMS, signed(sign(PUBLIC + target, PARAMS)))


@pytest.mark.parametrize("value", [None, b"x", bytearray(b"x"), 7, object()])
def test_a_field_that_is_no_text_is_refused_and_raises_nothing(value: object) -> None:
    assert not CHECK.webhook(VOICE, {**PARAMS, "File": value}, signed(VECTOR_A))


def test_a_field_that_utf8_cannot_carry_is_refused_and_raises_nothing() -> None:
    assert not CHECK.webhook(VOICE, PARAMS | {"CallerName": "\ud800"}, signed(VECTOR_A))


def test_without_any_secret_nothing_is_signed() -> None:
    nobody = SignatureCheck(("",), PUBLIC, ("", "key_1:", ":"))
    headers = signed(sign(PUBLIC + VOICE, PARAMS, token=""))

    assert not nobody.webhook(VOICE, PARAMS, headers)
    headers[SETTINGS] = "key=key_1,algorithm=HMAC_SHA1"
    assert not nobody.webhook(VOICE, PARAMS, headers)


def test_a_public_url_that_is_none_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="not an http"):
        SignatureCheck((TOKEN,), "gw.example.com")


# ------------------------------------------------------------------ spellings of one URL


@pytest.mark.parametrize(
    "url",
    [
        "wss://gw.example.com/twilio/media/k3yT0ken",
        "wss://gw.example.com/twilio/media/k3yT0ken/",
        "wss://gw.example.com:443/twilio/media/k3yT0ken",
    ],
)
def test_a_socket_url_may_be_spelt_in_three_ways(url: str) -> None:
    assert CHECK.socket(SOCKET, signed(sign(url)))


@pytest.mark.parametrize(
    "url",
    [
        "ws://gw.example.com/twilio/media/k3yT0ken",
        "https://gw.example.com/twilio/media/k3yT0ken",
        "wss://GW.example.com/twilio/media/k3yT0ken",
        "wss://gw.example.com:8443/twilio/media/k3yT0ken",
        "wss://gw.example.com/twilio/media/k3yT0ken//",
    ],
)
def test_no_other_spelling_opens_a_socket(url: str) -> None:
    assert not CHECK.socket(SOCKET, signed(sign(url)))


@pytest.mark.parametrize("host", ["gw.example.com", "gw.example.com:443"])
def test_a_webhook_may_be_signed_with_the_default_port_written_out(host: str) -> None:
    assert CHECK.webhook(VOICE, PARAMS, signed(sign(f"https://{host}{VOICE}", PARAMS)))


def test_a_port_of_the_public_url_is_part_of_it() -> None:
    check = SignatureCheck((TOKEN,), "https://gw.example.com:8443")

    assert check.webhook(
        VOICE, PARAMS, signed(sign("https://gw.example.com:8443/twilio/voice", PARAMS))
    )
    assert check.socket(SOCKET, signed(sign("wss://gw.example.com:8443" + SOCKET)))
    assert not check.socket(SOCKET, signed(sign("wss://gw.example.com:443" + SOCKET)))


@pytest.mark.parametrize(
    "public", ["https://example.com/voice/eu", "https://example.com/voice/eu/"]
)
def test_a_prefix_the_proxy_strips_belongs_to_the_signed_url(public: str) -> None:
    check = SignatureCheck((TOKEN,), public)
    voice = sign("https://example.com/voice/eu/twilio/voice", PARAMS)

    assert check.webhook(VOICE, PARAMS, signed(voice))
    for host in ("example.com", "example.com:443"):
        assert check.socket(SOCKET, signed(sign(f"wss://{host}/voice/eu{SOCKET}")))


def test_a_gateway_without_tls_signs_over_http_and_ws() -> None:
    check = SignatureCheck((TOKEN,), "http://127.0.0.1:8080")

    assert check.webhook(VOICE, PARAMS, signed(sign("http://127.0.0.1:8080/twilio/voice", PARAMS)))
    assert check.socket(SOCKET, signed(sign("ws://127.0.0.1:8080" + SOCKET)))


def test_repeated_fields_count_once_for_each_value() -> None:
    params = MultiDict([("To", "b"), ("To", "a"), ("To", "a"), ("From", "c")])
    text = PUBLIC + VOICE + "Fromc" + "Toa" + "Tob"
    value = b64encode(hmac.new(TOKEN.encode(), text.encode(), hashlib.sha1).digest()).decode()

    assert CHECK.webhook(VOICE, params, signed(value))


# ------------------------------------------------------------------ several secrets


def test_while_tokens_rotate_each_of_them_counts() -> None:
    check = SignatureCheck(("new" * 8, TOKEN), PUBLIC)

    assert check.webhook(VOICE, PARAMS, signed(VECTOR_A))
    assert check.socket(SOCKET, signed(sign("wss://gw.example.com" + SOCKET, token="new" * 8)))


def sha256_signed(secret: str, settings: str) -> CIMultiDict[str]:
    text = PUBLIC + VOICE + "".join(name + value for name, value in sorted(PARAMS.items()))
    digest = hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest()
    headers = signed(b64encode(digest).decode())
    headers[SETTINGS] = settings
    return headers


KEYS = SignatureCheck((TOKEN,), PUBLIC, ("key_1:first secret", " key_2 : second:secret "))


@pytest.mark.parametrize(
    ("secret", "settings"),
    [
        ("first secret", "key=key_1,algorithm=HMAC_SHA256"),
        ("second:secret", "algorithm=HMAC_SHA256, key=key_2"),
        ("second:secret", " key = key_2 , algorithm = hmac_sha256 "),
    ],
)
def test_the_named_shared_key_signs(secret: str, settings: str) -> None:
    assert KEYS.webhook(VOICE, PARAMS, sha256_signed(secret, settings))


@pytest.mark.parametrize(
    ("secret", "settings"),
    [
        ("first secret", "key=key_2,algorithm=HMAC_SHA256"),
        ("first secret", "key=key_3,algorithm=HMAC_SHA256"),
        ("first secret", "algorithm=HMAC_SHA256"),
        ("first secret", "key=key_1"),
        ("first secret", "key=key_1,algorithm=HMAC_SHA1"),
        ("first secret", "key=key_1,algorithm=HMAC_MD5"),
        ("first secret", "key=key_1,algorithm=none"),
        ("first secret", ""),
    ],
)
def test_another_key_or_algorithm_than_the_one_that_signed_is_refused(
    secret: str, settings: str
) -> None:
    assert not KEYS.webhook(VOICE, PARAMS, sha256_signed(secret, settings))


def test_a_shared_key_without_an_id_serves_every_id() -> None:
    check = SignatureCheck((TOKEN,), PUBLIC, ("only secret",))

    assert check.webhook(
        VOICE, PARAMS, sha256_signed("only secret", "key=whatever,algorithm=HMAC_SHA256")
    )


def test_shared_keys_do_not_sign_where_none_is_named() -> None:
    check = SignatureCheck(("another",), PUBLIC, (f"key_1:{TOKEN}",))

    assert not check.webhook(VOICE, PARAMS, signed(VECTOR_A))


@given(settings=st.text(max_size=40))
def test_no_settings_header_makes_it_raise_or_opens_the_door(settings: str) -> None:
    assert not KEYS.webhook(VOICE, PARAMS, sha256_signed("nobody's secret", settings))


# ------------------------------------------------------------------ off a real socket


async def test_a_form_post_behind_a_proxy_passes_as_it_comes_from_aiohttp() -> None:
    async def voice(request: web.Request) -> web.Response:
        fields = await request.post()
        good = CHECK.webhook(request.raw_path, fields, request.headers)
        return web.Response(status=200 if good else 403)

    app = web.Application()
    app.router.add_post(VOICE, voice)
    fields = PARAMS | {"CallerName": "Zoë & <Søn>", "CallToken": '{"a": "b+c d"}', "Empty": ""}
    path = VOICE + "?who=%7Ea%20b+c%2Fd"
    lies = {"Host": "evil.example", "X-Forwarded-Proto": "http", "X-Forwarded-Host": "evil.example"}
    async with TestServer(app) as server, ClientSession() as session:
        url = URL(f"http://127.0.0.1:{server.port}{path}", encoded=True)

        async def status(headers: dict[str, str], data: object = fields) -> int:
            async with session.post(url, data=data, headers=headers | lies) as response:
                return response.status

        good = sign(PUBLIC + path, fields)
        assert await status({"x-twilio-signature": good}) == 200
        assert (
            await status({"X-Twilio-Signature": sign("http://evil.example" + path, fields)}) == 403
        )
        assert await status({}) == 403
        upload = FormData(fields)
        upload.add_field("File", b"x", filename="x.bin")
        assert await status({"X-Twilio-Signature": good}, upload) == 403
