"""Twilio Media Streams, bidirectional: socket text to line events and back, without any I/O.

Written from "Media Streams - WebSocket Messages" (Twilio docs). Rules of this file:

- Fifty messages a second and call come through `receive`, so one typed msgspec pass reads the JSON
  and turns base64 into bytes. Only fields whose type must hold are typed; numbers arrive as
  strings at Twilio and as numbers elsewhere, so the others are taken as they come.
- Carriers that speak Twilio's protocol (SignalWire, Fonoster, test clients) leave fields out and
  use other ids: nothing is demanded that the call can live without.
- Outbound, Twilio punishes a missing and an extra field alike (warning 31951, told once per
  stream), so the three messages are closed templates and take nothing from inbound ones but the
  `streamSid`.
"""

from __future__ import annotations

from binascii import b2a_base64
from typing import Any, Final, assert_never

import msgspec

from gateway.carriers import (
    ULAW,
    CallerAudio,
    Connected,
    DigitPressed,
    Ignored,
    LineEvent,
    Malformed,
    MarkReached,
    StreamStarted,
    StreamStopped,
)
from gateway.errors import OutOfTurn
from gateway.ids import CallSid, StreamSid

MAX_PAYLOAD_BYTES: Final = 32 * 1024
"""Four seconds of mu-law; Twilio sends 20 ms, the largest seen from a client is two seconds."""

_DIGITS: Final = frozenset("0123456789*#ABCD")
_OUTBOUND_TRACKS: Final = frozenset({"outbound", "outbound_track"})
_ULAW_NAMES: Final = frozenset(
    {"audio/x-mulaw", "audio/mulaw", "audio/basic", "audio/pcmu", "pcmu", "mulaw", "ulaw"}
)
_ABSURD: Final = 2**53
"""From here on JSON numbers are not exact, and nothing here counts that far."""
_UNREADABLE: Final = (msgspec.MsgspecError, UnicodeError, RecursionError)


# ------------------------------------------------------------------ messages from the carrier


class _Message(msgspec.Struct, tag_field="event", rename="camel", frozen=True, gc=False):
    # Any: a string of digits or a number, by carrier; read by _number and _text
    stream_sid: Any = None
    sequence_number: Any = None


class _Sound(msgspec.Struct, frozen=True, gc=False):
    payload: bytes
    track: Any = None
    timestamp: Any = None


class _Connected(_Message, tag="connected", kw_only=True, frozen=True, gc=False):
    pass


class _Start(_Message, tag="start", kw_only=True, frozen=True):
    start: dict[str, Any]


class _Media(_Message, tag="media", kw_only=True, frozen=True, gc=False):
    media: _Sound


class _Dtmf(_Message, tag="dtmf", kw_only=True, frozen=True):
    dtmf: dict[str, Any]


class _Mark(_Message, tag="mark", kw_only=True, frozen=True):
    mark: dict[str, Any]


class _Stop(_Message, tag="stop", kw_only=True, frozen=True, gc=False):
    pass


_KNOWN: Final = frozenset({"connected", "start", "media", "dtmf", "mark", "stop"})
_decode: Final = msgspec.json.Decoder(_Connected | _Start | _Media | _Dtmf | _Mark | _Stop).decode


