"""The body of an interact call: what it must look like, and taking it in as it streams."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Literal

from aiohttp import web

from gateway.sandbox.bodies import outside_json
from gateway.sandbox.early import EarlyEar
from gateway.sandbox.errors import Refusal, invalid
from gateway.sandbox.journal import Entry
from gateway.sandbox.multipart import boundary_of
from gateway.sandbox.options import SandboxOptions
from gateway.sandbox.queries import Query
from gateway.sandbox.state import Sandbox
from gateway.sandbox.stream import reset
from gateway.sandbox.wav import looks_like_wav


class ClientLeft(Exception):  # noqa: N818 - reads as the sentence it is
    """The connection broke while the body was still on its way."""


@dataclass(frozen=True, slots=True)
class AudioConfig:
    """The `request_audio_config` of 2026-04."""

    type: Literal["mp3", "pcm"]
    frame_rate: int = 0
    sample_width: int = 2


@dataclass(frozen=True, slots=True)
class Expected:
    """How the body must look; decided from the head of the request, before any of the body came."""

    voice: bool
    media: str
    """Content type without parameters."""
    boundary: str | None
    config: AudioConfig | None


def expect(request: web.Request, options: SandboxOptions, *, voice: bool) -> Expected:
    """Check content type and audio config; 415 or 422 without waiting for the body."""
    declared = request.headers.get("Content-Type", "")
    media = declared.partition(";")[0].strip().lower()
    boundary = boundary_of(declared)
    if options.revision == "2026-04":
        if boundary is None:
            raise invalid("header", "content-type", "must be multipart/form-data", rule="17")
        config = _audio_config(request.query) if voice else None
        return Expected(voice, media, boundary, config)
    if voice:
        taken = {"audio/wav", "audio/mpeg"} | ({"audio/x-wav"} if options.accept_x_wav else set())
        if media not in taken:
            raise Refusal(
                415, f"the content type {media!r} is not audio/wav or audio/mpeg", rule="15"
            )
    elif boundary is None:
        raise invalid("header", "content-type", "must be multipart/form-data", rule="16")
    return Expected(voice, media, boundary, None)


async def receive(
    request: web.Request, sandbox: Sandbox, entry: Entry, expected: Expected, ear: EarlyEar
) -> bytes:
    """Read the body, noting when each part of it came.

    Raises `ClientLeft` when the connection breaks, and a refusal as soon as a raw body cannot be
    a WAV file, grows too large, or stalls.
    """
    body = bytearray()
    upload = entry.upload
    upload.end = "unread"
    raw_wav = expected.boundary is None and expected.media != "audio/mpeg"
    breaks = sandbox.strike("cut-upload", entry) is not None
    # A body whose length is known may come in one piece: half of it is as far as it gets.
    breaking_at = max(1, (request.content_length or 0) // 2)
    while not request.content.at_eof():
        data = await _arrival(request, sandbox, entry)
        if data:
            upload.chunks.append((sandbox.journal.since(entry), len(data)))
        body += data
        upload.bytes = len(body)
        if breaks and len(body) >= breaking_at:
            upload.end = "reset"
            reset(request)
            raise ClientLeft
        if expected.voice:
            ear.listen(body)
        if len(body) > sandbox.options.max_upload:
            raise Refusal(413, "the recording is too large", rule="19")
        if raw_wav and body and not looks_like_wav(bytes(body[:12])):
            raise Refusal(415, "the body is not a WAV file", rule="19")
    upload.end = "complete"
    return bytes(body)


async def _arrival(request: web.Request, sandbox: Sandbox, entry: Entry) -> bytes:
    try:
        async with asyncio.timeout(sandbox.options.upload_timeout):
            return await request.content.readany()
    except TimeoutError:
        entry.upload.end = "timeout"
        if sandbox.options.revision == "2025-06":
            reset(request)
            raise ClientLeft from None
        raise Refusal(408, "the request body stream timed out", rule="21") from None
    except (OSError, web.RequestPayloadError) as exc:
        if isinstance(exc, web.RequestPayloadError) and request.transport is not None:
            raise  # Somebody is still there: what came cannot be read.
        entry.upload.end = "reset"
        raise ClientLeft from exc


def _audio_config(query: Query) -> AudioConfig:
    name, text = "request_audio_config", query.get("request_audio_config")
    if text is None:
        raise invalid("query", name, "is required for voice requests", rule="18")
    try:
        config: Any = outside_json(text)
    except ValueError:
        raise invalid("query", name, "must be JSON", rule="18") from None
    match config:
        case {"type": "mp3"}:
            return AudioConfig("mp3")
        case {
            "type": "pcm",
            "frame_rate": int(rate),
            "n_channels": 1,
            "sample_width": 2 | 4 as width,
        }:
            if 4000 <= rate <= 44100:
                return AudioConfig("pcm", rate, width)
    raise invalid(
        "query",
        name,
        "must be mp3, or pcm with frame_rate 4000-44100, 1 channel, width 2 or 4",
        rule="18",
    )
