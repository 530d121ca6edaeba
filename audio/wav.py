"""WAV: headers for a stream of unknown length, and a reader that takes the file in any pieces.

Layout as in Microsoft's RIFF/WAVE description: `RIFF`, size, `WAVE`, then chunks of a four-letter
name, a 32-bit size and that many bytes padded to an even count; `fmt ` describes, `data` sounds.
Streaming writers do not know their sizes, so 0, 0xFFFFFFFF and anything longer than what comes mean
"to the end".
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

import numpy as np

from audio import mulaw
from audio.errors import UnsupportedAudio
from audio.types import SAMPLE_RATE, Pcm

HEADER_BYTES: Final = 44
_UNKNOWN_SIZES: Final = frozenset({0, 0xFFFFFFFF})
_UNKNOWN: Final = 0xFFFFFFFF
_LOWEST_RATE: Final = 4000
_HIGHEST_RATE: Final = 192_000
_MOST_CHANNELS: Final = 8
_MOST_FMT_BYTES: Final = 1024
"""A longer `fmt ` chunk is no format description; the standard's longest has 40 bytes."""

_PCM: Final = 1
_FLOAT: Final = 3
_ALAW: Final = 6
_ULAW: Final = 7
_EXTENSIBLE: Final = 0xFFFE
_LONGEST_TRAILER: Final = 1 << 20
"""Bytes; a 'chunk' after the sound that claims to be longer is more likely loud sound than a chunk."""


def stream_header(sample_rate: int = SAMPLE_RATE) -> bytes:
    """Header of mono 16-bit PCM whose length is not known yet: both sizes are 0xFFFFFFFF."""
    return _header(sample_rate, riff_size=_UNKNOWN, data_size=_UNKNOWN)


def write_wav(pcm: Pcm, rate: int) -> bytes:
    """A whole mono 16-bit PCM file."""
    body = np.ascontiguousarray(pcm, "<i2").tobytes()
    return _header(rate, riff_size=36 + len(body), data_size=len(body)) + body


def read_wav(data: bytes) -> tuple[Pcm, int]:
    """Mono samples and sample rate of a whole file; `UnsupportedAudio` where it is none we can read."""
    reader = WavReader()
    pcm = reader.push(data)
    if reader.sample_rate is None:
        raise UnsupportedAudio("no WAV header")
    return pcm, reader.sample_rate


def read_stereo(data: bytes) -> tuple[Pcm, Pcm, int] | None:
    """Left, right and sample rate of a whole file; None where it has any other number of channels.

    Raises `UnsupportedAudio` as `read_wav` does.
    """
    left, right = WavReader(channel=0), WavReader(channel=1)
    pcm = left.push(data)
    if left.format is None:
        raise UnsupportedAudio("no WAV header")
    if left.format.channels != 2:
        return None
    return pcm, right.push(data), left.format.rate


def _header(rate: int, *, riff_size: int, data_size: int) -> bytes:
    fmt = struct.pack("<4sIHHIIHH", b"fmt ", 16, _PCM, 1, rate, rate * 2, 2, 16)
    return b"".join(
        (b"RIFF", struct.pack("<I", riff_size), b"WAVE", fmt, b"data", struct.pack("<I", data_size))
    )


@dataclass(frozen=True, slots=True)
class WavFormat:
    """What a `fmt ` chunk says, reduced to what matters for decoding."""

    tag: int
    channels: int
    rate: int
    bits: int

    @property
    def frame_bytes(self) -> int:
        """Bytes of one sample of every channel."""
        return self.channels * self.bits // 8


class _Part(Enum):
    RIFF = auto()
    CHUNK = auto()
    FMT = auto()
    SKIP = auto()
    SOUND = auto()


