"""Calls refused at the door: each leaves a record that says why, and none has to wait for it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import main
from gateway.rca import explain
from tests.end_to_end.door_carrier import eventually, new_call_sid
from tests.end_to_end.door_kit import House, open_house
from tests.end_to_end.door_order import store_rows
from tests.end_to_end.test_door_routes import BERLIN, PARIS, routes

REFUSED = "SELECT call_sid FROM calls WHERE end_reason = 'rejected'"


async def kept(house: House, sid: str) -> dict[str, Any]:
    """The record of a refused call, once it is written."""
    await eventually(lambda: (sid,) in store_rows(house.store_path, REFUSED))
    return await house.record(sid)


async def test_the_record_says_who_called_whom_and_why_nobody_answered(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        first, _ = await house.answered()
        sid = new_call_sid()
        assert (await house.carrier.voice(sid, From="+15550003333")).busy
        record = await kept(house, sid)

        assert (record["status"], record["end_reason"]) == ("failed", "rejected")
        assert (record["conversation_state"], record["transcript_state"]) == ("none", "none")
        assert (record["from"], record["user_id"], record["turns"]) == ("+15550003333", "", [])
        assert record["started_at"] == record["ended_at"]
        [event] = record["events"]
        told = {"type": "refused", "why": "no-user", "handed_to": None, "waited_seconds": None}
        assert event == {"at": record["started_at"]} | told
        assert [one.rule for one in explain(record)] == ["refused"]
        listed = await house.http.get(f"{house.target.connect_to}/v1/calls")
        assert [one["call_sid"] for one in (await listed.json())["calls"]] == [sid, first]
        await house.carrier.status(sid, "busy")
        await house.carrier.status(first)


@pytest.mark.parametrize(
    ("fields", "why", "handed_to"),
    [
        ({"To": BERLIN}, "no-user", "+15550009999"),
        ({"To": PARIS}, "no-route", None),
        ({"To": "+15550007777", "From": "anonymous"}, "withheld", None),
    ],
)
async def test_each_reason_is_told(
    tmp_path: Path, fields: dict[str, str], why: str, handed_to: str | None
) -> None:
    service = 'service_id = "5a9db0c55a9db0c55a9db0c5"'
    text = f"""
        ["{BERLIN}"]
        {service}
        overflow = "+15550009999"
        ["+15550007777"]
        {service}
        identity = "per-caller"
        admin_user_id = "sandbox-admin"
        user_id = ""
    """
    env = routes(tmp_path, text) | {"AMIGO_SERVICE_ID": "", "GATEWAY_IDENTITY_SECRET": "x" * 16}
    async with open_house(tmp_path, env=env) as house:
        first, _ = await house.answered(To=BERLIN)
        sid = new_call_sid()
        await house.carrier.voice(sid, **fields)
        record = await kept(house, sid)

        assert record["events"][0]["why"] == why
        assert record["events"][0]["handed_to"] == handed_to
        assert (record["to"], record["route"] is None) == (fields["To"], why == "no-route")
        await house.carrier.status(first)


async def test_a_full_and_a_closing_gateway_say_so(tmp_path: Path) -> None:
    async with open_house(tmp_path, env={"GATEWAY_MAX_CALLS": "1"}) as house:
        first, _ = await house.answered()
        full, closing = new_call_sid(), new_call_sid()
        await house.carrier.voice(full)
        house.gateway.switchboard.admission.closed = True
        await house.carrier.voice(closing)
        reasons = [(await kept(house, sid))["events"][0]["why"] for sid in (full, closing)]

        assert reasons == ["capacity", "draining"]
        await house.carrier.status(first)


async def test_a_refused_call_that_is_asked_about_again_is_no_ended_one(tmp_path: Path) -> None:
    """The carrier asks again where our answer did not reach it: then the caller is still there."""
    async with open_house(tmp_path) as house:
        first, _ = await house.answered()
        sid = new_call_sid()
        for _ in range(2):
            assert (await house.carrier.voice(sid)).busy
            await kept(house, sid)
        assert len(store_rows(house.store_path, REFUSED)) == 1
        await house.carrier.status(first)
        await house.settled(first)

        assert (await house.carrier.voice(sid)).stream_url
        record = await house.record(sid)
        assert (record["end_reason"], record["user_id"]) == (None, "sandbox-caller")
        assert store_rows(house.store_path, REFUSED) == []
        await house.carrier.status(sid)


async def test_a_refused_call_that_is_over_is_not_let_in_by_a_late_question(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        first, _ = await house.answered()
        sid = new_call_sid()
        assert (await house.carrier.voice(sid)).busy
        await kept(house, sid)
        await house.carrier.status(sid)
        await house.carrier.status(first)
        await house.settled(first)

        late = await house.carrier.voice(sid)
        assert late.verbs == ["Hangup"]
        assert (await house.record(sid))["end_reason"] == "rejected"


async def test_who_hangs_up_while_on_hold_leaves_a_record(tmp_path: Path) -> None:
    async with open_house(tmp_path, env={"GATEWAY_BUSY_WAIT_SECONDS": "30"}) as house:
        first, _ = await house.answered()
        sid = new_call_sid()
        held = await house.carrier.voice(sid)
        assert held.verbs[-1] == "Redirect"
        await house.carrier.status(sid)
        await kept(house, sid)

        record = await house.record(sid)
        [event] = [event for event in record["events"] if event["type"] == "refused"]
        assert event["why"] == "gave-up"
        assert (await house.carrier.voice(sid)).verbs == ["Hangup"]
        await house.carrier.status(first)


async def test_a_call_that_is_passed_on_does_not_come_back_for_ever(tmp_path: Path) -> None:
    text = '[default]\noverflow = "+15550008888"\n'
    async with open_house(tmp_path, env=routes(tmp_path, text)) as house:
        first, _ = await house.answered()
        passed_on = await house.carrier.voice(new_call_sid())
        back = await house.carrier.voice(new_call_sid(), To="+15550008888")

        assert passed_on.verbs == ["Dial", "Hangup"]
        assert back.busy
        await house.carrier.status(first)


async def test_the_commands_know_refused_calls(
    tmp_path: Path, capsys: Any, monkeypatch: Any
) -> None:
    async with open_house(tmp_path) as house:
        first, _ = await house.answered()
        sid = new_call_sid()
        await house.carrier.voice(sid)
        await kept(house, sid)
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("GATEWAY_STORE_URL", f"sqlite:///{house.store_path}")
        assert await asyncio.to_thread(main, ["calls", sid]) == 0
        assert "refused             no-user" in capsys.readouterr().out
        assert await asyncio.to_thread(main, ["rca", sid, "--offline", "--json"]) == 0
        [finding] = json.loads(capsys.readouterr().out)["findings"]

        assert finding["rule"] == "refused"
        assert "GATEWAY_BUSY_WAIT_SECONDS" in finding["change"]
        await house.carrier.status(first)
