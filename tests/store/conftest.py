"""Stores to test: every test that takes `store` or `backend` runs once per kind of store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.store import CallStore

from .support import Backend, JumpClock


@pytest.fixture
def clock() -> JumpClock:
    return JumpClock()


@pytest.fixture(params=["sqlite"])
def backend(request: pytest.FixtureRequest, tmp_path: Path, clock: JumpClock) -> Backend:
    urls = {"sqlite": f"sqlite:///{tmp_path}/calls.db"}
    return Backend(urls[request.param], clock)


@pytest.fixture
async def store(backend: Backend) -> AsyncIterator[CallStore]:
    async with backend.open() as store:
        yield store
