"""Recordings of a call as the line carried it: mu-law at 8 kHz, the caller apart from the agent.

For tools that hear a finished call again; a live one never becomes a file first.
"""

from __future__ import annotations

from dataclasses import dataclass

from audio import mulaw
from audio.errors import UnsupportedAudio
from audio.resample import Resampler
from audio.types import SAMPLE_RATE, Pcm
from audio.wav import read_stereo, read_wav


@dataclass(frozen=True, slots=True)
class Track:
    """Two sounds that began together, as mu-law."""

    caller: bytes
    agent: bytes | None = None
    """None: the recording has one voice only."""


def read_track(data: bytes, *, headerless: bool) -> Track:
    """Take a file's bytes: WAV of any rate, or with `headerless` mu-law as it is.

    Two channels are what the gateway records, caller left and agent right; any other number is mixed.
    Raises `UnsupportedAudio` for anything else.
    """
    if data[:4] == b"RIFF":
        stereo = read_stereo(data)
        if stereo is not None:
            left, right, rate = stereo
            return Track(_on_the_line(left, rate), _on_the_line(right, rate))
        return Track(_on_the_line(*read_wav(data)))
    if headerless:
        return Track(data)
    raise UnsupportedAudio("neither WAV nor named .ulaw")


def _on_the_line(pcm: Pcm, rate: int) -> bytes:
    resampler = Resampler(rate, SAMPLE_RATE)
    return mulaw.encode(resampler.push(pcm)) + mulaw.encode(resampler.flush())
