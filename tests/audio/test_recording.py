"""The stereo recording of a finished call, read back by the standard library."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest

from audio import mulaw
from audio.recording import mix_stereo
from tests.audio.sounds import noise

CALLER = mulaw.encode(noise(200, -20, seed=1))
AGENT = mulaw.encode(noise(200, -20, seed=2))


def read(path: Path) -> tuple[wave._wave_params, np.ndarray[tuple[int, int], np.dtype[np.int16]]]:
    with wave.open(str(path)) as reader:
        raw = reader.readframes(reader.getnframes())
        return reader.getparams(), np.frombuffer(raw, "<i2").reshape(-1, 2)


def test_the_caller_is_left_and_the_agent_right(tmp_path: Path):
    mix_stereo(CALLER, AGENT, tmp_path / "call.wav")

    params, tracks = read(tmp_path / "call.wav")

    assert (params.framerate, params.nchannels, params.sampwidth) == (8000, 2, 2)
    assert np.array_equal(mulaw.decode(CALLER), tracks[:, 0])
    assert np.array_equal(mulaw.decode(AGENT), tracks[:, 1])


@pytest.mark.parametrize("length", [0, 1, 7, 803])
def test_the_shorter_track_is_filled_with_silence(tmp_path: Path, length: int):
    mix_stereo(CALLER, AGENT[:length], tmp_path / "call.wav")

    _, tracks = read(tmp_path / "call.wav")

    assert len(CALLER) == len(tracks)
    assert not tracks[length:, 1].any()


def test_a_call_without_sound_is_an_empty_file(tmp_path: Path):
    mix_stereo(b"", b"", tmp_path / "call.wav")

    params, _ = read(tmp_path / "call.wav")

    assert params.nframes == 0


def test_a_path_that_cannot_be_written_is_an_os_error(tmp_path: Path):
    with pytest.raises(OSError, match="No such file"):
        mix_stereo(CALLER, AGENT, tmp_path / "missing" / "call.wav")
