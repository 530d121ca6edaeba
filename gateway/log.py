"""Logs: one line per fact, JSON for machines or plain for a terminal, without secrets or numbers.

An event has a static name and fields (`fact(logger, "call.started", direction="inbound")`); which
call it belongs to is bound once per call, for all its tasks. A log that nobody reads must not stop
a call: lines wait in a bounded queue for a writing thread, and are counted when they are lost.
"""

from __future__ import annotations

import json
import logging
import queue
import re
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal, TextIO

MAX_WAITING_LINES: Final = 10_000
SHORTEST_SECRET: Final = 6
"""Characters; the last net spares shorter secrets, which would blank out ordinary words."""
CLOSING_SECONDS: Final = 2.0
"""How long closing waits for a reader of the log who has gone away."""
NUMBER_FIELDS: Final = frozenset({"from", "to", "caller", "called", "number"})
"""Fields that hold a number in whatever spelling; always masked."""
REDACTED: Final = "[redacted]"

_NUMBERS: Final = re.compile(r"(?<![\w.])(?:(?:\+|%2B|%2b)\d{7,15})+(?!\d)")
"""Telephone numbers as the carrier writes them, also in a form body, one or several without a gap."""
_NUMBER: Final = re.compile(r"(\+|%2B|%2b)(\d+)")


@dataclass(slots=True)
class _CallContext:
    call_sid: str
    conversation_id: str | None = None


_CONTEXT: ContextVar[_CallContext | None] = ContextVar("call", default=None)


def bind_call(call_sid: str) -> None:
    """Name the call this task works for; the lines of tasks it starts from now on name it too."""
    _CONTEXT.set(_CallContext(call_sid))


def bind_conversation(conversation_id: str) -> None:
    """Name the conversation of the bound call: it is known later, and for all of the call's tasks."""
    context = _CONTEXT.get()
    if context is not None:
        context.conversation_id = conversation_id


def fact(
    logger: logging.Logger,
    event: str,
    *,
    level: int = logging.INFO,
    exc: BaseException | None = None,
    **fields: object,
) -> None:
    """Log one fact: a static event name and its fields, which must hold no caller text above debug."""
    if logger.isEnabledFor(level):
        logger.log(level, event, exc_info=exc, extra={"fields": fields}, stacklevel=2)


def mask_number(number: str) -> str:
    """Return a number or address of a caller, fit for a log: `+15***11`, `***`, `sip:***@host`."""
    if "@" in number:
        scheme, colon, _ = number.rpartition("@")[0].partition(":")
        return f"{scheme if colon else ''}{colon}***@{number.rpartition('@')[2]}"
    digits = sum(character.isdigit() for character in number)
    if digits == 0 and ":" not in number:
        return number  # `anonymous`, `restricted`
    if digits < 10:
        return "***"
    return f"{number[:3]}***{number[-2:]}"


class _Redactor:
    """The last net: whatever a line holds, no registered secret and no whole number leaves in it."""

    def __init__(self, secrets: Iterable[str]) -> None:
        # As it is, as JSON writes it, and as a text line does that quotes a list's JSON once more.
        spellings = {
            spelling
            for secret in secrets
            if len(secret) >= SHORTEST_SECRET
            for spelling in (secret, _in_json(secret), _in_json(_in_json(secret)))
        }
        # Longest first: a secret may be the beginning of another.
        ordered = sorted(spellings, key=len, reverse=True)
        self._secrets = re.compile("|".join(map(re.escape, ordered))) if ordered else None

    def __call__(self, line: str) -> str:
        if self._secrets is not None:
            line = self._secrets.sub(REDACTED, line)
        if "+" in line or "%2" in line:
            line = _NUMBERS.sub(
                lambda run: _NUMBER.sub(lambda found: mask_number(found[1] + found[2]), run[0]),
                line,
            )
        return line


def _in_json(text: str) -> str:
    return json.dumps(text)[1:-1]


def _masked(name: str, value: object) -> object:
    return mask_number(value) if name in NUMBER_FIELDS and isinstance(value, str) else value


