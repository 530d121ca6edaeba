"""TwiML: shape, escaping, and equal bytes for equal questions."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.carriers import Answer
from gateway.carriers.twilio import markup

STREAM = "wss://gw.example.com/twilio/media/k3yT0ken"
ACTION = "https://gw.example.com/twilio/connected"
STATUS = "https://gw.example.com/twilio/stream-status"
NASTY = "a&b<\"'>"


def root_of(document: str) -> ET.Element:
    assert document.startswith('<?xml version="1.0" encoding="UTF-8"?>')
    return ET.fromstring(document)


def test_the_module_is_an_answer_port() -> None:
    answer: Answer = markup

    assert answer.hangup() == markup.hangup()


def test_connect_opens_the_stream_and_ends_in_a_hangup() -> None:
    response = root_of(markup.connect(STREAM, ACTION, STATUS))

    assert [verb.tag for verb in response] == ["Connect", "Hangup"]
    connect = response[0]
    assert connect.attrib == {"action": ACTION, "method": "POST"}
    assert [noun.tag for noun in connect] == ["Stream"]
    assert connect[0].attrib == {
        "url": STREAM,
        "statusCallback": STATUS,
        "statusCallbackMethod": "POST",
    }
    assert len(connect[0]) == 0


def test_parameters_survive_xml_in_their_order() -> None:
    document = markup.connect(STREAM, ACTION, STATUS, {"second": NASTY, "first": "ünï\t\n😀"})
    parameters = root_of(document).findall("./Connect/Stream/Parameter")

    assert [p.attrib for p in parameters] == [
        {"name": "second", "value": NASTY},
        {"name": "first", "value": "ünï\t\n😀"},
    ]


def test_urls_are_escaped() -> None:
    response = root_of(markup.connect(STREAM, ACTION + "?call=1&step=<2>", STATUS))

    assert response[0].get("action") == ACTION + "?call=1&step=<2>"


def test_the_same_question_gets_the_same_bytes() -> None:
    first = markup.connect(STREAM, ACTION, STATUS, {"a": NASTY, "b": "2"})
    second = markup.connect(STREAM, ACTION, STATUS, {"a": NASTY, "b": "2"})

    assert first.encode() == second.encode()


def test_busy_rejects_with_the_busy_tone() -> None:
    response = root_of(markup.busy())

    assert [(verb.tag, verb.attrib) for verb in response] == [("Reject", {"reason": "busy"})]


def test_hangup_only_hangs_up() -> None:
    assert [verb.tag for verb in root_of(markup.hangup())] == ["Hangup"]


def test_an_apology_is_spoken_and_the_call_ended() -> None:
    response = root_of(markup.say_and_hangup(f"Sorry {NASTY}", language="de-DE"))

    assert [verb.tag for verb in response] == ["Say", "Hangup"]
    assert response[0].text == f"Sorry {NASTY}"
    assert response[0].attrib == {"language": "de-DE"}


@given(st.text())
def test_no_text_breaks_the_document(text: str) -> None:
    document = markup.connect(STREAM, ACTION, STATUS, {"note": text})
    root_of(document)
    root_of(markup.say_and_hangup(text))

    document.encode()


@pytest.mark.parametrize("bad", ["\x00", "\x08", "\x1b", "\ufffe", "\ud800"])
def test_characters_xml_cannot_carry_are_left_out(bad: str) -> None:
    assert root_of(markup.say_and_hangup(f"one{bad}two"))[0].text == "onetwo"
