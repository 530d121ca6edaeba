"""`voice-gateway calls`: the store's calls, listed and shown."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import main
from gateway.clock import SystemClock
from gateway.commands.calls import table
from gateway.ids import CallSid, UserId
from gateway.store import NewCall, open_store

from .conftest import SetEnvironment

TURN = {
    "index": 1,
    "kind": "voice",
    "user_text": "What are your hours?",
    "agent_text": "We are open from nine to five.",
    "heard_text": "We are open from",
    "interrupted": True,
    "timings_ms": {"speech": 900, "endpoint_wait": 700, "thinking": 300, "response_gap": 1234},
}


def record(number: int) -> dict[str, Any]:
    return {
        "call_sid": f"CA{number}",
        "from": "+15550001111",
        "to": "+15550002222",
        "started_at": f"2026-01-0{number}T10:00:00.000Z",
        "status": "completed",
        "end_reason": "caller-hangup",
        "conversation_state": "finished",
        "turns": [TURN],
        "events": [],
    }


@pytest.fixture
def stored(tmp_path: Path, set_environment: SetEnvironment) -> str:
    """Three calls in the store the environment names."""
    url = f"sqlite:///{tmp_path}/calls.db"

    async def fill() -> None:
        async with open_store(url, SystemClock()) as store:
            for number in (1, 2, 3):
                await store.admit(
                    NewCall(
                        call_sid=CallSid(f"CA{number}"),
                        account_sid="AC1",
                        direction="inbound",
                        caller="+15550001111",
                        called="+15550002222",
                        route="",
                        organization="org",
                        service_id="service",
                        candidates=(UserId(f"u{number}"),),
                        replica="elsewhere:1:1:a",
                        token_digest=f"d{number}",
                        token_expires=0.0,
                        answer="",
                        record=record(number),
                        now=0.0,
                    )
                )

    asyncio.run(fill())
    set_environment({"GATEWAY_STORE_URL": url})
    return url


@pytest.mark.usefixtures("stored")
def test_calls_are_listed_newest_first(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["calls"]) == 0

    heading, *rows = capsys.readouterr().out.splitlines()
    assert heading.split() == ["call", "started", "from", "to", "status", "end", "conversation"]
    assert [row.split()[0] for row in rows] == ["CA3", "CA2", "CA1"]


@pytest.mark.usefixtures("stored")
def test_a_list_goes_on_where_it_ended(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["calls", "--limit", "2"]) == 0
    *_, hint = capsys.readouterr().out.splitlines()
    assert main(["calls", "--limit", "2", "--cursor", hint.split()[-1], "--json"]) == 0
    page = json.loads(capsys.readouterr().out)

    assert [call["call_sid"] for call in page["calls"]] == ["CA1"]
    assert page["next_cursor"] is None


def test_what_a_caller_sends_as_a_number_does_not_widen_the_table() -> None:
    heading, row = table([{"call_sid": "CA1", "from": "x" * 255, "to": "+15550002222"}])

    assert f"  {'x' * 39}…  +15550002222" in row
    assert len(heading) < 160


@pytest.mark.usefixtures("stored")
def test_one_call_is_shown_turn_by_turn(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["calls", "CA2"]) == 0

    text = capsys.readouterr().out
    assert "end_reason          caller-hangup" in text
    assert "turn 1 (voice, interrupted, answered after 1234 ms)" in text
    assert "  caller  What are your hours?" in text
    assert "  heard   We are open from" in text
    assert "speech 900, endpoint_wait 700, thinking 300" in text


@pytest.mark.usefixtures("stored")
def test_json_is_the_record_as_it_is_stored(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["calls", "CA2", "--json"]) == 0

    assert json.loads(capsys.readouterr().out) == record(2)


@pytest.mark.usefixtures("stored")
def test_a_call_that_is_not_there_exits_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["calls", "CA404"]) == 1
    assert "CA404" in capsys.readouterr().err


@pytest.mark.usefixtures("stored")
def test_a_wrong_cursor_or_limit_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["calls", "--cursor", "x"]) == 2
    with pytest.raises(SystemExit) as usage:
        main(["calls", "--limit", "0"])

    assert usage.value.code == 2
    assert "--limit" in capsys.readouterr().err


def test_without_a_store_nothing_is_made(
    tmp_path: Path, set_environment: SetEnvironment, capsys: pytest.CaptureFixture[str]
) -> None:
    set_environment({})

    assert main(["calls"]) == 1
    assert "there is no store at 'voice-gateway.db' yet" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