def _content(record: logging.LogRecord) -> dict[str, object]:
    """Return what a line says besides time and level, in the order it is to be read."""
    content: dict[str, object] = {"event": record.getMessage(), "logger": record.name}
    context = _CONTEXT.get()
    if context is not None:
        content["call_sid"] = context.call_sid
        if context.conversation_id is not None:
            content["conversation_id"] = context.conversation_id
    fields = getattr(record, "fields", None)
    if isinstance(fields, Mapping):
        content.update((name, _masked(name, value)) for name, value in fields.items())
    if record.exc_info and record.exc_info[1] is not None:
        content["error"] = type(record.exc_info[1]).__name__
        content["trace"] = logging.Formatter().formatException(record.exc_info)
    return content


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        super().__init__()
        self._redact = _Redactor(secrets)

    def format(self, record: logging.LogRecord) -> str:
        when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {
            "time": when.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            **_content(record),
        }
        return self._redact(json.dumps(line, default=str))


class PlainLines(logging.Formatter):
    """Time of day, level, event and `name=value` fields: for eyes on a terminal."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        super().__init__()
        self._redact = _Redactor(secrets)

    def format(self, record: logging.LogRecord) -> str:
        when = datetime.fromtimestamp(record.created, UTC).astimezone()
        content = _content(record)
        trace = content.pop("trace", None)
        event, _ = content.pop("event"), content.pop("logger")
        fields = "".join(f" {name}={_plain(value)}" for name, value in content.items())
        line = (
            f"{when:%H:%M:%S}.{when.microsecond // 1000:03} {record.levelname:<7} {event}{fields}"
        )
        return self._redact(line if trace is None else f"{line}\n{trace}")


def _plain(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if text.isprintable() and " " not in text else json.dumps(text)


class _WaitingLines(logging.Handler):
    """Formats where the line is logged (the context is there) and writes in a thread of its own."""

    def __init__(
        self, stream: TextIO, formatter: logging.Formatter, shared: Path | None = None
    ) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self._stream = stream
        self._turn = None if shared is None else shared.open("ab")
        self._lines: queue.Queue[str | None] = queue.Queue(MAX_WAITING_LINES)
        self._lost = 0
        self._thread = threading.Thread(target=self._write_all, name="log-writer", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001 - a field that cannot be told must not end a call
            self.handleError(record)
            return
        try:
            self._lines.put_nowait(line)
        except queue.Full:
            self._lost += 1

    def close(self) -> None:
        with suppress(queue.Full):
            self._lines.put(None, timeout=CLOSING_SECONDS)
            self._thread.join(CLOSING_SECONDS)
        if self._turn is not None and not self._thread.is_alive():
            self._turn.close()
        super().close()

    def _write_all(self) -> None:
        told = 0
        while (line := self._lines.get()) is not None:
            if (lost := self._lost) > told:
                self._write(self._lost_lines(lost - told))
                told = lost
            self._write(line)

    def _lost_lines(self, count: int) -> str:
        record = logging.LogRecord(
            __name__, logging.WARNING, __file__, 0, "log.lines_lost", None, None
        )
        record.fields = {"count": count}
        return self.format(record)

    def _write(self, line: str) -> None:
        # A closed or broken stderr leaves nobody to tell.
        with suppress(OSError, ValueError), self._alone():
            self._stream.write(line + "\n")
            self._stream.flush()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """While no other process writes: the system keeps only short lines whole by itself."""
        if self._turn is None:
            yield
            return
        import fcntl

        fcntl.flock(self._turn, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._turn, fcntl.LOCK_UN)


@contextmanager
def logging_to(
    stream: TextIO | None = None,
    *,
    level: Literal["debug", "info", "warning", "error"] = "info",
    format: Literal["json", "text"] | None = None,  # noqa: A002 - the setting's name
    secrets: Iterable[str] = (),
    shared: Path | None = None,
) -> Iterator[None]:
    """Send every logger's lines to the stream (stderr) for the time of the context.

    `format` None: text on a terminal, else JSON. `secrets` are blanked out wherever they appear.
    `shared`: a file by which processes that write to the same stream take turns, line by line.
    """
    target = sys.stderr if stream is None else stream
    as_text = format == "text" or (format is None and target.isatty())
    handler = _WaitingLines(target, (PlainLines if as_text else JsonLines)(secrets), shared)
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(level.upper())
    # It repeats every request; ours is logged by the web middleware, without tokens.
    logging.getLogger("aiohttp.access").disabled = True
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(before)
        logging.getLogger("aiohttp.access").disabled = False
        handler.close()
