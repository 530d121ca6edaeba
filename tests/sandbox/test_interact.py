"""Checklist A, interact: items 14 to 19 and 22 to 28, in both revisions."""

from __future__ import annotations

import asyncio
import base64
import struct
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from gateway.sandbox.faults import parse_fault
from gateway.sandbox.sound import Mp3Encoder, decode_mp3
from gateway.sandbox.wav import read_wav, wav_file
from tests.sandbox.house import BOUNDARY, form, noise, open_house, recording

REVISIONS = pytest.mark.parametrize("revision", ["2025-06", "2026-04"])


async def _endless() -> AsyncIterator[bytes]:
    yield b"RIFF"
    await asyncio.Event().wait()


@REVISIONS
async def test_A14_unknown_ids_and_wrong_ids_are_refused_without_the_body(revision):
    async with open_house(revision) as house:
        guest = await house.caller()

        assert (await guest.speak("not-an-id", _endless())).status == 422
        assert (await guest.speak("0" * 24, _endless())).status == 404


@REVISIONS
async def test_A14_a_finished_conversation_is_refused_without_the_body(revision):
    async with open_house(revision) as house:
        guest = await house.caller()
        conversation = await guest.begin()
        await guest.finish(conversation)

        assert (await guest.speak(conversation, _endless())).status == 409


@REVISIONS
async def test_A14_a_busy_conversation_is_refused_without_the_body(revision):
    async with open_house(revision) as house:
        guest = await house.caller()
        conversation = await guest.begin()
        gate = asyncio.Event()

        async def slow() -> AsyncIterator[bytes]:
            yield recording()
            await gate.wait()

        first = asyncio.create_task(guest.speak(conversation, slow()))
        await guest.busy()
        second = await guest.speak(conversation, _endless())
        third = await guest.finish(conversation)
        gate.set()

        assert second.status == 409
        assert third == 409
        assert (await first).status == 200


@pytest.mark.parametrize(
    ("media", "status"),
    [
        ("audio/wav", 200),
        ("audio/wav; codecs=1", 200),
        ("audio/x-wav", 415),
        ("application/octet-stream", 415),
        (f"multipart/form-data; boundary={BOUNDARY}", 415),
    ],
)
async def test_A15_the_seed_revision_takes_wav_and_mpeg_and_nothing_else(media, status):
    async with open_house() as house:
        guest = await house.caller()

        assert (await guest.speak(await guest.begin(), media=media)).status == status


async def test_A15_x_wav_can_be_switched_on():
    async with open_house(accept_x_wav=True) as house:
        guest = await house.caller()

        assert (await guest.speak(await guest.begin(), media="audio/x-wav")).status == 200


async def test_A15_an_empty_recording_is_refused():
    async with open_house() as house:
        guest = await house.caller()

        assert (await guest.speak(await guest.begin(), b"")).status == 400


async def test_A15_an_mp3_recording_is_understood():
    encoder = Mp3Encoder(16000)
    mp3 = encoder.push(noise(900, 16000)) + encoder.finish()
    async with open_house() as house:
        guest = await house.caller()
        conversation = await guest.begin()
        good = await guest.speak(conversation, mp3, media="audio/mpeg")
        bad = await guest.speak(conversation, b"no music" * 99, media="audio/mpeg")

        assert good.status == 200
        assert bad.status == 415


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ([("recorded_message", b"hello")], 200),
        ([("recorded_message", b"hello"), ("initial_message_type", b"user-message")], 422),
        ([("message", b"hello")], 422),
        ([], 422),
        ([("recorded_message", b"\xff\xfe")], 422),
        ([("recorded_message", b"  \n")], 400),
    ],
)
async def test_A16_a_text_turn_of_the_seed_revision_is_one_field(fields, status):
    async with open_house() as house:
        guest = await house.caller()

        assert (await guest.post_form(await guest.begin(), fields)).status == status


