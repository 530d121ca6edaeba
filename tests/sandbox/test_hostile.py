"""Input nobody means well: nested without end, half characters, bodies that are not what they say, slow expressions."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import nullcontext

import aiohttp
import pytest
from multidict import MultiDict

from gateway.sandbox import talk
from gateway.sandbox.bodies import DEEPEST, outside_json
from gateway.sandbox.errors import Refusal
from gateway.sandbox.options import SandboxOptions
from gateway.sandbox.queries import LONGEST_PATTERN, action_filter
from gateway.sandbox.roles import USER
from gateway.sandbox.tokens import Identity
from tests.sandbox.house import SERVICE, open_house

IDENTITY = Identity("sandbox", "ada", USER)
REVISIONS = ("2025-06", "2026-04")
PLACES = {
    "2025-06": ("/conversation/{cid}/feedback", "/conversation/{cid}/interaction/{cid}/simulate"),
    "2026-04": ("/conversation/{cid}/tags/", "/conversation/conversation_starter"),
}
HALF = "\\ud800"


def nested(depth: int) -> str:
    return '{"a":' + "[" * (depth - 1) + "]" * (depth - 1) + "}"


@pytest.mark.parametrize("depth", [DEEPEST, DEEPEST + 1, 900, 990, 100_000])
def test_json_is_taken_only_as_deep_as_anybody_may_walk_it(depth):
    if depth <= DEEPEST:
        assert outside_json(nested(depth)) == json.loads(nested(depth))
        return
    with pytest.raises(ValueError, match="too deep"):
        outside_json(nested(depth))


@pytest.mark.parametrize("text", [f'"{HALF}"', f'{{"{HALF}": 1}}', '[{"a": ["\\udfff x"]}]'])
def test_half_a_surrogate_pair_is_not_text(text):
    with pytest.raises(ValueError, match="surrogates"):
        outside_json(text)


def test_a_whole_surrogate_pair_is_one_character():
    assert outside_json('"\\ud83d\\ude00"') == "\U0001f600"


@pytest.mark.parametrize("revision", REVISIONS)
@pytest.mark.parametrize(
    "pattern", ["(" * 900 + ")" * 900, "(" * 2000, "(?:" * 1000, "a{99999999}"]
)
async def test_no_expression_breaks_create_or_interact(revision, pattern):
    async with open_house(revision) as house:
        guest = await house.caller()
        query = {"current_agent_action_type": pattern, "emit_current_agent_action_event": "true"}
        created = await guest.create(**query)
        conversation = created.conversation_id if created.status == 201 else await guest.begin()
        said = await guest.say(conversation, "hello", **query)
        assert (created.status, said.status) in {(201, 200), (422, 422)}


@pytest.mark.parametrize(
    "pattern", ["(a*)*" * 1600, "(" * 4000 + ")" * 4000, r"\pL+" * 2000, ".*a" * 2700]
)
def test_the_dearest_expressions_cost_little(pattern):
    query: MultiDict[str] = MultiDict(current_agent_action_type=pattern)
    before = time.monotonic()
    # Not strict: what is too large matches nothing, instead of being refused.
    options = SandboxOptions(revision="2026-04", strict=False)
    wanted = action_filter(query, options, IDENTITY)
    wanted.wants("navigate-state-machine-action-state-action-selected")
    assert wanted.pattern is None or wanted.pattern.groups == 0, "groups make RE2 dear"
    assert time.monotonic() - before < 2


def test_an_expression_has_a_greatest_length():
    for longer, refused in ((0, False), (1, True)):
        query: MultiDict[str] = MultiDict(
            current_agent_action_type="a" * (LONGEST_PATTERN + longer)
        )
        with pytest.raises(Refusal) if refused else nullcontext():
            action_filter(query, SandboxOptions(revision="2026-04"), IDENTITY)


async def test_an_expression_takes_time_by_its_length_only():
    async with open_house() as house:
        guest = await house.caller()
        before = time.monotonic()
        answer = await guest.create(
            emit_current_agent_action_event="true", current_agent_action_type="^([a-z-]+)+!$"
        )
        assert answer.status == 201
        assert not answer.of("current-agent-action")
        assert time.monotonic() - before < 2


@pytest.mark.parametrize(("revision", "status"), [("2025-06", 201), ("2026-04", 422)])
async def test_only_the_old_page_knows_an_expression_that_looks_ahead(revision, status):
    async with open_house(revision) as house:
        guest = await house.caller()
        assert (await guest.create(current_agent_action_type="(?!)")).status == status
        assert (await guest.create(current_agent_action_type="(?!x)y")).status == 422


async def test_an_audio_config_without_end_is_refused():
    async with open_house("2026-04") as house:
        guest = await house.caller()
        conversation = await guest.begin()
        for config in ("[" * 2500, "[" * 300, '{"type":' * 100, f'{{"type":"{HALF}"}}'):
            answer = await guest.speak(conversation, request_audio_config=config)
            assert (answer.status, "detail" in answer.json) == (422, True)


@pytest.mark.parametrize("revision", REVISIONS)
async def test_every_body_refuses_nesting_and_half_characters(revision):
    async with open_house(revision) as house:
        guest = await house.caller()
        conversation = await guest.begin()
        json_type = {"Content-Type": "application/json"}
        create = "/conversation/?response_format=text"
        for path in (create, *PLACES[revision]):
            for data in (nested(900), f'{{"comment": "{HALF}"}}', f'{{"{HALF}": null}}'):
                answer = await guest.ask(
                    "POST",
                    "/v1/sandbox" + path.format(cid=conversation),
                    data=data,
                    headers=json_type,
                )
                assert (answer.status, "detail" in answer.json) == (422, True), path


@pytest.mark.parametrize("field", ['"initial_message"', '"tags"'])
async def test_half_a_character_opens_no_conversation(field):
    value = f'"{HALF} hi"' if field == '"initial_message"' else f'{{"{HALF}": "{HALF}"}}'
    async with open_house("2026-04") as house:
        guest = await house.caller()
        answer = await guest.ask(
            "POST",
            "/v1/sandbox/conversation/?response_format=text",
            data=f'{{"service_id": "{SERVICE}", {field}: {value}}}',
            headers={"Content-Type": "application/json"},
        )
        assert answer.status == 422
        assert await guest.listed() == []


async def test_faults_set_at_run_time_are_read_as_carefully():
    async with open_house() as house:
        guest = house.guest()
        for data in ("[" * 100_000, nested(900), f'{{"faults": ["{HALF}"]}}'):
            assert (await guest.ask("POST", "/_sandbox/faults", data=data)).status == 422


@pytest.mark.parametrize("revision", REVISIONS)
async def test_a_body_that_is_not_gzip_is_refused(revision):
    async with open_house(revision) as house:
        guest = await house.caller()
        conversation = await guest.begin()
        for path, media in (
            ("/conversation/?response_format=text", "application/json"),
            (
                f"/conversation/{conversation}/interact?request_format=text&response_format=text",
                "multipart/form-data; boundary=x",
            ),
        ):
            answer = await guest.ask(
                "POST",
                "/v1/sandbox" + path,
                data=b"abcde",
                headers={"Content-Type": media, "Content-Encoding": "gzip"},
            )
            assert (answer.status, "detail" in answer.json) == (400, True)


async def test_a_body_with_wrong_framing_is_told_so_while_anybody_listens():
    async with open_house() as house:
        guest = await house.caller()
        host, port = house.base.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(
            b"POST /v1/sandbox/conversation/?response_format=text HTTP/1.1\r\nHost: x\r\n"
            b"Authorization: Bearer " + guest.token.encode() + b"\r\n"
            b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n"
        )
        assert b" 400 " in await asyncio.wait_for(reader.readline(), 5)
        writer.close()


async def test_a_head_that_is_not_utf_8_is_refused():
    async with open_house() as house:
        host, port = house.base.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(
            b"POST /v1/sandbox/user/signin_with_api_key HTTP/1.1\r\nHost: x\r\nx-api-key: sandbox-key\r\n"
            b"x-api-key-id: sandbox-key-id\r\nx-user-id: \xff\r\nContent-Length: 0\r\n\r\n"
        )
        assert b" 422 " in await asyncio.wait_for(reader.readline(), 5)
        writer.close()


@pytest.mark.parametrize("operation", ["create", "interact"])
async def test_a_failure_nobody_foresaw_ends_the_stream_and_its_connection(operation, monkeypatch):
    async def broken(*_args, **_options):
        raise RuntimeError("nobody foresaw this")

    async with open_house() as house:
        guest = await house.caller()
        conversation = "" if operation == "create" else await guest.begin()
        monkeypatch.setattr(talk, "answer", broken)
        timeout = aiohttp.ClientTimeout(total=5)
        answer = await (
            guest.ask(
                "POST",
                "/v1/sandbox/conversation/?response_format=text",
                json={"service_id": SERVICE},
                timeout=timeout,
            )
            if operation == "create"
            else guest.say(conversation, "hello")
        )
        assert answer.events[-1] == {
            "type": "error",
            "http_error_code": 500,
            "error_description": "internal error",
        }
        assert not answer.broken
        assert answer.headers["Connection"] == "close"
        monkeypatch.undo()
        assert len(await guest.listed()) == (0 if operation == "create" else 1)
        assert not any(item["running"] for item in (await guest.log())["conversations"])


async def test_a_refusal_after_the_headers_is_an_event_too(monkeypatch):
    async def refused(*_args, **_options):
        Identity("sandbox", "x", USER).need("Conversation:Fly")

    async with open_house() as house:
        guest = await house.caller()
        monkeypatch.setattr(talk, "answer", refused)
        answer = await guest.create()
        assert answer.events[-1]["http_error_code"] == 403
        assert (await guest.last("create"))["status"] == 201


@pytest.mark.parametrize("revision", REVISIONS)
async def test_paths_are_exact_and_a_wrong_method_says_which_is_right(revision):
    async with open_house(revision) as house:
        guest = await house.caller("sandbox-admin")
        for method in ("GET", "DELETE"):
            missing = await guest.ask(method, "/v1/sandbox/user/search", params={"query": "a"})
            assert (missing.status, missing.json) == (404, {"detail": "Not Found"})
        wrong = await guest.ask("PUT", "/v1/sandbox/conversation/")

        assert (wrong.status, wrong.json) == (405, {"detail": "Method Not Allowed"})
        assert set(wrong.headers["Allow"].split(",")) >= {"GET", "POST"}


@pytest.mark.parametrize(("revision", "status"), [("2025-06", 200), ("2026-04", 422)])
@pytest.mark.parametrize(
    "path",
    [
        "/user/?user_id=a&user_id=a",
        "/user/?email=a&email=a",
        "/user/search/?query=a&user_id=a&user_id=a",
        f"/service/?id={SERVICE}&id={SERVICE}",
        "/conversation/?user_id=a&user_id=a",
        f"/conversation/?service_id={SERVICE}&service_id={SERVICE}",
        f"/conversation/{{cid}}/messages/?id={SERVICE}&id={SERVICE}",
        f"/conversation/{{cid}}/messages/?interaction_id={SERVICE}&interaction_id={SERVICE}",
        "/conversation/{cid}/messages/?message_type=user-message&message_type=user-message",
    ],
)
async def test_the_later_revision_wants_items_of_a_list_once(revision, status, path):
    async with open_house(revision) as house:
        guest = await house.caller("sandbox-admin")
        place = "/v1/sandbox" + path.format(cid=await guest.begin())
        assert (await guest.ask("GET", place)).status == status


async def test_hundreds_of_ids_fit_into_a_request():
    async with open_house("2026-04") as house:
        guest = await house.caller()
        conversation = await guest.begin()
        ids = [f"{number:024x}" for number in range(499)]
        listed = await guest.ask(
            "GET",
            f"/v1/sandbox/conversation/{conversation}/messages/",
            params=[("id", one) for one in ids],
        )
        assert (listed.status, listed.json["messages"]) == (200, [])


async def test_what_cannot_be_expected_is_refused_as_json():
    async with open_house() as house:
        guest = await house.caller()
        place = "/v1/sandbox/conversation/"
        refused = await guest.ask("GET", place, headers={"Expect": "200-ok"})
        served = await guest.ask("GET", place, expect100=True)

        assert (refused.status, "detail" in refused.json) == (417, True)
        assert served.status == 200
