"""A sandbox for fuzzers that are not asynchronous, and a conversation in it that exists."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import requests
from aiohttp import web

from gateway.sandbox.engines.tones import TonesRecogniser, TonesVoice
from gateway.sandbox.options import SandboxOptions
from gateway.sandbox.server import make_app
from tests.sandbox.house import SERVICE

KEYS = {"x-api-key": "sandbox-key", "x-api-key-id": "sandbox-key-id", "x-user-id": "sandbox-admin"}


@contextmanager
def sandbox(revision: Literal["2025-06", "2026-04"]) -> Iterator[str]:
    """A sandbox in a thread of its own; gives its base URL."""
    ready, stop = threading.Event(), threading.Event()
    place: list[str] = []

    async def serve() -> None:
        options = SandboxOptions(revision=revision, think_ms=0, upload_timeout=0.2)
        app = make_app(options, TonesRecogniser(), TonesVoice())
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        place.append(f"http://127.0.0.1:{runner.addresses[0][1]}")
        ready.set()
        await asyncio.to_thread(stop.wait)
        await runner.cleanup()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert ready.wait(20)
        yield place[0]
    finally:
        stop.set()
        thread.join(20)


class Known:
    """Who asks, and what exists, so that some requests get past the first question."""

    def __init__(self, base: str) -> None:
        root = f"{base}/v1/sandbox"
        signed = requests.post(f"{root}/user/signin_with_api_key", headers=KEYS, timeout=10)
        self.headers = {"Authorization": f"Bearer {signed.json()['id_token']}"}
        made = requests.post(
            f"{root}/conversation/?response_format=text",
            json={"service_id": SERVICE},
            headers=self.headers,
            timeout=10,
        )
        events = [json.loads(line) for line in made.text.splitlines()]
        self.places: dict[str, Any] = {
            "organization": "sandbox",
            "conversation_id": events[0]["conversation_id"],
            "interaction_id": events[-1]["interaction_id"],
            "message_id": events[-1]["message_id"],
        }
