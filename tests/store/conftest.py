"""Stores to test: every test that takes `store` or `backend` runs once per kind of store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from gateway.store import CallStore
from tests.support.redis_server import RedisServer, running_redis

from .support import Backend, JumpClock


@pytest.fixture
def clock() -> JumpClock:
    return JumpClock()


@pytest.fixture(scope="session")
def redis_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with running_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def redis_server(redis_session: RedisServer) -> RedisServer:
    """A real server with nothing in it."""
    redis_session.forget()
    return redis_session


@pytest.fixture(params=["sqlite", "redis"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/calls.db"
    server: RedisServer = request.getfixturevalue("redis_server")
    return server.url


@pytest.fixture
def backend(url: str, clock: JumpClock) -> Backend:
    return Backend(url, clock)


@pytest.fixture
async def store(backend: Backend) -> AsyncIterator[CallStore]:
    async with backend.open() as store:
        yield store
