"""Liveness, readiness and metrics over real HTTP."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.web import health

from .conftest import Client, Stage


async def test_alive_is_200_whatever_else_is_wrong(client: Client, stage: Stage) -> None:
    stage.reasons["draining"] = "a stop was asked for"

    answer = await client.get("/healthz")

    assert answer.status == 200
    assert await answer.json() == {"alive": True, "process": "this-process"}


async def test_ready_is_200_with_nothing_in_the_way(client: Client) -> None:
    answer = await client.get("/readyz")

    assert answer.status == 200
    assert await answer.json() == {"ready": True, "reasons": [], "details": {}}


async def test_every_reason_not_to_take_calls_is_named(client: Client, stage: Stage) -> None:
    stage.reasons |= {"draining": "a stop was asked for", "at-capacity": "200 of 200 calls"}

    answer = await client.get("/readyz")

    assert answer.status == 503
    body = await answer.json()
    assert (body["ready"], body["reasons"]) == (False, ["draining", "at-capacity"])
    assert body["details"]["at-capacity"] == "200 of 200 calls"


async def test_a_store_that_takes_no_changes_is_a_reason_found_in_bounded_time(
    client: Client, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "STORE_PATIENCE", 0.05)
    with closing(sqlite3.connect(stage.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        answer = await client.get("/readyz")
        other.execute("ROLLBACK")

    assert answer.status == 503
    assert (await answer.json())["reasons"] == ["store-unreachable"]


async def test_metrics_are_text_a_parser_reads(client: Client, stage: Stage) -> None:
    stage.metrics.calls_active.set(3)

    answer = await client.get("/metrics")

    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    families = {f.name: f for f in text_string_to_metric_families(await answer.text())}
    assert families["voice_gateway_calls_active"].samples[0].value == 3
