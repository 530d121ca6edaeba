"""What the sandbox saw: every request, its upload and its events by arrival time, and broken rules.

Kept in memory for tests and the curious (`GET /_sandbox/log`). No tokens and no keys are kept; what
callers said is in the conversations, as in the service itself.
"""

from __future__ import annotations

from collections import deque
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

from gateway.clock import Clock, iso

KEPT: Final = 2000
"""Requests remembered; older ones are forgotten."""

UploadEnd = Literal["none", "unread", "complete", "reset", "timeout"]


@dataclass(slots=True)
class Upload:
    """The body of a voice or text turn, as it came in."""

    end: UploadEnd = "none"
    bytes: int = 0
    chunks: list[tuple[int, int]] = field(default_factory=list)
    """Milliseconds since the request began, and bytes, of every arrival."""
    audio_ms: int = 0
    """Length of the recording, once it was read."""


@dataclass(slots=True)
class Entry:
    """One request."""

    number: int
    at: str
    """Wall time, RFC 3339."""
    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    """Only those that say how the request is framed."""
    operation: str
    started: float = field(repr=False)
    """Seconds on the sandbox's monotonic clock."""
    user: str | None = None
    conversation_id: str | None = None
    status: int | None = None
    upload: Upload = field(default_factory=Upload)
    events: list[tuple[int, str]] = field(default_factory=list)
    """Milliseconds since the request began, and type, of every event sent."""
    faults: list[str] = field(default_factory=list)
    """Kinds that struck here."""
    client_gone_ms: int | None = None
    """When the client was found to have left before the end."""
    done_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Violation:
    """A rule of the API that a client broke."""

    request: int
    rule: str
    """Number in the protocol dossier's checklist."""
    status: int
    detail: str


class Journal:
    """The requests of this sandbox, oldest first."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._count = 0
        self.entries: deque[Entry] = deque(maxlen=KEPT)
        self.violations: deque[Violation] = deque(maxlen=KEPT)

    def open(
        self,
        method: str,
        path: str,
        query: dict[str, list[str]],
        headers: dict[str, str],
        operation: str,
    ) -> Entry:
        """Begin the record of one request."""
        self._count += 1
        entry = Entry(
            self._count,
            iso(self._clock.wall()),
            method,
            path,
            query,
            headers,
            operation,
            self._clock.now(),
        )
        self.entries.append(entry)
        return entry

    def since(self, entry: Entry) -> int:
        """Milliseconds since the request began."""
        return round((self._clock.now() - entry.started) * 1000)

    def violated(self, entry: Entry, rule: str, status: int, detail: str) -> None:
        self.violations.append(Violation(entry.number, rule, status, detail))

    def report(self, after: int = 0) -> dict[str, Any]:
        """Everything as plain values; of the requests those with a greater number than `after`."""
        return {
            "requests": [asdict(entry) for entry in self.entries if entry.number > after],
            "violations": [asdict(violation) for violation in self.violations],
        }
