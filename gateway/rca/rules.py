"""The rules: what a call record tells of trouble, when it was, and what to change.

`docs/rca.md` lists them; a test keeps the two in step. Nothing here asks anybody anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final

from gateway.rca.advice import REFUSED, cure

Record = Mapping[str, Any]
"""A call record as `GET /v1/calls/{call_sid}` shows it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that went wrong, or slower than it should."""

    rule: str
    what: str
    change: str
    """What to do about it."""
    at: str | None = None
    """ISO time, where it is known."""
    turn: int | None = None


Rule = Callable[[Record], Iterator[Finding]]


@dataclass(frozen=True, slots=True)
class Slow:
    """A part of a turn's wait that is too long above this many milliseconds."""

    rule: str
    part: str
    over_ms: int
    what: str
    change: str


SLOW: Final = (
    Slow(
        "long-endpoint-wait",
        "endpoint_wait",
        1200,
        "the end of the caller's turn was declared late",
        "lower turn_taking.end_silence_ms, or look for noise on the line that passes for speech",
    ),
    Slow(
        "long-upload-tail",
        "upload_tail",
        500,
        "the last of the caller's speech took long to reach the API",
        "run the gateway nearer to the API, or look at the network between them",
    ),
    Slow(
        "slow-transcription",
        "transcription",
        1500,
        "the API took long to understand the caller",
        "ask Amigo's support with the interaction's id",
    ),
    Slow(
        "slow-thinking",
        "thinking",
        2500,
        "the agent thought long before its first sound",
        "look at the agent's tools and states in the insights; set silence.filler_after_ms to bridge it",
    ),
    Slow(
        "slow-gateway",
        "first_audio_to_sent",
        200,
        "the agent's voice waited in the gateway",
        "see voice_gateway_event_loop_lag_seconds: fewer calls in one process, or a faster processor",
    ),
    Slow(
        "slow-carrier",
        "sent_to_played",
        600,
        "the carrier took long to play what it was sent",
        "run the gateway in the carrier's region",
    ),
)
BEHIND_A_PHRASE: Final = (
    "one of our own phrases was being spoken: raise silence.filler_after_ms, or give shorter phrases"
    " (GATEWAY_PLAYBACK__PHRASES_DIR)"
)
"""What keeps the agent's voice from being sent where neither the loop nor the processor is slow."""
MANY: Final = 2
"""From how many on something is a pattern."""


def explain(record: Record) -> list[Finding]:
    """Everything the rules find, endings first, then turn by turn."""
    return [finding for rule in RULES.values() for finding in rule(record)]


# ---------------------------------------------------------------- how it ended


def _ended(reason: str, rule: str, what: str, change: str) -> Rule:
    def look(record: Record) -> Iterator[Finding]:
        if record.get("end_reason") == reason:
            yield Finding(rule, what, change, at=record.get("ended_at"))

    return look


def _api_error(record: Record) -> Iterator[Finding]:
    if record.get("end_reason") != "api-error":
        return
    failures = _events(record, "turn-failed")
    if not failures:
        change = "no answer in time: see slow-thinking, or the gateway's log for a fault of ours"
        yield Finding("api-error", "the caller heard an apology", change, at=record.get("ended_at"))
        return
    last = failures[-1]
    status = last.get("status")
    said = "no answer" if status is None else f"status {status}"
    operation = last.get("operation")
    asked = f"{operation} " if operation else ""
    what = f"the API failed ({asked}{last.get('how')}, {said}), and the caller heard an apology"
    yield Finding("api-error", what, cure(last), at=last.get("at"))


def _refused(record: Record) -> Iterator[Finding]:
    for event in _events(record, "refused"):
        why = str(event.get("why"))
        what, change = REFUSED.get(why, (why, "see call.refused in the log"))
        to = event.get("handed_to")
        waited = event.get("waited_seconds")
        told = f"the call was handed to {to}" if to else "the call was refused"
        after = f" after {waited} s on hold" if waited is not None else ""
        yield Finding("refused", f"{told}{after}: {what}", change, at=event.get("at"))


