"""The agent's voice: three bytes that say what is expected and how it is cut, then the sound."""

from __future__ import annotations

import io
import struct
from functools import cache
from itertools import accumulate
from typing import get_args

import av
import numpy as np
from hypothesis import strategies as st

from audio.decode import PLAUSIBLE_RATES, VoiceDecoder, VoiceFormat
from audio.errors import UnsupportedAudio
from tests.fuzz.draw import Draw, cut

LONGEST = 8192
FORMATS: tuple[VoiceFormat, ...] = get_args(VoiceFormat)
WORDS = (
    *(b"RIFF", b"WAVE", b"fmt ", b"data", b"LIST", b"ID3", b"OggS", b"fLaC", b"TAG"),
    *(b"\xff\xfb\x90\x64", b"\xff\xf3\x40\xc4", b"\xff\xe3\x18\xc4", b"Xing", b"Info"),
    *(b"\x10\0\0\0\1\0\1\0\x40\x1f\0\0\x80\x3e\0\0\2\0\x10\0", b"\xff\xff\xff\xff", b"\0\0\0\0"),
)
MOST_OF_A_BYTE = 8
"""8 kHz samples that one byte can stand for: MPEG-2 at 8 kbit/s."""
MOST_BESIDE = 8192
"""Samples that come whatever was sent: what a decoder holds back, a frame whose tail is missing."""


def run(data: bytes) -> None:
    draw = Draw(data)
    expected, rate, seed = FORMATS[draw.below(4)], PLAUSIBLE_RATES[draw.below(6)], draw.byte()
    sound = draw.rest()
    whole = _decoded(expected, rate, [sound])
    pieces = cut(sound, seed)
    in_pieces = _decoded(expected, rate, pieces)
    if whole is not None:
        assert len(whole) <= len(sound) * MOST_OF_A_BYTE + MOST_BESIDE
    # A WAV header or an ID3 tag at the start of a piece begins a new file: that is a promise of its own.
    starts = accumulate(map(len, pieces[:-1]))
    if not any(sound.startswith((b"RIFF", b"ID3"), start) for start in starts):
        assert whole == in_pieces


def _decoded(expected: VoiceFormat, rate: int, pieces: list[bytes]) -> bytes | None:
    decoder = VoiceDecoder(expected, rate)
    try:
        sound = b"".join([*map(decoder.push, pieces), decoder.flush()])
    except UnsupportedAudio:
        return None
    likely = decoder.implausible_rate(1000.0)
    assert likely is None or likely in PLAUSIBLE_RATES
    assert decoder.damaged >= 0
    return sound


@cache
def mp3(rate: int = 16000, frames: int = 8) -> bytes:
    """A short tone as MP3."""
    at = np.arange(rate * frames * 36 // 1000)
    pcm = np.asarray(np.sin(at * 0.2) * 9000, dtype=np.int16).reshape(1, -1)
    file = io.BytesIO()
    with av.open(file, "w", format="mp3") as container:
        stream = container.add_stream("libmp3lame", rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(pcm, format="s16p", layout="mono")
        frame.sample_rate = rate
        container.mux([*stream.encode(frame), *stream.encode(None)])
    return file.getvalue()


def wav(
    rate: int, tag: int, channels: int, bits: int, body: bytes, size: int | None = None
) -> bytes:
    """A WAV file with the header it is told to have, true or not."""
    frame = channels * bits // 8
    form = struct.pack("<HHIIHH", tag, channels, rate, (rate * frame) & 0xFFFFFFFF, frame, bits)
    length = struct.pack("<I", len(body) if size is None else size)
    return b"RIFF" + length + b"WAVEfmt \x10\0\0\0" + form + b"data" + length + body


def wavs() -> st.SearchStrategy[bytes]:
    return st.builds(
        wav,
        st.sampled_from([8000, 16000, 24000, 44100, 44099, 4000, 0, 2**32 - 1]),
        st.sampled_from([1, 3, 6, 7, 0xFFFE, 85]),
        st.integers(0, 9),
        st.sampled_from([8, 16, 24, 32, 64, 12]),
        st.binary(max_size=600),
        st.none() | st.sampled_from([0, 2**32 - 1, 7, 100000]),
    )


def spoilt(whole: bytes) -> st.SearchStrategy[bytes]:
    """A good file with some bytes changed, and its end cut off."""
    change = st.tuples(st.integers(0, max(0, len(whole) - 1)), st.integers(0, 255))

    def apply(changes: list[tuple[int, int]], end: int) -> bytes:
        file = bytearray(whole)
        for at, value in changes:
            file[at] = value
        return bytes(file[:end])

    return st.builds(apply, st.lists(change, max_size=4), st.integers(0, len(whole)))


def inputs() -> st.SearchStrategy[bytes]:
    mp3s = st.sampled_from([8000, 16000, 44100]).flatmap(lambda rate: spoilt(mp3(rate)))
    tagged = st.tuples(st.just(b"ID3\4\0\0\0\0\0"), st.binary(min_size=1, max_size=30), mp3s)
    sound = wavs() | mp3s | tagged.map(b"".join) | st.binary(max_size=400)
    return st.tuples(
        st.integers(0, 3).map(lambda one: bytes([one])),
        st.binary(min_size=2, max_size=2),
        st.lists(sound, min_size=1, max_size=3).map(b"".join),
    ).map(b"".join)
