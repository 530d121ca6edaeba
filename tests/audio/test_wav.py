"""WAV with every odd header we know of, in any pieces."""

from __future__ import annotations

import io
import struct
import wave

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audio import mulaw
from audio.errors import UnsupportedAudio
from audio.types import Pcm
from audio.wav import WavReader, read_wav, stream_header, write_wav
from tests.audio.sounds import cut, noise, tone

SOUND = noise(30, -15)


def chunk(name: bytes, body: bytes, size: int | None = None) -> bytes:
    pad = b"\0" if len(body) % 2 and size is None else b""
    return name + struct.pack("<I", len(body) if size is None else size) + body + pad


def form(tag: int, channels: int, rate: int, bits: int, extra: bytes = b"") -> bytes:
    align = channels * bits // 8
    return struct.pack("<HHIIHH", tag, channels, rate, rate * align, align, bits) + extra


def riff(*chunks: bytes, size: int = 0xFFFFFFFF) -> bytes:
    return b"RIFF" + struct.pack("<I", size) + b"WAVE" + b"".join(chunks)


PLAIN = chunk(b"fmt ", form(1, 1, 16000, 16))
EXTENSIBLE = form(0xFFFE, 1, 16000, 16, struct.pack("<HHIH", 22, 16, 4, 1) + bytes(14))


def test_the_streaming_header_has_44_bytes_and_no_sizes():
    header = stream_header()

    assert len(header) == 44
    assert b"\xff\xff\xff\xff" == header[4:8] == header[40:44]
    assert struct.unpack("<HHIIHH", header[20:36]) == (1, 1, 8000, 16000, 2, 16)


def test_a_written_file_is_read_by_the_standard_library():
    with wave.open(io.BytesIO(write_wav(SOUND, 24000))) as reader:
        assert (
            reader.getframerate(),
            reader.getnchannels(),
            reader.getsampwidth(),
        ) == (24000, 1, 2)
        assert SOUND.tobytes() == reader.readframes(reader.getnframes())


@pytest.mark.parametrize(
    "data",
    [
        write_wav(SOUND, 16000),
        stream_header(16000) + SOUND.tobytes(),
        riff(PLAIN, chunk(b"data", SOUND.tobytes(), 0), size=0),
        riff(PLAIN, chunk(b"data", SOUND.tobytes(), 0x7FFFFFFF)),
        riff(chunk(b"LIST", b"INFOodd"), PLAIN, chunk(b"data", SOUND.tobytes())),
        riff(
            PLAIN,
            chunk(b"fact", bytes(4)),
            chunk(b"\0\1\2\3", b"abc"),
            chunk(b"data", SOUND.tobytes()),
        ),
        riff(PLAIN, chunk(b"data", SOUND.tobytes()), chunk(b"LIST", b"\x7f" * 500)),
        riff(chunk(b"fmt ", form(1, 1, 16000, 16, bytes(2))), chunk(b"data", SOUND.tobytes())),
        riff(chunk(b"fmt ", EXTENSIBLE), chunk(b"data", SOUND.tobytes())),
    ],
    ids=[
        "plain",
        "stream",
        "sizes zero",
        "size too large",
        "list before format",
        "chunks before sound",
        "list after sound",
        "long format",
        "extensible",
    ],
)
def test_every_header_yields_the_same_sound(data: bytes):
    pcm, rate = read_wav(data)

    assert rate == 16000
    assert np.array_equal(SOUND, pcm)


@given(st.lists(st.integers(0, 10_000), max_size=12))
def test_how_the_file_is_cut_changes_nothing(places: list[int]):
    data = riff(
        chunk(b"LIST", b"INFOodd"),
        PLAIN,
        chunk(b"fact", bytes(4)),
        chunk(b"data", SOUND.tobytes()),
        chunk(b"LIST", b"\x40" * 99),
    )
    reader = WavReader()

    heard = np.concatenate([reader.push(piece) for piece in cut(data, places)])

    assert np.array_equal(SOUND, heard)


def test_sound_that_goes_on_after_the_announced_size_is_kept():
    first, rest = SOUND[:100], SOUND[100:]
    reader = WavReader()

    heard = [reader.push(write_wav(first, 16000)), reader.push(rest.tobytes())]

    assert np.array_equal(SOUND, np.concatenate(heard))


