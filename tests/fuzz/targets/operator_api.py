"""The operator's requests: cursors and limits, names of calls, tokens; a line each, through the real application."""

from __future__ import annotations

import json
from functools import cache
from urllib.parse import quote

from hypothesis import strategies as st

from tests.fuzz.doors import ADMIN, Answer, Doors, header_safe
from tests.fuzz.draw import lines, wild

LONGEST = 1024
WORDS = (
    *(
        b"9223372036854775807",
        b"999999999999999999",
        b"0",
        b"-1",
        b"1e3",
        b"\xd9\xa3",
        b"200",
        b"201",
    ),
    *(
        b"%00",
        b"..%2f",
        b"Bearer ",
        ADMIN.encode(),
        b"\xff",
        b"CA1",
        b"[::1]",
        b"localhost:8080",
        b"\n",
    ),
)


def run(data: bytes) -> None:
    cursor, limit, sid, token, host = lines(data, 5)
    query = "&".join(
        f"{name}={quote(value)}" for name, value in (("cursor", cursor), ("limit", limit)) if value
    )
    bearer = [("Authorization", f"Bearer {ADMIN}")]
    listed = _doors().ask("GET", f"/v1/calls?{query}", bearer)
    if listed.status == 200:
        page = json.loads(listed.body)
        assert len(page["calls"]) <= 200
        assert page["next_cursor"] is None or page["next_cursor"].isdigit()
    else:
        assert listed.status == 400
        _problem(listed)
        assert query
    shown = _doors().ask("GET", f"/v1/calls/{quote(sid, safe='') or 'x'}", bearer)
    assert shown.status == 404
    _problem(shown)
    _stranger(header_safe(wild(token)), header_safe(wild(host)))


def _stranger(token: str, host: str) -> None:
    """Without the very token nobody reads records, whatever the name he asks for."""
    if token.strip() == ADMIN or token.lower().partition(" ")[2].strip() == ADMIN:
        return
    headers = [("Authorization", token), ("Host", host or "localhost"), ("X-Forwarded-For", "::1")]
    answer = _doors().ask("GET", "/v1/calls", headers)
    assert answer.status in {400, 401}
    assert b"next_cursor" not in answer.body


def _problem(answer: Answer) -> None:
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert json.loads(answer.body)["status"] == answer.status


@cache
def _doors() -> Doors:
    return Doors()


def close() -> None:
    if _doors.cache_info().currsize:
        _doors().close()
        _doors.cache_clear()


def inputs() -> st.SearchStrategy[bytes]:
    number = st.integers().map(lambda one: str(one).encode())
    text = st.text(max_size=10).map(lambda one: one.replace("\n", "").encode())
    part = number | text | st.sampled_from(WORDS[:-1])
    return st.lists(part, min_size=5, max_size=5).map(b"\n".join)
