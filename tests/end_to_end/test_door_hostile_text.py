"""What callers and strangers write reaches markup, records and logs, and breaks none of them."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Literal

import pytest

from gateway.log import logging_to
from tests.end_to_end.door_carrier import eventually, new_call_sid
from tests.end_to_end.door_kit import House, open_house

HOSTILE = {
    "markup": "<Dial>+15559999999</Dial>",
    "markup that closes ours": "</Say></Response><Response><Dial>+15559999999</Dial>",
    "quotes": "\"'><Hangup/>",
    "a section": "]]><Dial>+15559999999</Dial><![CDATA[",
    "an entity": "&lt;Dial&gt;&#60;Dial&#62;&xxe;",
    "a document type": '<!DOCTYPE x [<!ENTITY xxe SYSTEM "file:///etc/passwd">]>&xxe;',
    "lines": '+15550001111\n{"level": "error", "event": "forged"}\r\n12:00:00.000 ERROR   forged',
    "other line ends": "a\x0bb\x0cc\x1cd\x1ee\x85f\u2028g\u2029h",
    "a terminal's orders": "\x1b[2J\x1b]0;forged\x07\x9b31mred\x1b[0m",
    "nul": "a\x00b",
    "turned round": "\u202egpj.exe\u202c\u200b\ufeff",
    "JSON": '", "level": "error", "event": "forged", "x": "\\',
    "a format": "%s%n%(levelname)s {0.__class__} {level}",
    "SQL": "'; DROP TABLE calls; --",
    "Redis": "*1\r\n$8\r\nFLUSHALL\r\n",
    "a path": "../../../../etc/passwd",
    "beyond the plane": "\U0001f600\ufffe\uffff\U0010ffff",
    "very long": "x" * 50_000,
}
TEXT_LINE = re.compile(r"(\d\d:\d\d:\d\d\.\d{3} (DEBUG|INFO|WARNING|ERROR) +[\w.:-]+| {4})")
"""How each line of the plain log begins; four blanks begin a trace's."""


async def calls_from(house: House, text: str) -> None:
    """A caller who writes this into every field that is his to write."""
    sid = new_call_sid()
    others = ("To", "CallerName", "FromCity", "Direction", "CallToken")
    fields = dict.fromkeys(others, text) if len(text) < 1000 else {}
    answer = await house.carrier.voice(sid, From=text, **fields)

    assert answer.verbs in (["Connect", "Hangup"], ["Say", "Hangup"], ["Reject"])
    assert "Dial" not in [element.tag for element in answer.root.iter()]
    assert "passwd" not in answer.text
    record = await house.record(sid)
    assert record["from"] == text[:256]
    told = {"CallSid": text[:9000], "StreamEvent": "stream-error", "StreamError": text}
    assert (await house.carrier.post("/twilio/stream-status", told)).status == 204
    await house.carrier.status(sid)
    await house.settled(sid)


def is_clean(log: str, format: Literal["json", "text"]) -> None:  # noqa: A002 - the setting's name
    lines = log.split("\n")
    assert lines.pop() == ""
    assert len(lines) > 10
    for line in lines:
        assert line.isprintable(), line
        assert len(line) < 10_000
        if format == "text":
            assert TEXT_LINE.match(line), line
        else:
            fact = json.loads(line)
            assert "forged" not in (fact["level"], fact["event"])
            assert fact["level"] != "error", line


@pytest.mark.parametrize("format", ["json", "text"])
@pytest.mark.parametrize("name", HOSTILE)
async def test_what_a_caller_calls_himself_breaks_neither_markup_nor_record_nor_log(
    tmp_path: Path,
    name: str,
    format: Literal["json", "text"],  # noqa: A002 - the setting's name
) -> None:
    log = io.StringIO()
    with logging_to(log, level="debug", format=format):
        async with open_house(tmp_path) as house:
            await calls_from(house, HOSTILE[name])
    is_clean(log.getvalue(), format)


@pytest.mark.parametrize("format", ["json", "text"])
async def test_what_a_stranger_writes_before_anything_is_checked_breaks_no_log(
    tmp_path: Path,
    format: Literal["json", "text"],  # noqa: A002 - the setting's name
) -> None:
    log = io.StringIO()
    with logging_to(log, level="debug", format=format):
        async with open_house(tmp_path) as house:
            for text in HOSTILE.values():
                fields = {"CallSid": text[:9000], "From": text[:9000], "x": text[:9000]}
                answer = await house.carrier.post("/twilio/voice", fields, signature="x")
                assert answer.status == 403
                async with house.http.get(
                    f"{house.carrier.reached_at}/twilio/media/a%0A%1B[31m"
                ) as refused:
                    assert refused.status == 403
                async with house.http.get(
                    house.carrier.reached_at + "/%0A%1B[31m%22,%22event%22:%22forged"
                ) as unknown:
                    assert unknown.status == 404
    is_clean(log.getvalue(), format)


@pytest.mark.parametrize("format", ["json", "text"])
async def test_what_comes_over_the_media_socket_breaks_no_log(
    tmp_path: Path,
    format: Literal["json", "text"],  # noqa: A002 - the setting's name
) -> None:
    hostile = HOSTILE["lines"] + HOSTILE["a terminal's orders"] + HOSTILE["JSON"]
    log = io.StringIO()
    with logging_to(log, level="debug", format=format):
        async with open_house(tmp_path) as house, house.on_the_line() as stream:
            await stream.hears()
            await stream.send({"event": hostile, hostile: hostile})
            await stream.send(stream.message("mark", {"name": hostile}))
            await stream.send(stream.message("dtmf", {"digit": hostile}))
            await stream.send(stream.message("start", {hostile: hostile}))
            await stream.send(hostile)
            await eventually(lambda: "media.malformed" in log.getvalue())
            await stream.stop()
        sid = new_call_sid()
        async with open_house(tmp_path) as house:
            sid, url = await house.answered()
            async with house.socket(url, sid) as stream:
                await stream.start(mediaFormat={"encoding": hostile, "sampleRate": hostile})
                assert await stream.ends() == 1003
            await house.carrier.connected(sid)
    is_clean(log.getvalue(), format)
