"""The revision: found in the service's document, changed when a voice turn is refused."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web

from gateway.amigo import R2025_06, R2026_04, AmigoClient, Revision
from gateway.amigo.negotiation import RevisionChoice
from gateway.errors import AmigoError

from .witness import (
    CID,
    COMPLETE,
    USER,
    Connect,
    Seen,
    Spoken,
    Witness,
    read_body,
    refuse,
    say,
    stream,
)

pytestmark = pytest.mark.timeout(20)

INTERACT = "/v1/{organization}/conversation/{conversation_id}/interact"
OLD: object = {"paths": {INTERACT: {"post": {"requestBody": {"content": {"audio/wav": {}}}}}}}
NEW: object = {
    "paths": {INTERACT: {"post": {"requestBody": {"content": {"multipart/form-data": {}}}}}}
}


async def speak(client: AmigoClient, voice: Spoken | None = None) -> None:
    async with client.interact_voice(USER, CID, voice or Spoken(b"RIFF")) as answer:
        assert [event async for event in answer]


def kinds(witness: Witness) -> list[str]:
    return [seen.headers["Content-Type"].partition(";")[0] for seen in witness.of("interact")]


@pytest.fixture
async def auto(connect: Connect) -> AmigoClient:
    return await connect(revision="auto")


async def test_auto_begins_as_2025_06(auto: AmigoClient) -> None:
    assert auto.revision is R2025_06


@pytest.mark.parametrize(("document", "expected"), [(OLD, R2025_06), (NEW, R2026_04)])
async def test_the_services_document_decides_and_needs_no_token(
    auto: AmigoClient, witness: Witness, document: object, expected: Revision
) -> None:
    witness.on("openapi", say(document))

    assert await auto.detect_revision() == expected
    assert auto.revision == expected
    (seen,) = witness.requests
    assert (seen.method, seen.target) == ("GET", "/v1/openapi.json")
    assert "Authorization" not in seen.headers


@pytest.mark.parametrize(
    "answer",
    [
        refuse(404),
        refuse(200, "<html>"),
        refuse(200, "{}"),
        refuse(200, "[" * 100_000),
        refuse(307, headers={"Location": "/v1/elsewhere.json"}),
    ],
)
async def test_a_document_that_cannot_be_read_says_nothing(
    auto: AmigoClient, witness: Witness, answer: object
) -> None:
    witness.on("openapi", answer)  # type: ignore[arg-type]

    assert await auto.detect_revision() is None
    assert auto.revision is R2025_06
    assert len(witness.requests) == 1


async def test_a_revision_that_is_set_is_kept_whatever_the_document_says(
    connect: Connect, witness: Witness
) -> None:
    witness.on("openapi", say(NEW))
    client = await connect(revision="2025-06")

    assert await client.detect_revision() == R2026_04
    assert client.revision is R2025_06


@pytest.mark.parametrize("status", [415, 422])
async def test_a_refused_first_voice_turn_is_sent_again_in_the_revision_of_the_document(
    auto: AmigoClient, witness: Witness, status: int
) -> None:
    told: list[str] = []
    auto.on_revision = lambda revision: told.append(revision.name)
    witness.on("openapi", say(NEW))
    witness.on("interact", refuse(status, early=True), stream(COMPLETE))
    voice = Spoken(b"RIFF", b"hello")

    await speak(auto, voice)

    assert kinds(witness) == ["audio/wav", "multipart/form-data"]
    assert b"RIFFhello" in witness.of("interact")[1].body
    assert auto.revision == R2026_04
    assert told == ["2026-04"]
    assert voice.closed == voice.readings


async def test_without_a_document_the_other_revision_is_tried(
    auto: AmigoClient, witness: Witness
) -> None:
    witness.on("interact", refuse(415), stream(COMPLETE))

    await speak(auto)

    assert auto.revision == R2026_04


async def test_a_guess_that_is_refused_too_is_taken_back(
    auto: AmigoClient, witness: Witness
) -> None:
    told: list[str] = []
    auto.on_revision = lambda revision: told.append(revision.name)
    witness.on("interact", refuse(415))

    with pytest.raises(AmigoError):
        await speak(auto)

    assert auto.revision == R2025_06
    assert told == ["2026-04", "2025-06"]


async def test_a_service_that_refuses_everything_is_asked_only_once(
    auto: AmigoClient, witness: Witness
) -> None:
    witness.on("openapi", say(OLD))
    witness.on("interact", refuse(422, {"detail": [{"loc": ["query", "x"], "msg": "missing"}]}))

    for _ in range(3):
        with pytest.raises(AmigoError, match="missing"):
            await speak(auto)

    assert len(witness.of("openapi")) == 1
    assert len(witness.of("interact")) == 3


async def test_a_422_after_an_accepted_turn_is_not_about_the_revision(
    auto: AmigoClient, witness: Witness
) -> None:
    witness.on("openapi", say(NEW))
    witness.on("interact", stream(COMPLETE), refuse(422))
    await speak(auto)

    with pytest.raises(AmigoError):
        await speak(auto)

    assert witness.of("openapi") == []


async def test_a_service_that_changes_while_we_run_is_followed_back_and_forth(
    auto: AmigoClient, witness: Witness
) -> None:
    witness.on("openapi", say(NEW), say(OLD))
    witness.on(
        "interact",
        stream(COMPLETE),
        refuse(415),
        stream(COMPLETE),
        refuse(415),
        stream(COMPLETE),
    )

    for _ in range(3):
        await speak(auto)

    assert kinds(witness) == [
        "audio/wav",
        "audio/wav",
        "multipart/form-data",
        "multipart/form-data",
        "audio/wav",
    ]


async def test_a_set_revision_is_never_changed_by_a_refusal(
    client: AmigoClient, witness: Witness
) -> None:
    witness.on("interact", refuse(415))

    with pytest.raises(AmigoError) as refusal:
        await speak(client)

    assert refusal.value.status == 415
    assert [seen.operation for seen in witness.requests] == ["sign-in", "interact"]


async def test_a_remembered_revision_can_be_assumed(auto: AmigoClient, witness: Witness) -> None:
    witness.on("interact", stream(COMPLETE))
    auto.assume_revision(R2026_04)

    await speak(auto)

    assert kinds(witness) == ["multipart/form-data"]


async def test_calls_refused_together_ask_once_and_all_are_sent_again(
    auto: AmigoClient, witness: Witness
) -> None:
    everybody = asyncio.Barrier(5)

    async def only_forms(request: web.Request, seen: Seen) -> web.StreamResponse:
        await read_body(request, seen)
        if seen.headers["Content-Type"] == "audio/wav":
            await everybody.wait()
            return web.Response(status=415)
        return web.Response(body=COMPLETE)

    witness.on("openapi", say(NEW))
    witness.on("interact", only_forms)

    await asyncio.gather(*(speak(auto) for _ in range(5)))

    assert len(witness.of("openapi")) == 1
    assert len(witness.of("interact")) == 10


async def test_statuses_that_say_nothing_about_framing_never_ask() -> None:
    async def ask() -> Revision | None:
        raise AssertionError

    choice = RevisionChoice("auto", ask)

    for status in (None, 400, 401, 404, 408, 409, 429, 500, 503):
        assert await choice.refused(R2025_06, status) is None