class WavReader:
    """A WAV stream in, mono 16-bit samples out. Raises `UnsupportedAudio` for what it cannot decode.

    `channel`: the one to give (0 is left); None mixes all.
    """

    def __init__(self, channel: int | None = None) -> None:
        self._channel = channel
        self.format: WavFormat | None = None
        """Known once the `fmt ` chunk was read."""
        self._part = _Part.RIFF
        self._pending = b""
        self._left = 0
        self._endless = False
        self._padding = 0
        self._sounded = False

    @property
    def sample_rate(self) -> int | None:
        """Hz, or None before the header was read."""
        return self.format.rate if self.format is not None else None

    def push(self, data: bytes) -> Pcm:
        """The samples this piece completes; whatever is incomplete is kept for the next piece."""
        self._pending += data
        sound: list[Pcm] = []
        while self._step(sound):
            pass
        return np.concatenate(sound) if sound else np.empty(0, np.int16)

    def _step(self, sound: list[Pcm]) -> bool:
        """Read one part; False when more bytes are needed for the next."""
        match self._part:
            case _Part.RIFF:
                return self._read_riff()
            case _Part.CHUNK:
                return self._read_chunk()
            case _Part.FMT:
                return self._read_format()
            case _Part.SKIP:
                return self._skip()
            case _Part.SOUND:
                return self._read_sound(sound)

    def _take(self, count: int) -> bytes | None:
        if len(self._pending) < count:
            return None
        taken, self._pending = self._pending[:count], self._pending[count:]
        return taken

    def _read_riff(self) -> bool:
        head = self._take(12)
        if head is None:
            return False
        if head[:4] != b"RIFF" or head[8:] != b"WAVE":
            raise UnsupportedAudio("no RIFF/WAVE header")
        self._part = _Part.CHUNK
        return True

    def _read_chunk(self) -> bool:
        if self._pending[:4] == b"RIFF":
            self._part, self._sounded = _Part.RIFF, False
            return True
        if len(self._pending) < 8:
            return False
        if self._sounded and not _is_trailer(self._pending[:8]):
            # The size covered only what was known when the header was written; sound goes on.
            self._open_sound(_UNKNOWN)
            return True
        head, self._pending = self._pending[:8], self._pending[8:]
        name, size = head[:4], int.from_bytes(head[4:], "little")
        match name:
            case b"fmt ":
                if size > _MOST_FMT_BYTES:
                    raise UnsupportedAudio(f"format chunk of {size} bytes")
                self._part, self._left, self._padding = _Part.FMT, size, size & 1
            case b"data":
                self._open_sound(size)
            case _:
                self._part, self._left = _Part.SKIP, size + (size & 1)
        return True

    def _read_format(self) -> bool:
        body = self._take(self._left + self._padding)
        if body is None:
            return False
        self.format = _parse_format(body)
        self._part = _Part.CHUNK
        return True

    def _skip(self) -> bool:
        step = min(self._left, len(self._pending))
        self._pending = self._pending[step:]
        self._left -= step
        if self._left:
            return False
        self._part = _Part.CHUNK
        return True

    def _open_sound(self, size: int) -> None:
        if self.format is None:
            raise UnsupportedAudio("sound before its format was described")
        self._endless = size in _UNKNOWN_SIZES
        self._left, self._padding = size, size & 1
        self._part, self._sounded = _Part.SOUND, True

    def _read_sound(self, sound: list[Pcm]) -> bool:
        assert self.format is not None
        room = len(self._pending) if self._endless else min(self._left, len(self._pending))
        whole = room - room % self.format.frame_bytes
        if whole:
            sound.append(_decode(self._pending[:whole], self.format, self._channel))
            self._pending = self._pending[whole:]
            self._left -= whole
        if self._endless or self._left >= self.format.frame_bytes:
            return False
        # A size that is no multiple of the frame leaves a stump, which is skipped with the padding.
        self._left += self._padding
        self._part = _Part.SKIP
        return True


def _is_trailer(head: bytes) -> bool:
    name = head[:4].decode("latin-1").replace(" ", "0")
    return (
        name.isascii() and name.isalnum() and int.from_bytes(head[4:], "little") < _LONGEST_TRAILER
    )


def _parse_format(body: bytes) -> WavFormat:
    if len(body) < 16:
        raise UnsupportedAudio(f"format chunk of {len(body)} bytes")
    tag, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", body)
    if tag == _EXTENSIBLE and len(body) >= 26:
        tag = int.from_bytes(body[24:26], "little")
    if not 1 <= channels <= _MOST_CHANNELS:
        raise UnsupportedAudio(f"{channels} channels")
    if not _LOWEST_RATE <= rate <= _HIGHEST_RATE:
        raise UnsupportedAudio(f"sample rate of {rate} Hz")
    if (tag, bits) not in _DECODERS:
        raise UnsupportedAudio(f"WAV format {tag:#x} with {bits} bits")
    return WavFormat(tag, channels, rate, bits)


def _decode(raw: bytes, form: WavFormat, channel: int | None) -> Pcm:
    samples = _DECODERS[form.tag, form.bits](raw)
    if form.channels == 1:
        return samples
    together = samples.reshape(-1, form.channels)
    if channel is not None:
        return together[:, channel]
    mixed: Pcm = np.rint(together.mean(axis=1)).astype(np.int16)
    return mixed


def _pcm8(raw: bytes) -> Pcm:
    return (np.frombuffer(raw, np.uint8).astype(np.int16) - 128) << 8


def _pcm16(raw: bytes) -> Pcm:
    return np.frombuffer(raw, "<i2").astype(np.int16, copy=False)


def _pcm24(raw: bytes) -> Pcm:
    return np.frombuffer(raw, np.uint8).reshape(-1, 3)[:, 1:].copy().view("<i2").ravel()


def _pcm32(raw: bytes) -> Pcm:
    return (np.frombuffer(raw, "<i4") >> 16).astype(np.int16)


def _float(raw: bytes, kind: str) -> Pcm:
    samples = np.nan_to_num(np.frombuffer(raw, kind), posinf=1.0, neginf=-1.0)
    scaled: Pcm = np.rint(np.clip(samples, -1.0, 1.0) * 32767.0).astype(np.int16)
    return scaled


def _alaw(raw: bytes) -> Pcm:
    return _ALAW_TABLE.take(np.frombuffer(raw, np.uint8))


def _alaw_table() -> Pcm:
    """ITU-T G.711 A-law: even bits inverted, the lowest segment linear."""
    code = np.arange(256, dtype=np.int32) ^ 0x55
    segment = (code & 0x70) >> 4
    step = ((code & 0x0F) << 4) + 8
    magnitude = np.where(segment == 0, step, (step + 0x100) << np.maximum(segment - 1, 0))
    return np.where(code & 0x80, magnitude, -magnitude).astype(np.int16)


_ALAW_TABLE: Final = _alaw_table()
_DECODERS: Final[Mapping[tuple[int, int], Callable[[bytes], Pcm]]] = {
    (_PCM, 8): _pcm8,
    (_PCM, 16): _pcm16,
    (_PCM, 24): _pcm24,
    (_PCM, 32): _pcm32,
    (_FLOAT, 32): lambda raw: _float(raw, "<f4"),
    (_FLOAT, 64): lambda raw: _float(raw, "<f8"),
    (_ALAW, 8): _alaw,
    (_ULAW, 8): mulaw.decode,
}
