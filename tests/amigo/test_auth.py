"""Signing in: once for many, early enough, and again when the service says 401."""

from __future__ import annotations

import asyncio
import logging

import pytest
from aiohttp import web

from gateway.amigo import AmigoClient
from gateway.errors import AmigoError
from gateway.ids import UserId

from .witness import (
    CID,
    COMPLETE,
    SECRET,
    USER,
    WALL,
    Connect,
    HandClock,
    Seen,
    Spoken,
    Witness,
    client_tasks,
    formatted,
    page,
    read_body,
    refuse,
    say,
    stream,
)

pytestmark = pytest.mark.timeout(20)


def bearers(witness: Witness, operation: str) -> list[str]:
    return [seen.headers["Authorization"] for seen in witness.of(operation)]


async def use(client: AmigoClient, user: UserId = USER) -> None:
    await client.conversations(user)


@pytest.fixture(autouse=True)
def lists(witness: Witness) -> None:
    witness.on("conversations", page("conversations", []))


async def test_signing_in_sends_the_key_and_whom_to_act_as(
    client: AmigoClient, witness: Witness
) -> None:
    await client.sign_in(USER)

    (seen,) = witness.requests
    assert (seen.method, seen.path) == ("POST", "/v1/org%20one/user/signin_with_api_key")
    assert seen.headers["x-api-key"] == SECRET
    assert seen.headers["x-api-key-id"] == "the-key-id"
    assert seen.headers["x-user-id"] == USER
    assert seen.headers["Content-Length"] == "0"
    assert "Authorization" not in seen.headers
    assert "Content-Type" not in seen.headers


async def test_many_calls_at_once_share_one_sign_in(client: AmigoClient, witness: Witness) -> None:
    await asyncio.gather(*(use(client) for _ in range(20)))

    assert len(witness.of("sign-in")) == 1
    assert set(bearers(witness, "conversations")) == {"Bearer token-1"}


async def test_each_user_has_a_token_of_its_own(client: AmigoClient, witness: Witness) -> None:
    await asyncio.gather(
        use(client, UserId("a")), use(client, UserId("b")), use(client, UserId("a"))
    )

    assert sorted(seen.headers["x-user-id"] for seen in witness.of("sign-in")) == ["a", "b"]


async def test_a_token_is_renewed_before_it_runs_out_without_anybody_waiting(
    client: AmigoClient, witness: Witness, clock: HandClock
) -> None:
    await use(client)
    clock.seconds += 3600 - 301

    renewed = asyncio.Event()

    async def slow(request: web.Request, seen: Seen) -> web.StreamResponse:
        await renewed.wait()
        return await witness.sign_in(request, seen)

    witness.on("sign-in", slow)
    await use(client)
    renewed.set()
    await witness.wait_for("sign-in", 2)
    while bearers(witness, "conversations")[-1] != "Bearer token-2":
        await use(client)

    assert bearers(witness, "conversations")[:2] == ["Bearer token-1"] * 2


async def test_a_token_is_kept_until_ten_minutes_before_its_end(
    client: AmigoClient, witness: Witness, clock: HandClock
) -> None:
    await use(client)
    clock.seconds += 3600 - 601
    await use(client)

    assert len(witness.of("sign-in")) == 1


