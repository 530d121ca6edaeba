"""What orchestrators, load balancers and Prometheus ask: alive, ready, and the numbers.

Anybody who reaches the port may ask too, as often as they like; what costs something is paced.
"""

from __future__ import annotations

import asyncio
from typing import Final

from aiohttp import web

from gateway.errors import StoreError
from gateway.metrics import CONTENT_TYPE, Metrics
from gateway.store import CallStore
from gateway.web.keys import METRICS, PROCESS, READINESS, STORE
from gateway.web.paced import Paced

PAUSE: Final = 0.1
"""Seconds between two looks at the store, and between two renderings of the numbers."""
STORE_PATIENCE: Final = 1.0
"""Seconds the store may take before the gateway is not ready; load balancers ask every few seconds."""


_PINGS: Final = web.AppKey("pings", Paced[bool])
_RENDERINGS: Final = web.AppKey("renderings", Paced[bytes])


def add_routes(app: web.Application) -> None:
    """`app` has its store and its metrics already."""
    store, numbers = app[STORE], app[METRICS]
    app[_PINGS] = Paced(lambda: _takes_changes(store), PAUSE)
    app[_RENDERINGS] = Paced(lambda: _rendered(numbers), PAUSE)
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", metrics)


async def healthz(request: web.Request) -> web.Response:
    """Answer while the event loop lives; nothing else is looked at, or a slow store would restart us.

    `process` is how other replicas know that this is the one they mean.
    """
    return web.json_response({"alive": True, "process": request.app[PROCESS]})


async def readyz(request: web.Request) -> web.Response:
    """200 when a new call can be taken, else 503 with every reason."""
    reasons = dict(request.app[READINESS]())
    if not await request.app[_PINGS]():
        reasons["store-unreachable"] = "the store takes no changes"
    body = {"ready": not reasons, "reasons": list(reasons), "details": reasons}
    return web.json_response(body, status=503 if reasons else 200)


async def metrics(request: web.Request) -> web.Response:
    """All series as text."""
    text = await request.app[_RENDERINGS]()
    return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE})


async def _rendered(numbers: Metrics) -> bytes:
    # Tasks are counted here, for that takes longer than anything on the pulse may: those of other
    # workers are as old as their last rendering.
    numbers.tasks.set(len(asyncio.all_tasks()))
    # In a thread, for it takes longer than a frame of sound may wait.
    return await asyncio.to_thread(numbers.render)


async def _takes_changes(store: CallStore) -> bool:
    try:
        async with asyncio.timeout(STORE_PATIENCE):
            await store.ping()
    except (StoreError, TimeoutError):
        return False
    return True