def test_a_second_file_right_behind_the_first_is_read_too():
    data = write_wav(SOUND[:100], 16000) + write_wav(SOUND[100:], 16000)

    assert np.array_equal(SOUND, read_wav(data)[0])


def as_24_bit(pcm: Pcm) -> bytes:
    return b"".join(b"\x55" + struct.pack("<h", sample) for sample in pcm.tolist())


@pytest.mark.parametrize(
    ("tag", "bits", "body", "tolerance"),
    [
        (1, 8, ((SOUND.astype(int) >> 8) + 128).astype(np.uint8).tobytes(), 256),
        (1, 24, as_24_bit(SOUND), 0),
        (1, 32, (SOUND.astype("<i4") << 16).tobytes(), 0),
        (3, 32, (SOUND / 32767).astype("<f4").tobytes(), 0),
        (3, 64, (SOUND / 32767).astype("<f8").tobytes(), 0),
        (7, 8, mulaw.encode(SOUND), 500),
    ],
)
def test_other_codings_become_16_bit(tag: int, bits: int, body: bytes, tolerance: int):
    data = riff(chunk(b"fmt ", form(tag, 1, 16000, bits)), chunk(b"data", body))

    pcm, _ = read_wav(data)

    assert SOUND.size == pcm.size
    assert np.abs(pcm.astype(int) - SOUND).max() <= tolerance


@pytest.mark.parametrize(
    ("code", "value"),
    # ITU-T G.711 table 1a at the ends of the range and around zero, on a 16-bit scale.
    [(0xD5, 8), (0x55, -8), (0xAA, 32256), (0x2A, -32256), (0xC5, 264), (0x80, 5504)],
)
def test_a_law_decodes_to_the_values_of_the_standard(code: int, value: int):
    data = riff(chunk(b"fmt ", form(6, 1, 8000, 8)), chunk(b"data", bytes([code] * 2)))

    assert [value, value] == read_wav(data)[0].tolist()


def test_several_channels_are_averaged():
    left, right = tone(500, ms=20, dbfs=-20), tone(900, ms=20, dbfs=-20)
    both = np.column_stack([left, right]).astype("<i2").tobytes()

    pcm, _ = read_wav(riff(chunk(b"fmt ", form(1, 2, 8000, 16)), chunk(b"data", both)))

    assert np.abs(pcm - (left.astype(int) + right) / 2).max() <= 0.5


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"this is not a WAV file", "RIFF"),
        (b"RIFF\0\0\0\0AVI LIST", "RIFF"),
        (riff(chunk(b"data", b"\0\0")), "before its format"),
        (riff(chunk(b"fmt ", form(2, 1, 8000, 4)), chunk(b"data", b"\0\0")), "0x2"),
        (riff(chunk(b"fmt ", form(1, 0, 8000, 16))), "0 channels"),
        (riff(chunk(b"fmt ", form(1, 1, 0, 16))), "0 Hz"),
        (riff(chunk(b"fmt ", form(1, 1, 4_000_000, 16))), "4000000 Hz"),
        (riff(chunk(b"fmt ", bytes(6))), "6 bytes"),
        (riff(chunk(b"fmt ", bytes(16), 70_000)), "70000 bytes"),
    ],
)
def test_what_cannot_be_decoded_is_named(data: bytes, complaint: str):
    with pytest.raises(UnsupportedAudio, match=complaint):
        read_wav(data + bytes(8))


def test_half_a_header_is_no_file():
    with pytest.raises(UnsupportedAudio, match="no WAV header"):
        read_wav(stream_header()[:20])


@given(st.binary(max_size=200), st.integers(0, 60))
def test_damaged_files_end_in_sound_or_in_our_own_exception(junk: bytes, place: int):
    data = bytearray(write_wav(SOUND[:40], 16000))
    data[place : place + len(junk)] = junk
    try:
        pcm, rate = read_wav(bytes(data))
    except UnsupportedAudio:
        return

    assert pcm.dtype == np.int16
    assert rate >= 4000
