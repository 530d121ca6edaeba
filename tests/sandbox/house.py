"""A sandbox on a real port and a guest who talks to it with plain HTTP, as any client would."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import numpy as np
from aiohttp import web
from aiohttp.test_utils import TestServer

from gateway.clock import SystemClock
from gateway.sandbox.engines import Recogniser, Voice
from gateway.sandbox.engines.tones import TonesRecogniser, TonesVoice
from gateway.sandbox.options import SandboxOptions
from gateway.sandbox.server import LONGEST_LINE, make_app
from gateway.sandbox.wav import wav_file
from tests.sandbox.words import through_the_phone

SERVICE = "5a9db0c55a9db0c55a9db0c5"
PCM8K = '{"type":"pcm","frame_rate":8000,"n_channels":1,"sample_width":2}'
BOUNDARY = "b0undary"


class JumpingClock(SystemClock):
    """The machine's clocks, moved forward at will."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def now(self) -> float:
        return super().now() + self.ahead

    def wall(self) -> float:
        return super().wall() + self.ahead


def noise(ms: int, rate: int = 8000, level: int = 3000) -> np.ndarray:
    """Sound that is loud enough to count as somebody speaking."""
    return np.random.default_rng(7).integers(-level, level, rate * ms // 1000).astype(np.int16)


def recording(ms: int = 400, rate: int = 8000) -> bytes:
    return wav_file(noise(ms, rate), rate)


def form(*fields: tuple[str, bytes], boundary: str = BOUNDARY) -> bytes:
    """A multipart body, written by hand."""
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'.encode()
        + value
        + b"\r\n"
        for name, value in fields
    ]
    return b"".join(parts) + f"--{boundary}--\r\n".encode()


@dataclass
class Answer:
    """A whole answer: status, headers, and events if it streamed them."""

    status: int
    headers: dict[str, str]
    body: bytes
    arrivals: list[float] = field(default_factory=list)
    broken: bool = False

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.body.split(b"\n") if line.strip()]

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["type"] == kind]

    @property
    def types(self) -> list[str]:
        """Event types in order, runs of the same type told once."""
        kinds = [event["type"] for event in self.events]
        return [kind for at, kind in enumerate(kinds) if at == 0 or kind != kinds[at - 1]]

    @property
    def sound(self) -> bytes:
        return b"".join(base64.b64decode(event["message"]) for event in self.of("new-message"))

    @property
    def conversation_id(self) -> str:
        return str(self.of("conversation-created")[0]["conversation_id"])


