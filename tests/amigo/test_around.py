"""Operations around a conversation and on users: exact requests, liberal answers, limits before sending."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.amigo import AmigoClient
from gateway.amigo.answers import (
    FeedbackPage,
    Insights,
    MessageSource,
    NewUser,
    StarterList,
    StarterRequest,
    UserPage,
    UserUpdate,
)
from gateway.amigo.models import Answer, read_answer
from gateway.amigo.wishes import ExternalEvent, Opening
from gateway.errors import (
    AmigoConflict,
    AmigoError,
    AmigoForbidden,
    AmigoInvalid,
    AmigoNotFound,
    AmigoNotOffered,
    AmigoRateLimited,
    AmigoRejected,
    AmigoUnauthorized,
    AmigoUnavailable,
    AmigoUnreachable,
)
from gateway.ids import UserId

from .witness import CID, SERVICE, USER, Connect, Witness, refuse, say

pytestmark = pytest.mark.timeout(20)

IID, MID, FID = "b" * 24, "c" * 24, "d" * 24
STARTER = StarterRequest(service_id=SERVICE, facets=("booking",))
PERSON = NewUser(first_name="Phone", last_name="Caller", email="c1@callers.example.com")
ROOT = "/v1/org%20one"
FEEDBACK = f"{ROOT}/conversation/feedback/"
TALK = f"{ROOT}/conversation/{CID}"
TURN = f"{TALK}/interaction/{IID}"
Call = Callable[[AmigoClient], Awaitable[Any]]

LATE_FIRST = (ExternalEvent("b", 2.0), ExternalEvent("a", 1.0))


async def entered(stream: AbstractAsyncContextManager[Any]) -> None:
    async with stream:
        raise AssertionError("it was sent")


WIRE: list[tuple[str, Call, object, str, str, object]] = [
    ("both", lambda c: c.insights(USER, CID, IID), {}, "GET", f"{TURN}/insights", None),
    ("2025-06", lambda c: c.recommend_responses(USER, CID, IID, context="x"),
     {"recommended_responses": ["yes"]}, "GET", f"{TURN}/recommend_responses", None),
    ("2026-04", lambda c: c.recommend_responses(USER, CID, IID, context="x"),
     {"recommended_responses": ["yes"]}, "POST", f"{TURN}/recommend_responses", {"context": "x"}),
    ("2026-04", lambda c: c.message_source(USER, CID, MID, long_lived=True), {"url": "http://x"},
     "GET", f"{TALK}/messages/{MID}/source?long_lived=true", None),
    ("2025-06", lambda c: c.message_source(USER, CID, MID, long_lived=True), {"url": "http://x"},
     "GET", f"{TALK}/messages/{MID}/source", None),
    ("2025-06", lambda c: c.simulate(USER, CID, IID, agent={"background": "b"}), {}, "POST",
     f"{TURN}/simulate", {"agent_version_override": {"background": "b"}, "state_machine_version_override": None}),
    ("both", lambda c: c.starters(USER, STARTER), {"prompts": []}, "POST",
     f"{ROOT}/conversation/conversation_starter",
     {"service_id": SERVICE, "service_version_set_name": "release", "facets": ["booking"], "min_count": 1,
      "max_count": 3, "generation_instructions": STARTER.instructions}),
    ("2026-04", lambda c: c.modify_tags(USER, CID, {"rating": "4"}, ["old"]), None, "POST",
     f"{TALK}/tags/", {"updates": {"rating": "4"}, "deletes": ["old"]}),
    ("2025-06", lambda c: c.feedbacks(USER, "interaction", interaction_ids=[IID], sort=["-created_at"], limit=7),
     {"feedbacks": []}, "GET",
     f"{FEEDBACK}?type=interaction&interaction_id={IID}&sort_by=-created_at&limit=7&continuation_token=0", None),
    ("2025-06", lambda c: c.feedbacks(USER, "conversation", sort=["+created_at"]), {"feedbacks": []}, "GET",
     f"{FEEDBACK}?type=conversation&sort_by=%2Bcreated_at&limit=50&continuation_token=0", None),
    ("2025-06", lambda c: c.create_conversation_feedback(USER, CID, "good"),
     {"conversation_feedback_id": FID}, "POST", f"{TALK}/feedback", {"comment": "good"}),
    ("2025-06", lambda c: c.update_conversation_feedback(USER, CID, FID, "bad"), None, "POST",
     f"{TALK}/feedback/{FID}", {"feedback": "bad"}),
    ("2025-06", lambda c: c.delete_conversation_feedback(USER, CID, FID), None, "DELETE",
     f"{TALK}/feedback/{FID}", None),
    ("2025-06", lambda c: c.create_interaction_feedback(USER, CID, IID, "slow"),
     {"interaction_feedback_id": FID}, "POST", f"{TURN}/feedback",
     {"feedback": {"type": "interaction_comment", "comment": "slow"}}),
    ("2025-06", lambda c: c.update_interaction_feedback(USER, CID, IID, FID, "slow", resolved=True), None,
     "POST", f"{TURN}/feedback/{FID}",
     {"feedback": {"type": "interaction_comment", "comment": "slow", "resolved": True}}),
    ("2025-06", lambda c: c.delete_interaction_feedback(USER, CID, IID, FID), None, "DELETE",
     f"{TURN}/feedback/{FID}", None),
    ("2025-06", lambda c: c.create_user(USER, PERSON), {"user_id": "u"}, "POST", f"{ROOT}/user/invite",
     {"first_name": "Phone", "last_name": "Caller", "email": "c1@callers.example.com",
      "role_name": "DefaultUserRole"}),
    ("2026-04", lambda c: c.create_user(USER, PERSON), {"user_id": "u"}, "POST", f"{ROOT}/user/",
     {"first_name": "Phone", "last_name": "Caller", "email": "c1@callers.example.com",
      "role_name": "DefaultUserRole"}),
    ("both", lambda c: c.users(USER, emails=["a+b@c.de"]), {"users": []}, "GET",
     f"{ROOT}/user/?email=a%2Bb%40c.de&limit=100&continuation_token=0", None),
    ("both", lambda c: c.search_users(USER, "a b"), {"users": []}, "GET", f"{ROOT}/user/search/?query=a%20b", None),
    ("2025-06", lambda c: c.update_user(USER, UserId("u/1"), UserUpdate(first_name="N")), None, "POST",
     f"{ROOT}/user/u%2F1/user", {"first_name": "N"}),
    ("2026-04", lambda c: c.update_user(USER, UserId("u"), UserUpdate(audio_keyterms=("x",))), None, "POST",
     f"{ROOT}/user/u", {"audio_keyterms": ["x"]}),
    ("2026-04", lambda c: c.modify_user_variables(USER, UserId("u"), secret={"pin": "1"}, deletes=["old"]), None,
     "POST", f"{ROOT}/user/u/variable",
     {"upserts": [{"name": "pin", "value": "1", "is_secret": True}], "deletes": [{"name": "old"}]}),
    ("both", lambda c: c.delete_user(USER, UserId("u")), None, "DELETE", f"{ROOT}/user/u", None),
]  # fmt: skip
EACH = [
    pytest.param(
        revision,
        call,
        *rest,
        method,
        target,
        body,
        id=f"{method} {target.partition('?')[0]} {revision}",
    )
    for wanted, call, *rest, method, target, body in WIRE
    for revision in (("2025-06", "2026-04") if wanted == "both" else (wanted,))
]


@pytest.mark.parametrize(("revision", "call", "answer", "method", "target", "body"), EACH)
async def test_the_request_is_spelled_exactly(
    connect: Connect, witness: Witness, revision, call, answer, method, target, body
):
    client = await connect(revision=revision, cluster_name="west")
    witness.on("unknown", refuse(204, "") if answer is None else say(answer))
    await call(client)
    (seen,) = witness.of("unknown")

    assert (seen.method, seen.target) == (method, target)
    assert (json.loads(seen.body) if seen.body else None) == body
    assert seen.headers["x-mongo-cluster-name"] == "west"
    assert seen.headers.get("Content-Type") == (None if body is None else "application/json")


# ---------------------------------------------------------------- limits


WRONG: list[tuple[str, Call, str]] = [
    ("2025-06", lambda c: c.insights(USER, CID, "abc"), "interaction_id"),
    ("2025-06", lambda c: c.message_source(USER, CID, "A" * 24), "message_id"),
    ("2025-06", lambda c: c.feedbacks(USER, "conversation", limit=51), "limit"),
    ("2025-06", lambda c: c.feedbacks(USER, "conversation", limit=0), "limit"),
    ("2025-06", lambda c: c.feedbacks(USER, "conversation", sort=["created_at"]), "sort"),
    ("2025-06", lambda c: c.create_conversation_feedback(USER, CID, "  "), "comment"),
    ("2025-06", lambda c: c.users(USER, limit=101), "limit"),
    ("2025-06", lambda c: c.search_users(USER, ""), "query"),
    ("2025-06", lambda c: c.starters(USER, StarterRequest(service_id="x", facets=("a",))), "service_id"),
    ("2025-06", lambda c: c.starters(USER, StarterRequest(service_id=SERVICE, facets=())), "facets"),
    ("2025-06", lambda c: c.starters(
        USER, StarterRequest(service_id=SERVICE, facets=("a",), max_count=11)), "max_count"),
    ("2025-06", lambda c: c.starters(
        USER, StarterRequest(service_id=SERVICE, facets=("a",), min_count=4)), "min_count"),
    ("2026-04", lambda c: c.modify_tags(USER, CID, {"line": "+1555"}), "tags"),
    ("2025-06", lambda c: c.conversations(USER, limit=151), "limit"),
    ("2025-06", lambda c: c.conversations(USER, sort=["-num_messages"]), "sort"),
    ("2025-06", lambda c: c.messages(USER, CID, limit=501), "limit"),
    ("2025-06", lambda c: c.messages(USER, CID, ids=["x"]), "id"),
    ("2026-04", lambda c: entered(c.create(USER, SERVICE, "release", Opening(message=" "))), "message"),
    ("2026-04", lambda c: entered(c.create(USER, SERVICE, "release", Opening(tags={"a": "x" * 101}))), "tags"),
    ("2026-04", lambda c: entered(c.interact_text(USER, CID, " ", kind="external-event")), "text"),
    ("2026-04", lambda c: entered(c.interact_text(USER, CID, "x", events=LATE_FIRST)), "events"),
    ("2026-04", lambda c: c.modify_tags(USER, CID, {f"t{n}": None for n in range(21)}), "tags"),
    ("2026-04", lambda c: c.modify_user_variables(USER, UserId("u"), plain={"Plan": "x"}), "variables"),
]  # fmt: skip


@pytest.mark.parametrize(("revision", "call", "name"), WRONG)
async def test_a_broken_limit_is_named_and_nothing_is_sent(
    connect: Connect, witness: Witness, revision, call, name
):
    client = await connect(revision=revision)
    with pytest.raises(AmigoInvalid) as caught:
        await call(client)

    assert caught.value.detail.startswith(f"{name}: ")
    assert (caught.value.asked, witness.requests) == (False, [])


@pytest.mark.parametrize(
    ("revision", "call"),
    [
        ("2026-04", lambda c: c.simulate(USER, CID, IID)),
        ("2026-04", lambda c: c.feedbacks(USER, "conversation")),
        ("2026-04", lambda c: c.create_conversation_feedback(USER, CID, "x")),
        ("2025-06", lambda c: c.modify_tags(USER, CID, {})),
        ("2025-06", lambda c: c.conversations(USER, tags=["a:b"])),
        ("2025-06", lambda c: c.messages(USER, CID, kinds=["user-message"])),
        ("2025-06", lambda c: entered(c.create(USER, SERVICE, "release", Opening(is_test=True)))),
        ("2025-06", lambda c: entered(c.interact_text(USER, CID, "", kind="skip"))),
        ("2025-06", lambda c: entered(c.interact_text(USER, CID, "x", events=LATE_FIRST))),
        ("2025-06", lambda c: c.modify_user_variables(USER, UserId("u"))),
    ],
)
async def test_what_the_revision_does_not_have_is_not_asked_for(
    connect: Connect, witness: Witness, revision, call
):
    client = await connect(revision=revision)
    with pytest.raises(AmigoNotOffered, match=revision):
        await call(client)

    assert witness.requests == []


# ---------------------------------------------------------------- answers


async def test_insights_are_read_liberally(connect: Connect, witness: Witness):
    client = await connect(revision="2025-06")
    witness.on(
        "unknown",
        say(
            {
                "current_state_name": "time",
                "current_state_action": None,
                "state_transition_logs": [{"previous_state": "day", "next_state": "time", "x": 1}],
                "working_memory": None,
                "reflections": ["hm", 3],
                "triggered_dynamic_behavior_set_version_info": [],
            }
        ),
    )
    found = await client.insights(USER, CID, IID)

    assert (found.state, found.action, found.memory) == ("time", "", ())
    assert [(step.previous, step.next, step.reason) for step in found.transitions] == [
        ("day", "time", "")
    ]
    assert found.reflections == ("hm",)


async def test_pages_are_followed_until_they_repeat(connect: Connect, witness: Witness):
    client = await connect(revision="2026-04")

    def users(number: int, token: int | None) -> Any:
        return say(
            {"users": [{"user_id": f"u{number}"}], "has_more": True, "continuation_token": token}
        )

    witness.on("unknown", users(1, 5), users(2, 9), users(3, 9))

    assert [one.id for one in await client.users(USER)] == ["u1", "u2", "u3"]


async def test_the_secret_link_of_a_source_is_not_in_its_repr(connect: Connect, witness: Witness):
    client = await connect(revision="2026-04")
    witness.on("unknown", say({"url": "http://x/secret", "content_type": "audio/wav"}))

    assert "secret" not in repr(await client.message_source(USER, CID, MID))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
FIELDS = st.sampled_from(
    ["users", "feedbacks", "prompts", "url", "current_state_name", "state_transition_logs",
     "working_memory", "reflections", "has_more", "continuation_token", "facets"]
)  # fmt: skip


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(FIELDS, JSON, max_size=6))
@pytest.mark.parametrize("model", [Insights, MessageSource, StarterList, FeedbackPage, UserPage])
def test_any_json_is_read_or_refused_as_ours(model: type[Answer], value: dict[str, Any]):
    # Any other exception would fail this test.
    with contextlib.suppress(AmigoError):
        read_answer(model, "any", 200, json.dumps(value).encode())


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("status", "kind", "retryable"),
    [
        (400, AmigoRejected, False),
        (401, AmigoUnauthorized, False),
        (403, AmigoForbidden, False),
        (404, AmigoNotFound, False),
        (408, AmigoUnavailable, True),
        (409, AmigoConflict, True),
        (415, AmigoRejected, False),
        (422, AmigoRejected, False),
        (429, AmigoRateLimited, True),
        (500, AmigoUnavailable, True),
        (503, AmigoUnavailable, True),
    ],
)
async def test_a_status_has_a_class_that_says_what_to_do(
    connect: Connect, witness: Witness, status, kind, retryable
):
    client = await connect(revision="2025-06")
    witness.on("unknown", refuse(status, {"detail": "no"}, headers={"x-request-id": "r-7"}))
    with pytest.raises(kind) as caught:
        await client.insights(USER, CID, IID)
    error = caught.value

    assert (error.operation, error.status, error.request_id) == ("insights", status, "r-7")
    assert (error.detail, error.retryable) == ("no", retryable)


async def test_no_answer_is_a_class_of_its_own(connect: Connect):
    client = await connect(base_url="http://127.0.0.1:1", revision="2025-06")
    with pytest.raises(AmigoUnreachable) as caught:
        await client.insights(USER, CID, IID)

    assert (caught.value.status, caught.value.asked) == (None, False)
