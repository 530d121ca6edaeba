"""Rubbish on the media socket: counted, told in the log, nothing lost, the call kept alive."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.carriers import LineEvent
from gateway.carriers.twilio.wire import TwilioWire
from gateway.simulator.sound import frames, noise_frame
from tests.end_to_end.door_carrier import eventually
from tests.end_to_end.door_kit import House, open_house
from tests.end_to_end.door_stream import TICK, WEASELS, Stream

SILENCE = bytes([0xFF])


async def is_well(house: House, stream: Stream) -> None:
    """The call still takes a turn, and still speaks."""
    sid = stream.call_sid
    await house.listening(sid)
    before, heard = len((await house.record(sid))["turns"]), stream.sound_heard
    for digit in "12#":
        await stream.send(stream.message("dtmf", {"track": "inbound_track", "digit": digit}))
    await house.until(sid, lambda record: len(record["turns"]) > before)
    await eventually(lambda: stream.sound_heard > heard, 10, "the reply")
    assert not stream.closed.is_set()


def media(payload: object, sid: str, **changes: object) -> str:
    return json.dumps(
        {"event": "media", "streamSid": sid, "media": {"payload": payload}, **changes}
    )


ULAW = base64.b64encode(bytes(160)).decode()

RUBBISH: dict[str, tuple[str, Any]] = {
    "not json": ("not-json", "hello?"),
    "cut json": ("not-json", '{"event":"media","media":{"payl'),
    "empty": ("not-json", ""),
    "a list": ("not-an-object", "[1,2,3]"),
    "a number": ("not-an-object", "7"),
    "no event": ("no-event", "{}"),
    "deep": ("not-json", "[" * 20_000),
    "an unknown event": ("unknown-event", '{"event":"weather","weather":{"rain":true}}'),
    "media without media": ("bad-media", '{"event":"media"}'),
    "a payload that is a number": ("bad-media", lambda sid: media(7, sid)),
    "a payload that is a list": ("bad-media", lambda sid: media([], sid)),
    "broken base64": ("bad-base64", lambda sid: media("&&&&", sid)),
    "base64 without padding": ("bad-base64", lambda sid: media("QQ", sid)),
    "an empty payload": ("empty-payload", lambda sid: media("", sid)),
    "a payload of 40 KiB": (
        "oversize-payload",
        lambda sid: media(base64.b64encode(bytes(40_000)).decode(), sid),
    ),
    "another stream's sound": ("foreign-stream", lambda _: media(ULAW, "MZother")),
    "a streamSid that is a number": ("foreign-stream", lambda _: media(ULAW, 7)),  # type: ignore[arg-type]
    "dtmf without a digit": ("bad-dtmf", '{"event":"dtmf","dtmf":{}}'),
    "a digit that is a word": ("bad-dtmf", '{"event":"dtmf","dtmf":{"digit":"five"}}'),
    "a mark without a name": ("bad-mark", '{"event":"mark","mark":{}}'),
    "a mark that is null": ("bad-mark", '{"event":"mark","mark":null}'),
    "our own sound back": (
        "outbound-track",
        lambda sid: media(ULAW, sid).replace('{"payload"', '{"track":"outbound","payload"'),
    ),
    "binary": ("binary", b"\x00\x01\x02"),
    "binary sound": ("binary", bytes(160)),
    "a message of 100 KB": ("oversize-message", "x" * 100_000),
    "a message of 900 KB": ("oversize-message", lambda sid: media("A" * 900_000, sid)),
    "binary of 100 KB": ("binary", bytes(100_000)),
}


@pytest.mark.parametrize("name", RUBBISH)
async def test_a_message_we_cannot_use_is_counted_and_the_call_goes_on(
    tmp_path: Path, name: str
) -> None:
    kind, rubbish = RUBBISH[name]
    async with open_house(tmp_path) as house, house.on_the_line() as stream:
        await house.listening(stream.call_sid)
        text: Any = rubbish(stream.sid) if callable(rubbish) else rubbish
        for _ in range(3):
            await stream.send(text)
        await house_counts(house, kind, 3)
        await is_well(house, stream)
        await stream.stop()


async def house_counts(house: House, kind: str, count: float) -> None:
    async def counted() -> bool:
        return await house.media_errors(kind) >= count

    await eventually(counted, 5.0, f"{count} of {kind}")
    assert await house.media_errors(kind) == count


async def test_nothing_before_start_is_taken_and_the_start_still_is(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        sid, url = await house.answered()
        async with house.socket(url, sid) as stream:
            early: list[Any] = [stream.media(bytes(160)), stream.message("dtmf", {"digit": "5"})]
            for message in [*early, "rubbish", b"binary"]:
                await stream.send(message)
            await stream.start()
            await stream.hears()
            assert await house.media_errors("before-start") == 2
            await is_well(house, stream)
            await stream.stop()


async def test_a_second_start_is_ignored_and_counted(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house, house.on_the_line() as stream:
        await stream.hears()
        await stream.send(stream.start_message())
        await stream.send(stream.start_message(callSid="CAother"))
        await is_well(house, stream)

        assert await house.media_errors("second-start") == 2
        await stream.stop()


async def test_marks_unknown_stale_repeated_or_late_change_nothing(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house, house.on_the_line() as stream:
        await stream.hears()
        names = [
            "",
            "g0.u0.1",
            "g999.u1.0",
            "?",
            "g",
            *(m["mark"]["name"] for m in stream.of("mark")),
        ]
        for name in names * 3:
            await stream.send(stream.message("mark", {"name": name}))
        await is_well(house, stream)
        await stream.stop()


async def test_twenty_bad_messages_in_a_row_are_no_carriers(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        sid, url = await house.answered()
        async with house.socket(url, sid) as stream:
            await stream.start()
            await stream.hears()
            stream.mute()
            await asyncio.sleep(0.1)
            for _ in range(20):
                await stream.send("rubbish")

            assert await stream.ends() == 1003
        assert (await house.settled(sid))["conversation_state"] == "finished"


async def test_a_frame_beyond_all_measure_ends_the_stream_in_order(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house, house.on_the_line() as stream:
        await stream.hears()
        await stream.send("x" * 3_000_000)
        await house.listening(stream.call_sid)
        await stream.send("x" * 17_000_000)

        # 1009; or 1006 where the close is overtaken by the reset of what was still being sent
        assert await stream.ends() in {1009, 1006}
        assert (await house.settled(stream.call_sid))["conversation_state"] == "finished"


async def test_numbers_as_strings_and_strings_as_numbers_are_heard(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house, house.on_the_line() as stream:
        sid = stream.call_sid
        await house.listening(sid)
        stream.mute()
        for number, frame in enumerate(frames(WEASELS) + [noise_frame(n) for n in range(60)]):
            swapped = number % 2 == 0
            await stream.send(
                {
                    "event": "media",
                    "sequenceNumber": number if swapped else float(number),
                    "streamSid": stream.sid if number % 5 else None,
                    "media": {
                        "track": "inbound" if number % 3 else None,
                        "chunk": number,
                        "timestamp": number * 20 if swapped else str(number * 20),
                        "payload": base64.b64encode(frame).decode(),
                    },
                }
            )
            await asyncio.sleep(TICK / 2)
        record = await house.until(sid, lambda record: len(record["turns"]) == 2)

        assert record["turns"][1]["kind"] == "voice"
        assert await house.metric("frames_total", direction="in") >= len(WEASELS) // 160
        await stream.stop()


@pytest.mark.parametrize(
    "sizes", [(1,), (138,), (159, 161), (320,), (7, 1500, 33, 800), (8000,)], ids=str
)
async def test_sound_in_pieces_of_any_size_is_the_same_sound(
    tmp_path: Path, sizes: tuple[int, ...]
) -> None:
    async with open_house(tmp_path) as house, house.on_the_line() as stream:
        sid = stream.call_sid
        await house.listening(sid)
        stream.mute()
        tail = b"".join(noise_frame(n) for n in range(60))
        # of the smallest pieces less, so that a slow machine keeps up
        sound = (WEASELS[:12_000] if sizes == (1,) else WEASELS) + tail
        at = turn = 0
        began = asyncio.get_running_loop().time()
        while at < len(sound):
            size = sizes[turn % len(sizes)]
            await stream.send(stream.media(sound[at : at + size], timestamp=None))
            at, turn = at + size, turn + 1
            ahead = began + at / 16_000 - asyncio.get_running_loop().time()
            await asyncio.sleep(max(0.0, ahead))
        await house.until(sid, lambda record: len(record["turns"]) == 2)
        # the upload is whole once the API has answered it
        await house.until(sid, lambda record: record["turns"][1]["user_text"])
        uploads = [one for one in (await house.log())["requests"] if one["operation"] == "interact"]

        assert [one["upload"]["end"] for one in uploads] == ["complete"]
        assert uploads[0]["upload"]["audio_ms"] > 600
        await stream.stop()


async def test_a_stall_and_the_burst_behind_it_lose_nothing(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house, house.on_the_line() as stream:
        sid = stream.call_sid
        await house.listening(sid)
        stream.mute()
        sound = frames(WEASELS) + [noise_frame(n) for n in range(60)]
        for number, frame in enumerate(sound):
            if number % 50 < 25:  # half a second of nothing, then 25 frames at once
                await asyncio.sleep(TICK)
            await stream.send(stream.media(frame))
            if number % 50 == 24:
                await asyncio.sleep(0.5)
        await house.until(sid, lambda record: len(record["turns"]) == 2)
        await house.until(sid, lambda record: record["turns"][1]["user_text"])
        uploads = [one for one in (await house.log())["requests"] if one["operation"] == "interact"]

        assert len(uploads) == 1
        # 2.95 s were said, some of it the silence around the words
        assert uploads[0]["upload"]["audio_ms"] > 2000
        await stream.stop()


async def test_a_gap_in_the_timestamps_is_a_pause_and_no_error(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house, house.on_the_line() as stream:
        sid = stream.call_sid
        await house.listening(sid)
        await stream.say(WEASELS[:16_000])
        # 900 ms are lost on their way: as long as a pause that ends a turn
        stream._chunk += 45
        record = await house.until(sid, lambda record: len(record["turns"]) == 2)

        assert record["turns"][1]["kind"] == "voice"
        for jump in (-20_000, 100_000_000, -3):
            stream._chunk += jump
            await asyncio.sleep(0.1)
        assert not stream.closed.is_set()
        await stream.stop()


async def test_sequence_numbers_that_jump_repeat_or_go_back_are_of_no_importance(
    tmp_path: Path,
) -> None:
    async with open_house(tmp_path) as house, house.on_the_line() as stream:
        await stream.hears()
        for jump in (-10, 1000, 0, -5, 2**60):
            stream._sequence += jump
            await asyncio.sleep(0.05)
        await is_well(house, stream)
        await stream.stop()


@pytest.mark.parametrize("digits", ["1", "*", "A", "0123456789*ABCD"])
async def test_keys_in_odd_shapes_are_keys(tmp_path: Path, digits: str) -> None:
    async with open_house(tmp_path) as house, house.on_the_line() as stream:
        sid = stream.call_sid
        await house.listening(sid)
        for digit in digits + "#":
            shape: dict[str, Any] = {"digit": int(digit) if digit.isdigit() else digit}
            await stream.send(stream.message("dtmf", shape | {"duration": 90}))
        record = await house.until(sid, lambda record: len(record["turns"]) == 2)

        assert record["turns"][1]["kind"] == "dtmf"
        await stream.stop()


# ---------------------------------------------------------------- anything at all

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4)
    ),
    max_leaves=12,
)
KNOWN = ["connected", "start", "media", "dtmf", "mark", "clear", "weather"]
near_misses = st.fixed_dictionaries(
    {"event": st.sampled_from(KNOWN) | json_values},
    optional={
        "streamSid": st.just("MZ1") | json_values,
        "sequenceNumber": json_values,
        "start": json_values,
        "media": st.fixed_dictionaries(
            {}, optional={"payload": st.just(ULAW) | json_values, "timestamp": json_values}
        )
        | json_values,
        "dtmf": st.fixed_dictionaries({}, optional={"digit": json_values}) | json_values,
        "mark": st.fixed_dictionaries({}, optional={"name": json_values}) | json_values,
    },
)
texts = (
    near_misses.map(json.dumps)
    | json_values.map(json.dumps)
    | st.text(max_size=200)
    | st.binary(max_size=100).map(lambda data: data.decode("latin-1"))
)


@settings(max_examples=200, deadline=None)
@given(st.lists(texts, max_size=12))
def test_whatever_text_comes_the_wire_has_an_event_for_it(messages: list[str]) -> None:
    wire = TwilioWire()
    for text in messages:
        assert isinstance(wire.receive(text), LineEvent)


# few examples, one call: a socket costs more than an event
batches = st.lists(
    st.lists(texts | st.binary(max_size=300), min_size=1, max_size=12), min_size=12, max_size=12
)


@settings(
    max_examples=4,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(batches)
def test_whatever_comes_on_a_live_socket_the_call_goes_on(
    tmp_path_factory: pytest.TempPathFactory, messages: list[list[str | bytes]]
) -> None:
    async def main() -> None:
        path = tmp_path_factory.mktemp("fuzz")
        async with open_house(path) as house, house.on_the_line() as stream:
            await house.listening(stream.call_sid)
            for batch in messages:
                for message in batch:
                    await stream.send(_encodable(message))
                # a line that is alive between the rubbish
                await stream.send(stream.media(noise_frame(0)))
            await is_well(house, stream)
            await stream.stop()

    asyncio.run(main())


def _encodable(message: str | bytes) -> str | bytes:
    """Lone surrogates cannot stand in a text frame."""
    return message if isinstance(message, bytes) else message.encode("utf-8", "replace").decode()


async def test_a_carrier_that_sends_no_silence_gets_its_answer(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house, house.on_the_line() as stream:
        await house.listening(stream.call_sid)
        await stream.say(WEASELS + b"".join(noise_frame(n) for n in range(8)))
        stream.mute()

        await stream.hears(seconds=3)

        record = await house.record(stream.call_sid)
        assert [turn["kind"] for turn in record["turns"]] == ["greeting", "voice"]
        assert record["turns"][1]["timings_ms"]["endpoint_wait"] < 1000
        await stream.stop()
