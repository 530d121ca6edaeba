"""Twilio's wire against golden transcripts, against chance, and against its own rules."""

from __future__ import annotations

import base64
import binascii
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway import carriers
from gateway.carriers import (
    ULAW,
    CallerAudio,
    Connected,
    DigitPressed,
    Ignored,
    LineEvent,
    Malformed,
    MarkReached,
    StreamStarted,
    StreamStopped,
    Wire,
)
from gateway.carriers.twilio.wire import MAX_PAYLOAD_BYTES, TwilioWire
from gateway.errors import OutOfTurn

SCENES = sorted((Path(__file__).parent.parent / "transcripts" / "twilio").glob("*.jsonl"))
SID = "MZ" + "1" * 32
CALL = "CA" + "0" * 31 + "1"

Line = dict[str, Any]


def lines(scene: Path) -> list[Line]:
    return [json.loads(line) for line in scene.read_text(encoding="utf-8").splitlines()]


def inbound(scene: Path) -> list[Line]:
    return [line for line in lines(scene) if "means" in line]


def text_of(line: Line) -> str:
    if "from_carrier_text" in line:
        return str(line["from_carrier_text"])
    return json.dumps(line["from_carrier"], separators=(",", ":"))


def meant(line: Line) -> LineEvent:
    name, *fields = line["means"]
    values = dict(fields[0]) if fields else {}
    if name == "CallerAudio":
        values["payload"] = base64.b64decode(line["from_carrier"]["media"]["payload"])
    event: LineEvent = getattr(carriers, name)(**values)
    return event


def message(event: str, **fields: object) -> str:
    return json.dumps({"event": event, "streamSid": SID, **fields})


def media(payload: bytes, **fields: object) -> str:
    return message("media", media={"payload": base64.b64encode(payload).decode(), **fields})


def started() -> TwilioWire:
    wire = TwilioWire()
    assert isinstance(wire.receive(message("start", start={"callSid": CALL})), StreamStarted)
    return wire


# ------------------------------------------------------------------ transcripts


def test_there_are_scenes_to_play() -> None:
    assert len(SCENES) >= 8


@pytest.mark.parametrize("scene", SCENES, ids=lambda path: path.stem)
def test_every_message_of_a_scene_means_what_it_says(scene: Path) -> None:
    wire: Wire = TwilioWire()
    for number, line in enumerate(lines(scene), start=1):
        where = f"{scene.name}:{number}"
        match line:
            case {"means": _}:
                assert meant(line) == wire.receive(text_of(line)), where
            case {"call": ["speak", payload], "to_carrier": expected}:
                written = wire.speak(base64.b64decode(payload))
                assert json.dumps(expected, separators=(",", ":")) == written, where
            case {"call": ["mark", name], "to_carrier": expected}:
                assert json.dumps(expected, separators=(",", ":")) == wire.mark(name), where
            case {"call": ["clear"], "to_carrier": expected}:
                assert json.dumps(expected, separators=(",", ":")) == wire.clear(), where
            case _:
                pytest.fail(f"{where} says nothing a test could check")


@pytest.mark.parametrize("name", ["plain_call", "barge_in", "stop_early"])
def test_what_twilio_sends_has_no_breaks_in_its_sequence(name: str) -> None:
    wire = TwilioWire()
    for line in inbound(SCENES[0].with_name(f"{name}.jsonl")):
        wire.receive(text_of(line))

    assert wire.sequence_breaks == 0


@given(data=st.data())
def test_a_message_cut_anywhere_is_malformed_and_spoils_nothing_after_it(
    data: st.DataObject,
) -> None:
    scene = inbound(data.draw(st.sampled_from(SCENES)))
    victim = data.draw(st.integers(0, len(scene) - 1))
    whole = text_of(scene[victim])
    cut = whole[: data.draw(st.integers(0, max(len(whole) - 1, 0)))]
    wire = TwilioWire()
    for line in scene[:victim]:
        wire.receive(text_of(line))

    if whole.startswith("{"):
        assert wire.receive(cut) == Malformed("not-json")
    for line in scene[victim:]:
        assert meant(line) == wire.receive(text_of(line))


