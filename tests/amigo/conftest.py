"""Fixtures: a witness of the wire and clients that talk to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from gateway.amigo import AmigoClient

from .witness import Connect, HandClock, Witness, client_tasks, options, serving


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
async def witness() -> AsyncIterator[Witness]:
    async with serving() as running:
        yield running


@pytest.fixture
async def connect(witness: Witness, clock: HandClock) -> AsyncIterator[Connect]:
    """Connects clients to the witness; at the end none of their tasks may be left."""
    async with AsyncExitStack() as clients:

        async def connected(**changes: object) -> AmigoClient:
            base_url = changes.pop("base_url", witness.base_url)
            observe = changes.pop("observe", None)
            chosen = options(str(base_url), **changes)  # type: ignore[arg-type]
            told = (observe,) if observe is not None else ()
            client = AmigoClient(chosen, clock, *told)
            return await clients.enter_async_context(client)

        yield connected
    await asyncio.sleep(0)
    assert client_tasks() == []


@pytest.fixture
async def client(connect: Connect) -> AmigoClient:
    return await connect()
