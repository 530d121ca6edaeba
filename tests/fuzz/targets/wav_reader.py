"""WAV files as we read them (the agent's, an operator's) and as the sandbox does; a first byte says how they are cut."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from audio.errors import UnsupportedAudio
from audio.types import Pcm
from audio.wav import WavReader, read_stereo, read_wav, write_wav
from gateway.sandbox.sound import NotAudio
from gateway.sandbox.wav import read_wav as sandbox_read_wav
from tests.fuzz.draw import cut
from tests.fuzz.targets import voice_decoder

LONGEST = 4096
WORDS = voice_decoder.WORDS


def run(data: bytes) -> None:
    option, file = (data[0] if data else 0), data[1:]
    channel = (None, 0, 1)[option % 3]
    whole, in_pieces = _read([file], channel), _read(cut(file, option // 3), channel)
    if whole is None or in_pieces is None:
        assert whole is in_pieces
    else:
        assert whole.dtype == np.int16
        assert np.array_equal(whole, in_pieces)
        assert whole.size <= len(file)
    try:
        pair = read_stereo(file)
    except UnsupportedAudio:
        pair = None
    if pair is not None:
        assert pair[0].size == pair[1].size
    _sandbox(file)
    samples = np.frombuffer(file[: len(file) & ~1], "<i2")
    mine, rate = read_wav(write_wav(samples, 16000))
    assert rate == 16000
    assert np.array_equal(mine, samples)


def _read(pieces: list[bytes], channel: int | None) -> Pcm | None:
    reader = WavReader(channel)
    try:
        return np.concatenate([np.empty(0, np.int16), *map(reader.push, pieces)])
    except UnsupportedAudio:
        return None


def _sandbox(file: bytes) -> None:
    try:
        pcm, rate = sandbox_read_wav(file)
    except NotAudio:
        return
    assert 4000 <= rate <= 48000
    assert pcm.nbytes <= len(file)


def inputs() -> st.SearchStrategy[bytes]:
    chunk = st.tuples(
        st.sampled_from([b"LIST", b"fmt ", b"data", b"\0\0\0\0"]),
        st.sampled_from([0, 1, 3, 16, 40, 2**31, 2**32 - 1]).map(lambda n: n.to_bytes(4, "little")),
        st.binary(max_size=40),
    ).map(b"".join)
    loose = st.lists(chunk, max_size=4).map(lambda chunks: b"RIFF\0\0\0\0WAVE" + b"".join(chunks))
    file = st.lists(voice_decoder.wavs() | loose | st.binary(max_size=40), max_size=3).map(b"".join)
    return st.tuples(st.binary(min_size=1, max_size=1), file).map(b"".join)