def _user_busy(record: Record) -> Iterator[Finding]:
    if record.get("end_reason") == "rejected" and not _events(record, "refused"):
        what = "the user had a conversation we did not begin"
        change = "finish it where it was begun, or set AMIGO_FINISH_FOREIGN=true"
        yield Finding("user-busy", what, change, at=record.get("ended_at"))


def _hung_up_waiting(record: Record) -> Iterator[Finding]:
    turns = record.get("turns") or []
    if record.get("end_reason") != "caller-hangup" or not turns:
        return
    last = turns[-1]
    if last.get("kind") != "silence" and "response_gap" not in (last.get("timings_ms") or {}):
        change = "see what the turn waited for; set silence.filler_after_ms to bridge it"
        yield Finding(
            "hung-up-waiting",
            "the caller hung up before the agent's answer was heard",
            change,
            at=record.get("ended_at"),
            turn=last.get("index"),
        )


def _finish_failed(record: Record) -> Iterator[Finding]:
    if record.get("conversation_state") == "finish-failed":
        change = f"finish conversation {record.get('conversation_id')} by hand: its user stays busy"
        what = "the API refused to finish the conversation"
        yield Finding("finish-failed", what, change, at=record.get("ended_at"))


def _transcript_failed(record: Record) -> Iterator[Finding]:
    if record.get("transcript_state") == "failed":
        change = "give the user's role permission to read messages, or look at the API's rate limit"
        yield Finding("transcript-failed", "what the API stored could not be read", change)


# ---------------------------------------------------------------- turn by turn


def _slow(slow: Slow) -> Rule:
    def look(record: Record) -> Iterator[Finding]:
        for turn in record.get("turns") or []:
            ms = (turn.get("timings_ms") or {}).get(slow.part, 0)
            if ms > slow.over_ms:
                what = f"{slow.what}: {ms} ms, more than {slow.over_ms}"
                waited = slow.part == "first_audio_to_sent" and _spoke_ourselves(record, turn)
                change = BEHIND_A_PHRASE if waited else slow.change
                yield _of_turn(record, turn, slow.rule, what, change)

    return look


def _spoke_ourselves(record: Record, turn: Record) -> bool:
    """Whether a phrase began between the turns around this one; where their times are not known, ever."""
    turns = record.get("turns") or []
    place = next((at for at, one in enumerate(turns) if one is turn), 0)
    before = [time for one in turns[:place] for time in _times(record, one)]
    after = [time for one in turns[place + 1 :] for time in _times(record, one)]
    begin, end = max(before, default=None), min(after, default=None)
    spoken = (_time(event.get("at")) for event in _events(record, "phrase"))
    return any(
        time is None or ((begin is None or begin <= time) and (end is None or time <= end))
        for time in spoken
    )


def _retried(record: Record) -> Iterator[Finding]:
    failures = _events(record, "turn-failed")
    statuses = {failure.get("status") for failure in failures}
    for turn in record.get("turns") or []:
        if times := turn.get("retries"):
            told = ", ".join(sorted("no answer" if s is None else str(s) for s in statuses))
            change = cure(failures[0] if failures else {})
            what = f"the turn was sent {times + 1} times ({told or 'see the log'})"
            yield _of_turn(record, turn, "retried", what, change)


def _nothing_understood(record: Record) -> Iterator[Finding]:
    for turn in record.get("turns") or []:
        if turn.get("kind") == "voice" and turn.get("user_text") == "":
            change = (
                "noise or echo passes for speech: listen to a recording (GATEWAY_RECORDINGS_DIR)"
            )
            what = "the API heard no words in the caller's turn"
            yield _of_turn(record, turn, "nothing-understood", what, change)


def _interrupted_often(record: Record) -> Iterator[Finding]:
    turns = [turn for turn in record.get("turns") or [] if turn.get("interrupted")]
    if len(turns) >= MANY:
        change = (
            "shorter answers; if nobody spoke: raise barge_in.confirm_ms or barge_in.echo_guard_db"
        )
        what = f"the caller interrupted {len(turns)} answers"
        yield Finding("interrupted-often", what, change, turn=turns[0].get("index"))


