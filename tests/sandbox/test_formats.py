"""The sandbox's own readers and writers: forms, WAV files, alignment, MP3, rates."""

from __future__ import annotations

import asyncio
import wave
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sandbox import pieces, sound, wav
from gateway.sandbox.agent import Reply
from gateway.sandbox.multipart import BadForm, boundary_of, read_form
from tests.sandbox.house import form, noise

NAMES = st.sampled_from(["recorded_message", "initial_message_type", "x"])


@given(st.lists(st.tuples(NAMES, st.binary(max_size=200)), max_size=4))
def test_a_form_gives_back_what_was_put_in(fields):
    read = read_form(form(*fields, boundary="x-boundary-x"), "x-boundary-x")

    assert [(field.name, field.value) for field in read] == fields


@given(st.binary(max_size=300))
def test_no_bytes_upset_the_form_reader(body):
    try:
        read_form(b"--b" + body, "b")
    except BadForm:
        pass


@given(st.integers(min_value=1))
def test_a_form_cut_short_is_refused(cut):
    body = form(("recorded_message", b"hello"), ("initial_message_type", b"skip"))

    with pytest.raises(BadForm):
        read_form(body[: -3 - cut % (len(body) - 3)], "b0undary")


def test_a_part_tells_its_name_type_and_file_name():
    body = (
        b'--b\r\ncontent-disposition: form-data; name="recorded_message"; filename="audio.wav"\r\n'
        b"Content-Type: audio/wav\r\n\r\nRIFF\r\n--b--\r\n"
    )
    [field] = read_form(body, "b")

    assert (field.name, field.filename, field.content_type) == (
        "recorded_message",
        "audio.wav",
        "audio/wav",
    )
    assert field.value == b"RIFF"


def test_a_preamble_and_an_epilogue_are_ignored():
    assert len(read_form(b"hello\r\n" + form(("x", b"1")) + b"bye", "b0undary")) == 1


@pytest.mark.parametrize(
    ("declared", "boundary"),
    [
        ("multipart/form-data; boundary=abc", "abc"),
        ('multipart/form-data; boundary="a b"', "a b"),
        ("multipart/form-data", None),
        ("multipart/mixed; boundary=abc", None),
        ("audio/wav", None),
        ("", None),
    ],
)
def test_the_boundary_is_found_only_in_form_data(declared, boundary):
    assert boundary_of(declared) == boundary


@given(st.binary(max_size=400), st.sampled_from([4000, 8000, 16000, 44100]))
def test_a_wav_file_gives_back_its_samples(raw, rate):
    pcm = np.frombuffer(raw[: len(raw) // 2 * 2], dtype="<i2").astype(np.int16)
    back, told = wav.read_wav(wav.wav_file(pcm, rate))

    assert told == rate
    assert np.array_equal(back, pcm)


@given(st.binary(max_size=300))
def test_no_bytes_upset_the_wav_reader(data):
    for body in (data, b"RIFF\0\0\0\0WAVE" + data):
        try:
            wav.read_wav(body)
        except sound.NotAudio:
            pass


def test_our_wav_files_are_what_the_standard_library_reads():
    with wave.open(BytesIO(wav.wav_file(noise(100), 8000))) as file:
        assert (file.getframerate(), file.getnchannels(), file.getnframes()) == (8000, 1, 800)


@given(st.text(min_size=1, max_size=80), st.integers(0, 10_000), st.integers(0, 10_000))
def test_alignment_spells_the_text_within_its_time(text, start, length):
    pairs = pieces.align(text, start, length)
    moments = [moment for moment, _ in pairs]

    assert "".join(letter for _, letter in pairs) == f"{text} "
    assert moments == sorted(moments)
    assert start <= moments[0] <= moments[-1] <= start + length


def test_text_pieces_join_to_the_reply():
    reply = Reply(("I wrote down: seven red bicycles.", "Anything else?"))

    async def joined() -> str:
        return "".join([piece.message async for piece in pieces.text_pieces(reply)])

    assert asyncio.run(joined()) == reply.text


@pytest.mark.parametrize(
    ("low", "high"), [(8000, 16000), (24000, 16000), (24000, 8000), (16000, 44100)]
)
def test_a_change_of_rate_keeps_length_and_pitch(low, high):
    tone = (8000 * np.sin(2 * np.pi * 700 / low * np.arange(low))).astype(np.int16)
    changed = sound.resample(tone, low, high)
    spectrum = np.abs(np.fft.rfft(changed[:high].astype(float)))

    assert abs(len(changed) - high) <= 32
    assert abs(int(np.argmax(spectrum)) - 700) <= 1
    assert abs(sound.level_dbfs(changed) - sound.level_dbfs(tone)) < 0.3


def test_no_sound_stays_no_sound():
    nothing = np.zeros(0, dtype=np.int16)

    assert len(sound.resample(nothing, 8000, 16000)) == 0
    assert sound.level_dbfs(nothing) == sound.level_dbfs(np.zeros(99, dtype=np.int16)) == -96.0
    assert sound.loud_ms(nothing, 8000, -50.0) == 0


@given(st.integers(0, 5000), st.sampled_from([8000, 16000, 22050, 24000, 44100, 48000]))
def test_mp3_comes_back_about_as_long_as_it_went_in(samples, rate):
    encoder = sound.Mp3Encoder(rate)
    data = (
        encoder.push(noise(1000, rate))
        + encoder.push(noise(1000, rate)[:samples])
        + encoder.finish()
    )
    pcm, told = sound.decode_mp3(data)

    assert told == rate
    assert abs(len(pcm) - rate - min(samples, rate)) < 4000
