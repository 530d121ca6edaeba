"""Error answers of any shape, and the wait they ask for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.amigo.refusal import EXCERPT, excerpt, lifetime, refusal, request_id, retry_after

NOW = 1_767_225_600.0  # 2026-01-01 00:00:00 UTC
DATE = "Thu, 01 Jan 2026 00:00:00 GMT"
LATER = "Thu, 01 Jan 2026 00:00:20 GMT"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"Retry-After": "17"}, 17.0),
        ({"Retry-After": " 0 "}, 0.0),
        ({"Retry-After": "1.5"}, 1.5),
        ({"Retry-After": LATER}, 20.0),
        ({"Retry-After": DATE}, 0.0),
        ({"Retry-After": "Wed, 31 Dec 2025 00:00:00 GMT"}, 0.0),
        ({"Retry-After": LATER, "Date": "Thu, 01 Jan 2026 00:00:15 GMT"}, 5.0),
        ({"Retry-After": "Thu, 01 Jan 2026 00:00:20 -0000"}, 20.0),
        ({"Retry-After": "-5"}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "1e9"}, None),
        ({"Retry-After": "9" * 400}, None),
        ({"X-RateLimit-Reset": "1767225630"}, 30.0),
        ({"X-RateLimit-Reset": "?"}, None),
        ({"Retry-After": "3", "X-RateLimit-Reset": "1767225630"}, 3.0),
    ],
)
def test_the_wait_is_read_however_it_is_written(
    headers: dict[str, str], expected: float | None
) -> None:
    assert retry_after(429, headers, NOW) == expected


def test_a_rate_limit_window_counts_only_for_429() -> None:
    assert retry_after(503, {"X-RateLimit-Reset": "1767225630"}, NOW) is None


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", ""),
        (b"busy", "busy"),
        (b'"busy"', "busy"),
        (b'{"detail": "busy"}', "busy"),
        (b'{"message": "busy", "error_code": "E7"}', "E7: busy"),
        (b'{"error": {"code": 7, "message": "busy"}}', "7: busy"),
        (
            b'{"detail": [{"loc": ["query", "x"], "msg": "bad", "input": "my words"}]}',
            "query.x: bad",
        ),
        (b'{"unheard": "of"}', ""),
        (b"null", ""),
        (b"<html><style>p{}</style><h1>502 Bad\r\nGateway</h1></html>", "502 Bad Gateway"),
        (b"\xff\x00\x1b[31mred", "\ufffd  [31mred"),
        (b"call +1 (555) 010-2345 back", "call … back"),
        (b"id 66a1b2c3d4e5f60718293a4b", "id 66a1b2c3d4e5f60718293a4b"),
        (b"the key is k-e-y, yes", "the key is ***, yes"),
    ],
)
def test_an_error_body_of_any_shape_gives_a_short_harmless_line(body: bytes, expected: str) -> None:
    assert excerpt(body, ("k-e-y", "")) == expected


@given(st.binary(max_size=2000))
def test_no_error_body_raises_or_grows(body: bytes) -> None:
    text = excerpt(body)

    assert len(text) <= EXCERPT
    assert text.isprintable()


def test_deep_nesting_in_an_error_body_is_survived() -> None:
    assert len(excerpt(b"[" * 50_000)) <= EXCERPT
    assert len(excerpt(b'{"detail":' * 500 + b'"x"' + b"}" * 500)) <= EXCERPT


@pytest.mark.parametrize(
    ("status", "again"),
    [
        (400, False),
        (401, False),
        (403, False),
        (404, False),
        (408, True),
        (409, True),
        (415, False),
        (422, False),
        (429, True),
        (500, True),
        (501, False),
        (502, True),
        (503, True),
        (504, True),
    ],
)
def test_statuses_say_whether_trying_again_may_help(status: int, again: bool) -> None:
    assert refusal("finish", status, {}, b"", wall=NOW).retryable is again


def test_an_error_tells_operation_status_and_request() -> None:
    error = refusal("create", 400, {"x-request-id": "r-9"}, b"no", wall=NOW)

    assert str(error) == "create: status 400, request r-9: no"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"x-request-id": " "}, None),
        ({"cf-ray": "c1"}, "c1"),
        ({"x-request-id": "a\x1b"}, None),
        ({"x-request-id": "a" * 500}, "a" * 128),
    ],
)
def test_a_request_id_is_taken_where_it_is_usual(
    headers: dict[str, str], expected: str | None
) -> None:
    assert request_id(headers) == expected


@pytest.mark.parametrize(
    ("expires", "headers", "expected"),
    [
        ("2026-01-01T01:00:00Z", {}, 3600.0),
        ("2026-01-01T01:00:00", {}, 3600.0),
        ("2026-01-01T02:00:00.000+01:00", {"Date": LATER}, 3580.0),
        ("2025-12-31T23:59:59Z", {}, -1.0),
        ("tomorrow", {}, None),
        (None, {}, None),
    ],
)
def test_a_lifetime_is_counted_on_the_services_clock(
    expires: str | None, headers: dict[str, str], expected: float | None
) -> None:
    assert lifetime(expires, headers, NOW) == expected


def test_a_request_id_that_repeats_a_secret_is_not_passed_on() -> None:
    headers = {"x-request-id": "Bearer t-o-k-e-n"}

    assert request_id(headers, ("t-o-k-e-n",)) == "Bearer ***"
    assert "t-o-k-e-n" not in str(
        refusal("create", 400, headers, b"no", wall=NOW, secrets=("t-o-k-e-n",))
    )
