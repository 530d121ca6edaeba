"""Create and interact as they go over the wire, in both revisions."""

from __future__ import annotations

import json
from email.parser import BytesParser
from email.policy import HTTP

import pytest

from gateway.amigo import AmigoClient
from gateway.amigo.stream import (
    ConversationCreated,
)

from .witness import (
    CID,
    COMPLETE,
    GREETING,
    HEARD,
    NDJSON,
    SERVICE,
    USER,
    Connect,
    Seen,
    Spoken,
    Witness,
    read,
    speak,
    stream,
)

pytestmark = pytest.mark.timeout(20)

VOICE = [("request_format", "voice"), ("response_format", "voice")]
OLD_ACTIONS = [
    ("emit_current_agent_action_event", "true"),
    ("current_agent_action_type", "^action-too-long$"),
]
NEW_ACTIONS = [("current_agent_action_type", "^action-too-long$")]


def form(seen: Seen) -> list[tuple[str, str | None, str, bytes]]:
    """Name, file name, type and content of each part, as an independent parser sees them."""
    head = f"Content-Type: {seen.headers['Content-Type']}\r\n\r\n".encode()
    parts = []
    for part in BytesParser(policy=HTTP).parsebytes(head + seen.body).iter_parts():
        content = part.get_payload(decode=True)
        assert isinstance(content, bytes)
        name = str(part.get_param("name", header="content-disposition"))
        parts.append((name, part.get_filename(), str(part.get("Content-Type", "")), content))
    return parts


@pytest.mark.parametrize(
    ("revision", "actions"), [("2025-06", OLD_ACTIONS), ("2026-04", NEW_ACTIONS)]
)
async def test_create_asks_for_voice_and_fillers(
    connect: Connect, witness: Witness, revision: str, actions: list[tuple[str, str]]
) -> None:
    witness.on("create", stream(GREETING, status=201))
    client = await connect(revision=revision)

    async with client.create(USER, SERVICE, "release") as answer:
        events = await read(answer)

    assert events[0] == ConversationCreated(CID)
    (seen,) = witness.of("create")
    assert (seen.method, seen.path) == ("POST", "/v1/org%20one/conversation/")
    assert seen.query == [("response_format", "voice"), *actions]
    assert json.loads(seen.body) == {
        "service_id": SERVICE,
        "service_version_set_name": "release",
    }
    assert seen.headers["Content-Type"] == "application/json"
    assert seen.headers["Accept"] == NDJSON
    assert seen.headers["Authorization"] == "Bearer token-1"


async def test_in_2025_06_the_recording_is_the_whole_body(
    client: AmigoClient, witness: Witness
) -> None:
    witness.on("interact", stream(HEARD, COMPLETE))

    await speak(client, Spoken(b"RIFF....", b"\x01\x02", b"\x03"))

    (seen,) = witness.of("interact")
    assert seen.path == f"/v1/org%20one/conversation/{CID}/interact"
    assert seen.query == [*VOICE, *OLD_ACTIONS]
    assert seen.headers["Content-Type"] == "audio/wav"
    assert seen.headers["Transfer-Encoding"] == "chunked"
    assert seen.pieces == [b"RIFF....", b"\x01\x02", b"\x03"]


async def test_in_2026_04_the_recording_is_the_second_part_of_a_form(
    connect: Connect, witness: Witness
) -> None:
    witness.on("interact", stream(HEARD, COMPLETE))
    client = await connect(revision="2026-04")

    await speak(client, Spoken(b"RIFF....", b"\r\n--\r\n", b"\x03"))

    (seen,) = witness.of("interact")
    config = '{"type":"pcm","frame_rate":8000,"n_channels":1,"sample_width":2}'
    assert seen.query == [*VOICE, *NEW_ACTIONS, ("request_audio_config", config)]
    assert "%5Eaction-too-long%24" in seen.target
    assert seen.headers["Content-Type"].startswith("multipart/form-data; boundary=")
    assert form(seen) == [
        ("initial_message_type", None, "", b"user-message"),
        ("recorded_message", "audio.wav", "audio/wav", b"RIFF....\r\n--\r\n\x03"),
    ]


async def test_a_text_turn_has_one_field_in_2025_06(client: AmigoClient, witness: Witness) -> None:
    witness.on("interact", stream(HEARD, COMPLETE))

    async with client.interact_text(USER, CID, "12 ½") as answer:
        await read(answer)

    (seen,) = witness.of("interact")
    assert seen.query == [("request_format", "text"), ("response_format", "voice"), *OLD_ACTIONS]
    assert form(seen) == [("recorded_message", None, "", "12 ½".encode())]


async def test_a_text_turn_has_two_fields_in_2026_04(connect: Connect, witness: Witness) -> None:
    witness.on("interact", stream(HEARD, COMPLETE))
    client = await connect(revision="2026-04")

    async with client.interact_text(USER, CID, "12") as answer:
        await read(answer)

    (seen,) = witness.of("interact")
    assert seen.query == [("request_format", "text"), ("response_format", "voice"), *NEW_ACTIONS]
    assert form(seen) == [
        ("initial_message_type", None, "", b"user-message"),
        ("recorded_message", "message.txt", 'text/plain; charset="utf-8"', b"12"),
    ]


async def test_extra_query_and_cluster_go_with_create_and_interact(
    connect: Connect, witness: Witness
) -> None:
    witness.on("create", stream(GREETING))
    witness.on("interact", stream(COMPLETE))
    extra = (("audio_format", "pcm"), ("current_agent_action_type", "^$"))
    client = await connect(extra_query=extra, cluster_name="blue")

    async with client.create(USER, SERVICE, "release") as answer:
        await read(answer)
    await speak(client, Spoken(b"RIFF"))

    for seen in (witness.of("create")[0], witness.of("interact")[0]):
        assert seen.query[-2:] == list(extra)
        assert [name for name, _ in seen.query].count("current_agent_action_type") == 1
        assert seen.headers["x-mongo-cluster-name"] == "blue"
    assert witness.of("sign-in")[0].headers["x-mongo-cluster-name"] == "blue"
