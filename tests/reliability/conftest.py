"""Redis for the tests with real processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.redis_server import RedisServer, running_redis


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    """One that keeps what it was told, as in production."""
    folder = tmp_path / "redis"
    folder.mkdir()
    with running_redis(folder, durable=True) as server:
        yield server
