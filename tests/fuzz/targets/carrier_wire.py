"""Text frames of the media socket, in any order: one a line."""

from __future__ import annotations

import base64
import json
from typing import Any

from hypothesis import strategies as st

from gateway.carriers import (
    CallerAudio,
    Connected,
    DigitPressed,
    Ignored,
    LineEvent,
    Malformed,
    MarkReached,
    StreamStarted,
    StreamStopped,
)
from gateway.carriers.twilio.wire import MAX_PAYLOAD_BYTES, TwilioWire
from tests.fuzz.draw import tame

LONGEST = 8192
WORDS = (
    *(b'"event"', b'"connected"', b'"start"', b'"media"', b'"dtmf"', b'"mark"', b'"stop"'),
    *(b'"streamSid"', b'"callSid"', b'"accountSid"', b'"sequenceNumber"', b'"payload"', b'"track"'),
    *(b'"timestamp"', b'"digit"', b'"name"', b'"mediaFormat"', b'"encoding"', b'"sampleRate"'),
    *(b'"channels"', b'"customParameters"', b'"audio/x-mulaw"', b'"inbound"', b'"outbound"'),
    *(b"null", b"true", b"1e999", b"-0", b"9007199254740992", b"\\ud800", b"{}", b"[]", b"\n"),
    b'{"event":"start","streamSid":"MZ1","start":{"callSid":"CA1"}}\n',
    b'{"event":"media","streamSid":"MZ1","media":{"payload":"/////w=="}}\n',
)
MALFORMED = {
    *("not-json", "not-an-object", "no-event", "bad-base64", "empty-payload", "oversize-payload"),
    *("before-start", "foreign-stream"),
    *(f"bad-{event}" for event in ("connected", "start", "media", "dtmf", "mark", "stop")),
}
IGNORED = {"unknown-event", "outbound-track", "second-start", "after-stop"}


def run(data: bytes) -> None:
    frames = [tame(frame) for frame in data.split(b"\n")]
    wire, again = TwilioWire(), TwilioWire()
    started = stopped = False
    for frame in frames:
        event = wire.receive(frame)
        assert event == again.receive(frame)
        _check(event, started=started, stopped=stopped)
        started |= isinstance(event, StreamStarted)
        stopped |= isinstance(event, StreamStopped)
        assert started == (wire.stream_sid is not None)
    assert 0 <= wire.sequence_breaks <= len(frames)


def _check(event: LineEvent, *, started: bool, stopped: bool) -> None:
    running = started and not stopped
    match event:
        case StreamStarted():
            assert not started and not stopped
            assert event.stream_sid and event.call_sid
            assert event.sample_rate >= 0 and event.channels >= 0
            texts = (event.stream_sid, event.call_sid, event.account_sid, event.encoding)
            for text in (*texts, *event.parameters, *event.parameters.values()):
                text.encode()
        case CallerAudio():
            assert running
            assert 1 <= len(event.payload) <= MAX_PAYLOAD_BYTES
            assert event.timestamp_ms is None or 0 <= event.timestamp_ms < 2**53
        case DigitPressed():
            assert running
            assert event.digit in set("0123456789*#ABCD")
        case MarkReached():
            assert running
            assert event.name
            event.name.encode()
        case StreamStopped():
            assert not stopped
        case Malformed():
            assert event.reason in MALFORMED
        case Ignored():
            assert event.reason in IGNORED
        case Connected():
            pass


def inputs() -> st.SearchStrategy[bytes]:
    text = st.sampled_from(["MZ1", "MZ2", "CA1", "", "\ud7ff", "1"]) | st.text(max_size=8)
    odd: st.SearchStrategy[Any] = st.none() | st.booleans() | st.integers() | st.floats() | text
    number = st.integers(-1, 9).map(str) | st.integers(-1, 9) | odd
    sound = st.binary(max_size=400).map(lambda raw: base64.b64encode(raw).decode()) | odd
    form = st.fixed_dictionaries(
        {}, optional={"encoding": text, "sampleRate": number, "channels": number}
    )
    bodies = {
        "start": st.fixed_dictionaries(
            {"callSid": text},
            optional={
                "streamSid": text,
                "accountSid": text,
                "mediaFormat": form | odd,
                "customParameters": st.dictionaries(text, odd, max_size=3) | odd,
            },
        ),
        "media": st.fixed_dictionaries(
            {"payload": sound}, optional={"track": text, "timestamp": number}
        ),
        "dtmf": st.fixed_dictionaries({"digit": st.sampled_from("0*#Aax") | odd}),
        "mark": st.fixed_dictionaries({"name": text | odd}),
        "stop": st.fixed_dictionaries({}),
        "connected": st.fixed_dictionaries({}),
        "other": st.fixed_dictionaries({}),
    }
    messages = [
        st.fixed_dictionaries(
            {"event": st.just(event), event: body},
            optional={"streamSid": text | odd, "sequenceNumber": number},
        ).map(json.dumps)
        for event, body in bodies.items()
    ]
    start = st.just('{"event":"start","streamSid":"MZ1","start":{"callSid":"CA1"}}')
    frame = st.one_of(*messages, start, st.text(max_size=20))
    return st.lists(frame, max_size=12).map(lambda all_: "\n".join(all_).encode("utf-8", "replace"))