async def test_A16_a_text_turn_must_be_a_form():
    async with open_house() as house:
        guest = await house.caller()
        path = f"/v1/sandbox/conversation/{await guest.begin()}/interact"
        query = {"request_format": "text", "response_format": "text"}
        answer = await guest.ask("POST", path, params=query, data=b"recorded_message=hello")

        assert answer.status == 422


@pytest.mark.parametrize(
    "media", ["audio/wav", "multipart/form-data", "multipart/mixed; boundary=x"]
)
async def test_A17_the_current_revision_takes_forms_with_a_boundary_only(media):
    async with open_house("2026-04") as house:
        guest = await house.caller()
        path = f"/v1/sandbox/conversation/{await guest.begin()}/interact"
        query = {"request_format": "text", "response_format": "text"}
        answer = await guest.ask(
            "POST", path, params=query, data=b"x", headers={"Content-Type": media}
        )

        assert answer.status == 422


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ([("initial_message_type", b"user-message"), ("recorded_message", b"hello")], 200),
        ([("recorded_message", b"hello"), ("initial_message_type", b"user-message")], 200),
        ([("recorded_message", b"hello")], 422),
        ([("initial_message_type", b"user-message")], 422),
        ([("initial_message_type", b"dream"), ("recorded_message", b"hello")], 422),
        ([("initial_message_type", b"user-message"), ("recorded_message", b"")], 400),
        ([("initial_message_type", b"skip"), ("recorded_message", b"")], 200),
        ([("initial_message_type", b"skip"), ("recorded_message", b"x")], 422),
        ([("initial_message_type", b"external-event"), ("recorded_message", b"it rains")], 200),
    ],
)
async def test_A17_the_form_of_the_current_revision_has_two_fields(fields, status):
    async with open_house("2026-04") as house:
        guest = await house.caller()

        assert (await guest.post_form(await guest.begin(), fields)).status == status


@pytest.mark.parametrize(
    ("moments", "status"),
    [([0.0], 200), ([0.0, 0.0], 200), ([3600.0], 400), ([-3600.0], 400), ([None], 422), ([], 422)],
)
async def test_A17_external_events_need_a_moment_within_the_conversation(moments, status):
    async with open_house("2026-04") as house:
        guest = await house.caller()
        conversation = await guest.begin()
        now = datetime.fromtimestamp(house.clock.wall(), UTC)
        fields = [("initial_message_type", b"user-message"), ("recorded_message", b"hello")]
        for ahead in moments:
            stamp = "tomorrow" if ahead is None else (now + timedelta(seconds=ahead)).isoformat()
            fields.append(("external_event_message_timestamp", stamp.encode()))
        fields += [("external_event_message_content", b"it rains")] * max(1, len(moments))
        answer = await guest.post_form(conversation, fields)

        assert answer.status == status


async def test_A17_external_events_are_stored_before_the_message():
    async with open_house("2026-04") as house:
        guest = await house.caller()
        conversation = await guest.begin()
        stamp = datetime.fromtimestamp(house.clock.wall(), UTC).isoformat().encode()
        await guest.post_form(
            conversation,
            [
                ("initial_message_type", b"user-message"),
                ("recorded_message", b"hello"),
                ("external_event_message_content", b"it rains"),
                ("external_event_message_timestamp", stamp),
            ],
        )
        kinds = [message["message_type"] for message in await guest.messages(conversation)]

        assert kinds == ["agent-message", "external-event", "user-message", "agent-message"]


