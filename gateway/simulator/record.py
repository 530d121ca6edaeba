"""The gateway's own account of a call, asked for over its operator interface (interface.md 3 and 4)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import aiohttp

LEDGER: Final = (
    "endpoint_wait",
    "upload_tail",
    "transcription",
    "thinking",
    "first_audio_to_sent",
    "sent_to_played",
)
"""The parts of a turn's response gap, in order; they add up to `response_gap`."""

SETTLED: Final = ("none", "finished", "auto-finished", "finish-failed")
"""States in which the gateway owes the conversation nothing any more."""

OVER: Final = ("completed", "failed")
"""Statuses of a call that is over for the gateway too."""

CALLER_KINDS: Final = ("voice", "dtmf")
"""Turns the caller began."""

ASK_WITHIN: Final = aiohttp.ClientTimeout(total=5)


@dataclass(frozen=True, slots=True)
class RecordedTurn:
    """One turn as the gateway recorded it."""

    kind: str
    user_text: str
    agent_text: str
    heard_text: str
    interrupted: bool
    timings_ms: Mapping[str, float]

    @property
    def reached_caller(self) -> bool:
        """Some of the agent's answer went out on the line."""
        return bool(self.heard_text) or "first_audio_to_sent" in self.timings_ms


@dataclass(frozen=True, slots=True)
class Phrase:
    """Something the gateway said in its own voice."""

    at_ms: int | None
    """When it was decided on, after the stream started; None where that is not known."""
    name: str


@dataclass(frozen=True, slots=True)
class Record:
    """A call record; what is missing or of another type than expected is empty."""

    status: str
    end_reason: str
    conversation_id: str
    conversation_state: str
    turns: tuple[RecordedTurn, ...]
    phrases: tuple[Phrase, ...] = ()
    rating: int | None = None
    """The key the caller gave as a rating of the call."""


async def fetch_record(
    gateway: str, call_sid: str, admin_token: str | None, *, wait_seconds: float = 10.0
) -> Record | str:
    """Ask until the call has ended and its conversation is settled; or say why there is no record.

    After `wait_seconds` the record is returned as it stands.
    """
    headers = {"Authorization": f"Bearer {admin_token}"} if admin_token else {}
    url = f"{gateway.rstrip('/')}/v1/calls/{call_sid}"
    loop = asyncio.get_running_loop()
    deadline = loop.time() + wait_seconds
    async with aiohttp.ClientSession(headers=headers, timeout=ASK_WITHIN) as http:
        while True:
            answer = await _ask(http, url)
            if isinstance(answer, str) or is_settled(answer) or loop.time() >= deadline:
                return answer
            await asyncio.sleep(0.2)


def is_settled(record: Record) -> bool:
    """The call is over for the gateway too."""
    return record.status in OVER and record.conversation_state in SETTLED


async def _ask(http: aiohttp.ClientSession, url: str) -> Record | str:
    try:
        async with http.get(url) as answer:
            if answer.status == 401:
                return "its /v1/calls wants the token in GATEWAY_ADMIN_TOKEN (401)"
            if answer.status != 200:
                return f"its /v1/calls answered {answer.status}"
            return parse_record(json.loads(await answer.text()))
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        return f"its /v1/calls could not be reached ({type(error).__name__})"
    except ValueError:
        return "its /v1/calls did not answer with JSON"


def parse_record(document: Any) -> Record:
    """Take what is there; a record of another shape gives empty fields, never an error."""
    found = document if isinstance(document, dict) else {}
    return Record(
        status=_text(found, "status"),
        end_reason=_text(found, "end_reason"),
        conversation_id=_text(found, "conversation_id"),
        conversation_state=_text(found, "conversation_state"),
        turns=tuple(_turn(turn) for turn in _objects(found, "turns")),
        phrases=tuple(_phrases(found)),
        rating=_rating(found),
    )


def _phrases(found: Mapping[str, Any]) -> Iterator[Phrase]:
    answered = _moment(found, "answered_at")
    for event in _objects(found, "events"):
        if event.get("type") != "phrase":
            continue
        at = _moment(event, "at")
        after = None if at is None or answered is None else round((at - answered) * 1000)
        yield Phrase(after, _text(event, "name"))


def _rating(found: Mapping[str, Any]) -> int | None:
    rating = found.get("rating")
    value = rating.get("value") if isinstance(rating, dict) else None
    return value if isinstance(value, int) else None


def _turn(turn: Mapping[str, Any]) -> RecordedTurn:
    timings = turn.get("timings_ms")
    return RecordedTurn(
        kind=_text(turn, "kind"),
        user_text=_text(turn, "user_text"),
        agent_text=_text(turn, "agent_text"),
        heard_text=_text(turn, "heard_text"),
        interrupted=turn.get("interrupted") is True,
        timings_ms={
            name: float(value)
            for name, value in (timings if isinstance(timings, dict) else {}).items()
            if isinstance(value, int | float)
        },
    )


def _objects(found: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    values = found.get(name)
    return [v for v in values if isinstance(v, dict)] if isinstance(values, list) else []


def _moment(found: Mapping[str, Any], name: str) -> float | None:
    """Wall seconds; a time without a zone is taken for UTC."""
    try:
        moment = datetime.fromisoformat(_text(found, name))
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _text(found: Mapping[str, Any], name: str) -> str:
    value = found.get(name)
    return value if isinstance(value, str) else ""
