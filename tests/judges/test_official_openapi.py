"""The vendor's OpenAPI document of 2026-04 as judge: every answer of the sandbox is of its shape.

The document is not part of this project. Name it to run this:
AMIGO_OPENAPI=/path/to/openapi.json python -m pytest tests/judges/test_official_openapi.py
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.sandbox.house import SERVICE, Answer, Guest, open_house

DOCUMENT = os.environ.get("AMIGO_OPENAPI", "")
pytestmark = pytest.mark.skipif(
    not DOCUMENT, reason="AMIGO_OPENAPI names no OpenAPI document of the conversation API"
)
NOBODY = "0" * 24


class Judge:
    """Checks answers against the operations of the document, and remembers which it saw."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self.seen: dict[str, set[int]] = {}

    def check(self, method: str, path: str, answer: Answer) -> None:
        operation = self._operation(method, path)
        name = operation["operationId"]
        self.seen.setdefault(name, set()).add(answer.status)
        documented = operation["responses"]
        assert str(answer.status) in documented, (name, answer.status, answer.body[:300])
        for media, told in documented[str(answer.status)].get("content", {}).items():
            bodies = answer.events if media == "application/x-ndjson" else [answer.json]
            assert answer.headers["Content-Type"].partition(";")[0] == media
            for body in bodies:
                self._valid(told["schema"], body, name)

    def _valid(self, schema: dict[str, Any], body: Any, name: str) -> None:
        whole = {**schema, "components": self.document["components"]}
        problems = [*Draft202012Validator(whole).iter_errors(body)]
        assert not problems, (name, problems[0].message, body)

    def _operation(self, method: str, path: str) -> dict[str, Any]:
        fitting = [
            (template, item[method.lower()])
            for template, item in self.document["paths"].items()
            if method.lower() in item and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path)
        ]
        # A literal path wins over one with a place in it: /user/search/ is no user.
        return min(fitting, key=lambda one: one[0].count("{"))[1]  # type: ignore[no-any-return]


class Watched(Guest):
    """A guest whose every request is judged."""

    judge: Judge

    async def ask(self, method: str, path: str, **options: Any) -> Answer:
        answer = await super().ask(method, path, **options)
        if path.startswith("/v1/sandbox/"):
            self.judge.check(method, path, answer)
        return answer


@asynccontextmanager
async def watched(**options: Any) -> AsyncIterator[tuple[Watched, Judge]]:
    judge = Judge(json.loads(Path(DOCUMENT).read_text("utf-8")))
    async with open_house("2026-04", **options) as house:
        guest = Watched(house.http, house.base, "2026-04", "sandbox-admin")
        guest.judge = judge
        await guest.sign_in()
        yield guest, judge


async def _talk(guest: Watched) -> tuple[str, str, str]:
    """A conversation in every form of turn; its id, an interaction, a spoken message."""
    begun = await guest.create("voice", {"tags": {"line": "+1"}})
    conversation = begun.conversation_id
    await guest.say(conversation, "an appointment for Oscar", answer="voice")
    spoken = await guest.speak(conversation, answer="voice")
    await guest.post_form(
        conversation, [("initial_message_type", b"skip"), ("recorded_message", b"")]
    )
    return (
        conversation,
        spoken.of("interaction-complete")[0]["interaction_id"],
        spoken.of("user-message-available")[0]["message_id"],
    )


