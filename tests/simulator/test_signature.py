"""The signature against published vectors, and against the carrier's own library as an oracle."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twilio.request_validator import RequestValidator

from gateway.simulator.signature import sign

TOKEN = "0123456789abcdef0123456789abcdef"
VOICE = {
    "CallSid": "CA00000000000000000000000000000001",
    "AccountSid": "AC00000000000000000000000000000001",
    "From": "+15550001111",
    "To": "+15550002222",
    "CallStatus": "ringing",
    "Direction": "inbound",
    "ApiVersion": "2010-04-01",
    "CallerName": "",
}


@pytest.mark.parametrize(
    ("url", "fields", "signature"),
    [
        ("https://gw.example.com/twilio/voice", VOICE, "hGv59jXOzsbyg952i2TCT/lZVwo="),
        ("https://gw.example.com/twilio/voice?tenant=a%20b", VOICE, "XZWeBjmG3LBDYiq6EkNUX5jRUUA="),
        ("wss://gw.example.com/twilio/media/k3yT0ken", {}, "6ciQLuUcLW+4BEhTyjJFD+fXmnI="),
        ("https://gw.example.com/twilio/media/k3yT0ken", {}, "V5OSUt1lzAUYHT41tWBfP0ZqHH8="),
    ],
)
def test_a_published_vector_is_met(url, fields, signature):
    assert signature == sign(TOKEN, url, fields.items())


@given(
    fields=st.dictionaries(st.text(min_size=1), st.text()),
    path=st.text(alphabet="abcXYZ019-_~/%", max_size=20),
)
def test_the_carriers_library_accepts_any_form(fields, path):
    url = f"https://gw.example.com/{path}"

    assert RequestValidator(TOKEN).validate(url, fields, sign(TOKEN, url, fields.items()))


def test_a_repeated_field_counts_once():
    url = "https://gw.example.com/x"

    assert sign(TOKEN, url, [("a", "1")]) == sign(TOKEN, url, [("a", "1"), ("a", "1")])
