"""The agent's voice, in whatever form its pieces come, to telephone sound (8 kHz mu-law).

One decoder serves one agent message: what it has learned and what it holds back (half a sample, the
filter's memory, an incomplete MP3 frame) carries over from piece to piece, so that joints cannot be
heard. The documentation of the conversation API contradicts itself about the encoding, so `auto`
looks for itself: a WAV header at the start of any piece, an ID3 tag or two MPEG frames in a row,
else headerless 16-bit samples. Loudness never decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, Literal, Protocol, assert_never

import numpy as np

from audio import mulaw
from audio.errors import UnsupportedAudio
from audio.mpeg import HEADER_BYTES, MpegDecoder, frame_length
from audio.resample import Resampler
from audio.types import SAMPLE_RATE, Pcm
from audio.wav import WavReader

VoiceFormat = Literal["auto", "pcm16", "wav", "mp3"]
"""What to expect: `auto` detects, the others believe the operator."""

DetectedFormat = Literal["pcm16", "wav", "mp3"]

PLAUSIBLE_RATES: Final = (8000, 16000, 22050, 24000, 44100, 48000)
"""Hz; the rates a voice service is likely to speak at."""

_REFUSED: Final = {b"OggS": "Ogg", b"fLaC": "FLAC"}
_ID3_HEADER: Final = 10
_ALIGNMENT_SLACK_MS: Final = 100.0
"""Alignment times are rounded and may run a little past the sound."""
_TRAILING_MS: Final = 2000.0
_TRAILING_SHARE: Final = 1.2
"""Sound may outlast the last aligned character by this much (a closing pause) before the rate is doubted."""


class VoiceDecoder:
    """Pieces of one agent message in, 8 kHz mu-law out.

    `pcm_rate` is the rate in Hz of headerless samples. Both methods raise `UnsupportedAudio` for Ogg,
    FLAC and WAV codecs we do not decode; damaged MP3 frames are skipped and counted instead.
    """

    def __init__(self, format: VoiceFormat = "auto", pcm_rate: int = 16000) -> None:  # noqa: A002 - the word operators use
        self.detected: DetectedFormat | None = None
        """What the message turned out to be; None until enough of it was seen."""
        self._auto = format == "auto"
        self._pcm_rate = pcm_rate
        self._head = b""
        self._source: _Source | None = None
        self._resampler: Resampler | None = None
        self._raw_bytes = 0
        if format != "auto":
            self._begin(format)

    @property
    def damaged(self) -> int:
        """MP3 packets that could not be decoded so far."""
        return self._source.damaged if isinstance(self._source, _MpegSource) else 0

    def push(self, piece: bytes) -> bytes:
        """Sound of one piece (one base64 unit of the API's event, decoded)."""
        if (self._auto or self.detected == "wav") and _is_riff(piece):
            self._begin("wav")
            self._head = b""
        if self._source is None:
            self._head += piece
            kind = _sniff(self._head, final=False)
            if kind is None:
                return b""
            self._begin(kind)
            piece, self._head = self._head, b""
        return self._voice(self._feed(piece))

    def flush(self) -> bytes:
        """The end of the message: everything still held back. The decoder is spent afterwards."""
        parts = []
        if self._source is None and self._head:
            self._begin(_sniff(self._head, final=True) or "pcm16")
            parts.append(self._voice(self._feed(self._head)))
        if self._source is not None:
            parts.append(self._voice(self._source.flush()))
        if self._resampler is not None:
            parts.append(mulaw.encode(self._resampler.flush()))
        return b"".join(parts)

    def implausible_rate(self, alignment_end_ms: float) -> int | None:
        """The rate that headerless samples more likely had, judged after the message; None to keep ours.

        `alignment_end_ms` is when, by the transcript alignment, the last character is spoken. Sound
        much shorter or longer than that was played at the wrong speed.
        """
        if self.detected != "pcm16" or alignment_end_ms <= 0 or not self._raw_bytes:
            return None
        samples = self._raw_bytes // 2

        def fits(rate: int) -> bool:
            return _plausible(samples * 1000 / rate, alignment_end_ms)

        if fits(self._pcm_rate):
            return None
        candidates = [rate for rate in PLAUSIBLE_RATES if fits(rate)]
        # The closest to the alignment: a closing pause is rarely long.
        return max(candidates, default=None)

    def _begin(self, kind: DetectedFormat) -> None:
        self.detected = kind
        match kind:
            case "pcm16":
                self._source = _PcmSource(self._pcm_rate)
            case "wav":
                self._source = _WavSource()
            case "mp3":
                self._source = _MpegSource()
            case _:
                assert_never(kind)

    def _feed(self, piece: bytes) -> Iterable[tuple[Pcm, int]]:
        assert self._source is not None
        if self.detected == "pcm16":
            self._raw_bytes += len(piece)
        return self._source.push(piece)

    def _voice(self, sound: Iterable[tuple[Pcm, int]]) -> bytes:
        parts = []
        for pcm, rate in sound:
            if self._resampler is None or self._resampler.rate_in != rate:
                if self._resampler is not None:
                    parts.append(self._resampler.flush())
                self._resampler = Resampler(rate, SAMPLE_RATE)
            parts.append(self._resampler.push(pcm))
        return mulaw.encode(np.concatenate(parts)) if parts else b""


class _Source(Protocol):
    def push(self, data: bytes) -> Iterable[tuple[Pcm, int]]: ...

    def flush(self) -> Iterable[tuple[Pcm, int]]: ...


class _PcmSource:
    """Headerless 16-bit little-endian mono; a piece may end in the middle of a sample."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._odd = b""

    def push(self, data: bytes) -> Iterator[tuple[Pcm, int]]:
        data = self._odd + data
        whole = len(data) & ~1
        self._odd = data[whole:]
        if whole:
            yield np.frombuffer(data[:whole], "<i2").astype(np.int16, copy=False), self._rate

    def flush(self) -> Iterator[tuple[Pcm, int]]:
        return iter(())


class _WavSource:
    def __init__(self) -> None:
        self._reader = WavReader()

    def push(self, data: bytes) -> Iterator[tuple[Pcm, int]]:
        pcm = self._reader.push(data)
        if pcm.size and self._reader.sample_rate is not None:
            yield pcm, self._reader.sample_rate

    def flush(self) -> Iterator[tuple[Pcm, int]]:
        return iter(())


class _MpegSource:
    """MP3, with the ID3 tags taken off that a piece begins with: their pictures can hold what looks like frames."""

    def __init__(self) -> None:
        self._decoder = MpegDecoder()
        self._tag_left = 0
        self._tag_head = b""

    @property
    def damaged(self) -> int:
        return self._decoder.damaged

    def push(self, data: bytes) -> list[tuple[Pcm, int]]:
        return self._decoder.push(self._past_tag(data))

    def flush(self) -> list[tuple[Pcm, int]]:
        return self._decoder.push(self._tag_head) + self._decoder.flush()

    def _past_tag(self, data: bytes) -> bytes:
        if self._tag_left == 0:
            data = self._tag_head + data
            self._tag_head = b""
            if data[:3] == b"ID3"[: len(data)]:
                if len(data) < _ID3_HEADER:
                    self._tag_head = data
                    return b""
                self._tag_left = _ID3_HEADER + _syncsafe(data[6:10])
        skipped = min(self._tag_left, len(data))
        self._tag_left -= skipped
        return data[skipped:]


def _syncsafe(four: bytes) -> int:
    """ID3v2 writes sizes in four bytes of seven bits (id3.org, 'ID3v2 header')."""
    return sum((byte & 0x7F) << shift for byte, shift in zip(four, (21, 14, 7, 0), strict=True))


def _is_riff(piece: bytes) -> bool:
    return piece[:4] == b"RIFF" and piece[8:12] == b"WAVE"


def _sniff(head: bytes, *, final: bool) -> DetectedFormat | None:
    """What begins like this; None when more bytes could still change the answer."""
    if _is_riff(head):
        return "wav"
    if head[:3] == b"ID3":
        return "mp3"
    if head[:4] in _REFUSED:
        raise UnsupportedAudio(f"the agent's voice came as {_REFUSED[head[:4]]}")
    undecided = (
        any(_starts(head, magic) for magic in (b"RIFF", b"ID3", *_REFUSED)) and len(head) < 12
    )
    if undecided and not final:
        return None
    if head[:1] == b"\xff":
        return _sniff_mpeg(head, final=final)
    return "pcm16"


def _starts(head: bytes, magic: bytes) -> bool:
    return head[: len(magic)] == magic[: len(head)]


def _sniff_mpeg(head: bytes, *, final: bool) -> DetectedFormat | None:
    if len(head) < HEADER_BYTES:
        return "pcm16" if final else None
    length = frame_length(head[:HEADER_BYTES])
    if length is None or length < HEADER_BYTES:
        return "pcm16"
    follower = head[length : length + HEADER_BYTES]
    if len(follower) < HEADER_BYTES:
        return "pcm16" if final else None
    same_stream = follower[1] & 0xFE == head[1] & 0xFE and follower[2] & 0x0C == head[2] & 0x0C
    return "mp3" if same_stream and frame_length(follower) is not None else "pcm16"


def _plausible(sound_ms: float, alignment_end_ms: float) -> bool:
    longest = alignment_end_ms * _TRAILING_SHARE + _TRAILING_MS
    return alignment_end_ms - _ALIGNMENT_SLACK_MS <= sound_ms <= longest
