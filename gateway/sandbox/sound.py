"""Sound the sandbox handles as whole buffers: change of rate, MP3 both ways, is anybody speaking.

Nothing here is paced or live: an upload is complete before it is recognised, and a sentence is
complete before it is sent, so each call gets and gives whole arrays.
"""

from __future__ import annotations

import io
from fractions import Fraction
from typing import Final

import av
import numpy as np
from av.error import FFmpegError

from audio.types import SILENCE_DBFS, Pcm

FULL_SCALE: Final = 32768.0
_LEVEL_FRAME_MS: Final = 20


class NotAudio(Exception):  # noqa: N818 - reads as the sentence it is
    """The bytes are not the kind of audio they were said to be."""


def resample(pcm: Pcm, rate_in: int, rate_out: int) -> Pcm:
    """The same sound at another rate (Hz), low-passed where the new rate needs it."""
    if rate_in == rate_out or len(pcm) == 0:
        return pcm
    resampler = av.AudioResampler(format="s16", layout="mono", rate=rate_out)
    frames = [*resampler.resample(_frame(pcm, rate_in)), *resampler.resample(None)]
    return _joined(frames)


def level_dbfs(pcm: Pcm) -> float:
    """Root mean square level of the whole buffer in dB of full scale."""
    if len(pcm) == 0:
        return SILENCE_DBFS
    power = float(np.mean(np.square(pcm.astype(np.float64) / FULL_SCALE)))
    return max(SILENCE_DBFS, 10.0 * np.log10(power)) if power > 0 else SILENCE_DBFS


def loud_ms(pcm: Pcm, rate: int, threshold_dbfs: float) -> int:
    """Milliseconds, in 20 ms frames, that are louder than the threshold."""
    size = rate * _LEVEL_FRAME_MS // 1000
    whole = len(pcm) // size
    if whole == 0:
        return 0
    frames = pcm[: whole * size].reshape(whole, size).astype(np.float64) / FULL_SCALE
    powers = np.mean(np.square(frames), axis=1)
    loud = int(np.count_nonzero(powers > 10.0 ** (threshold_dbfs / 10.0)))
    return loud * _LEVEL_FRAME_MS


def decode_mp3(data: bytes) -> tuple[Pcm, int]:
    """Samples and rate of a whole MP3 file; raises `NotAudio` when it holds no MPEG audio."""
    try:
        with av.open(io.BytesIO(data), "r", format="mp3") as container:
            rate = container.streams.audio[0].rate
            to_mono = av.AudioResampler(format="s16", layout="mono", rate=rate)
            frames = [
                sound for frame in container.decode(audio=0) for sound in to_mono.resample(frame)
            ]
    except (FFmpegError, IndexError) as exc:
        raise NotAudio("not an MP3 recording") from exc
    if not frames:
        raise NotAudio("no MP3 frames")
    return _joined(frames), rate


class Mp3Encoder:
    """One MP3 stream, fed piece by piece; MPEG frames come out as soon as they are full."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._codec = av.AudioCodecContext.create("libmp3lame", "w")
        self._codec.rate = rate
        self._codec.format = "s16p"
        self._codec.layout = "mono"
        self._codec.bit_rate = 64_000 if rate > 24_000 else 32_000
        self._codec.time_base = Fraction(1, rate)
        self._codec.open()
        self._at = 0
        self._pending = np.zeros(0, dtype=np.int16)

    def push(self, pcm: Pcm) -> bytes:
        """MPEG frames completed by these samples; perhaps none."""
        size = self._codec.frame_size
        joined = np.concatenate([self._pending, pcm])
        whole = len(joined) // size * size
        self._pending = joined[whole:]
        return b"".join(self._encode(joined[at : at + size]) for at in range(0, whole, size))

    def finish(self) -> bytes:
        """What is left, padded with silence to a whole MPEG frame."""
        rest = np.zeros(self._codec.frame_size, dtype=np.int16)
        rest[: len(self._pending)] = self._pending
        last = self._encode(rest) if len(self._pending) else b""
        return last + b"".join(bytes(packet) for packet in self._codec.encode(None))

    def _encode(self, pcm: Pcm) -> bytes:
        frame = _frame(pcm, self._rate, planar=True)
        frame.pts = self._at
        self._at += len(pcm)
        return b"".join(bytes(packet) for packet in self._codec.encode(frame))


def _frame(pcm: Pcm, rate: int, *, planar: bool = False) -> av.AudioFrame:
    samples = np.ascontiguousarray(pcm).reshape(1, -1)
    frame = av.AudioFrame.from_ndarray(samples, format="s16p" if planar else "s16", layout="mono")
    frame.sample_rate = rate
    return frame


def _joined(frames: list[av.AudioFrame]) -> Pcm:
    samples = [np.zeros(0, dtype=np.int16), *(frame.to_ndarray().reshape(-1) for frame in frames)]
    return np.concatenate(samples).astype(np.int16)
