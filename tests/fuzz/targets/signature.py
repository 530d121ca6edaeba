"""Who signed a webhook: the right secret and nothing else opens the door."""

from __future__ import annotations

import re

from hypothesis import strategies as st
from multidict import CIMultiDict, MultiDict

from gateway.carriers.twilio.signature import SignatureCheck
from gateway.simulator.signature import HEADER, sign
from tests.fuzz.draw import Draw

LONGEST = 2048
TOKEN = "0123456789abcdef0123456789abcdef"
PUBLIC = "https://gateway.example/prefix"
SETTINGS = "X-Twilio-Webhooks-Signature-Settings"
CHECK = SignatureCheck((TOKEN, ""), PUBLIC, ("SK1:shared-secret", "bare-secret", ":", ""))
WORDS = (
    *(
        b"/twilio/voice",
        b"?",
        b"#",
        b";",
        b"//",
        b"@",
        b"[",
        b"]",
        b"%2e",
        b"\t",
        b":443",
        b"bodySHA256=",
    ),
    *(b"key=SK1,algorithm=HMAC_SHA256", b"algorithm=HMAC_SHA1", b"CallSid", b"\x20", b"\xff"),
)


def run(data: bytes) -> None:
    draw = Draw(data)
    path, settings, forged = "/" + draw.text(), draw.text(), draw.text()
    fields = [(draw.text(), draw.text()) for _ in range(draw.below(6))]
    headers = CIMultiDict({HEADER: forged})
    assert not CHECK.webhook(path, MultiDict(fields), headers)
    assert not CHECK.socket(path, headers)
    headers[SETTINGS] = settings
    assert not CHECK.webhook(path, MultiDict(fields), headers)
    try:
        signed = sign(TOKEN, PUBLIC + path, fields)
    except UnicodeEncodeError:
        return  # the carrier could not have signed it
    headers = CIMultiDict({HEADER: signed})
    accepted = CHECK.webhook(path, MultiDict(fields), headers)
    if re.fullmatch(r"[\w/.~-]*(\?[\w=&-]+)?", path, re.ASCII) and "//" not in path:
        assert accepted
    if accepted:
        assert not CHECK.webhook(path + "x", MultiDict(fields), headers)
        assert not CHECK.webhook(path, MultiDict([*fields, ("a", "b"), ("a", "c")]), headers)


def inputs() -> st.SearchStrategy[bytes]:
    piece = (
        st.lists(st.sampled_from(WORDS) | st.text(max_size=5).map(lambda t: t.encode()), max_size=4)
        .map(b"".join)
        .map(lambda one: bytes([len(one[:255])]) + one[:255])
    )
    return st.tuples(
        *(piece, piece, piece, st.binary(min_size=1, max_size=1)),
        st.lists(piece, max_size=10).map(b"".join),
    ).map(b"".join)
