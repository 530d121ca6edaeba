"""Where the store is, as a setting says it."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from hypothesis import strategies as st

from gateway.store import RedisPlace, store_place
from tests.fuzz.draw import wild

LONGEST = 512
SECRET = "s3cret-canary"
WORDS = (
    *(b"sqlite:///", b"redis://", b"rediss://", b"redis+sentinel://", b"unix", b"[::1]", b":6379"),
    *(
        b"/0",
        b"?prefix=",
        b"&ca=/ca.pem",
        b"@",
        b"user:",
        SECRET.encode(),
        b"%40",
        b"%00",
        b":memory:",
    ),
)


def run(data: bytes) -> None:
    url = wild(data)
    try:
        place = store_place(url)
    except ValueError as error:
        assert SECRET not in str(error) or SECRET in _query(url)
        assert str(error)
        return
    if isinstance(place, Path):
        assert url.startswith("sqlite:///")
        assert str(place).isprintable()
        return
    assert place.host
    assert 0 < place.port < 65536
    assert 0 <= place.database < 100_000
    if place.password:
        assert place.password not in repr(place) or len(place.password) < 12
    assert place == store_place(_spelt(place))


def _query(url: str) -> str:
    """Names of options are repeated to the operator; there is no secret in them."""
    return url.partition("?")[2]


def _spelt(place: RedisPlace) -> str:
    who = ""
    if place.username or place.password:
        who = f"{quote(place.username or '', safe='')}:{quote(place.password or '', safe='')}@"
    host = f"[{place.host}]" if ":" in place.host else place.host
    scheme = "rediss" if place.tls else "redis"
    ca = f"&ca={quote(place.authority, safe='')}" if place.authority else ""
    return f"{scheme}://{who}{host}:{place.port}/{place.database}?prefix={place.prefix}{ca}"


def inputs() -> st.SearchStrategy[bytes]:
    text = st.text(max_size=6).map(lambda one: one.encode())
    return st.lists(st.sampled_from(WORDS) | text, max_size=8).map(b"".join)
