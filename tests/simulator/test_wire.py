"""The carrier's half of the wire: exact shapes out, strict reading in."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.simulator.wire import (
    Clear,
    Mark,
    Media,
    StreamWriter,
    Wrong,
    container_in,
    read,
)

SID = "MZ11111111111111111111111111111111"


def media(payload: object, **extra: object) -> str:
    return json.dumps({"event": "media", "streamSid": SID, "media": {"payload": payload}, **extra})


def test_the_three_messages_are_read():
    assert read(media("/38A"), SID) == Media(b"\xff\x7f\x00")
    mark = {"event": "mark", "streamSid": SID, "mark": {"name": "g7.u3"}}
    assert read(json.dumps(mark), SID) == Mark("g7.u3")
    assert read(json.dumps({"event": "clear", "streamSid": SID}), SID) == Clear()


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "S2"),
        ("not json", "S2"),
        ("[" * 100_000, "S2"),
        ("[]", "S2"),
        ('"clear"', "S2"),
        ("{}", "S3"),
        ('{"event":"dtmf"}', "S3"),
        ('{"event":["clear"]}', "S3"),
        (media("/w==", sequenceNumber="1"), "S4"),
        (json.dumps({"event": "media", "streamSid": SID}), "S4"),
        (json.dumps({"event": "media", "media": {"payload": "/w=="}}), "S4"),
        (json.dumps({"event": "media", "streamSid": SID, "media": "/w=="}), "S4"),
        (
            json.dumps(
                {"event": "media", "streamSid": SID, "media": {"payload": "/w==", "track": "x"}}
            ),
            "S4",
        ),
        (json.dumps({"event": "mark", "streamSid": SID}), "S4"),
        (json.dumps({"event": "mark", "streamSid": SID, "mark": {}}), "S4"),
        (json.dumps({"event": "clear", "streamSid": SID, "clear": {}}), "S4"),
        (json.dumps({"event": "clear", "streamSid": "MZ2"}), "S5"),
        (json.dumps({"event": "clear", "streamSid": None}), "S5"),
        (media(""), "S7"),
        (media(None), "S7"),
        (media("/w="), "S7"),
        (media("/w== "), "S7"),
        (media("_w=="), "S7"),
        (media("ü"), "S7"),
        (media(base64.b64encode(bytes(32 * 1024 + 1)).decode()), "S7"),
        (json.dumps({"event": "mark", "streamSid": SID, "mark": {"name": ""}}), "S9"),
        (json.dumps({"event": "mark", "streamSid": SID, "mark": {"name": 3}}), "S9"),
    ],
)
def test_a_wrong_message_breaks_its_rule(text, rule):
    found = read(text, SID)

    assert isinstance(found, Wrong)
    assert found.rule == rule


def test_the_largest_allowed_payload_is_taken():
    assert read(media(base64.b64encode(bytes(32 * 1024)).decode()), SID) == Media(bytes(32 * 1024))


@given(st.one_of(st.text(), st.recursive(st.none() | st.text(), st.lists).map(json.dumps)))
def test_reading_never_raises(text):
    assert read(text, SID) is not None


MP3_FRAME = b"\xff\xfb\x90\x00" + b"\x55" * 413
"""128 kbit/s at 44.1 kHz: 417 bytes a frame."""


@pytest.mark.parametrize(
    ("payload", "name"),
    [
        (b"RIFF\x24\x00\x00\x00WAVE", "RIFF"),
        (b"OggS\x00", "OggS"),
        (b"ID3\x04", "ID3"),
        (b"fLaC", "fLaC"),
        (MP3_FRAME * 2, "MP3"),
    ],
)
def test_a_container_is_recognised(payload, name):
    assert container_in(payload) == name


@pytest.mark.parametrize(
    "payload",
    [b"\xff\xfb" * 400, MP3_FRAME, b"\xff\xfb\x7e\xff" * 40, b"\xff", b"", b"RIF"],
)
def test_quiet_sound_is_not_taken_for_a_container(payload):
    assert container_in(payload) is None


def test_a_stream_is_numbered_as_the_carrier_numbers_it():
    writer = StreamWriter(SID, "CA1", "AC1")
    messages = [
        json.loads(text)
        for text in (
            writer.start({"conversation": "c_01"}),
            writer.media(b"\xff" * 160),
            writer.dtmf("5"),
            writer.mark("g7.u3"),
            writer.media(b"\xff" * 160),
            writer.stop(),
        )
    ]

    assert messages[0] == {
        "event": "start",
        "sequenceNumber": "1",
        "streamSid": SID,
        "start": {
            "streamSid": SID,
            "accountSid": "AC1",
            "callSid": "CA1",
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": {"conversation": "c_01"},
        },
    }
    assert messages[4] == {
        "event": "media",
        "sequenceNumber": "5",
        "streamSid": SID,
        "media": {
            "track": "inbound",
            "chunk": "2",
            "timestamp": "40",
            "payload": base64.b64encode(b"\xff" * 160).decode(),
        },
    }
    assert messages[2]["dtmf"] == {"track": "inbound_track", "digit": "5"}
    assert messages[3]["mark"] == {"name": "g7.u3"}
    assert messages[5]["stop"] == {"accountSid": "AC1", "callSid": "CA1"}
    assert [message["sequenceNumber"] for message in messages] == list("123456")
