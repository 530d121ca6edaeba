"""What the log says, and above all what it must never say."""

from __future__ import annotations

import asyncio
import contextvars
import io
import json
import logging
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import log
from gateway.log import bind_call, bind_conversation, fact, logging_to, mask_number

logger = logging.getLogger("gateway.test")


@contextmanager
def lines_of(
    form: Literal["json", "text"] = "json",
    level: Literal["debug", "info", "warning", "error"] = "info",
    secrets: tuple[str, ...] = (),
) -> Iterator[list[str]]:
    """Collect the lines written while the context is open; they are there after it."""
    stream, lines = io.StringIO(), list[str]()
    with logging_to(stream, level=level, format=form, secrets=secrets):
        yield lines
    lines += stream.getvalue().splitlines()


def only(lines: list[str]) -> dict[str, Any]:
    (line,) = lines
    value = json.loads(line)
    assert isinstance(value, dict)
    return value


def test_a_fact_is_one_json_object_with_its_fields() -> None:
    with lines_of() as lines:
        fact(logger, "call.started", direction="inbound", attempt=2, parts=("a", "b"))

    line = only(lines)
    assert line["event"] == "call.started"
    assert (line["level"], line["logger"]) == ("info", "gateway.test")
    assert (line["direction"], line["attempt"], line["parts"]) == ("inbound", 2, ["a", "b"])
    assert line["time"].endswith("Z")


def test_text_of_many_lines_stays_one_line() -> None:
    for form in ("json", "text"):
        with lines_of(form) as lines:
            fact(logger, "odd", said="a\nb\x1b[31m c")

        assert len(lines) == 1
        assert "\x1b" not in lines[0]


def test_below_the_level_nothing_is_written() -> None:
    with lines_of(level="warning") as lines:
        fact(logger, "call.started")
        fact(logger, "store.slow", level=logging.WARNING)

    assert [json.loads(line)["event"] for line in lines] == ["store.slow"]


def test_text_is_for_terminals_json_for_the_rest() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for stream, is_json in ((Terminal(), False), (io.StringIO(), True)):
        with logging_to(stream):
            fact(logger, "call.started", direction="inbound")

        assert stream.getvalue().startswith("{") is is_json
        assert "call.started" in stream.getvalue()


def test_an_exception_leaves_its_kind_and_trace() -> None:
    with lines_of() as lines:
        try:
            int("odd")
        except ValueError as error:
            fact(logger, "call.failed", level=logging.ERROR, exc=error)

    line = only(lines)
    assert line["error"] == "ValueError"
    assert "in test_an_exception_leaves" in line["trace"]


def test_a_field_that_cannot_be_told_does_not_raise(capsys: pytest.CaptureFixture[str]) -> None:
    class Untellable:
        def __str__(self) -> str:
            raise RuntimeError

    with lines_of() as lines:
        fact(logger, "odd", field=Untellable())
        fact(logger, "after")

    assert [json.loads(line)["event"] for line in lines] == ["after"]
    assert "Untellable" not in "".join(lines)
    assert capsys.readouterr().err


# ---------------------------------------------------------------- which call


async def test_every_task_of_a_call_says_which_call_and_conversation() -> None:
    async def child(ready: asyncio.Event) -> None:
        fact(logger, "child.early")
        await ready.wait()
        fact(logger, "child.late")

    async def call(number: int) -> None:
        bind_call(f"CA{number}")
        ready = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(child(ready))
            await asyncio.sleep(0)
            bind_conversation(f"c{number}")
            ready.set()

    with lines_of() as lines:
        async with asyncio.TaskGroup() as tasks:
            for number in (1, 2):
                tasks.create_task(call(number))
        fact(logger, "outside")

    told = [json.loads(line) for line in lines]
    for number in (1, 2):
        early, late = (line for line in told if line.get("call_sid") == f"CA{number}")
        assert "conversation_id" not in early
        assert late["conversation_id"] == f"c{number}"
    assert "call_sid" not in next(line for line in told if line["event"] == "outside")


def test_a_conversation_without_a_call_is_no_fault() -> None:
    def alone() -> None:
        bind_conversation("c1")
        fact(logger, "odd")

    with lines_of() as lines:
        contextvars.Context().run(alone)

    assert "conversation_id" not in only(lines)