class Guest:
    """Talks to one sandbox as one user."""

    def __init__(self, http: aiohttp.ClientSession, base: str, revision: str, user: str) -> None:
        self.http = http
        self.base = base
        self.revision = revision
        self.user = user
        self.token = ""

    async def sign_in(self, **headers: str) -> Answer:
        keys = {
            "x-api-key": "sandbox-key",
            "x-api-key-id": "sandbox-key-id",
            "x-user-id": self.user,
        }
        sent = {**keys, **{name.replace("_", "-"): value for name, value in headers.items()}}
        path = "/v1/sandbox/user/signin_with_api_key"
        answer = await self.ask("POST", path, headers={k: v for k, v in sent.items() if v})
        if answer.status == 200:
            self.token = answer.json["id_token"]
        return answer

    async def ask(self, method: str, path: str, **options: Any) -> Answer:
        headers = {"Authorization": f"Bearer {self.token}", **options.pop("headers", {})}
        async with self.http.request(
            method, self.base + path, headers=headers, **options
        ) as response:
            return await _read(response)

    async def create(
        self, response_format: str = "text", body: dict[str, Any] | None = None, **query: str
    ) -> Answer:
        return await self.ask(
            "POST",
            "/v1/sandbox/conversation/",
            params={"response_format": response_format, **query},
            json={"service_id": SERVICE, **(body or {})},
        )

    async def begin(self) -> str:
        """A fresh conversation's id."""
        return (await self.create()).conversation_id

    async def say(
        self, conversation: str, text: str | bytes, answer: str = "text", **query: str
    ) -> Answer:
        """A text turn."""
        value = text.encode() if isinstance(text, str) else text
        fields = [("initial_message_type", b"user-message")] if self.revision == "2026-04" else []
        return await self.post_form(
            conversation, [*fields, ("recorded_message", value)], answer, **query
        )

    async def post_form(
        self, conversation: str, fields: list[tuple[str, bytes]], answer: str = "text", **query: str
    ) -> Answer:
        return await self.ask(
            "POST",
            f"/v1/sandbox/conversation/{conversation}/interact",
            params={"request_format": "text", "response_format": answer, **query},
            data=form(*fields),
            headers={"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"},
        )

    async def speak(
        self,
        conversation: str,
        wav: Any = None,
        answer: str = "text",
        media: str = "audio/wav",
        **query: str,
    ) -> Answer:
        """A voice turn, framed as the revision wants it; `wav` may be an async iterator of chunks."""
        wav = recording() if wav is None else wav
        headers = {"Content-Type": media}
        if self.revision == "2026-04":
            query.setdefault("request_audio_config", PCM8K)
            wav = _framed(wav, media)
            headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
        return await self.ask(
            "POST",
            f"/v1/sandbox/conversation/{conversation}/interact",
            params={"request_format": "voice", "response_format": answer, **query},
            data=wav,
            headers=headers,
        )

    async def speak_aloud(self, conversation: str, voice: Voice, text: str) -> Answer:
        """A voice turn in which a voice says these words over the telephone; a spoken answer."""
        spoken = np.concatenate([*voice.speak(text)])
        phone = wav_file(through_the_phone(spoken, voice.rate), 8000)
        return await self.speak(conversation, phone, answer="voice")

    async def finish(self, conversation: str) -> int:
        return (await self.ask("POST", f"/v1/sandbox/conversation/{conversation}/finish/")).status

    async def listed(self, **query: Any) -> list[dict[str, Any]]:
        answer = await self.ask("GET", "/v1/sandbox/conversation/", params=query)
        found: list[dict[str, Any]] = answer.json["conversations"]
        return found

    async def messages(self, conversation: str, **query: Any) -> list[dict[str, Any]]:
        path = f"/v1/sandbox/conversation/{conversation}/messages/"
        found: list[dict[str, Any]] = (await self.ask("GET", path, params=query)).json["messages"]
        return found

    async def log(self) -> dict[str, Any]:
        log: dict[str, Any] = (await self.ask("GET", "/_sandbox/log")).json
        return log

    async def last(self, operation: str) -> dict[str, Any]:
        """The journal's newest entry of an operation."""
        requests = (await self.log())["requests"]
        return next(entry for entry in reversed(requests) if entry["operation"] == operation)

    async def watch(self, check: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The log, once it says what is waited for."""
        for _ in range(500):
            log = await self.log()
            if check(log):
                return log
            await asyncio.sleep(0.01)
        raise AssertionError("the log never said so")

    async def busy(self) -> None:
        """Wait until a call runs on some conversation."""
        await self.watch(lambda log: any(item["running"] for item in log["conversations"]))

    async def idle(self) -> list[dict[str, Any]]:
        """All conversations, once nothing runs on any of them."""
        log = await self.watch(lambda log: not any(c["running"] for c in log["conversations"]))
        found: list[dict[str, Any]] = log["conversations"]
        return found


async def _framed(wav: Any, media: str) -> AsyncIterator[bytes]:
    head = form(("initial_message_type", b"user-message")).removesuffix(b"--\r\n").decode()
    part = f'Content-Disposition: form-data; name="recorded_message"; filename="audio.wav"\r\nContent-Type: {media}'
    yield f"{head}\r\n{part}\r\n\r\n".encode()
    if isinstance(wav, bytes):
        yield wav
    else:
        async for chunk in wav:
            yield chunk
    yield f"\r\n--{BOUNDARY}--\r\n".encode()


async def _read(response: aiohttp.ClientResponse) -> Answer:
    answer = Answer(response.status, dict(response.headers), b"")
    loop = asyncio.get_running_loop()
    try:
        async for data in response.content.iter_any():
            answer.body += data
            answer.arrivals.append(loop.time())
    except aiohttp.ClientError:
        answer.broken = True
    return answer


@dataclass
class House:
    """A running sandbox."""

    base: str
    http: aiohttp.ClientSession
    revision: str
    recogniser: TonesRecogniser
    clock: JumpingClock
    app: web.Application

    def guest(self, user: str = "sandbox-caller") -> Guest:
        return Guest(self.http, self.base, self.revision, user)

    async def caller(self, user: str = "sandbox-caller") -> Guest:
        """A guest who has signed in."""
        guest = self.guest(user)
        await guest.sign_in()
        return guest


@asynccontextmanager
async def open_house(
    revision: str = "2025-06",
    recogniser: Recogniser | None = None,
    voice: Voice | None = None,
    **options: Any,
) -> AsyncIterator[House]:
    """A sandbox with tones for engines and no thinking time, unless told otherwise."""
    tones, clock = TonesRecogniser(), JumpingClock()
    settings = {"think_ms": 0, **options}
    app = make_app(
        SandboxOptions(revision=revision, **settings),  # type: ignore[arg-type]
        recogniser or tones,
        voice or TonesVoice(),
        clock,
    )
    server = TestServer(app)
    await server.start_server(max_line_size=LONGEST_LINE)
    async with server, aiohttp.ClientSession() as http:
        yield House(f"http://127.0.0.1:{server.port}", http, revision, tones, clock, app)
