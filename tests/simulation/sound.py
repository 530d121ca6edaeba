"""Sound that says who speaks: every frame carries a kind and a number that survive the whole way.

Mu-law codes are decoded and encoded again without change, and the API model speaks 8 kHz, so a frame
of the agent arrives at the caller as it was made; a frame of the caller arrives in the upload so.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from typing import Final

import numpy as np

from audio import mulaw, wav
from audio.types import FRAME_SAMPLES, SAMPLE_RATE

_MAGIC: Final = 0x20
_DIGITS: Final = 6
_REPEATS: Final = FRAME_SAMPLES // 8
SILENCE: Final = b"\xff" * FRAME_SAMPLES
VOICED: Final = int(mulaw.decode(bytes([_MAGIC]))[0])
"""First sample of every frame that holds a voice."""


class Voice(IntEnum):
    """Who speaks."""

    CALLER = 1
    AGENT = 2
    FILLER = 3
    PHRASE = 4


def frame(voice: Voice, number: int) -> bytes:
    """20 ms of this voice in mu-law."""
    digits = [(number >> (4 * place)) & 0xF for place in range(_DIGITS)]
    return bytes([_MAGIC, int(voice), *digits]) * _REPEATS


def sound(voice: Voice, number: int, frames: int) -> bytes:
    """So many frames in mu-law."""
    return frame(voice, number) * frames


def pcm(voice: Voice, number: int, frames: int) -> bytes:
    """The same as 16-bit samples."""
    return mulaw.decode(sound(voice, number, frames)).tobytes()


def wav_file(voice: Voice, number: int, frames: int) -> bytes:
    """The same as a WAV file."""
    return wav.write_wav(mulaw.decode(sound(voice, number, frames)), SAMPLE_RATE)


def read(ulaw: bytes, at: int = 0) -> tuple[Voice, int] | None:
    """Who speaks in the frame at this place; None: nobody."""
    if ulaw[at] != _MAGIC:
        return None
    number = 0
    for place in range(_DIGITS):
        number |= ulaw[at + 2 + place] << (4 * place)
    return Voice(ulaw[at + 1]), number


def runs(ulaw: bytes) -> Iterator[tuple[tuple[Voice, int] | None, int]]:
    """(who, bytes) of each stretch of one voice."""
    at, size = 0, len(ulaw)
    while at < size:
        head = ulaw[at : at + 8]
        end = at + FRAME_SAMPLES
        while end < size and ulaw[end : end + 8] == head:
            end += FRAME_SAMPLES
        yield read(ulaw, at), min(end, size) - at
        at = end


def heard_in(recording: bytes) -> dict[int, int]:
    """Numbers of the caller's utterances in 16-bit samples on the frame grid, with their frames."""
    whole = len(recording) - len(recording) % (2 * FRAME_SAMPLES)
    codes = mulaw.encode(np.frombuffer(recording[:whole], "<i2").astype(np.int16))
    found: dict[int, int] = {}
    for who, size in runs(codes):
        if who is not None and who[0] is Voice.CALLER:
            found[who[1]] = found.get(who[1], 0) + size // FRAME_SAMPLES
    return found
