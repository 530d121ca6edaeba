"""The caller's sound: files and samples made into telephone sound, and the noise of an open line."""

from __future__ import annotations

import random
from collections.abc import Iterable
from functools import cache
from typing import Final

from audio.decode import VoiceDecoder
from audio.errors import UnsupportedAudio
from audio.mulaw import encode, ulaw_level_dbfs
from audio.resample import Resampler
from audio.types import FRAME_SAMPLES, SAMPLE_RATE, Pcm

NOISE_DBFS: Final = -64.0
"""Level of the line's noise while nobody speaks: quiet, but never digital silence."""

VOICED_DBFS: Final = -45.0
"""A frame louder than this is speech in a recording."""

NOISE_SECONDS: Final = 7
"""The noise repeats after this long; nobody hears it, and it costs nothing to send."""


def from_file(data: bytes) -> bytes:
    """Mu-law at 8 kHz of a whole WAV or MP3 file of any rate; raises `UnsupportedAudio`."""
    decoder = VoiceDecoder("auto", SAMPLE_RATE)
    sound = decoder.push(data) + decoder.flush()
    if decoder.detected not in ("wav", "mp3"):
        # Headerless samples are right for a stream, wrong for a file: any text would pass for them.
        raise UnsupportedAudio("neither a WAV nor an MP3 file")
    if not sound:
        raise UnsupportedAudio("no sound in it")
    return sound


def from_pcm(pieces: Iterable[Pcm], rate: int) -> bytes:
    """Mu-law at 8 kHz of 16-bit samples that come in pieces at `rate` Hz."""
    if rate == SAMPLE_RATE:
        return b"".join(encode(piece) for piece in pieces)
    resampler = Resampler(rate, SAMPLE_RATE)
    spoken = b"".join(encode(resampler.push(piece)) for piece in pieces)
    return spoken + encode(resampler.flush())


def frames(sound: bytes) -> list[bytes]:
    """Cut into 160-byte frames as they would come over a line: never more silent than its noise."""
    cut = [sound[at : at + FRAME_SAMPLES] for at in range(0, len(sound), FRAME_SAMPLES)]
    if cut:
        cut[-1] += noise_frame(0)[len(cut[-1]) :]
    return [
        frame if ulaw_level_dbfs(frame) >= NOISE_DBFS else noise_frame(number)
        for number, frame in enumerate(cut)
    ]


def is_voiced(frame: bytes) -> bool:
    """Whether a frame is loud enough to be speech."""
    return ulaw_level_dbfs(frame) > VOICED_DBFS


def noise_frame(number: int) -> bytes:
    """160 bytes of line noise; consecutive numbers make continuous noise."""
    noise = _noise()
    at = number % (len(noise) // FRAME_SAMPLES) * FRAME_SAMPLES
    return noise[at : at + FRAME_SAMPLES]


@cache
def _noise() -> bytes:
    # Mu-law steps are 8 (of 32768) near zero: 0xFF, 0xFE, ... upwards, 0x7F, 0x7E, ... downwards.
    rms = 32768 * 10 ** (NOISE_DBFS / 20)
    chance = random.Random(8000)  # noqa: S311 - noise, not a secret; the same in every run
    steps = (round(chance.gauss(0, rms) / 8) for _ in range(NOISE_SECONDS * SAMPLE_RATE))
    return bytes(0xFF - min(step, 15) if step >= 0 else 0x7F - min(-step, 15) for step in steps)
