"""A real server on loopback with a real store behind the operator's routes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from gateway.clock import SystemClock
from gateway.metrics import Metrics
from gateway.store import CallStore, open_store
from gateway.web import api, health, middleware
from gateway.web.keys import ADMIN_TOKEN, LIVE_RECORDS, METRICS, PROCESS, READINESS, STORE

Client = TestClient[web.Request, web.Application]
MakeClient = Callable[..., Awaitable[Client]]


@dataclass
class Stage:
    """What the application would provide, changeable by a test."""

    path: Path
    store: CallStore
    metrics: Metrics = field(default_factory=Metrics)
    reasons: dict[str, str] = field(default_factory=dict)
    live: dict[str, Mapping[str, object]] = field(default_factory=dict)

    def why_not(self) -> Mapping[str, str]:
        return self.reasons

    def live_record(self, call_sid: str) -> Mapping[str, object] | None:
        return self.live.get(call_sid)

    def application(self, admin_token: str | None) -> web.Application:
        app = web.Application(
            middlewares=middleware.MIDDLEWARES, client_max_size=middleware.MAX_BODY_BYTES
        )
        app[STORE] = self.store
        app[METRICS] = self.metrics
        app[READINESS] = self.why_not
        app[LIVE_RECORDS] = self.live_record
        app[ADMIN_TOKEN] = admin_token
        app[PROCESS] = "this-process"
        health.add_routes(app)
        api.add_routes(app)
        return app


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    path = tmp_path / "calls.db"
    async with open_store(f"sqlite:///{path}", SystemClock()) as store:
        yield Stage(path, store)


@pytest.fixture
async def make_client(stage: Stage) -> AsyncIterator[MakeClient]:
    clients: list[Client] = []

    async def make(
        admin_token: str | None = None, extra: Callable[[web.Application], None] | None = None
    ) -> Client:
        app = stage.application(admin_token)
        if extra is not None:
            extra(app)
        client = TestClient(TestServer(app))
        clients.append(client)
        await client.start_server()
        return client

    yield make
    for client in clients:
        await client.close()


@pytest.fixture
async def client(make_client: MakeClient) -> Client:
    return await make_client()