@pytest.mark.parametrize(
    "config",
    [
        None,
        "pcm",
        "[]",
        "{}",
        '{"type":"ogg"}',
        '{"type":"pcm"}',
        '{"type":"pcm","frame_rate":3999,"n_channels":1,"sample_width":2}',
        '{"type":"pcm","frame_rate":48000,"n_channels":1,"sample_width":2}',
        '{"type":"pcm","frame_rate":8000,"n_channels":2,"sample_width":2}',
        '{"type":"pcm","frame_rate":8000,"n_channels":1,"sample_width":1}',
    ],
)
async def test_A18_a_voice_turn_of_the_current_revision_describes_its_audio(config):
    async with open_house("2026-04") as house:
        guest = await house.caller()
        path = f"/v1/sandbox/conversation/{await guest.begin()}/interact"
        query = {"request_format": "voice", "response_format": "text"}
        answer = await guest.ask(
            "POST",
            path,
            params=query | ({"request_audio_config": config} if config else {}),
            data=form(("initial_message_type", b"user-message"), ("recorded_message", recording())),
            headers={"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"},
        )

        assert answer.status == 422


async def test_A18_headerless_samples_are_taken_as_the_config_describes_them():
    async with open_house("2026-04") as house:
        guest = await house.caller()
        config = '{"type":"pcm","frame_rate":16000,"n_channels":1,"sample_width":4}'
        wide = (noise(500, 16000).astype(np.int32) << 16).astype("<i4").tobytes()
        answer = await guest.speak(
            await guest.begin(), wide, media="application/octet-stream", request_audio_config=config
        )

        assert answer.events[0]["user_message"] == "heard 500 ms"


def _wav(*chunks: tuple[bytes, bytes, int | None]) -> bytes:
    parts = [
        name
        + struct.pack("<I", len(body) if size is None else size)
        + body
        + b"\0" * (len(body) % 2)
        for name, body, size in chunks
    ]
    return b"RIFF\xff\xff\xff\xffWAVE" + b"".join(parts)


FORM = struct.pack("<HHIIHH", 1, 1, 8000, 16000, 2, 16)
SOUND = noise(500).tobytes()


@pytest.mark.parametrize(
    "wav",
    [
        _wav((b"fmt ", FORM, None), (b"data", SOUND, None)),
        _wav((b"LIST", b"INFOabc", None), (b"fmt ", FORM, None), (b"data", SOUND, 0)),
        _wav((b"fmt ", FORM, None), (b"data", SOUND, 0xFFFFFFFF)),
        _wav((b"fmt ", FORM, None), (b"data", SOUND, 0x7FFFFFFF)),
        _wav((b"fmt ", FORM, None), (b"data", SOUND, len(SOUND) + 5000)),
        _wav((b"data", SOUND, None), (b"fmt ", FORM, None)),
        _wav((b"fmt ", FORM + b"\0\0", None), (b"data", SOUND, None), (b"LIST", b"INFO", None)),
    ],
)
@REVISIONS
async def test_A19_any_reasonable_wav_file_is_read_whole(revision, wav):
    async with open_house(revision) as house:
        guest = await house.caller()
        answer = await guest.speak(await guest.begin(), wav)

        assert answer.events[0]["user_message"] == "heard 500 ms"


@pytest.mark.parametrize(
    "wav",
    [
        b"\0" * 2000,
        b"RIFF\0\0\0\0AVI " + b"\0" * 2000,
        _wav((b"data", SOUND, None)),
        _wav((b"fmt ", FORM[:10], None), (b"data", SOUND, None)),
        _wav(
            (b"fmt ", struct.pack("<HHIIHH", 7, 1, 8000, 8000, 1, 8), None), (b"data", SOUND, None)
        ),
        _wav(
            (b"fmt ", struct.pack("<HHIIHH", 1, 2, 8000, 32000, 4, 16), None),
            (b"data", SOUND, None),
        ),
        _wav(
            (b"fmt ", struct.pack("<HHIIHH", 1, 1, 8000, 8000, 1, 8), None), (b"data", SOUND, None)
        ),
        _wav(
            (b"fmt ", struct.pack("<HHIIHH", 1, 1, 96000, 0, 2, 16), None), (b"data", SOUND, None)
        ),
    ],
)
@REVISIONS
async def test_A19_anything_but_16_bit_mono_pcm_is_refused(revision, wav):
    async with open_house(revision) as house:
        guest = await house.caller()

        assert (await guest.speak(await guest.begin(), wav)).status == 415


