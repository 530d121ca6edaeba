"""What orchestrators, load balancers and Prometheus ask: alive, ready, and the numbers."""

from __future__ import annotations

import asyncio
from typing import Final

from aiohttp import web

from gateway.errors import StoreError
from gateway.metrics import CONTENT_TYPE
from gateway.web.keys import METRICS, PROCESS, READINESS, STORE

STORE_PATIENCE: Final = 1.0
"""Seconds the store may take before the gateway is not ready; load balancers ask every few seconds."""


def add_routes(app: web.Application) -> None:
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
    try:
        async with asyncio.timeout(STORE_PATIENCE):
            await request.app[STORE].ping()
    except (StoreError, TimeoutError):
        reasons["store-unreachable"] = "the store takes no changes"
    body = {"ready": not reasons, "reasons": list(reasons), "details": reasons}
    return web.json_response(body, status=503 if reasons else 200)


async def metrics(request: web.Request) -> web.Response:
    """All series as text; rendered in a thread, for it takes longer than a frame of sound may wait."""
    # counted here, for it takes longer than anything on the pulse may; of other workers when last asked
    request.app[METRICS].tasks.set(len(asyncio.all_tasks()))
    text = await asyncio.to_thread(request.app[METRICS].render)
    return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE})
