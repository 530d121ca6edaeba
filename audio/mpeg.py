"""Tell MPEG audio from samples that happen to look like it; decode it as it arrives.

Only home of PyAV. A single sync word is no proof: 0xFF 0xFB is also a legal 16-bit sample. Two valid
headers exactly one frame length apart are.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Final

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext
from numpy.typing import NDArray

from audio.types import Pcm

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.packet import Packet

HEADER_BYTES: Final = 4

# ISO/IEC 11172-3 and 13818-3, table of bit rates in kbit/s; index 0 is "free", 15 is forbidden.
_KBITS: Final = {
    (1, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES: Final = (44100, 48000, 32000)
_SAMPLES: Final = {(1, 1): 384, (1, 2): 1152, (1, 3): 1152, (2, 1): 384, (2, 2): 1152, (2, 3): 576}


def frame_rate(head: bytes | memoryview) -> int | None:
    """Hz of the frame that begins with these four bytes; None where none begins."""
    if len(head) < HEADER_BYTES or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version_bits, rate_index = head[1] >> 3 & 3, head[2] >> 2 & 3
    if version_bits == 1 or rate_index == 3:
        return None
    # MPEG 2.5 (version bits 0) halves the rates of MPEG 2, which halves those of MPEG 1.
    return _RATES[rate_index] >> {3: 0, 2: 1, 0: 2}[version_bits]


def frame_length(head: bytes) -> int | None:
    """Bytes of the MPEG audio frame that begins with these four bytes; None where none begins."""
    rate = frame_rate(head)
    if rate is None:
        return None
    version_bits, layer_bits, kbits_index = head[1] >> 3 & 3, head[1] >> 1 & 3, head[2] >> 4
    if layer_bits == 0 or kbits_index in {0, 15}:
        return None
    version, layer = 1 if version_bits == 3 else 2, 4 - layer_bits
    slot = 4 if layer == 1 else 1
    bits = _SAMPLES[version, layer] // 8 * _KBITS[version, layer][kbits_index] * 1000
    return (bits // rate // slot + (head[2] >> 1 & 1)) * slot


class MpegDecoder:
    """An MP3 stream in, mono 16-bit samples and their rate out. Damaged frames are skipped and counted."""

    def __init__(self) -> None:
        self.damaged = 0
        """Packets that could not be decoded."""
        # Two of them: a parser that looks ahead writes the next frame's rate into the context it shares
        # with the decoder, so that sound would depend on how the stream is cut.
        self._parser, self._codec = _context(), _context()

    def push(self, data: bytes) -> list[tuple[Pcm, int]]:
        """Decode the frames this piece completes: one stretch of sound, more where the rate changes."""
        return self._decode(self._parser.parse(data)) if data else []

    def flush(self) -> list[tuple[Pcm, int]]:
        """Decode what is left; the decoder is spent afterwards."""
        return self._decode([*self._parser.parse(None), None])

    def _decode(self, packets: Iterable[Packet[AudioStream] | None]) -> list[tuple[Pcm, int]]:
        frames: list[tuple[int, AudioFrame]] = []
        for packet in packets:
            try:
                decoded = self._codec.decode(packet)
            except av.error.FFmpegError:
                self.damaged += 1
                continue
            # What the decoder says of a frame is the rate of the one before.
            rate = None if packet is None else frame_rate(memoryview(packet)[:HEADER_BYTES])
            frames += [(rate or frame.sample_rate, frame) for frame in decoded]
        return [
            (_to_pcm([_mono(frame) for _, frame in stretch]), rate)
            for rate, stretch in groupby(frames, key=itemgetter(0))
        ]


def _context() -> AudioCodecContext:
    codec = av.CodecContext.create("mp3float", "r")
    assert isinstance(codec, AudioCodecContext)
    return codec


def _mono(frame: AudioFrame) -> NDArray[np.float32]:
    """Samples with full scale at 1. The decoder gives planes of floats, one for each channel."""
    planes = frame.to_ndarray()
    mono: NDArray[np.float32] = planes[0] if len(planes) == 1 else planes.mean(axis=0)
    return mono


def _to_pcm(frames: list[NDArray[np.float32]]) -> Pcm:
    samples = np.concatenate(frames)
    pcm: Pcm = np.clip(np.rint(samples * 32767.0), -32768.0, 32767.0).astype(np.int16)
    return pcm
