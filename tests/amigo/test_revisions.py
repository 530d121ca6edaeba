"""Revisions as data: what they add to requests, and how a document tells which one it is."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.amigo.revisions import (
    R2025_06,
    R2026_04,
    Revision,
    other_than,
    revision_from_openapi,
    revision_named,
)

INTERACT = "/v1/{organization}/conversation/{conversation_id}/interact"


def document(*content: str, parameters: tuple[object, ...] = (), path: str = INTERACT) -> object:
    body: object = {"content": {kind: {} for kind in content}}
    return {
        "paths": {
            "/other": {},
            path: {"post": {"parameters": list(parameters), "requestBody": body}},
        }
    }


def named(*names: str) -> tuple[object, ...]:
    return tuple({"name": name, "in": "query"} for name in names)


@pytest.mark.parametrize("revision", [R2025_06, R2026_04])
def test_a_revision_is_found_by_its_name(revision: Revision) -> None:
    assert revision_named(revision.name) is revision
    assert other_than(revision) is not revision
    assert other_than(other_than(revision)) is revision


def test_a_name_from_a_newer_build_is_not_known() -> None:
    assert revision_named("2027-01") is None


@pytest.mark.parametrize("kind", ["multipart/form-data", "application/x-www-form-urlencoded"])
def test_a_form_body_is_2026_04(kind: str) -> None:
    parameters = named("request_format", "request_audio_config")

    assert revision_from_openapi(document(kind, parameters=parameters)) == R2026_04


@pytest.mark.parametrize(
    "content",
    [(), ("audio/wav", "audio/mpeg"), ("audio/wav", "multipart/form-data"), ("application/json",)],
)
def test_any_other_body_is_2025_06(content: tuple[str, ...]) -> None:
    parameters = named("request_format", "emit_current_agent_action_event")

    assert revision_from_openapi(document(*content, parameters=parameters)) == R2025_06


def test_a_build_in_between_sends_raw_audio_with_a_description() -> None:
    parameters = named("request_audio_config", "audio_format")

    found = revision_from_openapi(document("audio/wav", parameters=parameters))

    assert found == replace(
        R2025_06,
        describes_upload=True,
        actions_on_request=False,
        response_query=(("audio_format", "pcm"),),
    )
    assert found.answer_query()[-1] == ("audio_format", "pcm")


def test_a_form_build_that_still_wants_the_answers_format_is_told_it() -> None:
    parameters = (*named("request_audio_config"), {"$ref": "#/components/parameters/Format"})
    described = document("multipart/form-data", parameters=parameters)
    assert isinstance(described, dict)
    described["components"] = {"parameters": {"Format": {"name": "response_audio_format"}}}

    found = revision_from_openapi(described)

    assert found is not None
    assert dict(found.response_query) == {
        "response_audio_format": '{"type":"pcm","sample_rate":16000}'
    }


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["paths", INTERACT, "post", "requestBody", "content", "parameters", "$ref"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(JSON)
def test_no_document_makes_the_detection_raise(found: object) -> None:
    assert revision_from_openapi(found) is None or isinstance(
        revision_from_openapi(found), Revision
    )


def test_a_document_without_the_operation_says_nothing() -> None:
    assert revision_from_openapi(document("audio/wav", path="/v1/{organization}/user/")) is None


@pytest.mark.parametrize("revision", [R2025_06, R2026_04])
def test_no_boundary_can_occur_twice_in_a_form(revision: Revision) -> None:
    content_type, body = revision.text_body("--b\r\n", "bound")

    assert content_type == "multipart/form-data; boundary=bound"
    assert body.count(b"--bound") == (3 if revision.typed_messages else 2)
    assert body.endswith(b"\r\n--bound--\r\n")