async def test_every_success_is_of_the_documented_shape():
    async with watched() as (guest, judge):
        conversation, interaction, message = await _talk(guest)
        root = f"/v1/sandbox/conversation/{conversation}"
        await guest.ask("GET", f"{root}/interaction/{interaction}/insights")
        await guest.ask("GET", f"{root}/messages/{message}/source")
        await guest.ask("GET", f"{root}/messages/")
        await guest.ask("POST", f"{root}/tags/", json={"updates": {"rating": "4"}})
        latest = (await guest.messages(conversation))[-1]["interaction_id"]
        await guest.ask("POST", f"{root}/interaction/{latest}/recommend_responses")
        wanted = {"service_id": SERVICE, "facets": ["booking"], "min_count": 1, "max_count": 2,
                  "generation_instructions": "short"}  # fmt: skip
        await guest.ask("POST", "/v1/sandbox/conversation/conversation_starter", json=wanted)
        person = {"first_name": "P", "last_name": "C", "email": "c@callers.example.com",
                  "role_name": "DefaultUserRole"}  # fmt: skip
        uid = (await guest.ask("POST", "/v1/sandbox/user/", json=person)).json["user_id"]
        await guest.ask("POST", f"/v1/sandbox/user/{uid}", json={"first_name": "Q"})
        await guest.ask("POST", f"/v1/sandbox/user/{uid}/variable", json={"upserts": []})
        await guest.ask("GET", "/v1/sandbox/user/")
        await guest.ask("GET", "/v1/sandbox/user/search/", params={"query": "c"})
        await guest.ask("GET", "/v1/sandbox/service/")
        await guest.listed()
        await guest.finish(conversation)

        served = {
            item[method]["operationId"]
            for item in judge.document["paths"].values()
            for method in item
            if method in {"get", "post", "delete"}
        }
        # Signing in by e-mail sends a letter: there is nothing to stand in for.
        assert served - set(judge.seen) == {"sign-in-with-email"}
        assert all(min(statuses) < 300 for statuses in judge.seen.values())


async def test_every_refusal_is_a_documented_one():
    async with watched() as (guest, judge):
        conversation = (await guest.create()).conversation_id
        root = f"/v1/sandbox/conversation/{conversation}"
        for method, path, body in (
            ("POST", "/v1/sandbox/conversation/", {"service_id": "x"}),
            ("GET", "/v1/sandbox/conversation/nothing/messages/", None),
            ("GET", f"/v1/sandbox/conversation/{NOBODY}/messages/", None),
            ("POST", f"/v1/sandbox/conversation/{NOBODY}/finish/", None),
            ("GET", f"{root}/interaction/{NOBODY}/insights", None),
            ("POST", f"{root}/interaction/{NOBODY}/recommend_responses", None),
            ("GET", f"{root}/messages/{NOBODY}/source", None),
            ("POST", f"{root}/tags/", {"updates": {"a-b": "x"}}),
            ("POST", "/v1/sandbox/conversation/conversation_starter", {}),
            ("POST", "/v1/sandbox/user/", {}),
            ("POST", "/v1/sandbox/user/nobody", {}),
            ("GET", "/v1/sandbox/user/search/", None),
        ):
            params = {"response_format": "text"} if path.endswith("/conversation/") else {}
            given = {} if body is None else {"json": body}
            answer = await guest.ask(method, path, params=params, **given)
            assert 400 <= answer.status < 500, (method, path)
        await guest.create()
        await guest.post_form(conversation, [("recorded_message", b"x")])
        await guest.say(NOBODY, "hello")
        await guest.say(conversation, "goodbye")
        await guest.say(conversation, "hello")
        await guest.finish(conversation)
        guest.token = ""
        for path in ("/v1/sandbox/conversation/", "/v1/sandbox/user/", "/v1/sandbox/service/"):
            assert (await guest.ask("GET", path)).status == 401
        assert {400, 401, 404, 409, 422} <= set().union(*judge.seen.values())


@pytest.mark.parametrize(
    "fault", ["error-before", "error-mid", "error-after", "filler", "filler-text"]
)
async def test_events_of_trouble_are_of_the_documented_shape(fault):
    async with watched() as (guest, _):
        conversation = (await guest.create()).conversation_id
        await guest.ask("POST", "/_sandbox/faults", json={"faults": [f"{fault}=1@1"]})
        answer = await guest.say(conversation, "hello there", answer="voice")

        assert answer.status == 200
