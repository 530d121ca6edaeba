"""Markup made of strings nobody has looked at: it stays the document we meant."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from hypothesis import strategies as st

from gateway.carriers.twilio import markup
from tests.fuzz.draw import lines, wild

LONGEST = 2048
WORDS = (
    *(b"</Say><Hangup/>", b"<![CDATA[", b"]]>", b"&amp;", b"&#0;", b"<!DOCTYPE", b"<!--", b"-->"),
    *(b'"', b"'", b"\0", b"\x0b", b"\r\n", b"\xef\xbf\xbe", b"\xef\xbf\xbf", b"\xed\xa0\x80"),
    *(b"sip:", b"sips:", b"+15550001111", b"https://", b"\n"),
)


def run(data: bytes) -> None:
    one, other, name, value = (wild(part) for part in lines(data, 4))
    response = _parsed(markup.connect(one, other, value, {name: value}), "Connect", "Hangup")
    connect = response[0]
    assert connect.attrib == {"action": _kept(other), "method": "POST"}
    (stream,) = connect
    assert stream.attrib["url"] == _kept(one)
    assert stream.attrib["statusCallback"] == _kept(value)
    (parameter,) = stream
    assert parameter.attrib == {"name": _kept(name), "value": _kept(value)}
    (_, _) = _parsed(markup.say_and_hangup(value), "Say", "Hangup")
    assert _said(markup.say_and_hangup(value)) == _read(value)
    _parsed(markup.hold(value, 3, other), "Say", "Pause", "Redirect")
    _parsed(markup.hold(None, 3, other), "Pause", "Redirect")
    dial = _parsed(markup.dial(one), "Dial", "Hangup")[0]
    assert "".join(dial.itertext()) == _read(one)
    assert len(dial) == (1 if one.startswith(("sip:", "sips:")) else 0)


def _parsed(document: str, *verbs: str) -> ET.Element:
    response = ET.fromstring(document.encode())
    assert response.tag == "Response"
    assert verbs == tuple(element.tag for element in response)
    return response


def _said(document: str) -> str:
    return "".join(ET.fromstring(document.encode())[0].itertext())


def _kept(text: str) -> str:
    """What XML 1.0 can carry of it."""
    return (
        "".join(one for one in text if one in "\t\n\r" or " " <= one <= "\ud7ff" or one > "\udfff")
        .replace("\ufffe", "")
        .replace("\uffff", "")
    )


def _read(text: str) -> str:
    """As a reader of XML gives element text back: line ends are all alike."""
    return _kept(text).replace("\r\n", "\n").replace("\r", "\n")


def inputs() -> st.SearchStrategy[bytes]:
    part = st.lists(
        st.sampled_from(WORDS[:-1])
        | st.text(max_size=6).map(lambda t: t.encode("utf-8", "replace")),
        max_size=4,
    ).map(b"".join)
    return st.lists(part, min_size=4, max_size=4).map(b"\n".join)
