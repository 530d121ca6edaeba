"""The agent's voice in every form it may come in, to 8 kHz mu-law."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audio import mulaw
from audio.decode import VoiceDecoder, VoiceFormat
from audio.errors import UnsupportedAudio
from audio.mpeg import frame_length
from audio.types import Pcm
from audio.wav import stream_header, write_wav
from tests.audio.sounds import cut, mp3, noise, power_at, tone, without_id3

VOICE = noise(300, -20, rate=16000)
MELODY = tone(440, 1234, ms=600, dbfs=-18, rate=44100)
MP3 = mp3(MELODY, 44100)


def heard(
    pieces: Iterable[bytes], voice_format: VoiceFormat = "auto", pcm_rate: int = 16000
) -> tuple[bytes, str | None]:
    decoder = VoiceDecoder(voice_format, pcm_rate)
    sound = b"".join([*(decoder.push(piece) for piece in pieces), decoder.flush()])
    return sound, decoder.detected


def samples(ulaw: bytes) -> Pcm:
    return mulaw.decode(ulaw)


# ---------------------------------------------------------------- which format


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (VOICE.tobytes(), "pcm16"),
        (bytes(4000), "pcm16"),
        (write_wav(VOICE, 16000), "wav"),
        (stream_header(16000) + VOICE.tobytes(), "wav"),
        (MP3, "mp3"),
        (without_id3(MP3), "mp3"),
        (without_id3(mp3(tone(500, ms=500, rate=24000), 24000, 48)), "mp3"),
        (without_id3(mp3(tone(500, ms=500, rate=16000), 16000, 32)), "mp3"),
        (b"RIFF1234AVI " + bytes(100), "pcm16"),
        (b"I\0" * 50, "pcm16"),
        (b"\xff\xfb\x90\x64" + VOICE.tobytes(), "pcm16"),
        (b"\xff\xff" * 2000, "pcm16"),
        (b"\xff", "pcm16"),
        (b"RIFF", "pcm16"),
    ],
)
def test_the_format_is_recognised(data: bytes, expected: str):
    assert expected == heard([data])[1]
    assert expected == heard(data[at : at + 1] for at in range(len(data)))[1]


@pytest.mark.parametrize(("magic", "name"), [(b"OggS", "Ogg"), (b"fLaC", "FLAC")])
def test_ogg_and_flac_are_refused_by_name(magic: bytes, name: str):
    decoder = VoiceDecoder()

    with pytest.raises(UnsupportedAudio, match=name):
        decoder.push(magic + bytes(40))


def test_a_wav_codec_we_do_not_decode_is_refused():
    data = bytearray(write_wav(VOICE, 16000))
    data[20] = 0x55

    with pytest.raises(UnsupportedAudio, match="0x55"):
        VoiceDecoder().push(bytes(data))


def test_one_sync_that_no_second_one_follows_is_sound():
    data = b"\xff\xfb\x90\x64" + VOICE.tobytes()
    expected, _ = heard([data], "pcm16")

    assert expected == heard([data])[0]


def test_nothing_is_nothing():
    assert heard([]) == (b"", None)
    assert heard([b"", b""]) == (b"", None)


@pytest.mark.parametrize(
    ("head", "length"),
    [
        ("fffb9064", 417),
        ("fffb9264", 418),
        ("fff364c4", 144),
        ("ffe318c4", 72),
        ("fffd80c4", 417),
        ("ffff20c4", 68),
        ("fffbf064", None),
        ("fffb0064", None),
        ("fffb9c64", None),
        ("ffeb9064", None),
        ("fff99064", None),
        ("00fb9064", None),
        ("fffb90", None),
    ],
)
def test_the_length_of_an_mpeg_frame_follows_from_its_header(head: str, length: int | None):
    # 144 * bit rate / sample rate (+ padding) for layer III of MPEG 1, and its siblings.
    assert length == frame_length(bytes.fromhex(head))


# ---------------------------------------------------------------- what is heard


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 24000, 44100, 48000])
@pytest.mark.parametrize("voice_format", ["pcm16", "wav", "mp3"])
def test_a_tone_keeps_its_pitch_level_and_length(rate: int, voice_format: VoiceFormat):
    pcm = tone(1000, ms=800, dbfs=-20, rate=rate)
    data = {"pcm16": pcm.tobytes(), "wav": write_wav(pcm, rate)}.get(voice_format)
    sound, detected = heard([data or mp3(pcm, rate)], voice_format, rate)

    assert voice_format == detected
    assert power_at(samples(sound), 1000) == pytest.approx(-20, abs=0.7)
    # An MP3 encoder adds its delay and fills its last frame: 5000 samples are more than any does.
    assert 0 <= len(sound) - 6400 <= (5000 * 8000 // rate if voice_format == "mp3" else 0)


@pytest.mark.parametrize("rate", [16000, 22050, 24000, 44100, 48000])
def test_a_5_khz_probe_does_not_come_back_as_an_alias(rate: int):
    probe = tone(5000, ms=500, dbfs=-20, rate=rate)

    sound, _ = heard([probe.tobytes()], "pcm16", rate)

    assert power_at(samples(sound), 3000) < -65


@settings(max_examples=30)
@given(st.lists(st.integers(0, 100_000), max_size=10))
@pytest.mark.parametrize(
    "data",
    [VOICE.tobytes(), write_wav(VOICE, 24000), MP3, without_id3(MP3), VOICE.tobytes() + b"\x01"],
    ids=["pcm16", "wav", "mp3", "mp3 without tag", "odd end"],
)
def test_how_a_message_is_cut_cannot_be_heard(data: bytes, places: list[int]):
    whole, detected = heard([data])

    assert (whole, detected) == heard(cut(data, places))


def test_a_header_on_every_piece_joins_without_a_click():
    pcm = tone(440, ms=600, dbfs=-18, rate=16000)
    once, _ = heard([write_wav(pcm, 16000)])

    each, _ = heard(write_wav(pcm[at : at + 1600], 16000) for at in range(0, pcm.size, 1600))
    streamed, _ = heard(
        stream_header(16000) + pcm[at : at + 1600].tobytes() for at in range(0, pcm.size, 1600)
    )

    assert once == each == streamed


def test_a_header_on_the_first_piece_only_is_enough():
    pcm = noise(300, -20, rate=16000)
    data = write_wav(pcm, 16000)
    first = write_wav(pcm[:1600], 16000)

    expected, _ = heard([data])

    assert expected == heard([first, pcm[1600:3000].tobytes(), pcm[3000:].tobytes()])[0]


def test_a_header_that_comes_late_is_still_a_header():
    raw, late = noise(100, -20, rate=16000), noise(100, -20, seed=2, rate=8000)

    sound, detected = heard([raw.tobytes(), write_wav(late, 8000)])

    assert detected == "wav"
    assert len(sound) == 1600
    assert mulaw.encode(late) == sound[800:]


def test_a_change_of_rate_keeps_every_sample():
    sound, _ = heard([write_wav(noise(100, -20, rate=rate), rate) for rate in (16000, 48000, 8000)])

    assert len(sound) == 3 * 800


def test_wav_that_the_operator_announced_must_be_wav():
    with pytest.raises(UnsupportedAudio, match="RIFF"):
        VoiceDecoder("wav").push(VOICE.tobytes())


def test_mp3_sounds_like_what_was_encoded():
    sound, _ = heard([mp3(MELODY, 44100, 128)])
    reference, _ = heard([write_wav(MELODY, 44100)])

    for pitch in (440, 1234):
        difference = power_at(samples(sound), pitch) - power_at(samples(reference), pitch)
        assert abs(difference) < 0.5


def test_the_first_piece_of_an_mp3_is_heard_at_once():
    decoder = VoiceDecoder()

    assert len(decoder.push(MP3[:2048])) > 800


def test_damaged_mp3_frames_are_skipped_and_counted():
    data = bytearray(MP3)
    middle = len(data) // 2
    data[middle : middle + 600] = b"\xff\xfb\x90\x64" * 150
    decoder = VoiceDecoder()

    sound = decoder.push(bytes(data)) + decoder.flush()

    assert len(sound) > 3500
    assert decoder.damaged > 0


def test_pictures_in_a_tag_are_not_decoded():
    picture = b"\xff\xfb\x90\x64" * 2000
    size = bytes([0, 0, len(picture) >> 7 & 0x7F, len(picture) & 0x7F])
    tagged = b"ID3\x04\0\0" + size + picture + without_id3(MP3)

    assert heard([without_id3(MP3)])[0] == heard(cut(tagged, [5, 900, 9000]))[0]


@given(st.lists(st.binary(max_size=300), max_size=5))
def test_arbitrary_bytes_end_in_sound_or_in_our_own_exception(pieces: list[bytes]):
    try:
        sound, _ = heard(pieces)
    except UnsupportedAudio:
        return

    assert len(sound) <= sum(map(len, pieces)) * 8


# ---------------------------------------------------------------- the right rate


@pytest.mark.parametrize(
    ("true_rate", "assumed", "expected"),
    [
        (16000, 16000, None),
        (8000, 16000, 8000),
        (24000, 16000, 24000),
        (44100, 16000, 44100),
        (48000, 24000, 48000),
        (22050, 48000, 22050),
    ],
)
def test_a_wrong_rate_is_noticed_by_the_alignment(
    true_rate: int, assumed: int, expected: int | None
):
    decoder = VoiceDecoder("auto", assumed)
    decoder.push(noise(20_000, -20, rate=true_rate).tobytes())
    decoder.flush()

    assert expected == decoder.implausible_rate(19_900)


def test_a_closing_pause_is_not_a_wrong_rate():
    decoder = VoiceDecoder("auto", 16000)
    decoder.push(bytes(16000 * 2 * 5))

    assert decoder.implausible_rate(3000) is None


def test_a_length_that_fits_no_rate_changes_nothing():
    decoder = VoiceDecoder("auto", 16000)
    decoder.push(bytes(16000 * 2))

    assert decoder.implausible_rate(60_000) is None


@pytest.mark.parametrize("alignment_end", [0, -5])
def test_without_an_alignment_there_is_nothing_to_judge(alignment_end: int):
    decoder = VoiceDecoder("auto", 16000)
    decoder.push(bytes(3200))

    assert decoder.implausible_rate(alignment_end) is None


def test_a_wav_header_is_believed_whatever_the_alignment_says():
    decoder = VoiceDecoder()
    decoder.push(write_wav(np.zeros(16000, np.int16), 16000))

    assert decoder.implausible_rate(9000) is None
