"""Recordings read back as the line carried them."""

from __future__ import annotations

import io
import wave
from pathlib import Path

import numpy as np
import pytest

from audio import mulaw
from audio.errors import UnsupportedAudio
from audio.recording import mix_stereo
from audio.track import read_track
from audio.types import Pcm
from audio.wav import write_wav
from tests.audio.sounds import noise, power_at, tone

CALLER = mulaw.encode(noise(200, -20, seed=1))
AGENT = mulaw.encode(noise(200, -20, seed=2))


def wav_of(channels: list[Pcm], rate: int) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as writer:
        writer.setnchannels(len(channels))
        writer.setsampwidth(2)
        writer.setframerate(rate)
        writer.writeframes(np.stack(channels, axis=1).tobytes())
    return out.getvalue()


def test_our_own_recordings_come_back_sample_for_sample(tmp_path: Path) -> None:
    mix_stereo(CALLER, AGENT, tmp_path / "call.wav")

    track = read_track((tmp_path / "call.wav").read_bytes(), headerless=False)

    assert track.agent is not None
    assert np.array_equal(mulaw.decode(CALLER), mulaw.decode(track.caller))
    assert np.array_equal(mulaw.decode(AGENT), mulaw.decode(track.agent))


def test_one_channel_has_no_agent_and_any_rate_becomes_the_lines() -> None:
    track = read_track(write_wav(tone(1000, ms=500, rate=44_100), 44_100), headerless=False)

    assert track.agent is None
    assert len(track.caller) == 4000
    assert abs(power_at(mulaw.decode(track.caller), 1000) + 20) < 0.5


def test_more_channels_than_two_are_mixed() -> None:
    sound = tone(1000, ms=500)
    track = read_track(wav_of([sound, sound, sound], 8000), headerless=False)

    assert track.agent is None
    assert abs(power_at(mulaw.decode(track.caller), 1000) + 20) < 0.5


def test_headerless_sound_is_taken_as_it_is() -> None:
    assert read_track(CALLER, headerless=True).caller == CALLER


def test_a_header_is_believed_whatever_the_name_says() -> None:
    assert len(read_track(write_wav(tone(1000, ms=500), 8000), headerless=True).caller) == 4000


@pytest.mark.parametrize("data", [b"", b"ID3\x04", b"RIFF\0\0\0\0WAVE", CALLER])
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(UnsupportedAudio):
        read_track(data, headerless=False)