async def test_A19_header_and_config_must_agree_when_strict():
    async with open_house("2026-04") as strict, open_house("2026-04", strict=False) as lenient:
        for house, status in ((strict, 400), (lenient, 200)):
            guest = await house.caller()
            answer = await guest.speak(await guest.begin(), recording(rate=16000))

            assert answer.status == status


async def test_A19_an_upload_beyond_the_bound_is_refused():
    async with open_house(max_upload=10_000) as house:
        guest = await house.caller()

        assert (await guest.speak(await guest.begin(), recording(2000))).status == 413


@REVISIONS
async def test_A22_a_recording_without_speech_is_a_400_and_leaves_nothing(revision):
    async with open_house(revision) as house:
        guest = await house.caller()
        conversation = await guest.begin()
        answer = await guest.speak(conversation, wav_file(noise(500, level=20), 8000))

        assert answer.status == 400
        assert len(await guest.messages(conversation)) == 1
        assert (await guest.log())["violations"] == []


async def test_A22_a_recogniser_that_understood_nothing_is_silence_too():
    async with open_house() as house:
        guest = await house.caller()
        house.recogniser.expect("")

        assert (await guest.speak(await guest.begin())).status == 400


async def test_A22_silence_can_be_told_by_an_event_instead():
    async with open_house(silence="event") as house:
        guest = await house.caller()
        conversation = await guest.begin()
        answer = await guest.speak(conversation, wav_file(noise(500, level=20), 8000))

        assert answer.status == 200
        assert [(event["type"], event["http_error_code"]) for event in answer.events] == [
            ("error", 400)
        ]
        assert len(await guest.messages(conversation)) == 1


@REVISIONS
async def test_A23_the_transcript_comes_first_then_pieces_then_completion(revision):
    async with open_house(revision) as house:
        guest = await house.caller()
        conversation = await guest.begin()
        house.recogniser.expect("tell Sam I am late")
        answer = await guest.speak(conversation, answer="voice", current_agent_action_type="^$")
        user, agent = (await guest.messages(conversation))[-2:]

        assert answer.status == 200
        assert answer.types == ["user-message-available", "new-message", "interaction-complete"]
        assert answer.events[0]["user_message"] == "tell Sam I am late"
        assert answer.events[0]["message_id"] == user["id"]
        assert answer.events[-1]["message_id"] == agent["id"]
        assert (user["format"], agent["format"]) == ("voice", "voice")
        assert "tell Sam I am late" in answer.events[-1]["full_message"]


@pytest.mark.parametrize("rate", [8000, 16000, 24000, 44100])
@pytest.mark.parametrize("voice_format", ["pcm16", "wav", "wav-pieces", "mp3"])
async def test_A24_the_voice_comes_in_the_asked_container_and_rate(voice_format, rate):
    async with open_house(voice_format=voice_format, voice_rate=rate) as house:
        answer = await (await house.caller()).create("voice")
        pieces = [base64.b64decode(event["message"]) for event in answer.of("new-message")]
        match voice_format:
            case "pcm16":
                seconds = len(b"".join(pieces)) / 2 / rate
            case "wav":
                pcm, told = read_wav(b"".join(pieces))
                assert told == rate
                assert not any(piece.startswith(b"RIFF") for piece in pieces[1:])
                seconds = len(pcm) / rate
            case "wav-pieces":
                assert all(read_wav(piece)[1] == rate for piece in pieces)
                seconds = sum(len(read_wav(piece)[0]) for piece in pieces) / rate
            case _:
                pcm, told = decode_mp3(b"".join(pieces))
                assert told == rate
                seconds = len(pcm) / rate
        # 36 characters at 60 ms and nine gaps at 60 ms; MP3 adds its own padding.
        assert 2.6 < seconds < 3.2


async def test_A24_sound_comes_in_several_pieces():
    async with open_house() as house:
        answer = await (await house.caller()).create("voice")

        assert 5 <= len(answer.of("new-message")) <= 10


