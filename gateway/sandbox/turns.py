"""What a turn's body says, by the rules of either revision: a recording, a text, or an event."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import numpy as np

from audio.types import Pcm
from gateway.sandbox.errors import Refusal, invalid
from gateway.sandbox.multipart import BadForm, Field, read_form
from gateway.sandbox.sound import NotAudio
from gateway.sandbox.state import Sandbox
from gateway.sandbox.upload import AudioConfig, Expected
from gateway.sandbox.wav import looks_like_wav, read_wav, wav_file

TurnKind = Literal["user-message", "external-event", "skip"]


@dataclass(frozen=True, slots=True)
class Recording:
    """A voice turn's sound."""

    pcm: Pcm
    rate: int
    media: str = "audio/wav"
    file: bytes = b""
    """The recording as a file of that type, its sizes true."""


@dataclass(frozen=True, slots=True)
class UserTurn:
    """What the client sent: sound or text, and the events that happened before it."""

    kind: TurnKind
    said: Recording | str
    events: tuple[str, ...] = ()


async def understand(
    body: bytes, expected: Expected, sandbox: Sandbox, conversation_start: float
) -> UserTurn:
    """What the body says; 400, 415 or 422 when it breaks a rule."""
    options = sandbox.options
    if expected.boundary is None:
        if not body:
            raise Refusal(400, "the recording is empty", rule="15")
        return UserTurn("user-message", await _recording(body, expected.media, None, sandbox))
    fields = _fields(body, expected.boundary)
    if options.revision == "2025-06":
        return UserTurn("user-message", _only_text(fields))
    return await _current_turn(fields, expected, sandbox, conversation_start)


def _fields(body: bytes, boundary: str) -> list[Field]:
    try:
        return read_form(body, boundary)
    except BadForm as exc:
        raise invalid("body", "recorded_message", str(exc), rule="16") from None


def _only_text(fields: list[Field]) -> str:
    if [field.name for field in fields] != ["recorded_message"]:
        raise invalid("body", "recorded_message", "must be the one and only field", rule="16")
    return _text(fields[0].value, rule="16")


def _text(value: bytes, *, rule: str) -> str:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        raise invalid("body", "recorded_message", "must be UTF-8", rule=rule) from None
    if not text.strip():
        raise Refusal(400, "the user message is empty", rule=rule)
    return text.strip()


async def _current_turn(
    fields: list[Field], expected: Expected, sandbox: Sandbox, conversation_start: float
) -> UserTurn:
    """The form of 2026-04."""
    kind, message = _kind_and_message(fields)
    events = _events(fields, sandbox.clock.wall(), conversation_start)
    match kind:
        case "skip":
            if message.value or events:
                raise invalid("body", "recorded_message", "a skip carries nothing", rule="17")
            return UserTurn(kind, "")
        case "external-event":
            return UserTurn(kind, _text(message.value, rule="17"), events)
        case "user-message" if expected.voice:
            if not message.value:
                raise Refusal(400, "the user message is empty", rule="17")
            said = await _recording(message.value, message.content_type, expected.config, sandbox)
            return UserTurn(kind, said, events)
        case "user-message":
            return UserTurn(kind, _text(message.value, rule="17"), events)


def _kind_and_message(fields: list[Field]) -> tuple[TurnKind, Field]:
    kinds = [field.value for field in fields if field.name == "initial_message_type"]
    messages = [field for field in fields if field.name == "recorded_message"]
    if len(messages) != 1:
        raise invalid("body", "recorded_message", "is required, once", rule="17")
    match kinds:
        case [b"user-message"]:
            return "user-message", messages[0]
        case [b"external-event"]:
            return "external-event", messages[0]
        case [b"skip"]:
            return "skip", messages[0]
        case _:
            raise invalid(
                "body",
                "initial_message_type",
                "is required: user-message, external-event or skip",
                rule="17",
            )


def _events(fields: list[Field], now: float, conversation_start: float) -> tuple[str, ...]:
    contents = [f.value for f in fields if f.name == "external_event_message_content"]
    stamps = [f.value for f in fields if f.name == "external_event_message_timestamp"]
    if len(contents) != len(stamps):
        raise invalid("body", "external_event_message_timestamp", "one for each content", rule="17")
    times = [_moment(stamp) for stamp in stamps]
    if times != sorted(times) or any(not conversation_start <= at <= now for at in times):
        raise Refusal(
            400,
            "external event timestamps must be in order, in the past and in the conversation",
            rule="17",
        )
    return tuple(_text(content, rule="17") for content in contents)


def _moment(stamp: bytes) -> float:
    try:
        moment = datetime.fromisoformat(stamp.decode())
    except ValueError:
        raise invalid(
            "body", "external_event_message_timestamp", "must be a date-time", rule="17"
        ) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


async def _recording(
    data: bytes, media: str, config: AudioConfig | None, sandbox: Sandbox
) -> Recording:
    """Sound from an upload of either revision; 415 for anything that is not what it claims to be."""
    try:
        if media == "audio/mpeg" or (config is not None and config.type == "mp3"):
            return Recording(*await sandbox.read_mp3(data), "audio/mpeg", data)
        if config is not None and not looks_like_wav(data[:12]) and media != "audio/wav":
            return _headerless(data, config)
        pcm, rate = read_wav(data)
    except NotAudio as exc:
        raise Refusal(415, str(exc), rule="19") from None
    if sandbox.options.strict and config is not None:
        _agree(config, rate)
    return Recording(pcm, rate, file=wav_file(pcm, rate))


def _agree(config: AudioConfig, rate: int) -> None:
    if (config.frame_rate, config.sample_width) != (rate, 2):
        raise Refusal(
            400, f"the WAV header says {rate} Hz, 16 bits, the config does not", rule="19"
        )


def _headerless(data: bytes, config: AudioConfig) -> Recording:
    kind, shift = ("<i2", 0) if config.sample_width == 2 else ("<i4", 16)
    whole = len(data) // config.sample_width * config.sample_width
    samples = np.frombuffer(data[:whole], dtype=kind) >> shift
    pcm = samples.astype(np.int16)
    return Recording(pcm, config.frame_rate, file=wav_file(pcm, config.frame_rate))
