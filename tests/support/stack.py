"""Gateway, sandbox and carrier double, for real, on free loopback ports in this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from gateway.app import Gateway, run_gateway
from gateway.sandbox.engines import Recogniser, Voice
from gateway.sandbox.engines.tones import TonesRecogniser, TonesVoice
from gateway.sandbox.options import SandboxOptions
from gateway.sandbox.server import make_app
from gateway.settings import Needs, load_settings
from gateway.simulator import CallPlan, CallResult, GatewayTarget, RestDouble, Utterance, place_call
from gateway.simulator.sound import from_file

ACCOUNT = "AC00000000000000000000000000000001"
TOKEN = "0123456789abcdef0123456789abcdef"
PUBLIC = "https://gateway.example"


def spoken(name: str, *, interrupts: bool = False) -> Utterance:
    """A recording that ships with the simulator."""
    data = (files("gateway.simulator") / "speech" / f"{name}.wav").read_bytes()
    return Utterance(from_file(data), name=name, interrupts=interrupts)


@dataclass
class Stack:
    """Everything a test needs to place calls and look at what came of them."""

    gateway: Gateway
    sandbox_url: str
    rest: RestDouble
    target: GatewayTarget
    http: aiohttp.ClientSession

    async def call(self, plan: CallPlan) -> CallResult:
        return await place_call(plan, self.target, rest=self.rest)

    async def log(self) -> dict[str, Any]:
        """The sandbox's journal: requests, violations, conversations."""
        async with self.http.get(f"{self.sandbox_url}/_sandbox/log") as answer:
            return dict(await answer.json())

    async def faults(self, *faults: str) -> None:
        async with self.http.post(
            f"{self.sandbox_url}/_sandbox/faults", json={"faults": list(faults)}
        ) as answer:
            assert answer.status == 200, await answer.text()

    async def record(self, call_sid: str) -> dict[str, Any]:
        async with self.http.get(f"{self.target.connect_to}/v1/calls/{call_sid}") as answer:
            assert answer.status == 200, await answer.text()
            return dict(await answer.json())

    async def settled(self, call_sid: str, seconds: float = 20.0) -> dict[str, Any]:
        """The record once the call owes nothing any more."""
        return await self.until(
            call_sid, lambda record: record["status"] in {"completed", "failed"}, seconds
        )

    async def until(
        self, call_sid: str, holds: Callable[[dict[str, Any]], bool], seconds: float = 20.0
    ) -> dict[str, Any]:
        """The record as soon as something holds of it; what it was when nothing came of it."""
        record: dict[str, Any] = {}
        try:
            async with asyncio.timeout(seconds):
                while True:
                    record = await self.record(call_sid)
                    if holds(record):
                        return record
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(f"not in {seconds:g} s, the record is {record}") from None


def environment(tmp_path: Path, sandbox_url: str, rest_url: str, **changes: str) -> dict[str, str]:
    """The gateway's environment for a sandbox on loopback."""
    values = {
        "AMIGO_BASE_URL": sandbox_url,
        "AMIGO_ORGANIZATION_ID": "sandbox",
        "AMIGO_API_KEY": "sandbox-key",
        "AMIGO_API_KEY_ID": "sandbox-key-id",
        "AMIGO_USER_ID": "sandbox-caller",
        "AMIGO_SERVICE_ID": "5a9db0c55a9db0c55a9db0c5",
        "TWILIO_ACCOUNT_SID": ACCOUNT,
        "TWILIO_AUTH_TOKEN": TOKEN,
        "TWILIO_API_BASE_URL": rest_url,
        "GATEWAY_PUBLIC_URL": PUBLIC,
        "GATEWAY_HOST": "127.0.0.1",
        "GATEWAY_PORT": "0",
        "GATEWAY_MAX_LAG_MS": "5000",  # a busy test machine is no reason to refuse a call
        "GATEWAY_STORE_URL": f"sqlite:///{tmp_path / 'calls.db'}",
    }
    return values | changes


@asynccontextmanager
async def run_sandbox(
    options: SandboxOptions, recogniser: Recogniser | None = None, voice: Voice | None = None
) -> AsyncIterator[str]:
    """A sandbox; yields its base URL."""
    app = make_app(options, recogniser or TonesRecogniser(), voice or TonesVoice())
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def run_stack(
    tmp_path: Path,
    options: SandboxOptions | None = None,
    recogniser: Recogniser | None = None,
    voice: Voice | None = None,
    **changes: str,
) -> AsyncIterator[Stack]:
    """Sandbox (tones unless engines are given), gateway and carrier double."""
    async with AsyncExitStack() as stack:
        sandbox_url = await stack.enter_async_context(
            run_sandbox(options or SandboxOptions(think_ms=50), recogniser, voice)
        )
        rest = await stack.enter_async_context(RestDouble(ACCOUNT, TOKEN))
        settings = load_settings(
            needs=Needs.SERVE,
            environ=environment(tmp_path, sandbox_url, rest.base_url, **changes),
            dotenv=None,
        )
        gateway = await stack.enter_async_context(run_gateway(settings))
        http = await stack.enter_async_context(aiohttp.ClientSession())
        target = GatewayTarget(
            connect_to=f"http://127.0.0.1:{gateway.address[1]}",
            public_url=PUBLIC,
            account_sid=ACCOUNT,
            auth_token=TOKEN,
        )
        yield Stack(gateway, sandbox_url, rest, target, http)
