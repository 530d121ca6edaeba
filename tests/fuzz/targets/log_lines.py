"""Facts with fields from outside: one line each, no secret in it, no whole number."""

from __future__ import annotations

import json
import logging
import re

from hypothesis import strategies as st

from gateway.log import JsonLines, PlainLines
from tests.fuzz.draw import Draw

LONGEST = 1024
SECRET = 's3cret-canary \u00e9"\\'
WORDS = (
    SECRET.encode(),
    b"s3cret-canary",
    b"+15550002222",
    b"%2B15550002222",
    b"\n",
    b"\r",
    b"\x1b[31m",
    b"\xe2\x80\xa8",
    b"\xed\xa0\x80",
    b"caller",
    b"sip:a@b",
)
SPELLINGS = (SECRET, json.dumps(SECRET)[1:-1], json.dumps(json.dumps(SECRET)[1:-1])[1:-1])
JSON, PLAIN = JsonLines((SECRET,)), PlainLines((SECRET,))


def run(data: bytes) -> None:
    draw = Draw(data)
    record = logging.LogRecord("gateway", logging.INFO, __file__, 1, "an.event", None, None)
    record.fields = {
        "caller": draw.text(),
        "detail": draw.text(),
        "path": [draw.text(), draw.byte()],
    }
    for line in (JSON.format(record), PLAIN.format(record)):
        assert len(line.splitlines()) == 1
        assert line.isprintable()
        assert not any(spelling in line for spelling in SPELLINGS)
        assert not re.search(r"(?<![\w.])\+\d{10,15}(?!\d)", line)
    assert isinstance(json.loads(JSON.format(record)), dict)


def inputs() -> st.SearchStrategy[bytes]:
    piece = st.lists(
        st.sampled_from(WORDS) | st.text(max_size=5).map(lambda t: t.encode("utf-8", "replace")),
        max_size=4,
    ).map(b"".join)
    return st.lists(piece.map(lambda one: bytes([len(one)]) + one), max_size=6).map(b"".join)