@given(data=st.data())
def test_messages_lost_doubled_and_out_of_order_never_raise(data: st.DataObject) -> None:
    texts = [text_of(line) for line in inbound(data.draw(st.sampled_from(SCENES)))]
    wire = TwilioWire()
    for text in data.draw(st.lists(st.sampled_from(texts), max_size=40)):
        wire.receive(text)


# ------------------------------------------------------------------ chance

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
EVENTS = st.sampled_from(["connected", "start", "media", "dtmf", "mark", "stop"])


@given(st.text() | JSON.map(json.dumps))
def test_no_text_makes_it_raise(text: str) -> None:
    assert isinstance(started().receive(text), Ignored | Malformed)


@given(
    event=EVENTS,
    inner=st.dictionaries(
        st.sampled_from(
            [
                *("payload", "track", "timestamp", "digit", "name", "callSid", "streamSid"),
                *("mediaFormat", "accountSid", "customParameters"),
            ]
        ),
        JSON,
    )
    | JSON,
    outer=st.fixed_dictionaries({}, optional={"streamSid": JSON, "sequenceNumber": JSON}),
    running=st.booleans(),
)
def test_no_value_in_a_known_message_makes_it_raise(
    event: str, inner: object, outer: dict[str, object], running: bool
) -> None:
    wire = started() if running else TwilioWire()

    wire.receive(json.dumps({"event": event, **outer, event: inner}))


def test_nesting_without_end_is_malformed() -> None:
    assert started().receive("[" * 60_000) == Malformed("not-json")
    assert started().receive('{"event":"mark","mark":' + "[" * 60_000) == Malformed("not-json")


def test_half_a_surrogate_pair_is_malformed() -> None:
    assert started().receive('{"event":"mark","mark":{"name":"\ud800"}}') == Malformed("not-json")


@given(st.text("AQgw/+-_= \n", max_size=12))
@example("AAAA=")
def test_a_payload_is_taken_only_if_it_is_strict_base64(payload: str) -> None:
    match started().receive(message("media", media={"payload": payload})):
        case CallerAudio(payload=sound):
            assert base64.b64decode(payload, validate=True) == sound
        case Malformed(reason="empty-payload"):
            assert payload == ""
        case event:
            assert event == Malformed("bad-base64")
            # Python's strict mode lets a lone "=" after a whole group pass
            if len(payload) % 4 == 0:
                with pytest.raises(binascii.Error):
                    binascii.a2b_base64(payload, strict_mode=True)


# ------------------------------------------------------------------ sound


@pytest.mark.parametrize("size", [1, 138, 160, 320, 800, 8_000, MAX_PAYLOAD_BYTES])
def test_sound_of_any_usual_size_arrives_as_it_was(size: int) -> None:
    sound = bytes(index % 256 for index in range(size))

    assert started().receive(media(sound, timestamp="20")) == CallerAudio(sound, 20)


def test_more_than_32_kib_of_sound_is_malformed() -> None:
    too_much = bytes(MAX_PAYLOAD_BYTES + 1)

    assert started().receive(media(too_much)) == Malformed("oversize-payload")


def test_a_burst_of_frames_is_taken_frame_by_frame() -> None:
    wire = started()
    events = [wire.receive(media(bytes([n]) * 160, timestamp=str(20 * n))) for n in range(25)]

    assert [CallerAudio(bytes([n]) * 160, 20 * n) for n in range(25)] == events


@pytest.mark.parametrize(
    "timestamp", ["9" * 30, 1e300, -1, "-20", "", "soon", None, [], {}, "0x10", 2**60]
)
def test_a_senseless_timestamp_costs_the_timestamp_not_the_sound(timestamp: object) -> None:
    assert started().receive(media(b"\xff", timestamp=timestamp)) == CallerAudio(b"\xff", None)


# ------------------------------------------------------------------ the stream's life


