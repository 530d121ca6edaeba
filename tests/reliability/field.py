"""Real processes and what lies between them: an API, gateways, a load balancer, a carrier on loopback.

The telephones and the carrier's REST interface are in the process of the test; everything else is a
process of its own, as it is run. What became of conversations is counted at the API.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

import gateway
from gateway.simulator import GatewayTarget, RestDouble
from tests.end_to_end.door_carrier import Carrier, eventually
from tests.end_to_end.door_process import Served
from tests.support.balancer import Balancer, running_balancer
from tests.support.stack import ACCOUNT, PUBLIC, TOKEN, environment

BRIEF = Path(__file__).with_name("brief.toml")
"""The agent's script."""


@dataclass
class Replica:
    """One `voice-gateway serve`, at its own address."""

    process: Served
    url: str
    number: int

    async def numbers(self, http: aiohttp.ClientSession) -> dict[str, float]:
        """Its metrics without labels."""
        async with http.get(f"{self.url}/metrics") as answer:
            lines = (await answer.text()).splitlines()
        pairs = (line.split(" ") for line in lines if not line.startswith("#") and "{" not in line)
        return {name.removeprefix("voice_gateway_"): float(value) for name, value in pairs}

    async def readiness(self, http: aiohttp.ClientSession) -> int:
        async with http.get(f"{self.url}/readyz") as answer:
            return answer.status

    async def record(self, http: aiohttp.ClientSession, call_sid: str) -> dict[str, Any]:
        async with http.get(f"{self.url}/v1/calls/{call_sid}") as answer:
            assert answer.status == 200, await answer.text()
            return dict(await answer.json())

    async def settled(self, http: aiohttp.ClientSession, call_sid: str) -> dict[str, Any]:
        """The record of a call, once it is over for good."""

        async def found() -> dict[str, Any] | None:
            record = await self.record(http, call_sid)
            return record if record["status"] in {"completed", "failed"} else None

        return dict(await eventually(found, 60.0, f"the end of {call_sid}"))


@dataclass
class Ledger:
    """What the API saw, gathered for as long as the test runs: its own journal forgets."""

    conversations: list[dict[str, Any]] = field(default_factory=list)
    finished: Counter[str] = field(default_factory=Counter)
    """How often each conversation was finished (204)."""
    refused: Counter[int] = field(default_factory=Counter)
    """Other answers to `finish`, by status: a crash may hide a 204 from who then asks again."""
    requests: int = 0
    violations: dict[int, dict[str, Any]] = field(default_factory=dict)
    """Rules broken, by the number of the request."""
    missed: int = 0
    """Requests the journal forgot before they were read, or whose answer was still to come."""
    _pending: int = 0

    def read(self, log: Mapping[str, Any]) -> None:
        """Enter what is new; requests still open are read the next time, with those after them."""
        self.conversations = list(log["conversations"])
        self.violations |= {one["request"]: one for one in log["violations"]}
        for one in log["requests"]:
            if one["done_ms"] is None:
                break
            self.missed += one["number"] - self.requests - 1
            self.requests = one["number"]
            if one["operation"] == "finish":
                if one["status"] == 204:
                    self.finished[one["conversation_id"]] += 1
                else:
                    self.refused[one["status"]] += 1

    @property
    def open(self) -> list[str]:
        return [one["id"] for one in self.conversations if not one["finished"]]

    @property
    def twice(self) -> list[str]:
        return [one for one, times in self.finished.items() if times > 1]


@dataclass
class Field:
    """What a test needs to start gateways, call them, and count."""

    folder: Path
    api_url: str
    environ: dict[str, str]
    rest: RestDouble
    http: aiohttp.ClientSession
    balancer: Balancer
    replicas: list[Replica] = field(default_factory=list)
    """Every one that was ever started."""
    ledger: Ledger = field(default_factory=Ledger)

    @property
    def target(self) -> GatewayTarget:
        return GatewayTarget(
            connect_to=self.balancer.url, public_url=PUBLIC, account_sid=ACCOUNT, auth_token=TOKEN
        )

    def carrier(self, replica: Replica) -> Carrier:
        """For webhooks said by hand."""
        return Carrier(self.http, replica.url, PUBLIC)

    async def start(self, *, in_turn: bool = True) -> Replica:
        """One more gateway; `in_turn`: the balancer knows it."""
        process = await Served.start(self.folder, self.environ)
        # before it is ready: ended with the field, whatever happens
        replica = Replica(process, "", len(self.replicas) + 1)
        self.replicas.append(replica)
        replica.url = await process.ready()
        if in_turn:
            self.balancer.add(replica.url)
        return replica

    async def kill(self, replica: Replica) -> None:
        """`kill -9`."""
        await replica.process.kill()

    async def count(self) -> Ledger:
        """The API's side of things, now."""
        url = f"{self.api_url}/_sandbox/log"
        async with self.http.get(url, params={"after": str(self.ledger.requests)}) as answer:
            self.ledger.read(await answer.json())
        return self.ledger

    async def all_finished(self, conversations: int, seconds: float = 150.0) -> Ledger:
        """Wait until so many conversations are there and none is open."""

        async def holds() -> bool:
            ledger = await self.count()
            return len(ledger.conversations) >= conversations and not ledger.open

        await eventually(holds, seconds, "every conversation finished")
        await asyncio.sleep(0.5)  # what would finish one a second time is given the time to do so
        return await self.count()


@asynccontextmanager
async def open_field(
    folder: Path,
    *,
    users: int,
    faults: tuple[str, ...] = (),
    env: Mapping[str, str] | None = None,
) -> AsyncIterator[Field]:
    """API, carrier and balancer; gateways are the test's to start, and ended with the field."""
    async with AsyncExitStack() as stack:
        api_url = await stack.enter_async_context(_api(folder, faults))
        rest = await stack.enter_async_context(RestDouble(ACCOUNT, TOKEN))
        http = await stack.enter_async_context(aiohttp.ClientSession())
        balancer = await stack.enter_async_context(running_balancer(http))
        ours = {
            "GATEWAY_IDENTITY": "pool",
            "AMIGO_USER_POOL": ",".join(f"user-{number}" for number in range(users)),
            "AMIGO_API_REVISION": "2025-06",
            # light ears: what is tested here is who lives, not who understands
            "GATEWAY_TURN_TAKING__VAD": "webrtc",
            # a carrier on a busy machine comes back late
            "GATEWAY_RECONNECT_SECONDS": "30",
        }
        environ = environment(folder, api_url, rest.base_url, **ours | dict(env or {}))
        found = Field(folder, api_url, environ, rest, http, balancer)
        try:
            yield found
        finally:
            for replica in found.replicas:
                await replica.process.end()


@asynccontextmanager
async def _api(folder: Path, faults: tuple[str, ...]) -> AsyncIterator[str]:
    """`voice-gateway sandbox` without speech; its address."""
    log = folder / "sandbox.log"
    words = ["sandbox", "--port", "0", "--engine", "tones", "--think-ms", "30"]
    words += ["--script", str(BRIEF), *(f"--fault={fault}" for fault in faults)]
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway", *words),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=Path(gateway.__file__).parent.parent,
        )

    def listening() -> re.Match[str] | None:
        assert process.returncode is None, log.read_text()
        return re.search(r"AMIGO_BASE_URL='?(http://[\d.]+:\d+)", log.read_text())

    try:
        found: re.Match[str] = await eventually(listening, 40, "the sandbox's start")
        yield found[1]
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