@REVISIONS
async def test_A25_alignment_spells_the_message_in_growing_milliseconds(revision):
    async with open_house(revision) as house:
        answer = await (await house.caller()).create("voice")
        pairs = [
            pair for event in answer.of("new-message") for pair in event["transcript_alignment"]
        ]
        moments = [moment for moment, _ in pairs]

        assert "".join(letter for _, letter in pairs).strip() == answer.events[-1]["full_message"]
        assert moments == sorted(moments)
        assert moments[-1] <= len(answer.sound) / 32


async def test_A25_alignment_is_null_for_text():
    async with open_house() as house:
        answer = await (await house.caller()).create("text")

        assert {event["transcript_alignment"] for event in answer.of("new-message")} == {None}
        assert (
            "".join(e["message"] for e in answer.of("new-message"))
            == answer.events[-1]["full_message"]
        )


@pytest.mark.parametrize("response_format", ["text", "voice"])
async def test_A26_only_the_last_piece_stops_and_the_numbers_grow(response_format):
    async with open_house() as house:
        pieces = (await (await house.caller()).create(response_format)).of("new-message")
        numbers = [piece["sequence_number"] for piece in pieces]

        assert [piece["stop"] for piece in pieces] == [False] * (len(pieces) - 1) + [True]
        assert numbers == sorted(set(numbers))


async def test_A27_the_seed_revision_ends_with_an_event_of_its_own():
    async with open_house("2025-06") as house:
        guest = await house.caller()
        answer = await guest.say(await guest.begin(), "goodbye")

        assert answer.types[-2:] == ["interaction-complete", "end-session"]
        assert "conversation_completed" not in answer.events[-2]


async def test_A27_the_current_revision_says_it_inside_completion():
    async with open_house("2026-04") as house:
        guest = await house.caller()
        conversation = await guest.begin()
        goes_on = await guest.say(conversation, "tell Sam I am late")
        ends = await guest.say(conversation, "that's all, goodbye")

        assert goes_on.events[-1]["conversation_completed"] is False
        assert ends.events[-1]["conversation_completed"] is True
        assert not ends.of("end-session")


@REVISIONS
async def test_A27_an_ended_conversation_is_finished(revision):
    async with open_house(revision) as house:
        guest = await house.caller()
        conversation = await guest.begin()
        await guest.say(conversation, "goodbye")

        assert [item["is_finished"] for item in await guest.listed()] == [True]
        assert await guest.finish(conversation) == 409
        assert (await guest.create()).status == 201


@REVISIONS
async def test_A28_the_next_turn_is_accepted_as_soon_as_the_connection_has_ended(revision):
    async with open_house(revision) as house:
        guest = await house.caller()
        conversation = await guest.begin()
        statuses = [(await guest.say(conversation, "one more thing")).status for _ in range(20)]

        assert statuses == [200] * 20


async def test_A28_before_the_end_of_the_connection_the_next_turn_is_refused():
    async with open_house(faults=(parse_fault("interact-late-eof=1@400"),)) as house:
        guest = await house.caller()
        conversation = await guest.begin()
        first = asyncio.create_task(guest.say(conversation, "hello"))
        await guest.watch(lambda log: len(log["conversations"][0]["messages"]) == 3)
        early = await guest.say(conversation, "and this")
        await first

        assert early.status == 409
        assert (await guest.say(conversation, "and this")).status == 200


@REVISIONS
@pytest.mark.parametrize("name", ["request_format", "response_format"])
async def test_both_formats_must_be_named(revision, name):
    async with open_house(revision) as house:
        guest = await house.caller()
        query = {"request_format": "text", "response_format": "text"} | {name: "smoke"}
        path = f"/v1/sandbox/conversation/{await guest.begin()}/interact"
        answer = await guest.ask("POST", path, params=query, data=form())

        assert answer.status == 422
        assert answer.json["detail"][0]["loc"] == ["query", name]