def test_a_start_may_come_without_a_word_before_it() -> None:
    event = TwilioWire().receive(message("start", start={"callSid": CALL}))

    assert isinstance(event, StreamStarted)
    assert event.decodable


def test_connected_changes_nothing() -> None:
    wire = started()

    assert wire.receive('{"event":"connected"}') == Connected()
    assert wire.receive(message("stop")) == StreamStopped()


def test_stop_before_start_ends_the_stream_for_good() -> None:
    wire = TwilioWire()

    assert wire.receive('{"event":"stop"}') == StreamStopped()
    assert wire.receive(message("start", start={"callSid": CALL})) == Ignored("after-stop")


@pytest.mark.parametrize("sid", [None, "", SID])
def test_a_message_that_names_no_other_stream_is_ours(sid: str | None) -> None:
    text = json.dumps({"event": "dtmf", "streamSid": sid, "dtmf": {"digit": "1"}})

    assert started().receive(text) == DigitPressed("1")


@pytest.mark.parametrize(
    "encoding", ["audio/x-mulaw", "audio/PCMU", "PCMU", " audio/mulaw ", "", None, "audio/basic"]
)
def test_every_name_of_mu_law_is_one_name(encoding: str | None) -> None:
    form = {"encoding": encoding, "sampleRate": 8000, "channels": 1}
    event = TwilioWire().receive(message("start", start={"callSid": CALL, "mediaFormat": form}))

    assert isinstance(event, StreamStarted)
    assert event.encoding == ULAW
    assert event.decodable


@pytest.mark.parametrize(
    "form",
    [
        {"encoding": "audio/l16", "sampleRate": 16000, "channels": 1},
        {"encoding": "audio/x-mulaw", "sampleRate": 16000, "channels": 1},
        {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 2},
        {"encoding": "audio/x-mulaw", "sampleRate": "eight", "channels": 1},
        {"encoding": "OPUS"},
        "audio/x-mulaw",
        [],
    ],
)
def test_a_format_we_cannot_hear_is_reported_as_such(form: object) -> None:
    event = TwilioWire().receive(message("start", start={"callSid": CALL, "mediaFormat": form}))

    assert isinstance(event, StreamStarted)
    assert not event.decodable


def test_breaks_in_the_sequence_are_counted_and_nothing_is_lost() -> None:
    wire = started()
    numbers = ["2", "3", "3", "7", "6", 7, None, "8"]
    events = [wire.receive(message("mark", sequenceNumber=n, mark={"name": "m"})) for n in numbers]

    assert [MarkReached("m")] * len(numbers) == events
    assert wire.sequence_breaks == 3


# ------------------------------------------------------------------ what we send


@given(st.binary(min_size=1, max_size=400))
def test_spoken_sound_is_a_closed_message_with_just_that_sound(sound: bytes) -> None:
    written = json.loads(started().speak(sound))
    payload = written["media"].pop("payload")

    assert written == {"event": "media", "streamSid": SID, "media": {}}
    assert base64.b64decode(payload, validate=True) == sound


@given(sid=st.text(min_size=1), name=st.text(min_size=1))
def test_names_are_written_so_that_any_reader_finds_them_again(sid: str, name: str) -> None:
    wire = TwilioWire()
    wire.receive(json.dumps({"event": "start", "start": {"callSid": CALL, "streamSid": sid}}))

    assert {"event": "mark", "streamSid": sid, "mark": {"name": name}} == json.loads(
        wire.mark(name)
    )
    assert {"event": "clear", "streamSid": sid} == json.loads(wire.clear())
    assert sid == json.loads(wire.speak(b"\xff"))["streamSid"]


@pytest.mark.parametrize(
    "send",
    [lambda wire: wire.speak(b"\xff"), lambda wire: wire.mark("m"), lambda wire: wire.clear()],
)
def test_nothing_can_be_written_before_the_stream_has_a_name(send: Any) -> None:
    with pytest.raises(OutOfTurn):
        send(TwilioWire())
