"""The recordings the API takes and gives: a strict reader of uploaded WAV files, writers of headers.

Written apart from the gateway's own WAV code on purpose: the sandbox is a witness.
"""

from __future__ import annotations

import struct
from typing import Final

import numpy as np

from audio.types import Pcm
from gateway.sandbox.sound import NotAudio

ENDLESS: Final = 0xFFFFFFFF
_LONGEST: Final = 0x7FFFFF00
"""Sizes from here up are placeholders of writers that did not know the length."""
_PCM: Final = 1
_HEADER: Final = struct.Struct("<4sI4s4sIHHIIHH4sI")


def looks_like_wav(head: bytes) -> bool:
    """Could these first bytes become a WAV file? Fewer than twelve are judged as far as they go."""
    return b"RIFF".startswith(head[:4]) and b"WAVE".startswith(head[8:12])


def read_wav(data: bytes) -> tuple[Pcm, int]:
    """Samples and rate of a 16-bit mono PCM file; chunks in any order, unknown ones skipped.

    A data size of 0, of a placeholder, or beyond the end means "until the end". Raises `NotAudio`.
    """
    if len(data) < 12 or not looks_like_wav(data):
        raise NotAudio("not a RIFF/WAVE file")
    form: bytes | None = None
    samples: bytes | None = None
    at = 12
    while at + 8 <= len(data) and (form is None or samples is None):
        name, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        at += 8
        if name == b"data":
            size = _known(size, len(data) - at)
            samples = data[at : at + size]
        elif name == b"fmt ":
            form = data[at : at + size]
        at += size + size % 2
    if form is None or samples is None:
        raise NotAudio("the WAV file has no fmt or no data chunk")
    rate = _rate(form)
    return np.frombuffer(samples[: len(samples) // 2 * 2], dtype="<i2").astype(np.int16), rate


def _known(size: int, available: int) -> int:
    return available if size == 0 or size >= _LONGEST else min(size, available)


def _rate(form: bytes) -> int:
    if len(form) < 16:
        raise NotAudio("the fmt chunk is too short")
    tag, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", form)
    if (tag, channels, bits) != (_PCM, 1, 16):
        raise NotAudio(f"not 16-bit mono PCM: format {tag}, {channels} channels, {bits} bits")
    if not 4000 <= rate <= 48000:
        raise NotAudio(f"a rate of {rate} Hz is not supported")
    return int(rate)


def wav_header(rate: int, size: int = ENDLESS) -> bytes:
    """44 bytes before 16-bit mono samples; `size` in bytes, or unknown."""
    riff = size if size == ENDLESS else size + 36
    return _HEADER.pack(
        b"RIFF", riff, b"WAVE", b"fmt ", 16, _PCM, 1, rate, rate * 2, 2, 16, b"data", size
    )


def wav_file(pcm: Pcm, rate: int) -> bytes:
    """A whole file with true sizes."""
    samples = pcm.astype("<i2").tobytes()
    return wav_header(rate, len(samples)) + samples
