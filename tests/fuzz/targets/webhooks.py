"""Forms that reach the carrier's webhooks, through the real application.

A first byte chooses door and signature; then a line each: content type, content encoding, query; the rest is
the body. A signed body is signed over the fields it has, as the carrier would.
"""

from __future__ import annotations

from functools import cache
from urllib.parse import parse_qsl, quote, urlencode
from xml.etree import ElementTree as ET

from hypothesis import strategies as st

from gateway.simulator.signature import HEADER, sign
from gateway.web.middleware import MAX_BODY_BYTES
from gateway.web.webhooks import FINAL_STATUSES
from tests.fuzz.doors import BUSY, OVERFLOW, Answer, Doors, header_safe
from tests.fuzz.draw import lines, tame
from tests.support.stack import ACCOUNT, PUBLIC, TOKEN

LONGEST = 4096
PATHS = ("voice", "connected", "status", "stream-status")
LONGEST_QUERY = 2000
"""Three times as much, quoted, still fits into the first line of a request."""
FORM = b"application/x-www-form-urlencoded"
WORDS = (
    *(FORM, b"; charset=", b"utf-16", b"utf-7", b"punycode", b"idna", b"rot13", b"unicode_escape"),
    *(b"gzip", b"deflate", b"br", b"zstd", b"multipart/form-data; boundary=b", b"CallSid=CA1"),
    *(b"&AccountSid=" + ACCOUNT.encode(), b"&From=%2B15550001111", b"&To=%2B15550002222"),
    *(b"&To=%2B15550004444", b"&Direction=outbound-api", b"&CallStatus=completed"),
    *(
        b"&StreamEvent=stream-error",
        b"&StreamError=%0a%00",
        b"waiting_since=1e308",
        b"waiting_since=nan",
    ),
    *(b"waiting_since=-1", b"%ed%a0%80", b"%ff", b"%0d%0a", b"&&", b"=", b"+", b"%u1234"),
)


def run(data: bytes) -> None:
    option, rest = (data[0] if data else 0), data[1:]
    declared, encoded, query, body = lines(rest, 4)
    path = f"/twilio/{PATHS[option % 4]}"
    if query:
        path += "?" + quote(query[:LONGEST_QUERY], safe="=&%+.-")
    headers = [("Content-Type", header_safe(tame(declared)) or "text/plain")]
    if encoding := header_safe(tame(encoded)):
        headers.append(("Content-Encoding", encoding))
    answer = _doors().ask("POST", path, [*headers, (HEADER, "forged")], body)
    assert answer.status in {400, 403, 413, 415}, answer
    fields = parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)
    signature = sign(TOKEN, PUBLIC + path, fields)
    answer = _doors().ask("POST", path, [*headers, (HEADER, signature)], body)
    _check(answer, PATHS[option % 4], dict(fields))
    # the same fields, spelt as the carrier spells them: nothing but their values can be refused
    plain = urlencode(fields).encode()
    answer = _doors().ask(
        "POST", path, [("Content-Type", FORM.decode()), (HEADER, signature)], plain
    )
    expected = {413} if len(plain) > MAX_BODY_BYTES else _expected(PATHS[option % 4], dict(fields))
    assert answer.status in expected
    _check(answer, PATHS[option % 4], dict(fields))


def _expected(door: str, fields: dict[str, str]) -> set[int]:
    if door != "voice":
        return {200, 204}
    if fields.get("AccountSid") == ACCOUNT and fields.get("CallSid", "").isalnum():
        return {200, 400}  # 400: letters and digits beyond ASCII, or too many
    return {200, 400, 403}


def _check(answer: Answer, door: str, fields: dict[str, str]) -> None:
    if answer.status == 204:
        assert door in {"status", "stream-status"}
        assert not answer.body
    if answer.status != 200:
        return
    assert door in {"voice", "connected"}
    assert answer.headers["content-type"].startswith("text/xml")
    assert len(answer.body) < 2048
    verbs = [element.tag for element in ET.fromstring(answer.body)]
    if door == "connected":
        # of a call we know nothing of, only the carrier knows whether somebody listens
        assert verbs in (["Hangup"], ["Say", "Hangup"])
        assert verbs == ["Hangup"] or fields.get("CallStatus") not in FINAL_STATUSES
    elif fields.get("To") == OVERFLOW:
        assert verbs in (["Dial", "Hangup"], ["Hangup"])
    else:
        assert verbs in (["Reject"], ["Say", "Hangup"], ["Hangup"]), (verbs, fields)


@cache
def _doors() -> Doors:
    return Doors()


def close() -> None:
    if _doors.cache_info().currsize:
        _doors().close()
        _doors.cache_clear()


def inputs() -> st.SearchStrategy[bytes]:
    name = st.sampled_from(
        [
            "CallSid",
            "AccountSid",
            "From",
            "To",
            "Direction",
            "CallStatus",
            "StreamEvent",
            "StreamError",
        ]
    ) | st.text(max_size=5)
    value = st.sampled_from(
        ["CA1", ACCOUNT, "+15550001111", OVERFLOW, BUSY, "completed", "stream-error", "inbound", ""]
    ) | st.text(max_size=12)
    right = st.fixed_dictionaries(
        {"CallSid": st.uuids().map(str) | value, "AccountSid": st.just(ACCOUNT), "To": value}
    ).map(lambda fields: list(fields.items()))
    form = st.tuples(right | st.just([]), st.lists(st.tuples(name, value), max_size=4)).map(
        lambda both: urlencode(both[0] + both[1], errors="replace").encode()
    )
    kind = st.sampled_from(
        [FORM, FORM, FORM + b"; charset=utf-16", FORM + b"; charset=x", b"text/plain"]
    )
    query = st.sampled_from([b"", b"", b"waiting_since=1.5", b"waiting_since=nan", b"a=%00"])
    return st.tuples(
        st.integers(0, 3).map(lambda one: bytes([one])),
        st.tuples(
            kind, st.sampled_from([b"", b"", b"gzip"]), query, form | st.binary(max_size=60)
        ).map(b"\n".join),
    ).map(b"".join)
