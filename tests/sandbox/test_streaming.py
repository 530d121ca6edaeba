"""Checklist A: uploads as they stream (20, 21), clients that leave (21, 40), over bare sockets where it matters."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

import pytest

from gateway.sandbox.faults import parse_fault
from tests.sandbox.house import BOUNDARY, PCM8K, SERVICE, Guest, open_house, recording

REVISIONS = pytest.mark.parametrize("revision", ["2025-06", "2026-04"])
Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def _socket(guest: Guest) -> AsyncIterator[Ends]:
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(guest.base).port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


@asynccontextmanager
async def _upload(guest: Guest, conversation: str) -> AsyncIterator[Ends]:
    """A chunked voice upload of which the head and half a second of sound have been sent."""
    current = guest.revision == "2026-04"
    media = f"multipart/form-data; boundary={BOUNDARY}" if current else "audio/wav"
    query = "request_format=voice&response_format=voice"
    if current:
        query += "&request_audio_config=" + PCM8K.replace('"', "%22")
    head = (
        f"POST /v1/sandbox/conversation/{conversation}/interact?{query} HTTP/1.1\r\nHost: x\r\n"
        f"Authorization: Bearer {guest.token}\r\nContent-Type: {media}\r\n"
        "Transfer-Encoding: chunked\r\n\r\n"
    )
    sound = recording(500)
    async with _socket(guest) as (reader, writer):
        writer.write(head.encode() + f"{len(sound):x}\r\n".encode() + sound + b"\r\n")
        await writer.drain()
        yield reader, writer


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST, as a crashed client does."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@REVISIONS
async def test_A20_the_log_tells_when_each_part_of_an_upload_came(revision):
    async with open_house(revision) as house:
        guest = await house.caller()
        conversation = await guest.begin()
        wav = recording(600)

        async def spoken() -> AsyncIterator[bytes]:
            for at in range(0, len(wav), 3200):
                yield wav[at : at + 3200]
                await asyncio.sleep(0.05)

        await guest.speak(conversation, spoken())
        upload = (await guest.last("interact"))["upload"]
        arrivals = [at for at, _ in upload["chunks"]]

        assert upload["end"] == "complete"
        assert upload["bytes"] == sum(size for _, size in upload["chunks"]) >= len(wav)
        assert upload["audio_ms"] == 600
        assert len(arrivals) >= 3
        assert arrivals[-1] - arrivals[0] >= 100


async def test_A21_a_stalled_upload_is_a_408_in_the_current_revision():
    async with open_house("2026-04", upload_timeout=0.2) as house:
        guest = await house.caller()
        async with _upload(guest, await guest.begin()) as (reader, _):
            status = await reader.readline()

        assert b" 408 " in status
        assert (await guest.last("interact"))["upload"]["end"] == "timeout"
        assert len((await guest.idle())[0]["messages"]) == 1


async def test_A21_a_stalled_upload_is_a_reset_in_the_seed_revision():
    async with open_house("2025-06", upload_timeout=0.2) as house:
        guest = await house.caller()
        async with _upload(guest, await guest.begin()) as (reader, _):
            with pytest.raises(ConnectionResetError):
                await reader.read()

        assert len((await guest.idle())[0]["messages"]) == 1


@REVISIONS
@pytest.mark.parametrize("how", ["reset", "close"])
async def test_A21_a_connection_lost_during_the_upload_leaves_no_interaction(revision, how):
    async with open_house(revision) as house:
        guest = await house.caller()
        conversation = await guest.begin()
        async with _upload(guest, conversation) as (_, writer):
            await guest.watch(lambda log: bool(log["requests"][-1]["upload"]["chunks"]))
            if how == "reset":
                _reset(writer)
        left = await guest.idle()

        assert len(left[0]["messages"]) == 1
        assert not left[0]["finished"]
        assert (await guest.last("interact"))["upload"]["end"] == "reset"
        assert (await guest.say(conversation, "hello")).status == 200


async def test_A21_a_broken_chunk_leaves_no_interaction():
    async with open_house(upload_timeout=0.2) as house:
        guest = await house.caller()
        async with _upload(guest, await guest.begin()) as (_, writer):
            writer.write(b"this is no chunk size\r\n")
            await writer.drain()
            left = await guest.idle()

        assert len(left[0]["messages"]) == 1


async def _hear(reader: asyncio.StreamReader, what: bytes) -> None:
    """Read on until a line holds this."""
    while what not in await reader.readline():
        pass


async def _leave_during_reply(guest: Guest, conversation: str, after: bytes) -> None:
    async with _upload(guest, conversation) as (reader, writer):
        writer.write(b"0\r\n\r\n")
        await _hear(reader, after)
        _reset(writer)


async def test_A40_by_default_the_reply_goes_on_when_the_client_leaves():
    async with open_house() as house:
        guest = await house.caller()
        conversation = await guest.begin()
        await _leave_during_reply(guest, conversation, b"new-message")
        kept = await guest.idle()

        assert len(kept[0]["messages"]) == 3
        assert await guest.finish(conversation) == 204


async def test_A40_while_the_reply_goes_on_the_conversation_is_busy():
    async with open_house(think_ms=400) as house:
        guest = await house.caller()
        conversation = await guest.begin()
        await _leave_during_reply(guest, conversation, b"user-message-available")
        at_once = await guest.finish(conversation)
        await guest.idle()

        assert at_once == 409
        assert await guest.finish(conversation) == 204
        assert (await guest.last("interact"))["client_gone_ms"] is not None


async def test_A40_under_roll_back_nothing_of_the_reply_remains():
    faults = (parse_fault("interact-slow-drip=1@20"),)
    async with open_house(on_disconnect="rollback", faults=faults) as house:
        guest = await house.caller()
        conversation = await guest.begin()
        await _leave_during_reply(guest, conversation, b"new-message")
        kept = await guest.idle()

        assert len(kept[0]["messages"]) == 1
        assert (await guest.last("interact"))["status"] == 200
        assert await guest.finish(conversation) == 204


async def test_A40_under_roll_back_an_abandoned_create_leaves_no_conversation():
    async with open_house(on_disconnect="rollback", think_ms=200) as house:
        guest = await house.caller()
        body = f'{{"service_id":"{SERVICE}"}}'.encode()
        head = (
            "POST /v1/sandbox/conversation/?response_format=text HTTP/1.1\r\nHost: x\r\n"
            f"Authorization: Bearer {guest.token}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        async with _socket(guest) as (reader, writer):
            writer.write(head.encode() + body)
            await _hear(reader, b"conversation-created")
            _reset(writer)

        assert await guest.idle() == []
        assert (await guest.last("create"))["status"] == 201