# ---------------------------------------------------------------- what is never said


@pytest.mark.parametrize(
    ("number", "masked"),
    [
        ("+15550001111", "+15***11"),
        ("+442071234567", "+44***67"),
        ("5550001111", "555***11"),
        ("+123", "***"),
        ("911", "***"),
        ("sip:alice@example.com", "sip:***@example.com"),
        ("sip:+15550001111@example.com", "sip:***@example.com"),
        ("alice@example.com", "***@example.com"),
        ("client:alice", "***"),
        ("anonymous", "anonymous"),
        ("", ""),
    ],
)
def test_a_number_is_told_apart_but_not_told(number: str, masked: str) -> None:
    assert mask_number(number) == masked


@given(st.from_regex(r"\+[1-9][0-9]{7,14}", fullmatch=True))
def test_no_number_survives_in_any_line(number: str) -> None:
    form = number.replace("+", "%2B")
    with lines_of() as lines:
        fact(logger, "odd", text=f"call from {number}.", body=f"From={form}&To=x")
        fact(logger, "named", caller=number.lstrip("+"), to=number)
        logger.info("caller %s", number)

    for line in lines:
        assert number.lstrip("+") not in line


@given(st.text(min_size=6, max_size=30).filter(lambda text: text.strip() == text))
def test_no_secret_survives_in_any_line(secret: str) -> None:
    if secret in '{"time": "event": "logger": "gateway.test", "level": "info", "field": ':
        return
    for form in ("json", "text"):
        with lines_of(form, secrets=(secret,)) as lines:
            fact(logger, "odd", field=f"key={secret};")

        assert secret not in "\n".join(lines)
        assert json.dumps(secret)[1:-1] not in "\n".join(lines)


def test_a_secret_in_a_trace_is_caught_and_short_ones_do_not_blank_words() -> None:
    with lines_of(secrets=("hush-hush", "hush-hush-2", "k", "")) as lines:
        try:
            int("refused: hush-hush-2, hush-hush")
        except ValueError:
            logger.exception("k")

    line = only(lines)
    assert "hush" not in json.dumps(line)
    assert line["event"] == "k"


# ---------------------------------------------------------------- a reader that went away


class Stalled(io.StringIO):
    """A pipe nobody reads, until `gate` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()

    def write(self, text: str) -> int:
        self.gate.wait()
        return super().write(text)


def test_a_stalled_reader_stops_nobody_and_lost_lines_are_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(log, "MAX_WAITING_LINES", 3)
    stream = Stalled()
    with logging_to(stream, format="json"):
        for number in range(50):
            fact(logger, "line", number=number)
        stream.gate.set()

    told = [json.loads(line) for line in stream.getvalue().splitlines()]
    lost = sum(line["count"] for line in told if line["event"] == "log.lines_lost")
    assert lost >= 40
    assert lost + sum(line["event"] == "line" for line in told) == 50


def test_a_broken_reader_is_no_fault_of_the_call() -> None:
    class Broken(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    with logging_to(Broken(), format="json"):
        fact(logger, "call.started")


LOUD = """
import logging, sys
from pathlib import Path
from gateway.log import fact, logging_to

with logging_to(sys.stdout, format="json", shared=Path(sys.argv[1])):
    for number in range(200):
        fact(logging.getLogger("test"), "loud", who=sys.argv[2], **{f"text{n}": sys.argv[2] * 2000 for n in range(10)})
"""


def test_lines_of_processes_that_share_a_stream_stay_whole(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    command = [sys.executable, "-c", LOUD, str(tmp_path / "turns")]
    both = [subprocess.Popen([*command, who], stdout=writer) for who in "ab"]
    os.close(writer)
    with os.fdopen(reader) as stream:
        told = [json.loads(line) for line in stream]

    assert [one.wait(60) for one in both] == [0, 0]
    assert {"a": 200, "b": 200} == Counter(line["who"] for line in told)
    assert all(line["text9"] == line["who"] * 2000 for line in told)


def test_afterwards_logging_is_as_it_was() -> None:
    root = logging.getLogger()
    before = (list(root.handlers), root.level)

    with lines_of(level="debug"):
        pass

    assert (list(root.handlers), root.level) == before
