"""The caller's sound: conversion of files, line noise, and the recordings that ship."""

from __future__ import annotations

import io
import struct
import wave

import av
import numpy as np
import pytest

from audio.errors import UnsupportedAudio
from audio.mulaw import decode, ulaw_level_dbfs
from gateway.simulator.sound import NOISE_DBFS, frames, from_file, from_pcm, is_voiced, noise_frame
from gateway.simulator.speech import recording, recordings


def sine(rate: int, seconds: float = 0.5, hertz: float = 440.0) -> np.ndarray:
    at = np.arange(round(rate * seconds)) / rate
    return np.round(0.4 * 32767 * np.sin(2 * np.pi * hertz * at)).astype(np.int16)


def wav(samples: np.ndarray, rate: int, *, channels: int = 1, width: int = 2) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        wide = np.repeat(samples, channels)
        match width:
            case 1:
                file.writeframes((wide // 256 + 128).astype(np.uint8).tobytes())
            case 2:
                file.writeframes(wide.astype("<i2").tobytes())
            case 3:
                file.writeframes(b"".join(struct.pack("<i", int(s) << 8)[:3] for s in wide))
    return out.getvalue()


def main_tone(sound: bytes) -> float:
    spectrum = np.abs(np.fft.rfft(decode(sound).astype(float)))
    return float(np.argmax(spectrum) * 8000 / len(sound))


@pytest.mark.parametrize(
    ("rate", "channels", "width"),
    [(8000, 1, 2), (8000, 2, 1), (16000, 2, 2), (22050, 1, 2), (44100, 2, 3), (48000, 1, 3)],
)
def test_a_file_of_any_kind_becomes_telephone_sound_of_the_same_length_and_pitch(
    rate, channels, width
):
    sound = from_file(wav(sine(rate), rate, channels=channels, width=width))

    assert len(sound) == pytest.approx(4000, abs=80)
    assert main_tone(sound) == pytest.approx(440, abs=4)
    assert ulaw_level_dbfs(sound) == pytest.approx(-11.0, abs=1.0)


def test_an_mp3_file_is_taken_too():
    out = io.BytesIO()
    with av.open(out, "w", format="mp3") as file:
        stream = file.add_stream("mp3", rate=24000, layout="mono")
        frame = av.AudioFrame.from_ndarray(sine(24000)[None], format="s16", layout="mono")
        frame.sample_rate = 24000
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            file.mux(packet)

    assert main_tone(from_file(out.getvalue())) == pytest.approx(440, abs=4)


@pytest.mark.parametrize("data", [b"", b"just some text, and not a short one either", b"OggS" * 9])
def test_what_is_no_sound_is_refused(data):
    with pytest.raises(UnsupportedAudio):
        from_file(data)


def test_samples_in_pieces_sound_like_the_whole():
    samples = sine(24000)
    pieces = np.array_split(samples, 7)

    assert from_pcm(pieces, 24000) == from_pcm([samples], 24000)
    assert len(from_pcm(pieces, 8000)) == len(samples)


def test_the_line_is_never_digitally_silent_and_never_loud():
    second = b"".join(noise_frame(number) for number in range(50))

    assert ulaw_level_dbfs(second) == pytest.approx(NOISE_DBFS, abs=1.0)
    assert not any(is_voiced(noise_frame(number)) for number in range(400))
    assert noise_frame(3) != noise_frame(4)


def test_a_sound_is_cut_into_whole_frames():
    cut = frames(b"\x10" * 500)

    assert [len(frame) for frame in cut] == [160] * 4
    assert b"".join(cut).startswith(b"\x10" * 500)
    assert frames(b"") == []


def test_digital_silence_in_a_recording_becomes_the_noise_of_the_line():
    silent, loud = b"\xff" * 160, b"\x10" * 160
    cut = frames(silent * 2 + loud)

    assert cut[2] == loud
    assert all(ulaw_level_dbfs(frame) == pytest.approx(NOISE_DBFS, abs=2) for frame in cut[:2])


@pytest.mark.parametrize("name", sorted(recordings()))
def test_a_shipped_recording_is_telephone_speech_with_quiet_ends(name):
    spoken = recording(name)
    with wave.open(io.BytesIO(spoken.wav())) as file:
        shape = file.getframerate(), file.getnchannels(), file.getsampwidth()
    voiced = [is_voiced(frame) for frame in frames(spoken.sound())]

    assert shape == (8000, 1, 2)
    assert -32 < ulaw_level_dbfs(spoken.sound()) < -14
    assert sum(voiced) / len(voiced) > 0.35
    assert not voiced[-1], "the last word is not cut off"
    assert len(spoken.text.split()) / (len(voiced) * 0.02) < 4.5, "words fit the length"
    assert spoken.speaker
    assert spoken.licence in ("CC BY-SA 3.0", "public domain")
    assert spoken.source