def _false_starts(record: Record) -> Iterator[Finding]:
    false = [one for one in _events(record, "barge-in") if not one.get("confirmed")]
    if len(false) >= MANY:
        change = "echo or noise on the line: raise barge_in.echo_guard_db"
        what = f"the agent halted {len(false)} times for sounds that were no speech"
        yield Finding("false-starts", what, change, at=false[0].get("at"))


def _dead_air(record: Record) -> Iterator[Finding]:
    bridged = [
        one for one in _events(record, "phrase") if one.get("name") in {"one-moment", "comfort"}
    ]
    if bridged:
        change = (
            "see slow-thinking and slow-transcription; silence.max_dead_air_ms says when we step in"
        )
        what = f"{len(bridged)} silence(s) of the agent had to be bridged"
        yield Finding("dead-air", what, change, at=bridged[0].get("at"))


def _noted(kind: str, rule: str, what: str, change: str) -> Rule:
    def look(record: Record) -> Iterator[Finding]:
        for event in _events(record, kind)[:1]:
            yield Finding(rule, what, change, at=event.get("at"))

    return look


def _events(record: Record, kind: str) -> list[Record]:
    return [event for event in record.get("events") or [] if event.get("type") == kind]


def _of_turn(record: Record, turn: Record, rule: str, what: str, change: str) -> Finding:
    """A finding of one turn, at the time the API noted for its words."""
    at = next((line.get("at") for line in _lines(record, turn)), None)
    return Finding(rule, what, change, at=at, turn=turn.get("index"))


def _lines(record: Record, turn: Record) -> Iterator[Record]:
    """What the API stored of this turn."""
    ids = {turn.get("user_message_id"), turn.get("agent_message_id")} - {None}
    return (line for line in record.get("transcript") or [] if line.get("message_id") in ids)


def _times(record: Record, turn: Record) -> list[datetime]:
    times = (_time(line.get("at")) for line in _lines(record, turn))
    return [time for time in times if time is not None]


def _time(text: object) -> datetime | None:
    try:
        time = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)


RULES: Final[Mapping[str, Rule]] = MappingProxyType(
    {
        "no-media": _ended(
            "no-media",
            "no-media",
            "the carrier never opened the media stream",
            "does the proxy pass WebSocket upgrades at GATEWAY_PUBLIC_URL? see stream.error in the log",
        ),
        "api-error": _api_error,
        "refused": _refused,
        "user-busy": _user_busy,
        "silence": _ended(
            "silence",
            "silence",
            "the caller said nothing for too long",
            "if somebody spoke: listen to a recording; else silence.prompts and its times are yours to set",
        ),
        "replica-lost": _ended(
            "replica-lost",
            "replica-lost",
            "the process that held the call died",
            "look for why (memory, a kill, the machine); the conversation was finished by another",
        ),
        "max-duration": _ended(
            "max-duration",
            "max-duration",
            "the call met the longest time a call may last",
            "raise GATEWAY_MAX_CALL_SECONDS if such calls are wanted",
        ),
        "drained": _ended(
            "drain",
            "drained",
            "the gateway was stopped while the call went on",
            "raise GATEWAY_DRAIN_SECONDS, and give the platform as long",
        ),
        "hung-up-waiting": _hung_up_waiting,
        "finish-failed": _finish_failed,
        "broken": _noted(
            "broken",
            "broken",
            "a fault of the gateway itself",
            "report it with the log of this call (call.part-failed)",
        ),
        **{slow.rule: _slow(slow) for slow in SLOW},
        "retried": _retried,
        "nothing-understood": _nothing_understood,
        "interrupted-often": _interrupted_often,
        "false-starts": _false_starts,
        "dead-air": _dead_air,
        "long-utterance": _noted(
            "utterance-full",
            "long-utterance",
            "the caller spoke longer than one turn may be",
            "raise turn_taking.max_utterance_ms, or look for noise that never ends",
        ),
        "transcript-failed": _transcript_failed,
    }
)
"""Every rule by its id, in the order findings are told."""
