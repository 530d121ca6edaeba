"""The durable facts of one call and its turns, and the additive ledger of each turn's wait.

Times are monotonic seconds; the shell passes a function that makes them text (`as_json`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

MAX_EVENTS = 500
"""Events kept per record: a call of hours must not grow without bound."""

LEDGER = (
    "speech",
    "endpoint_wait",
    "upload_tail",
    "transcription",
    "thinking",
    "first_audio_to_sent",
    "sent_to_played",
)
"""Parts of a turn in order; all but the first sum to `response_gap`."""


@dataclass(slots=True)
class TurnTimes:
    """When a turn reached each station, monotonic seconds; None where it has not (yet)."""

    began: float | None = None
    """First speech frame received (greeting: the stream opened)."""
    last: float | None = None
    """Last speech frame received: the response gap counts from here."""
    declared: float | None = None
    """The end of the turn was declared."""
    body_sent: float | None = None
    understood: float | None = None
    first_audio: float | None = None
    sent: float | None = None
    played: float | None = None
    filler: float | None = None
    """The first filler was played; counted apart."""

    def ledger(self) -> dict[str, int]:
        """Milliseconds of each part reached, and `response_gap` once agent audio was played.

        A station that was skipped or reported late takes no time of its own, so the parts
        always sum to the gap.
        """
        if self.began is None or self.last is None:
            return {}
        stations = (
            self.declared,
            self.body_sent,
            self.understood,
            self.first_audio,
            self.sent,
            self.played,
        )
        reached = max((i for i, at in enumerate(stations) if at is not None), default=-1)
        origin = self.last
        marks = [0]
        for at in stations[: reached + 1]:
            ms = marks[-1] if at is None else round((at - origin) * 1000)
            marks.append(max(marks[-1], ms))
        parts = {LEDGER[0]: max(0, round((self.last - self.began) * 1000))}
        for name, before, after in zip(LEDGER[1:], marks, marks[1:], strict=False):
            parts[name] = after - before
        if self.played is not None:
            parts["response_gap"] = marks[-1]
        if self.filler is not None:
            parts["filler_started"] = max(0, round((self.filler - origin) * 1000))
        return parts


@dataclass(slots=True)
class TurnRecord:
    """What stands about one turn in the call record."""

    index: int
    kind: str
    """`greeting`, `voice`, `dtmf` or `silence`."""
    times: TurnTimes = field(default_factory=TurnTimes)
    interaction_id: str | None = None
    user_message_id: str | None = None
    agent_message_id: str | None = None
    user_text: str | None = None
    agent_text: str | None = None
    heard_text: str | None = None
    interrupted: bool = False
    abandoned: bool = False
    """The caller spoke on: the reply was given up, as much of it as had not been heard."""
    told: bool = False
    """The agent knows how much of the reply was heard."""
    retries: int = 0
    restored_ms: dict[str, int] | None = None
    """The ledger of a turn that a process held before this one: its times are not on our clock."""

    @property
    def timings_ms(self) -> dict[str, int]:
        """The parts of the caller's wait, in ms; see `TurnTimes.ledger`."""
        return self.times.ledger() if self.restored_ms is None else dict(self.restored_ms)

    def as_json(self) -> dict[str, object]:
        return {
            "index": self.index,
            "kind": self.kind,
            "interaction_id": self.interaction_id,
            "user_message_id": self.user_message_id,
            "agent_message_id": self.agent_message_id,
            "user_text": self.user_text,
            "agent_text": self.agent_text,
            "heard_text": self.heard_text,
            "interrupted": self.interrupted,
            "retries": self.retries,
            "timings_ms": self.timings_ms,
        }


@dataclass(slots=True, kw_only=True)
class CallRecord:
    """The record of one call, as `GET /v1/calls/{call_sid}` shows it."""

    call_sid: str
    direction: str
    caller: str
    called: str
    organization: str
    service_id: str
    user_id: str
    replica: str
    started_at: float
    route: str | None = None
    stream_sid: str | None = None
    conversation_id: str | None = None
    status: str = "ringing"
    end_reason: str | None = None
    answered_at: float | None = None
    ended_at: float | None = None
    conversation_state: str = "none"
    transfer_to: str | None = None
    """Whom the caller is, or is to be, connected with: a number or a `sip:` address."""
    reconnects: int = 0
    """How often the caller came back after the line, or the process that held the call, was lost."""
    line: dict[str, object] | None = None
    """What was measured on the caller's line: noise floor, echo."""
    rating: int | None = None
    """1 to 5, keyed in by the caller."""
    turns: list[TurnRecord] = field(default_factory=list)
    events: list[tuple[float, str, dict[str, object]]] = field(default_factory=list)

    def note(self, now: float, kind: str, **facts: object) -> None:
        """Add an event, in the order of time even when it is told late; beyond `MAX_EVENTS` the oldest but the first hundred go."""
        if len(self.events) >= MAX_EVENTS:
            del self.events[100]
        self.events.append((now, kind, facts))
        if len(self.events) > 1 and now < self.events[-2][0]:
            self.events.sort(key=lambda event: event[0])

    def as_json(self, iso: Callable[[float], str]) -> dict[str, object]:
        """The record as plain JSON values; `iso` makes text of a monotonic time."""
        return {
            "call_sid": self.call_sid,
            "stream_sid": self.stream_sid,
            "direction": self.direction,
            "from": self.caller,
            "to": self.called,
            "route": self.route,
            "organization": self.organization,
            "service_id": self.service_id,
            "user_id": self.user_id,
            "conversation_id": self.conversation_id,
            "status": self.status,
            "end_reason": self.end_reason,
            "started_at": iso(self.started_at),
            "answered_at": None if self.answered_at is None else iso(self.answered_at),
            "ended_at": None if self.ended_at is None else iso(self.ended_at),
            "conversation_state": self.conversation_state,
            "replica": self.replica,
            "transfer_to": self.transfer_to,
            "reconnects": self.reconnects,
            "line": self.line,
            # How it was sent follows once the call is settled, like the transcript.
            "rating": None
            if self.rating is None
            else {"value": self.rating, "sent_as": None, "feedback_id": None},
            "turns": [turn.as_json() for turn in self.turns],
            # What the API stored follows once the call is settled; the core never sees it.
            "transcript": [],
            "transcript_state": "none" if self.conversation_id is None else "pending",
            "events": [{"at": iso(at), "type": kind, **facts} for at, kind, facts in self.events],
        }


def heard_text(
    text: str, alignment: tuple[tuple[int, str], ...], heard_ms: int, total_ms: int
) -> str:
    """What of `text` was heard when `heard_ms` of `total_ms` of its sound were played.

    With an alignment (ms since the message's audio began, character) to the character; without
    one in proportion, cut back to a whole word.
    """
    if total_ms > 0 and heard_ms >= total_ms:
        return text
    if alignment:
        return "".join(character for at, character in alignment if at < heard_ms)
    if total_ms <= 0 or heard_ms <= 0:
        return ""
    cut = text[: len(text) * heard_ms // total_ms]
    return cut if len(cut) == len(text) else cut.rpartition(" ")[0]
