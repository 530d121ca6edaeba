"""The agent's words cut into the pieces the API sends: sound with its alignment, or text."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from audio.types import Pcm
from gateway.sandbox.agent import Reply
from gateway.sandbox.options import VoiceFormat
from gateway.sandbox.sound import Mp3Encoder
from gateway.sandbox.state import Sandbox
from gateway.sandbox.wav import wav_file, wav_header

Alignment = list[tuple[int, str]]


@dataclass(frozen=True, slots=True)
class Piece:
    """One `new-message` event before it is written."""

    message: str
    """Text, or sound in base64."""
    alignment: Alignment | None
    """Per character: milliseconds since the message's sound began. None for text."""


class Container(Protocol):
    """How sound is wrapped on the wire."""

    def push(self, pcm: Pcm) -> bytes: ...

    def finish(self) -> bytes: ...


class _Raw:
    """Headerless samples, or one WAV header before the first of them."""

    def __init__(self, header: bytes = b"") -> None:
        self._header = header

    def push(self, pcm: Pcm) -> bytes:
        header, self._header = self._header, b""
        return header + pcm.astype("<i2").tobytes()

    def finish(self) -> bytes:
        return b""


class _WholeFiles:
    """Every piece is a WAV file of its own."""

    def __init__(self, rate: int) -> None:
        self._rate = rate

    def push(self, pcm: Pcm) -> bytes:
        return wav_file(pcm, self._rate)

    def finish(self) -> bytes:
        return b""


@dataclass(frozen=True, slots=True)
class Wrapping:
    """How a reply's sound goes over the wire."""

    format: VoiceFormat
    rate: int
    """Hz."""


def container(wrapping: Wrapping) -> Container:
    """The wrapping that is asked for, new for each message."""
    match wrapping.format:
        case "pcm16":
            return _Raw()
        case "wav":
            return _Raw(wav_header(wrapping.rate))
        case "wav-pieces":
            return _WholeFiles(wrapping.rate)
        case "mp3":
            return Mp3Encoder(wrapping.rate)


class Take:
    """A spoken reply as it goes out, kept as the one file that is its message's source."""

    def __init__(self, wrapping: Wrapping) -> None:
        self.wrapping = wrapping
        self._pcm: list[Pcm] = []
        self._sent: list[bytes] = []

    def add(self, pcm: Pcm, sent: bytes) -> None:
        """Samples, and the bytes they became on the wire."""
        self._pcm.append(pcm)
        self._sent.append(sent)

    def file(self) -> tuple[str, bytes]:
        """Media type and bytes: MP3 as it was sent, anything else as a WAV file."""
        if self.wrapping.format == "mp3":
            return "audio/mpeg", b"".join(self._sent)
        pcm = np.concatenate([np.zeros(0, dtype=np.int16), *self._pcm])
        return "audio/wav", wav_file(pcm, self.wrapping.rate)


def align(text: str, start_ms: int, length_ms: int) -> Alignment:
    """Spread the characters evenly over the time they take; a blank follows the last."""
    spread = f"{text} "
    return [
        (start_ms + length_ms * at // len(spread), character) for at, character in enumerate(spread)
    ]


async def text_pieces(reply: Reply) -> AsyncIterator[Piece]:
    """The reply some words at a time; the pieces joined are the whole text."""
    words = reply.text.split(" ")
    for at in range(0, len(words), 4):
        tail = " " if at + 4 < len(words) else ""
        yield Piece(" ".join(words[at : at + 4]) + tail, None)


async def voice_pieces(
    sandbox: Sandbox, reply: Reply, take: Take, *, odd: bool
) -> AsyncIterator[Piece]:
    """The spoken reply, each sentence as soon as it is made; `odd` leaves half samples in between."""
    wrap = container(take.wrapping)
    carry = b""
    async for pcm, alignment in _sounds(sandbox, reply, take.wrapping.rate):
        wrapped = wrap.push(pcm)
        take.add(pcm, wrapped)
        data = carry + wrapped
        cut = len(data) - 1 if odd and len(data) % 2 == 0 else len(data)
        data, carry = data[:cut], data[cut:]
        if data:
            yield Piece(_encoded(data), alignment)
    wrapped = wrap.finish()
    take.add(np.zeros(0, dtype=np.int16), wrapped)
    if carry + wrapped:
        yield Piece(_encoded(carry + wrapped), [])


async def _sounds(
    sandbox: Sandbox, reply: Reply, rate: int
) -> AsyncIterator[tuple[Pcm, Alignment]]:
    """Stretches of at most `piece_ms` with the characters spoken in them."""
    size = rate * sandbox.options.piece_ms // 1000
    sent = 0
    for sentence in reply.sentences:
        pcm = await sandbox.speak(sentence, rate)
        waiting = align(sentence, sent * 1000 // rate, len(pcm) * 1000 // rate)
        for at in range(0, len(pcm), size):
            part = pcm[at : at + size]
            sent += len(part)
            last = at + size >= len(pcm)
            now = [pair for pair in waiting if last or pair[0] < sent * 1000 // rate]
            waiting = waiting[len(now) :]
            yield part, now


async def spoken_filler(sandbox: Sandbox, text: str) -> str:
    """A filler as the API sends it: base64 of a whole WAV file, 16 kHz mono 16-bit."""
    return _encoded(wav_file(await sandbox.speak(text, 16_000), 16_000))


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()
