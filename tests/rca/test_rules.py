"""The rules, each with a record that breaks it and one that does not."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from gateway.call.record import LEDGER
from gateway.rca import RULES, Finding, explain
from gateway.rca.rules import BEHIND_A_PHRASE, SLOW

PAGE = Path("docs/rca.md").read_text()


def turn(index: int = 1, **facts: Any) -> dict[str, Any]:
    return {
        "index": index,
        "kind": "voice",
        "user_text": "hello",
        "user_message_id": f"m{index}",
        "agent_message_id": None,
        "retries": 0,
        "interrupted": False,
        "timings_ms": {"thinking": 300, "response_gap": 900},
    } | facts


def record(*turns: dict[str, Any], **facts: Any) -> dict[str, Any]:
    return {
        "call_sid": "CA1",
        "status": "completed",
        "end_reason": "agent-ended",
        "ended_at": "2026-01-01T10:00:00.000Z",
        "conversation_state": "finished",
        "turns": list(turns) or [turn()],
        "events": [],
        "transcript": [],
        "transcript_state": "fetched",
    } | facts


def event(kind: str, **facts: Any) -> dict[str, Any]:
    return {"at": "2026-01-01T09:59:00.000Z", "type": kind, **facts}


BROKEN: dict[str, dict[str, Any]] = {
    "no-media": record(end_reason="no-media"),
    "api-error": record(end_reason="api-error"),
    "refused": record(end_reason="rejected", events=[event("refused", why="no-user")]),
    "user-busy": record(end_reason="rejected"),
    "silence": record(end_reason="silence"),
    "replica-lost": record(end_reason="replica-lost"),
    "max-duration": record(end_reason="max-duration"),
    "drained": record(end_reason="drain"),
    "hung-up-waiting": record(turn(timings_ms={"speech": 900}), end_reason="caller-hangup"),
    "finish-failed": record(conversation_state="finish-failed"),
    "broken": record(events=[event("broken")]),
    **{slow.rule: record(turn(timings_ms={slow.part: slow.over_ms + 1})) for slow in SLOW},
    "retried": record(turn(retries=1), events=[event("turn-failed", how="void", status=503)]),
    "nothing-understood": record(turn(user_text="")),
    "interrupted-often": record(turn(1, interrupted=True), turn(2, interrupted=True)),
    "false-starts": record(events=[event("barge-in", confirmed=False)] * 2),
    "dead-air": record(events=[event("phrase", name="one-moment")]),
    "long-utterance": record(events=[event("utterance-full")]),
    "transcript-failed": record(transcript_state="failed"),
}


def told(call: dict[str, Any]) -> dict[str, Finding]:
    return {finding.rule: finding for finding in explain(call)}


def test_a_call_that_went_well_needs_no_change() -> None:
    assert explain(record()) == []
    assert explain({}) == [], "a record of an older version may hold anything, or nothing"


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_speaks_of_its_own_trouble_and_of_nothing_else(rule: str) -> None:
    assert list(told(BROKEN[rule])) == [rule]
    finding = told(BROKEN[rule])[rule]
    assert finding.what
    assert finding.change


@pytest.mark.parametrize("slow", SLOW, ids=lambda slow: slow.rule)
def test_a_wait_at_its_bound_is_fine(slow: Any) -> None:
    assert slow.part in LEDGER
    assert explain(record(turn(timings_ms={slow.part: slow.over_ms}))) == []


@pytest.mark.parametrize(
    ("facts", "what"),
    [
        ({"why": "no-user"}, "the call was refused: every user it could speak for"),
        ({"why": "withheld"}, "the call was refused: who calls was withheld"),
        ({"why": "capacity"}, "the call was refused: the gateway held as many"),
        (
            {"why": "draining", "handed_to": "sip:a@b"},
            "the call was handed to sip:a@b: the gateway",
        ),
        ({"why": "no-route"}, "the call was refused: nobody answers the number"),
        (
            {"why": "no-user", "waited_seconds": 60},
            "the call was refused after 60 s on hold: every",
        ),
        ({"why": "store-late"}, "the call was refused: the store did not answer"),
        ({"why": "a later version's"}, "the call was refused: a later version's"),
    ],
)
def test_a_refused_call_says_why_and_who_got_it(facts: dict[str, Any], what: str) -> None:
    finding = told(record(end_reason="rejected", events=[event("refused", **facts)]))["refused"]

    assert finding.what.startswith(what)
    assert finding.change


@pytest.mark.parametrize(
    ("status", "advice"),
    [(401, "key"), (429, "rate limit"), (500, "support"), (None, "reachable"), (415, "REVISION")],
)
def test_an_api_error_says_what_its_status_asks_for(status: int | None, advice: str) -> None:
    failed = event("turn-failed", how="refused", status=status)
    finding = told(record(end_reason="api-error", events=[failed]))["api-error"]

    assert finding.at == failed["at"]
    assert advice in finding.change


@pytest.mark.parametrize(
    ("operation", "status", "advice"),
    [
        ("create-user", 403, "AMIGO_ADMIN_USER_ID"),
        ("users", 403, "AMIGO_ADMIN_USER_ID"),
        ("create-user", 404, "AMIGO_NEW_USER_ROLE"),
        ("create", 403, "permissions the README names"),
        ("sign-in", 429, "signed in"),
        (None, 403, "permissions the README names"),
    ],
)
def test_an_api_error_names_the_operation_and_its_own_cure(
    operation: str | None, status: int, advice: str
) -> None:
    failed = event("turn-failed", how="refused", status=status, operation=operation)
    finding = told(record(end_reason="api-error", events=[failed]))["api-error"]

    assert advice in finding.change
    assert (operation or "(refused") in finding.what


def test_a_finding_of_a_turn_has_the_time_the_api_noted() -> None:
    line = {"message_id": "m3", "at": "2026-01-01T09:58:00Z"}
    slow = turn(3, timings_ms={"thinking": 9000})
    finding = told(record(slow, transcript=[line]))["slow-thinking"]

    assert (finding.turn, finding.at) == (3, "2026-01-01T09:58:00Z")


def test_a_caller_who_has_heard_the_answer_did_not_hang_up_waiting() -> None:
    assert explain(record(end_reason="caller-hangup")) == []


def test_the_page_lists_every_rule_in_order() -> None:
    assert re.findall(r"^\| `([\w-]+)` \|", PAGE, re.MULTILINE) == list(RULES)


@pytest.mark.parametrize("slow", SLOW, ids=lambda slow: slow.rule)
def test_the_page_knows_every_bound(slow: Any) -> None:
    assert f"| `{slow.rule}` | `{slow.part}` over {slow.over_ms} |" in PAGE


def test_every_setting_a_finding_names_exists() -> None:
    from gateway.settings import OPTIONS

    known = {option.key for option in OPTIONS} | {option.variable for option in OPTIONS}
    text = " ".join(f"{one.change} {one.what}" for call in BROKEN.values() for one in explain(call))
    named = set(
        re.findall(r"\b(?:turn_taking|barge_in|silence)\.\w+|\b(?:GATEWAY|AMIGO)_\w+", text)
    )

    assert named - known == set()


def test_every_metric_a_finding_names_exists() -> None:
    from gateway.metrics import Metrics

    text = " ".join(f"{one.change} {one.what}" for call in BROKEN.values() for one in explain(call))
    served = {family.name for family in Metrics().registry.collect()}
    named = set(re.findall(r"\bvoice_gateway_\w+", f"{text} {PAGE}"))

    assert named
    assert named <= served


def told_of(*phrases: str) -> Finding:
    """Why the second of three turns was slow; the first ended at 09:01, the third began at 09:03."""
    lines = [
        {"message_id": f"m{index}", "at": f"2026-01-01T09:0{index}:00Z"} for index in (1, 2, 3)
    ]
    events = [event("phrase", name="one-moment") | {"at": at} for at in phrases]
    turns = (turn(1), turn(2, timings_ms={"first_audio_to_sent": 460}), turn(3))
    return told(record(*turns, events=events, transcript=lines))["slow-gateway"]


def test_a_voice_that_waited_for_our_own_phrase_is_not_the_processors_fault() -> None:
    assert told_of("2026-01-01T09:01:58.000+00:00").change == BEHIND_A_PHRASE
    assert "processor" in told_of().change
    assert "processor" in told_of("2026-01-01T09:00:30Z", "2026-01-01T09:05:00Z").change


def test_without_times_any_phrase_may_have_been_the_reason() -> None:
    slow = turn(1, timings_ms={"first_audio_to_sent": 460})
    call = record(slow, events=[event("phrase", name="one-moment")])

    assert told(call)["slow-gateway"].change == BEHIND_A_PHRASE
