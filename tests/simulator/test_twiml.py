"""Reading markup: what the carrier does with it, and what it would complain about."""

from __future__ import annotations

import pytest

from gateway.simulator.twiml import (
    BadTwiml,
    ConnectStream,
    Dial,
    Hangup,
    Pause,
    Play,
    Redirect,
    Reject,
    Say,
    parse,
)

FROM = "https://gw.example.com/pre/twilio/voice"
STREAM = '<Stream url="wss://gw.example.com/twilio/media/t"/>'


def response(inner: str) -> str:
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<Response>{inner}</Response>'


def test_a_stream_is_read_with_everything_it_carries():
    document = parse(
        response(
            '<Connect action="/twilio/connected" method="GET">'
            '<Stream url="wss://h/m/t" name="n" statusCallback="stream-status">'
            '<Parameter name="a" value="a&amp;b&lt;&quot;\'&gt;"/></Stream></Connect><Hangup/>'
        ),
        FROM,
    )

    stream = ConnectStream(
        url="wss://h/m/t",
        action="https://gw.example.com/twilio/connected",
        method="GET",
        parameters={"a": "a&b<\"'>"},
        name="n",
        status_callback="https://gw.example.com/pre/twilio/stream-status",
    )
    assert document.verbs == (stream, Hangup())
    assert document.flaws == ()


def test_a_relative_stream_url_is_a_socket_on_the_same_host():
    (stream, _) = parse(
        response('<Connect><Stream url="/twilio/media/t"/></Connect><Hangup/>'), FROM
    ).verbs

    assert isinstance(stream, ConnectStream)
    assert stream.url == "wss://gw.example.com/twilio/media/t"


def test_every_verb_the_gateway_may_use_is_understood():
    document = parse(
        response(
            '<Say language="en-US">Sorry</Say><Play>https://h/a.wav</Play><Play digits="ww1"/>'
            '<Pause length="2"/><Dial action="/done"><Number>+1</Number><Sip>sip:a@b</Sip></Dial>'
            "<Redirect>/again</Redirect>"
        ),
        FROM,
    )

    assert document.verbs == (
        Say("Sorry"),
        Play("https://h/a.wav"),
        Play("ww1"),
        Pause(2.0),
        Dial(("+1", "sip:a@b"), "https://gw.example.com/done", "POST"),
        Redirect("https://gw.example.com/again", "POST"),
    )
    assert parse(response('<Reject reason="busy"/>'), FROM).verbs == (Reject("busy"),)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not XML"),
        ("<Response>", "not XML"),
        ("<response/>", "root element"),
        ('<!DOCTYPE x [<!ENTITY a "b">]><Response/>', "document type"),
        (response("<Shout/>"), "unknown verb"),
        (response("<Connect/>"), "exactly one"),
        (response(f"<Connect>{STREAM}{STREAM}</Connect>"), "exactly one"),
        (response("<Connect><Stream/></Connect>"), "no url"),
        (response('<Pause length="long"/>'), "not a number"),
    ],
)
def test_what_the_carrier_would_refuse_is_refused(text, why):
    with pytest.raises(BadTwiml, match=why):
        parse(text, FROM)


@pytest.mark.parametrize(
    ("inner", "flaw"),
    [
        ('<Connect><Stream url="ws://h/m"/></Connect><Hangup/>', "31922"),
        ('<Connect><Stream url="wss://h/m?token=1"/></Connect><Hangup/>', "31920"),
        ('<Connect><Stream url="wss://h/m" track="both_tracks"/></Connect><Hangup/>', "31941"),
        (f"<Connect>{STREAM}</Connect>", "stranded"),
        (f'<Connect>{STREAM}</Connect><Pause length="40"/>', "stranded"),
        ("<Say>no</Say><Reject/>", "first verb"),
        (
            '<Connect><Stream url="wss://h/m"><Parameter value="x"/></Stream></Connect><Hangup/>',
            "without a name",
        ),
    ],
)
def test_what_strands_callers_is_named(inner, flaw):
    (found,) = parse(response(inner), FROM).flaws

    assert flaw in found


def test_a_gateway_on_plain_http_on_this_machine_may_name_a_plain_socket():
    text = response('<Connect><Stream url="ws://127.0.0.1:8080/m"/></Connect><Hangup/>')

    assert parse(text, "http://127.0.0.1:8080/twilio/voice").flaws == ()
