"""The operator's API: who may ask, and what comes back."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import ClientResponse

from gateway.ids import CallSid, UserId
from gateway.store import NewCall

from .conftest import Client, MakeClient, Stage


async def put_calls(stage: Stage, count: int) -> None:
    for n in range(count):
        await stage.store.admit(
            NewCall(
                call_sid=CallSid(f"CA{n}"),
                account_sid="AC1",
                direction="inbound",
                caller="+15550001111",
                called="+15550002222",
                route="",
                organization="org",
                service_id="service",
                candidates=(UserId(f"u{n}"),),
                replica="elsewhere:1:1:a",
                token_digest=f"d{n}",
                token_expires=0.0,
                answer="",
                record={"call_sid": f"CA{n}", "status": "ringing"},
                now=0.0,
            )
        )


async def problem_of(answer: ClientResponse, status: int) -> dict[str, Any]:
    assert answer.status == status
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    body = await answer.json(content_type=None)
    assert isinstance(body, dict)
    assert body["status"] == status
    assert {"type", "title", "detail"} <= body.keys()
    return body


# ---------------------------------------------------------------- who may ask


async def test_without_a_token_this_machine_may_ask(client: Client) -> None:
    for host in ("127.0.0.1", "localhost:8080", "LOCALHOST", "[::1]:8080", "127.9.9.9"):
        answer = await client.get("/v1/calls", headers={"Host": host})

        assert answer.status == 200, host


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "gateway.example"},
        {"Host": "localhost.evil.example"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": "10.0.0.1"},
        {"Host": "0.0.0.0"},
        {"Host": "local host"},
        {"Host": "[::1"},
        {"Forwarded": "for=127.0.0.1"},
        {"X-Forwarded-For": "127.0.0.1"},
        {"x-forwarded-proto": "https"},
        {"X-Forwarded-Host": "localhost"},
    ],
)
async def test_without_a_token_what_came_through_a_proxy_or_a_foreign_name_may_not(
    client: Client, headers: dict[str, str]
) -> None:
    await problem_of(await client.get("/v1/calls", headers=headers), 403)
    await problem_of(await client.get("/v1/calls/CA1", headers=headers), 403)


@pytest.mark.parametrize("token", ["plain-token-1234", "tökén-of-some-length"])
async def test_with_a_token_its_bearer_may_ask_from_anywhere(
    make_client: MakeClient, token: str
) -> None:
    client = await make_client(admin_token=token)
    headers = {
        "Authorization": f"bearer  {token}",
        "Host": "gateway.example",
        "X-Forwarded-For": "1.2.3.4",
    }

    assert (await client.get("/v1/calls", headers=headers)).status == 200


async def test_bytes_that_are_no_text_are_a_wrong_token(make_client: MakeClient) -> None:
    client = await make_client(admin_token="plain-token-1234")
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    writer.write(b"GET /v1/calls HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \xff\xe4\r\n\r\n")

    status_line = await reader.readline()
    writer.close()
    await writer.wait_closed()

    assert status_line.split()[1] == b"401"


async def test_without_a_token_a_request_without_host_may_not(client: Client) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    writer.write(b"GET /v1/calls HTTP/1.0\r\n\r\n")

    status_line = await reader.readline()
    writer.close()
    await writer.wait_closed()

    assert status_line.split()[1] == b"403"


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer ", "Bearer plain-token-123", "Basic plain-token-1234", "\xe4"],
)
async def test_with_a_token_this_machine_without_it_may_not(
    make_client: MakeClient, authorization: str | None
) -> None:
    client = await make_client(admin_token="plain-token-1234")
    headers = {} if authorization is None else {"Authorization": authorization}

    answer = await client.get("/v1/calls", headers=headers)

    await problem_of(answer, 401)
    assert answer.headers["WWW-Authenticate"] == "Bearer"


# ---------------------------------------------------------------- what comes back


async def test_calls_are_listed_newest_first_page_by_page(client: Client, stage: Stage) -> None:
    await put_calls(stage, 5)

    first = await (await client.get("/v1/calls", params={"limit": "3"})).json()
    query = {"limit": "3", "cursor": first["next_cursor"]}
    second = await (await client.get("/v1/calls", params=query)).json()

    assert [call["call_sid"] for call in first["calls"]] == ["CA4", "CA3", "CA2"]
    assert [call["call_sid"] for call in second["calls"]] == ["CA1", "CA0"]
    assert second["next_cursor"] is None


async def test_a_live_call_is_shown_as_it_is_now(client: Client, stage: Stage) -> None:
    await put_calls(stage, 2)
    stage.live["CA1"] = {"call_sid": "CA1", "status": "speaking"}

    listed = await (await client.get("/v1/calls")).json()
    shown = await (await client.get("/v1/calls/CA1")).json()
    ended = await (await client.get("/v1/calls/CA0")).json()

    assert [call["status"] for call in listed["calls"]] == ["speaking", "ringing"]
    assert (shown["status"], ended["status"]) == ("speaking", "ringing")


async def test_records_are_kept_by_no_cache(client: Client) -> None:
    assert (await client.get("/v1/calls")).headers["Cache-Control"] == "no-store"


async def test_an_unknown_call_is_404(client: Client) -> None:
    await problem_of(await client.get("/v1/calls/CA404"), 404)


@pytest.mark.parametrize("limit", ["0", "201", "-1", "x", "", "1e2", "9" * 40, "٣"])
async def test_a_wrong_limit_is_named(client: Client, limit: str) -> None:
    body = await problem_of(await client.get("/v1/calls", params={"limit": limit}), 400)

    assert body["errors"] == [{"field": "limit", "detail": "must be 1 to 200"}]


async def test_a_wrong_cursor_is_named(client: Client) -> None:
    body = await problem_of(await client.get("/v1/calls", params={"cursor": "x"}), 400)

    assert body["errors"][0]["field"] == "cursor"


@pytest.mark.parametrize(
    "body", [b"{", b"[" * 50_000, b"[]", b"null", b'{"whom": "+15550001111"}', b'{"to": "\xff"}']
)
async def test_an_order_that_cannot_be_read_is_refused(client: Client, body: bytes) -> None:
    await problem_of(await client.post("/v1/calls/CA1/transfer", data=body), 400)
