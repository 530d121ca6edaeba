"""What a call may not write into the log."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_loud_logs() -> Iterator[None]:
    """Nothing may be logged as an error: exceptions nobody caught, parts that failed."""
    loud: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            trace = logging.Formatter().formatException(record.exc_info) if record.exc_info else ""
            loud.append(f"{record.name}: {record.getMessage()} {trace}")

    listener = Listener(logging.ERROR)
    logging.getLogger().addHandler(listener)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(listener)
    assert not loud, "\n".join(loud)
