"""Around every request: what the log keeps, and what an error tells."""

from __future__ import annotations

import asyncio
import io
import json
from typing import Any

from aiohttp import web

from gateway.errors import StoreError
from gateway.log import logging_to
from gateway.web.middleware import MAX_BODY_BYTES

from .conftest import Client, MakeClient, Stage


def add_odd_routes(app: web.Application) -> None:
    async def media(_request: web.Request) -> web.Response:
        return web.Response(text="media")

    async def broken(_request: web.Request) -> web.Response:
        raise RuntimeError("caller said +15550001111")

    async def without_store(_request: web.Request) -> web.Response:
        raise StoreError("disk full")

    async def read(request: web.Request) -> web.Response:
        return web.Response(text=str(len(await request.read())))

    async def slow(_request: web.Request) -> web.Response:
        await asyncio.sleep(60)
        return web.Response()

    app.router.add_get("/twilio/media/{token}", media)
    app.router.add_post("/twilio/voice", read)
    app.router.add_get("/slow", slow)
    for prefix in ("", "/v1"):
        app.router.add_get(f"{prefix}/broken", broken)
        app.router.add_get(f"{prefix}/without-store", without_store)


class Log:
    """Everything logged at debug while one server runs."""

    def __init__(self) -> None:
        self.stream = io.StringIO()

    @property
    def text(self) -> str:
        return self.stream.getvalue()

    def requests(self) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.text.splitlines()]
        return [line for line in lines if line["event"] == "http.request"]


async def test_a_request_leaves_one_line_without_query_token_or_body(
    make_client: MakeClient,
) -> None:
    client, log = await make_client(extra=add_odd_routes), Log()
    with logging_to(log.stream, format="json", level="debug"):
        await client.get("/twilio/media/hush-token?hush=query", headers={"X-Hush": "hush"})
        await client.post("/twilio/voice", data={"From": "hush-body"})
        await client.get("/nowhere/twilio/media/hush-token/x?hush")
        await client.get("/healthz")

    assert "hush" not in log.text
    assert [(line["path"], line["status"], line["level"]) for line in log.requests()] == [
        ("/twilio/media/{token}", 200, "info"),
        ("/twilio/voice", 200, "info"),
        ("/nowhere/twilio/media/***/x", 404, "info"),
        ("/healthz", 200, "debug"),
    ]
    assert all(line["ms"] >= 0 for line in log.requests())


async def test_a_path_cannot_write_lines_of_its_own(make_client: MakeClient) -> None:
    client, log = await make_client(), Log()
    with logging_to(log.stream, format="text"):
        await client.get("/%0aFAKE%20LINE" + "x" * 500)

    assert len(log.text.splitlines()) == 1
    assert len(log.text) < 300


async def test_a_fault_of_ours_is_500_and_tells_the_log_only(make_client: MakeClient) -> None:
    client, log = await make_client(extra=add_odd_routes), Log()
    with logging_to(log.stream, format="json"):
        plain = await client.get("/broken")
        api = await client.get("/v1/broken")

    assert (plain.status, api.status) == (500, 500)
    assert "555" not in await plain.text() + await api.text()
    assert api.content_type == "application/problem+json"
    assert log.text.count("RuntimeError: caller said") == 2
    assert "+15550001111" not in log.text


async def test_a_store_that_fails_is_503(make_client: MakeClient) -> None:
    client = await make_client(extra=add_odd_routes)

    plain = await client.get("/without-store")
    api = await client.get("/v1/without-store")

    assert (plain.status, api.status) == (503, 503)
    assert (await api.json(content_type=None))["detail"] == "the store does not answer"


async def test_unknown_paths_and_methods_of_the_api_are_problems(client: Client) -> None:
    unknown = await client.get("/v1/nothing")
    wrong_method = await client.put("/v1/calls")
    elsewhere = await client.get("/nothing")

    assert (unknown.status, unknown.content_type) == (404, "application/problem+json")
    assert (wrong_method.status, wrong_method.content_type) == (405, "application/problem+json")
    assert "GET" in wrong_method.headers["Allow"]
    assert elsewhere.content_type == "text/plain"


async def test_a_body_that_is_too_long_is_refused_announced_or_not(
    make_client: MakeClient,
) -> None:
    client = await make_client(extra=add_odd_routes)

    async def in_pieces() -> Any:
        for _ in range(MAX_BODY_BYTES // 1024 + 2):
            yield b"x" * 1024

    fits = await client.post("/twilio/voice", data=b"x" * MAX_BODY_BYTES)
    announced = await client.post("/twilio/voice", data=b"x" * (MAX_BODY_BYTES + 1))
    unannounced = await client.post("/twilio/voice", data=in_pieces())

    assert (fits.status, await fits.text()) == (200, str(MAX_BODY_BYTES))
    assert (announced.status, unannounced.status) == (413, 413)


async def test_the_stage_is_shared_by_requests(client: Client, stage: Stage) -> None:
    stage.reasons["draining"] = "x"

    assert (await client.get("/readyz")).status == 503
