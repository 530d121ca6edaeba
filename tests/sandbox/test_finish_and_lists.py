"""Checklist A: finish (31 to 33), lists (34, 35), error bodies (39), the test endpoint (41), the document."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.sandbox.faults import parse_fault
from tests.sandbox.house import SERVICE, open_house

REVISIONS = pytest.mark.parametrize("revision", ["2025-06", "2026-04"])


@REVISIONS
async def test_A31_finish_is_204_with_nothing_in_it_and_409_the_second_time(revision):
    async with open_house(revision) as house:
        guest = await house.caller()
        path = f"/v1/sandbox/conversation/{await guest.begin()}/finish/"
        first, second = await guest.ask("POST", path), await guest.ask("POST", path)

        assert (first.status, first.body) == (204, b"")
        assert second.status == 409


async def test_A31_unknown_conversations_and_wrong_spellings_are_not_found():
    async with open_house() as house:
        guest = await house.caller()
        conversation = await guest.begin()
        wrong = [
            ("POST", f"/v1/sandbox/conversation/{conversation}/finish"),
            ("POST", "/v1/sandbox/conversation"),
            ("POST", f"/v1/sandbox/conversation/{conversation}/interact/"),
            ("GET", f"/v1/sandbox/conversation/{conversation}/messages"),
            ("GET", "/v1/sandbox/service"),
        ]
        statuses = [(await guest.ask(method, path)).status for method, path in wrong]

        assert statuses == [404] * 5
        assert await guest.finish("0" * 24) == 404
        assert await guest.finish("xyz") == 422


@pytest.mark.parametrize(("policy", "status"), [("delete", 204), ("refuse", 400)])
async def test_A32_a_conversation_without_messages_is_deleted_or_refused(policy, status):
    faults = (parse_fault("create-error-before=1:1"),)
    options = {"failed_create": "keep", "empty_finish": policy, "faults": faults}
    async with open_house(**options) as house:
        guest = await house.caller()
        conversation = (await guest.create()).conversation_id

        assert await guest.finish(conversation) == status
        assert len(await guest.listed()) == (0 if policy == "delete" else 1)


@REVISIONS
async def test_A33_after_finish_the_user_may_begin_anew(revision):
    async with open_house(revision) as house:
        guest = await house.caller()
        conversation = await guest.begin()
        await guest.finish(conversation)

        assert (await guest.say(conversation, "hello")).status == 409
        assert [item["is_finished"] for item in await guest.listed()] == [True]
        assert (await guest.create()).status == 201


async def test_A34_conversations_are_filtered_by_state_service_user_and_id():
    async with open_house() as house:
        guest = await house.caller()
        done, now = await guest.begin(), ""
        await guest.finish(done)
        now = await guest.begin()

        def ids(items: list[dict[str, Any]]) -> list[str]:
            return [item["id"] for item in items]

        assert ids(await guest.listed(is_finished="false")) == [now]
        assert ids(await guest.listed(is_finished="true")) == [done]
        assert ids(await guest.listed(id=[done, now])) == [done, now]
        assert ids(await guest.listed(service_id=SERVICE)) == [done, now]
        assert ids(await guest.listed(service_id="f" * 24)) == []
        assert ids(await guest.listed(user_id="somebody-else")) == []
        assert ids(await guest.listed(sort_by="-created_at")) == [now, done]
        assert ids(await guest.listed(sort_by="+created_at")) == [done, now]


@pytest.mark.parametrize(
    "query", [{"limit": "0"}, {"limit": "151"}, {"limit": "x"}, {"id": "x"}, {"sort_by": " created_at"},
              {"sort_by": "+name"}, {"is_finished": "maybe"}, {"continuation_token": "-1"}],
)  # fmt: skip
async def test_A34_wrong_list_parameters_are_named(query):
    async with open_house() as house:
        guest = await house.caller()
        answer = await guest.ask("GET", "/v1/sandbox/conversation/", params=query)

        assert answer.status == 422
        assert answer.json["detail"][0]["loc"] == ["query", *query]


async def test_A34_pages_follow_each_other():
    async with open_house() as house:
        guest = await house.caller()
        ids = []
        for _ in range(3):
            ids.append(await guest.begin())
            await guest.finish(ids[-1])
        path = "/v1/sandbox/conversation/"
        first = (await guest.ask("GET", path, params={"limit": "2"})).json
        token = str(first["continuation_token"])
        second = (
            await guest.ask("GET", path, params={"limit": "2", "continuation_token": token})
        ).json

        assert [item["id"] for item in first["conversations"] + second["conversations"]] == ids
        assert (first["has_more"], second["has_more"]) == (True, False)
        assert second["continuation_token"] is None


@REVISIONS
async def test_A35_messages_carry_the_fields_of_the_revision(revision):
    async with open_house(revision) as house:
        guest = await house.caller()
        [message] = await guest.messages(await guest.begin())
        usual = {"id", "interaction_id", "sender", "message", "format", "message_type"}
        own = {"timestamp", "message_metadata"} if revision == "2025-06" else {"created_at"}

        assert set(message) == usual | own


async def test_A35_messages_are_filtered_sorted_and_bounded():
    async with open_house("2026-04") as house:
        guest = await house.caller()
        conversation = await guest.begin()
        await guest.say(conversation, "hello")
        everything = await guest.messages(conversation)
        path = f"/v1/sandbox/conversation/{conversation}/messages/"
        first, last = everything[0], everything[-1]

        assert [m["message_type"] for m in everything] == [
            "agent-message",
            "user-message",
            "agent-message",
        ]
        assert await guest.messages(conversation, id=first["id"]) == [first]
        assert await guest.messages(conversation, interaction_id=first["interaction_id"]) == [first]
        assert (await guest.messages(conversation, sort_by="-interaction_id"))[-1] == first
        assert len(await guest.messages(conversation, message_type="user-message")) == 1
        assert (await guest.messages(conversation, limit="1", sort_by="-created_at"))[0] == last
        assert (await guest.ask("GET", path, params={"limit": "501"})).status == 422
        assert (await guest.ask("GET", path, params={"message_type": "dream"})).status == 422


@REVISIONS
async def test_services_are_listed_with_their_version_sets(revision):
    async with open_house(revision) as house:
        guest = await house.caller()
        answer = (await guest.ask("GET", "/v1/sandbox/service/")).json
        none = (await guest.ask("GET", "/v1/sandbox/service/", params={"id": "f" * 24})).json

        assert [item["id"] for item in answer["services"]] == [SERVICE]
        assert set(answer["services"][0]["version_sets"]) == {"release", "edge"}
        assert none["services"] == []


async def test_A39_every_refusal_is_json_with_a_detail():
    async with open_house() as house:
        guest = house.guest()
        for method, path in [
            ("GET", "/nowhere"),
            ("DELETE", "/v1/sandbox/service/"),
            ("GET", "/v1/sandbox/service/"),
        ]:
            answer = await guest.ask(method, path)

            assert answer.headers["Content-Type"].startswith("application/json")
            assert answer.json["detail"]


async def test_A41_the_log_shows_requests_events_violations_and_conversations():
    async with open_house() as house:
        guest = await house.caller()
        conversation = await guest.begin()
        await guest.say(conversation, "hello")
        await guest.finish(conversation)
        await guest.finish(conversation)
        log = await guest.log()
        interact = next(entry for entry in log["requests"] if entry["operation"] == "interact")

        assert [entry["operation"] for entry in log["requests"]] == [
            "sign-in", "create", "interact", "finish", "finish",
        ]  # fmt: skip
        assert interact["user"] == "sandbox-caller"
        assert interact["conversation_id"] == conversation
        assert [kind for _, kind in interact["events"]][-1] == "interaction-complete"
        assert [(v["rule"], v["status"]) for v in log["violations"]] == [("31", 409)]
        assert log["conversations"][0]["messages"][1]["text"] == "hello"


async def test_A41_the_log_holds_no_key_and_no_token():
    async with open_house() as house:
        guest = await house.caller()
        await guest.begin()
        shown = (await guest.ask("GET", "/_sandbox/log")).body.decode()

        assert guest.token not in shown
        assert '"sandbox-key"' not in shown


async def test_A41_injected_refusals_are_no_violations():
    async with open_house(faults=(parse_fault("create-409=1:1"),)) as house:
        guest = await house.caller()
        await guest.create()
        log = await guest.log()

        assert log["violations"] == []
        assert log["requests"][-1]["faults"] == ["409"]


async def test_the_document_tells_the_revisions_apart_without_a_token():
    async with open_house("2025-06") as old, open_house("2026-04") as new:
        path = "/v1/{organization}/conversation/{conversation_id}/interact"
        seed = (await old.guest().ask("GET", "/v1/openapi.json")).json["paths"][path]["post"]
        current = (await new.guest().ask("GET", "/v1/openapi.json")).json["paths"][path]["post"]

        assert "requestBody" not in seed
        assert list(current["requestBody"]["content"]) == ["multipart/form-data"]
        assert "emit_current_agent_action_event" in [p["name"] for p in seed["parameters"]]
        assert "request_audio_config" in [p["name"] for p in current["parameters"]]
