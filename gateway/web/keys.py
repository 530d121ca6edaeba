"""What the web modules need and the application provides: typed keys, set once by `gateway/app.py`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from aiohttp import web

from gateway.bridge.switchboard import Switchboard
from gateway.metrics import Metrics
from gateway.store import CallStore

Readiness = Callable[[], Mapping[str, str]]
"""Why no new call can be taken: reason (`draining`, `at-capacity`) and a sentence; empty: ready."""

LiveRecords = Callable[[str], Mapping[str, object] | None]
"""The record of a call of this process by CallSid, fresher than the store's; None: not here."""

OPERATOR: Final = web.AppKey("operator", Switchboard)
"""Takes what an operator wants of a live call."""
STORE: Final = web.AppKey[CallStore]("store")
METRICS: Final = web.AppKey("metrics", Metrics)
READINESS: Final = web.AppKey[Readiness]("readiness")
LIVE_RECORDS: Final = web.AppKey[LiveRecords]("live_records")
PROCESS: Final = web.AppKey[str]("process")
"""Tells this process from any other."""
ADMIN_TOKEN: Final = web.AppKey[str | None]("admin_token")
