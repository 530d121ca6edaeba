"""The carrier's half of the Media Streams wire: what it sends, and how strictly it reads. Pure text.

Shapes: telephony.md 1.3 (sent) and 1.4 (read). Reading is as strict as the carrier documents it, not
as lenient as peers are: an extra field is as wrong as a missing one (31951).
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from audio.types import FRAME_MS, SAMPLE_RATE

MAX_PAYLOAD: Final = 32 * 1024
"""Bytes of sound in one message (S7)."""

CONTAINERS: Final = (b"RIFF", b"OggS", b"ID3", b"fLaC")
"""First bytes of containers; played as mu-law they are noise (S8)."""

_MP3_KBPS: Final = {
    3: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    2: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_MP3_RATES: Final = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}


@dataclass(frozen=True, slots=True)
class Media:
    """Sound to be queued."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Mark:
    """A name to be echoed when what was queued before it has been played."""

    name: str


@dataclass(frozen=True, slots=True)
class Clear:
    """Drop what is queued."""


@dataclass(frozen=True, slots=True)
class Wrong:
    """A message the carrier would warn about and ignore."""

    rule: str
    """The checklist's name of the broken rule, e.g. `S4` (telephony.md 7.1)."""
    what: str


Message = Media | Mark | Clear | Wrong

_KEYS: Final = {
    "media": {"event", "streamSid", "media"},
    "mark": {"event", "streamSid", "mark"},
    "clear": {"event", "streamSid"},
}
_INNER: Final = {"media": "payload", "mark": "name"}


def read(text: str, stream_sid: str) -> Message:
    """Read one text frame sent to the carrier on this stream (rules S2 to S5 and S7 to S9)."""
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        return Wrong("S2", f"not JSON ({len(text)} characters)")
    if not isinstance(message, dict):
        return Wrong("S2", f"a JSON {type(message).__name__}, not an object")
    event = message.get("event")
    if not isinstance(event, str) or event not in _KEYS:
        return Wrong("S3", f"event {event!r} is none of media, mark, clear")
    if message.keys() != _KEYS[event]:
        return Wrong("S4", f"{event} has the keys {sorted(message)}, not {sorted(_KEYS[event])}")
    if message["streamSid"] != stream_sid:
        return Wrong("S5", f"{event} names a streamSid that is not this stream's")
    if event == "clear":
        return Clear()
    return _read_inner(event, message[event])


def _read_inner(event: str, body: object) -> Message:
    key = _INNER[event]
    if not isinstance(body, dict) or body.keys() != {key}:
        found = sorted(body) if isinstance(body, dict) else type(body).__name__
        return Wrong("S4", f"{event}.{event} is {found}, not an object with just {key!r}")
    value = body[key]
    if event == "media":
        return _read_payload(value)
    if not isinstance(value, str) or not value:
        return Wrong("S9", "mark.name is not a non-empty string")
    return Mark(value)


def _read_payload(value: object) -> Message:
    if not isinstance(value, str):
        return Wrong("S7", f"media.payload is a JSON {type(value).__name__}")
    try:
        payload = binascii.a2b_base64(value, strict_mode=True)
    except ValueError as error:
        return Wrong("S7", f"media.payload is not strict base64: {error}")
    if not 0 < len(payload) <= MAX_PAYLOAD:
        return Wrong("S7", f"media.payload holds {len(payload)} bytes, not 1 to {MAX_PAYLOAD}")
    return Media(payload)


def container_in(payload: bytes) -> str | None:
    """The container whose header begins this payload, if any (S8).

    0xFF 0xFB alone is also two quiet mu-law samples, so MP3 is only named when the frame length in
    the header leads to a second header.
    """
    for magic in CONTAINERS:
        if payload.startswith(magic):
            return magic.decode()
    return "MP3" if _two_mp3_headers(payload) else None


def _two_mp3_headers(payload: bytes) -> bool:
    length = _mp3_frame_length(payload[:4])
    return length is not None and payload[length : length + 2] == payload[:2]


def _mp3_frame_length(header: bytes) -> int | None:
    # Layer III only: 0xFF, then 111 VV 01 P (version, protection), then bit rate, rate and padding.
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE6 != 0xE2:
        return None
    version, kbps_at = header[1] >> 3 & 3, header[2] >> 4
    rate_at = header[2] >> 2 & 3
    if version == 1 or kbps_at in (0, 15) or rate_at == 3:
        return None
    kbps = _MP3_KBPS[3 if version == 3 else 2][kbps_at]
    samples_per_bit = 144 if version == 3 else 72
    return samples_per_bit * kbps * 1000 // _MP3_RATES[version][rate_at] + (header[2] >> 1 & 1)


CONNECTED: Final = '{"event":"connected","protocol":"Call","version":"1.0.0"}'
"""The carrier's first message; the only one without a sequence number."""


class StreamWriter:
    """Writes the carrier's messages of one stream, numbering them as the carrier does."""

    def __init__(self, stream_sid: str, call_sid: str, account_sid: str) -> None:
        self._stream_sid = stream_sid
        self._call_sid = call_sid
        self._account_sid = account_sid
        self._sequence = 0
        self._chunk = 0

    def start(self, parameters: Mapping[str, str]) -> str:
        start = {
            "streamSid": self._stream_sid,
            "accountSid": self._account_sid,
            "callSid": self._call_sid,
            "tracks": ["inbound"],
            # Numbers here, strings everywhere else: the carrier's own mixture.
            "mediaFormat": {
                "encoding": "audio/x-mulaw",
                "sampleRate": SAMPLE_RATE,
                "channels": 1,
            },
            "customParameters": dict(parameters),
        }
        return self._message("start", start)

    def media(self, frame: bytes) -> str:
        """One 20 ms frame of the caller; the hot path, so written by hand."""
        self._sequence += 1
        self._chunk += 1
        return (
            f'{{"event":"media","sequenceNumber":"{self._sequence}","streamSid":"{self._stream_sid}",'
            f'"media":{{"track":"inbound","chunk":"{self._chunk}",'
            f'"timestamp":"{self._chunk * FRAME_MS}",'
            f'"payload":"{base64.b64encode(frame).decode()}"}}}}'
        )

    def dtmf(self, digit: str) -> str:
        return self._message("dtmf", {"track": "inbound_track", "digit": digit})

    def mark(self, name: str) -> str:
        return self._message("mark", {"name": name})

    def stop(self) -> str:
        return self._message("stop", {"accountSid": self._account_sid, "callSid": self._call_sid})

    def _message(self, event: str, body: Mapping[str, object]) -> str:
        self._sequence += 1
        message = {
            "event": event,
            "sequenceNumber": str(self._sequence),
            "streamSid": self._stream_sid,
            event: body,
        }
        return json.dumps(message, separators=(",", ":"))