class TwilioWire:
    """The codec of one socket. It remembers which stream it carries and nothing of the sound."""

    def __init__(self) -> None:
        self.stream_sid: StreamSid | None = None
        """The stream's name, from `start` on."""
        self.sequence_breaks = 0
        """How often `sequenceNumber` did not follow on the one before; worth one log line a call."""
        self._sequence: int | None = None
        self._stopped = False
        self._speak_head = ""
        self._mark_head = ""
        self._clear = ""

    # -------------------------------------------------------------- inbound

    def receive(self, text: str) -> LineEvent:
        """Read one text frame; never raises.

        `Malformed` reasons: not-json, not-an-object, no-event, bad-EVENT (one we know, of a wrong
        shape), bad-base64, empty-payload, oversize-payload, before-start, foreign-stream.
        `Ignored` reasons: unknown-event, outbound-track, second-start, after-stop.
        """
        try:
            message = _decode(text)
        except _UNREADABLE:
            return _why_unreadable(text)
        if message.sequence_number is not None:
            self._follow(message.sequence_number)
        if isinstance(message, _Media):  # fifty a second: asked for first
            return self._refusal(message) or _sound(message.media)
        return self._seldom(message)

    def _seldom(self, message: _Connected | _Start | _Dtmf | _Mark | _Stop) -> LineEvent:
        match message:
            case _Connected():
                return Connected()
            case _Start():
                return self._start(message)
            case _Dtmf():
                return self._refusal(message) or _digit(message.dtmf)
            case _Mark():
                return self._refusal(message) or _mark(message.mark)
            case _Stop():
                return self._stop(message)
            case _:
                assert_never(message)

    def _refusal(self, message: _Message) -> Ignored | Malformed | None:
        """Why a message that belongs to a running stream cannot be taken now; None if it can."""
        if self.stream_sid is None:
            return Malformed("before-start")
        if message.stream_sid != self.stream_sid and self._is_foreign(message.stream_sid):
            return Malformed("foreign-stream")
        return Ignored("after-stop") if self._stopped else None

    def _stop(self, message: _Message) -> LineEvent:
        if self._is_foreign(message.stream_sid):
            return Malformed("foreign-stream")
        if self._stopped:
            return Ignored("after-stop")
        self._stopped = True
        return StreamStopped()

    def _start(self, message: _Start) -> LineEvent:
        if self.stream_sid is not None:
            return Ignored("second-start")
        if self._stopped:
            return Ignored("after-stop")
        body = message.start
        stream_sid = _text(message.stream_sid) or _text(body.get("streamSid"))
        call_sid = _text(body.get("callSid"))
        if not stream_sid or not call_sid:
            return Malformed("bad-start")
        self._open(StreamSid(stream_sid))
        encoding, sample_rate, channels = _media_format(body.get("mediaFormat"))
        return StreamStarted(
            stream_sid=StreamSid(stream_sid),
            call_sid=CallSid(call_sid),
            account_sid=_text(body.get("accountSid")),
            encoding=encoding,
            sample_rate=sample_rate,
            channels=channels,
            parameters=_parameters(body.get("customParameters")),
        )

    def _open(self, stream_sid: StreamSid) -> None:
        self.stream_sid = stream_sid
        sid = _quoted(stream_sid)
        self._speak_head = f'{{"event":"media","streamSid":{sid},"media":{{"payload":"'
        self._mark_head = f'{{"event":"mark","streamSid":{sid},"mark":{{"name":'
        self._clear = f'{{"event":"clear","streamSid":{sid}}}'

    def _is_foreign(self, stream_sid: object) -> bool:
        # Absent at SignalWire: then the socket alone says which stream it is (one per socket).
        named = _text(stream_sid)
        return bool(named) and self.stream_sid is not None and named != self.stream_sid

    def _follow(self, value: object) -> None:
        sequence = _number(value)
        if sequence is None:
            return
        if self._sequence is not None and sequence != self._sequence + 1:
            self.sequence_breaks += 1
        self._sequence = sequence

    # -------------------------------------------------------------- outbound

    def speak(self, payload: bytes) -> str:
        """Write a `media` message: mu-law of any length from one byte on, 8000 bytes at most."""
        self._demand_stream()
        return f'{self._speak_head}{b2a_base64(payload, newline=False).decode("ascii")}"}}}}'

    def mark(self, name: str) -> str:
        """Write a `mark`; use each name once in a call: echoes of equal names cannot be told apart."""
        self._demand_stream()
        return f"{self._mark_head}{_quoted(name)}}}}}"

    def clear(self) -> str:
        """Write a `clear`; Twilio echoes every pending mark at once, heard or not."""
        self._demand_stream()
        return self._clear

    def _demand_stream(self) -> None:
        if self.stream_sid is None:
            raise OutOfTurn("nothing can be sent before the stream has a name")


# ------------------------------------------------------------------ reading single fields


def _sound(sound: _Sound) -> LineEvent:
    if sound.track != "inbound" and _text(sound.track) in _OUTBOUND_TRACKS:
        return Ignored("outbound-track")
    payload = sound.payload
    if not payload:
        return Malformed("empty-payload")
    if len(payload) > MAX_PAYLOAD_BYTES:
        return Malformed("oversize-payload")
    return CallerAudio(payload, _number(sound.timestamp))


def _digit(body: dict[str, Any]) -> LineEvent:
    digit = _text(body.get("digit")).upper()
    return DigitPressed(digit) if digit in _DIGITS else Malformed("bad-dtmf")


def _mark(body: dict[str, Any]) -> LineEvent:
    name = _text(body.get("name"))
    return MarkReached(name) if name else Malformed("bad-mark")


def _media_format(value: object) -> tuple[str, int, int]:
    if value is None:  # clients that send none mean the default of Media Streams
        return ULAW, 8000, 1
    if not isinstance(value, dict):
        return "unreadable", 0, 0
    encoding = (_text(value.get("encoding")) or ULAW).strip().lower()
    sample_rate = _number(value.get("sampleRate", 8000))
    channels = _number(value.get("channels", 1))
    return ULAW if encoding in _ULAW_NAMES else encoding, sample_rate or 0, channels or 0


def _parameters(value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        return {}
    return {name: _text(text) for name, text in value.items()}


def _number(value: Any) -> int | None:
    """Whole number out of a number or a string of digits; None for nonsense, also absurd sizes."""
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if 0 <= number < _ABSURD else None


def _text(value: object) -> str:
    """Text of a string or a number; empty for anything else."""
    if isinstance(value, str):
        return value
    return str(value) if type(value) in {int, float} else ""


def _quoted(text: str) -> str:
    return msgspec.json.encode(text).decode()


def _why_unreadable(text: str) -> Ignored | Malformed:
    """Tell an event we do not know from text that is wrong: the second, slow look at bad input."""
    try:
        document = msgspec.json.decode(text)
    except _UNREADABLE:
        return Malformed("not-json")
    match document:
        case {"event": "media", "media": {"payload": str()}}:
            return Malformed("bad-base64")
        case {"event": str(event)}:
            return Malformed(f"bad-{event}") if event in _KNOWN else Ignored("unknown-event")
        case dict():
            return Malformed("no-event")
        case _:
            return Malformed("not-an-object")