async def test_a_failed_renewal_leaves_the_old_token_in_use_and_is_not_repeated_at_once(
    client: AmigoClient, witness: Witness, clock: HandClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    await use(client)
    clock.seconds += 3600 - 200
    witness.on("sign-in", refuse(429, headers={"Retry-After": "60"}))

    for _ in range(5):
        await use(client)
        await asyncio.sleep(0.005)

    assert len(witness.of("sign-in")) == 2
    assert set(bearers(witness, "conversations")) == {"Bearer token-1"}
    assert "amigo.renewal-failed" in caplog.messages


async def test_a_token_that_has_run_out_is_not_used(
    client: AmigoClient, witness: Witness, clock: HandClock
) -> None:
    await use(client)
    clock.seconds += 3601
    await use(client)

    assert bearers(witness, "conversations") == ["Bearer token-1", "Bearer token-2"]


async def test_a_token_of_a_few_seconds_is_used_for_half_of_them(
    client: AmigoClient, witness: Witness, clock: HandClock
) -> None:
    witness.token_seconds = 10.0
    await use(client)
    clock.seconds += 4
    await use(client)

    assert len(witness.of("sign-in")) == 1


@pytest.mark.parametrize("skew", [-86_400.0, 86_400.0])
async def test_a_wrong_clock_here_does_not_age_tokens(
    client: AmigoClient, witness: Witness, clock: HandClock, skew: float
) -> None:
    clock.skew = skew
    for _ in range(3):
        await use(client)
        clock.seconds += 900

    assert len(witness.of("sign-in")) == 1


@pytest.mark.parametrize("expires", ["soon", None, "2001-01-01T00:00:00Z"])
async def test_an_expiry_that_makes_no_sense_does_not_cost_the_token(
    client: AmigoClient, witness: Witness, expires: str | None
) -> None:
    witness.on("sign-in", say({"id_token": "t", "expires_at": expires}))
    await use(client)
    await use(client)

    assert len(witness.of("sign-in")) == 1


async def test_a_401_signs_in_again_and_repeats_once(client: AmigoClient, witness: Witness) -> None:
    witness.on("conversations", refuse(401), page("conversations", []))
    await use(client)

    assert bearers(witness, "conversations") == ["Bearer token-1", "Bearer token-2"]


async def test_a_second_401_is_told(client: AmigoClient, witness: Witness) -> None:
    witness.on("conversations", refuse(401, {"detail": "revoked"}))

    with pytest.raises(AmigoError) as refusal:
        await use(client)

    assert (refusal.value.status, refusal.value.retryable) == (401, False)
    assert len(witness.of("conversations")) == 2
    assert len(witness.of("sign-in")) == 2


async def test_calls_refused_together_share_the_new_sign_in(
    client: AmigoClient, witness: Witness
) -> None:
    everybody = asyncio.Barrier(10)

    async def refuse_the_first_token(request: web.Request, seen: Seen) -> web.StreamResponse:
        if seen.headers["Authorization"] == "Bearer token-1":
            await everybody.wait()
            return web.Response(status=401)
        return web.json_response({"conversations": []})

    witness.on("conversations", refuse_the_first_token)
    await asyncio.gather(*(use(client) for _ in range(10)))

    assert len(witness.of("sign-in")) == 2


async def test_a_late_401_of_the_old_token_does_not_cost_the_new_one(
    client: AmigoClient, witness: Witness
) -> None:
    renewed = asyncio.Event()

    async def late(request: web.Request, seen: Seen) -> web.StreamResponse:
        await renewed.wait()
        return web.Response(status=401)

    await client.sign_in(USER)
    witness.on("conversations", late, refuse(401), page("conversations", []))
    straggler = asyncio.create_task(use(client))
    await witness.wait_for("conversations")
    await use(client)
    renewed.set()
    await straggler

    assert len(witness.of("sign-in")) == 2


@pytest.mark.parametrize("revision", ["2025-06", "2026-04"])
async def test_a_voice_turn_refused_with_401_is_sent_again_from_its_beginning(
    connect: Connect, witness: Witness, revision: str
) -> None:
    witness.on("interact", refuse(401, early=True), stream(COMPLETE))
    client = await connect(revision=revision)
    voice = Spoken(b"RIFF", b"hello")

    async with client.interact_voice(USER, CID, voice) as answer:
        assert len([event async for event in answer]) == 1

    assert b"RIFFhello" in witness.of("interact")[1].body
    assert voice.closed == voice.readings


async def test_a_refused_sign_in_is_told_as_such_and_not_repeated(
    client: AmigoClient, witness: Witness
) -> None:
    witness.on("sign-in", refuse(401, {"detail": "unknown key"}))

    with pytest.raises(AmigoError) as refusal:
        await use(client)

    assert (refusal.value.operation, refusal.value.status) == ("sign-in", 401)
    assert len(witness.of("sign-in")) == 1


@pytest.mark.parametrize("body", ["", "[]", '{"token": "x"}', '{"id_token": ""}', "<html>"])
async def test_a_sign_in_without_a_token_is_an_error(
    client: AmigoClient, witness: Witness, body: str
) -> None:
    witness.on("sign-in", refuse(200, body))

    with pytest.raises(AmigoError, match="unexpected answer"):
        await client.sign_in(USER)


async def test_giving_up_on_a_sign_in_leaves_it_to_the_others(
    client: AmigoClient, witness: Witness
) -> None:
    go_on = asyncio.Event()

    async def slow(request: web.Request, seen: Seen) -> web.StreamResponse:
        await read_body(request, seen)
        await go_on.wait()
        return await witness.sign_in(request, seen)

    witness.on("sign-in", slow)
    first, second = (asyncio.create_task(client.sign_in(USER)) for _ in range(2))
    await witness.wait_for("sign-in")
    first.cancel()
    await asyncio.wait((first,))
    go_on.set()
    await second

    assert first.cancelled()
    assert len(witness.of("sign-in")) == 1


async def test_closing_the_client_ends_a_sign_in_under_way(
    witness: Witness, clock: HandClock, connect: Connect
) -> None:
    stuck = asyncio.Event()

    async def never(_request: web.Request, _seen: Seen) -> web.StreamResponse:
        await stuck.wait()
        raise AssertionError

    witness.on("sign-in", never)
    client = await connect()
    waiting = asyncio.create_task(client.sign_in(USER))
    await witness.wait_for("sign-in")

    await client.__aexit__(None, None, None)

    with pytest.raises(AmigoError, match="closed"):
        await waiting
    assert client_tasks() == []


async def test_no_secret_shows_in_errors_or_values(client: AmigoClient, witness: Witness) -> None:
    witness.on("conversations", refuse(403, f"token-1 and {SECRET} and +49 171 5550123 refused"))

    with pytest.raises(AmigoError) as refusal:
        await use(client)

    assert refusal.value.detail == "*** and *** and … refused"
    assert SECRET not in repr(client._requests._options)
    assert SECRET not in repr(client._requests.sign_in(USER))
    assert "token" not in repr(client._requests.finish(CID).with_token("token-9"))
    assert "token-1" not in repr(client._tokens._held)


def test_times_are_written_as_the_api_writes_them() -> None:
    assert formatted(WALL).endswith("Z")
