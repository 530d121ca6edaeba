"""What we send on the media socket, held against the carrier's rules S1 to S11, message by message.

The shapes are written out here once more, from the carrier's documentation (telephony.md 1.4 and 7.1).
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.sandbox.engines.tones import TonesRecogniser
from gateway.sandbox.options import VOICE_FORMATS, SandboxOptions, VoiceFormat
from tests.end_to_end.door_kit import BriefVoice, House, open_house
from tests.end_to_end.door_stream import GOODBYE, WEASELS, Stream

SHAPES: dict[str, object] = {
    "media": {"event": str, "streamSid": str, "media": {"payload": str}},
    "mark": {"event": str, "streamSid": str, "mark": {"name": str}},
    "clear": {"event": str, "streamSid": str},
}
LOOKAHEAD = 0.4
"""Seconds: `barge_in.lookahead_ms`."""


def shape(value: object) -> object:
    """Keys and types of a message, all the way down."""
    if isinstance(value, dict):
        return {name: shape(inner) for name, inner in value.items()}
    return type(value)


def payloads(stream: Stream) -> Iterator[bytes]:
    for _, text in stream.frames:
        message = json.loads(text)
        if message["event"] == "media":
            yield base64.b64decode(message["media"]["payload"], validate=True)


def leads(stream: Stream) -> Iterator[float]:
    """Seconds of sound queued at the carrier after each message."""
    end = 0.0
    for at, text in stream.frames:
        message = json.loads(text)
        if message["event"] == "clear":
            end = at
        elif message["event"] == "media":
            size = len(base64.b64decode(message["media"]["payload"]))
            end = max(at, end) + size / 8000
            yield end - at


async def a_talk_with_everything(house: House, stream: Stream) -> None:
    """A greeting cut short, a turn, keys, and the agent's goodbye: every kind of message of ours."""
    sid = stream.call_sid
    await stream.hears(4000)
    await stream.say(WEASELS)
    await house.until(sid, lambda record: len(record["turns"]) == 2)
    await house.listening(sid)
    for digit in "42#":
        await stream.send(stream.message("dtmf", {"track": "inbound_track", "digit": digit}))
    await house.until(sid, lambda record: len(record["turns"]) == 3)
    await house.listening(sid)
    await stream.say(GOODBYE)
    assert await stream.ends() == 1000


async def a_greeting(house: House, stream: Stream) -> None:
    await house.listening(stream.call_sid)
    await stream.stop()
    await stream.ends()


@pytest.mark.parametrize("voice_format", VOICE_FORMATS)
async def test_sound_of_any_format_leaves_as_plain_mulaw(
    tmp_path: Path, voice_format: VoiceFormat
) -> None:
    options = SandboxOptions(think_ms=30, voice_format=voice_format, voice_rate=24_000)
    rate = {"AMIGO_AUDIO_RATE": "24000"}
    async with (
        open_house(tmp_path, options, voice=BriefVoice(700), env=rate) as house,
        house.on_the_line() as stream,
    ):
        await a_greeting(house, stream)

    obeys(stream)
    # two sentences of 700 ms, and what an encoder adds around them
    assert 10_800 <= sum(map(len, payloads(stream))) <= 13_600


async def test_everything_we_send_obeys_the_carriers_rules(tmp_path: Path) -> None:
    ears = TonesRecogniser(["weasels", "goodbye"])
    async with (
        open_house(tmp_path, recogniser=ears, voice=BriefVoice(700)) as house,
        house.on_the_line() as stream,
    ):
        await a_talk_with_everything(house, stream)

    obeys(stream)
    kinds = [json.loads(text)["event"] for _, text in stream.frames]
    assert kinds.count("clear") == 1
    # the look-ahead, and what a busy machine adds by seeing messages late
    assert max(leads(stream)) < LOOKAHEAD + 0.5


def obeys(stream: Stream) -> None:
    messages = [json.loads(text) for _, text in stream.frames]
    assert messages
    for message in messages:
        assert shape(message) == SHAPES[message["event"]]
        assert message["streamSid"] == stream.sid
    for payload in payloads(stream):
        assert 0 < len(payload) <= 8000
        assert len(payload) % 160 == 0, "whole frames only"
        assert payload[:4] not in {b"RIFF", b"OggS", b"fLaC"}
        assert not payload.startswith((b"ID3", b"\xff\xfb"))
        assert bytes(40) not in payload, "the loudest sample is no silence"
    names = [message["mark"]["name"] for message in messages if message["event"] == "mark"]
    assert all(names)
    assert len(names) == len(set(names))


async def test_nothing_is_sent_before_start_and_nothing_after_stop(tmp_path: Path) -> None:
    async with open_house(tmp_path, voice=BriefVoice(3000)) as house:
        sid, url = await house.answered()
        async with house.socket(url, sid) as stream:
            await asyncio.sleep(0.5)  # the greeting is there, the stream is not
            await stream.send({"event": "connected", "protocol": "Call", "version": "1.0.0"})
            await asyncio.sleep(0.2)
            assert stream.frames == []
            await stream.start()
            await stream.hears(4000)
            await stream.stop()
            loop = asyncio.get_running_loop()
            stopped = loop.time()
            await stream.ends()
        assert [text for at, text in stream.frames if at > stopped + 0.5] == []


async def test_frames_are_whole_texts_and_control_frames_are_short(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        sid, url = await house.answered()
        at = house.carrier.reach(url)
        reader, writer = await asyncio.open_connection(at.host, at.port)
        try:
            await house.start_by_hand(reader, writer, url, sid)
            ending = asyncio.create_task(hang_up(house, sid))
            frames = [frame async for frame in read_frames(reader)]
            await ending
        finally:
            writer.close()
            await writer.wait_closed()

    data = [frame for frame in frames if frame["opcode"] < 8]
    control = [frame for frame in frames if frame["opcode"] >= 8]
    assert len(data) > 5
    assert {frame["opcode"] for frame in data} == {1}, "text only"
    assert {(frame["fin"], frame["reserved"]) for frame in frames} == {(True, 0)}
    assert all(json.loads(frame["data"]) for frame in data)
    assert [frame["opcode"] for frame in control] == [8]
    assert all(len(frame["data"]) <= 125 for frame in control)
    assert control[0]["data"][:2] == (1000).to_bytes(2, "big")


async def hang_up(house: House, sid: str) -> None:
    await house.listening(sid)
    await house.carrier.status(sid)


async def read_frames(reader: asyncio.StreamReader) -> Any:
    """Frames of RFC 6455 as they stand on the wire, up to the close."""
    while True:
        head = await reader.readexactly(2)
        size = head[1] & 0x7F
        assert not head[1] & 0x80, "a server does not mask"
        if size >= 126:
            size = int.from_bytes(await reader.readexactly(2 if size == 126 else 8), "big")
        frame = {
            "fin": bool(head[0] & 0x80),
            "reserved": head[0] & 0x70,
            "opcode": head[0] & 0x0F,
            "data": await reader.readexactly(size),
        }
        yield frame
        if frame["opcode"] == 8:
            return
