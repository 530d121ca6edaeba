"""A machine to run commands on: an environment of its own, and the other sides on loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from gateway.sandbox.engines import load_engines
from gateway.sandbox.options import SandboxOptions
from gateway.sandbox.server import make_app
from gateway.settings import OPTIONS

ACCOUNT = "AC00000000000000000000000000000000"
SERVICE = "5a9db0c55a9db0c55a9db0c5"
NUMBER = "+15550002222"

SetEnvironment = Callable[[dict[str, str]], None]


@pytest.fixture
def set_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SetEnvironment:
    """Give the process an environment without settings but these, in a directory of its own."""
    monkeypatch.chdir(tmp_path)
    for option in OPTIONS:
        monkeypatch.delenv(option.variable, raising=False)
        monkeypatch.delenv(f"{option.variable}_FILE", raising=False)

    def set_variables(values: dict[str, str]) -> None:
        for name, value in values.items():
            monkeypatch.setenv(name, value)

    return set_variables


@dataclass
class Numbers:
    """The carrier's REST interface, as far as one telephone number goes."""

    base_url: str = ""
    voice_url: str = ""
    application: str | None = None
    changes: list[dict[str, str]] = field(default_factory=list)

    async def show(self, request: web.Request) -> web.Response:
        number = {
            "sid": "PN1",
            "phone_number": NUMBER,
            "voice_url": self.voice_url,
            "voice_method": "POST",
            "voice_application_sid": self.application,
        }
        asked = request.query["PhoneNumber"]
        found = [number] if asked == NUMBER else []
        return web.json_response({"incoming_phone_numbers": found})

    async def change(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.changes.append(form)
        self.voice_url = form["VoiceUrl"]
        return web.json_response({"sid": "PN1"})


@pytest.fixture
async def numbers() -> AsyncIterator[Numbers]:
    numbers, app = Numbers(), web.Application()
    account = f"/2010-04-01/Accounts/{ACCOUNT}"
    app.router.add_get(f"{account}/IncomingPhoneNumbers.json", numbers.show)
    app.router.add_post(f"{account}/IncomingPhoneNumbers/PN1.json", numbers.change)
    async with TestServer(app) as server:
        numbers.base_url = str(server.make_url(""))
        yield numbers


@pytest.fixture
async def sandbox() -> AsyncIterator[str]:
    """The base URL of a sandbox."""
    engines = load_engines("tones")
    app = make_app(SandboxOptions(), engines.recogniser, engines.voice)
    async with TestServer(app) as server:
        yield str(server.make_url(""))
