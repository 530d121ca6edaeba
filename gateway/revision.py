"""Which revision each API speaks: asked at the start, remembered for the next one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Final

from gateway.amigo.client import AmigoClient
from gateway.amigo.models import AmigoOptions
from gateway.amigo.revisions import Revision, revision_named
from gateway.background import Background
from gateway.errors import StoreError
from gateway.log import fact
from gateway.store import CallStore

_log = logging.getLogger(__name__)

REVISION_KEY: Final = "amigo-revision"
DETECT_SECONDS: Final = 2.0
"""How long the start waits for the API to say which revision it speaks; after that calls are taken."""


async def choose_revisions(
    clients: Mapping[AmigoOptions, AmigoClient], store: CallStore, tasks: Background
) -> None:
    """Ask each API which revision it speaks, all at the same time."""
    async with asyncio.TaskGroup() as asking:
        for number, (options, client) in enumerate(clients.items()):
            if options.revision == "auto":
                key = REVISION_KEY if number == 0 else f"{REVISION_KEY} {options.base_url}"
                asking.create_task(_choose_revision(client, key, store, tasks))


async def _choose_revision(
    client: AmigoClient, key: str, store: CallStore, tasks: Background
) -> None:
    """Until the API says its revision, it is the one that worked last, else the oldest."""
    remembered = await store.recall(key)
    if remembered is not None:
        assumed = revision_named(remembered)
        if assumed is not None:
            client.assume_revision(assumed)
    client.on_revision = lambda revision: tasks.start(
        _remember(store, key, revision.name), "remember revision"
    )
    asking = asyncio.ensure_future(client.detect_revision())
    done, _ = await asyncio.wait({asking}, timeout=DETECT_SECONDS)
    if not done:
        tasks.start(_await(asking), "detect revision")
    found = asking.result() if done else None
    if found is not None:
        await _remember(store, key, found.name)
    elif remembered is None:
        fact(
            _log,
            "amigo.revision-assumed",
            level=logging.WARNING,
            revision=client.revision.name,
            hint="set AMIGO_API_REVISION to be sure",
        )


async def _await(future: asyncio.Future[Revision | None]) -> None:
    await future


async def _remember(store: CallStore, key: str, revision: str) -> None:
    try:
        await store.remember(key, revision)
    except StoreError:
        fact(_log, "store.revision-not-kept", level=logging.WARNING)
