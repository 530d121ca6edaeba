"""`voice-gateway rca` of calls that were really held, in both revisions."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import unused_port

from gateway.cli import main
from gateway.settings import OPTIONS
from tests.end_to_end.talk_sounds import says
from tests.end_to_end.talking import House, a_house, both_revisions
from tests.support.stack import ACCOUNT, TOKEN, environment

SOURCE = "source"
"""Of the agent's voice the sandbox keeps no recording; the API may."""


class Desk:
    """Runs the command as an operator would, beside the house."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
        self._patch = monkeypatch
        self._capsys = capsys

    async def run(self, house: House, *arguments: str, **changes: str) -> tuple[int, str, str]:
        for option in OPTIONS:
            self._patch.delenv(option.variable, raising=False)
        self._patch.chdir(house.tmp_path)
        values = environment(house.tmp_path, house.stack.sandbox_url, "http://127.0.0.1:9")
        for name, value in (values | changes).items():
            self._patch.setenv(name, value)
        status = await asyncio.to_thread(main, list(arguments))
        printed = self._capsys.readouterr()
        return status, printed.out, printed.err


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> Desk:
    return Desk(monkeypatch, capsys)


async def a_call(house: House) -> str:
    house.expect("please book an appointment")
    call = await house.call(says("weasels"))
    await house.stack.until(
        call.result.call_sid, lambda record: record["transcript_state"] == "fetched"
    )
    return str(call.result.call_sid)


@both_revisions
async def test_a_call_is_explained_with_the_apis_own_view(
    tmp_path: Path, revision: str, desk: Desk
) -> None:
    async with a_house(
        tmp_path, revision, "interact-stall-think=1@3000", allowed=(SOURCE,)
    ) as house:
        sid = await a_call(house)
        status, out, _ = await desk.run(house, "rca", sid, "--json")
        told = json.loads(out)

        assert status == 0
        rules = {finding["rule"]: finding for finding in told["findings"]}
        assert rules["slow-thinking"]["turn"] == 1
        assert rules["slow-thinking"]["at"]
        greeting, turn = told["api"]["interactions"]
        assert (greeting["turn"], turn["turn"]) == (0, 1)
        assert turn["state"]
        assert turn["transitions"]
        [source] = [one for one in turn["sources"] if one["of"] == "caller"]
        async with house.stack.http.get(source["url"]) as answer:
            assert (await answer.read()).startswith(b"RIFF")
        assert "open conversation" in told["api"]["why"]["recommended"]
        assert ("feedback" in told["api"]["why"]) == (revision == "2026-04")


@both_revisions
async def test_an_interaction_is_run_again_where_the_api_can(
    tmp_path: Path, revision: str, desk: Desk
) -> None:
    async with a_house(tmp_path, revision, allowed=(SOURCE,)) as house:
        sid = await a_call(house)
        record = await house.stack.record(sid)
        again = record["turns"][1]["interaction_id"]
        status, out, _ = await desk.run(house, "rca", sid, "--simulate", again)

        assert status == 0
        if revision == "2025-06":
            assert "run again, the agent says: " in out
        else:
            assert "simulation: the API has none in revision 2026-04" in out


async def test_what_is_no_interaction_of_the_call_cannot_be_run_again(
    tmp_path: Path, desk: Desk
) -> None:
    async with a_house(tmp_path, allowed=(SOURCE,)) as house:
        sid = await a_call(house)
        record = await house.stack.record(sid)
        status, out, err = await desk.run(house, "rca", sid, "--simulate", "deadbeef")

        assert (status, out) == (2, "")
        assert err.startswith("--simulate: 'deadbeef' is no interaction of this call; it had ")
        assert record["turns"][1]["interaction_id"] in err


async def test_a_recording_is_told_with_the_time_it_can_be_had(tmp_path: Path, desk: Desk) -> None:
    async with a_house(tmp_path, allowed=(SOURCE,)) as house:
        sid = await a_call(house)
        _, text, _ = await desk.run(house, "rca", sid)
        _, told, _ = await desk.run(house, "rca", sid, "--json")
        sources = [
            one for turn in json.loads(told)["api"]["interactions"] for one in turn["sources"]
        ]
        line = next(line for line in text.splitlines() if "caller's voice" in line)

        until = next(one["expires_at"] for one in sources if one["of"] == "caller")
        assert line.startswith(f"  caller's voice (audio/wav, until {until[:16]}")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"AMIGO_API_KEY": "wrong"}, "the API's view: sign-in: status 401"),
        ({"AMIGO_API_KEY": ""}, "AMIGO_API_KEY and AMIGO_API_KEY_ID are not set"),
        ({"AMIGO_ORGANIZATION_ID": "other"}, "no settings for organization 'sandbox'"),
        (
            {"AMIGO_BASE_URL": f"http://127.0.0.1:{unused_port()}"},
            "the API's view: sign-in: no answer",
        ),
    ],
)
async def test_an_api_that_cannot_be_asked_costs_its_view_only(
    tmp_path: Path, desk: Desk, changes: dict[str, str], why: str
) -> None:
    async with a_house(tmp_path, allowed=("1", "2", "3", "sign-in")) as house:
        sid = await a_call(house)
        status, out, err = await desk.run(house, "rca", sid, **changes)

        assert status == 0
        assert why in out
        assert out.startswith(f"call {sid}: completed")
        assert err == ""


async def test_a_call_nobody_knows_is_no_call_to_explain(tmp_path: Path, desk: Desk) -> None:
    async with a_house(tmp_path) as house:
        await a_call(house)
        status, out, err = await desk.run(house, "rca", "CAx")

        assert (status, out) == (1, "")
        assert "no call 'CAx'" in err


async def test_offline_asks_nobody(tmp_path: Path, desk: Desk) -> None:
    async with a_house(tmp_path) as house:
        sid = await a_call(house)
        asked = len((await house.api()).log["requests"])
        status, out, _ = await desk.run(house, "rca", sid, "--offline")

        assert status == 0
        assert "Nothing in the record calls for a change." in out
        assert len((await house.api()).log["requests"]) == asked
        assert (await desk.run(house, "rca", sid, "--offline", "--simulate", "a" * 24))[0] == 2


# ---------------------------------------------------------------- call --starter


@both_revisions
async def test_a_caller_can_open_with_a_sentence_the_api_made_up(
    tmp_path: Path, revision: str, desk: Desk
) -> None:
    async with a_house(tmp_path, revision) as house:
        gateway = house.stack.target.connect_to
        arguments = ("call", "--gateway", gateway, "--starter", "opening hours", "--json")
        secrets = {"TWILIO_ACCOUNT_SID": ACCOUNT, "TWILIO_AUTH_TOKEN": TOKEN}
        status, out, err = await desk.run(house, *arguments, **secrets)
        told = json.loads(out)
        log = (await house.api()).log

        assert status == 0, err
        assert [one["status"] for one in log["requests"] if one["operation"] == "starters"] == [200]
        assert len(told["items"]) == 1
        assert told["items"][0]["text"]


@pytest.mark.parametrize(
    ("changes", "expected", "said"),
    [
        ({"AMIGO_API_KEY": ""}, 2, "AMIGO_API_KEY: is required for --starter"),
        ({"AMIGO_SERVICE_ID": ""}, 2, "AMIGO_SERVICE_ID: is required for --starter"),
        ({"AMIGO_API_KEY": "wrong"}, 1, "sign-in: status 401"),
    ],
)
async def test_a_starter_that_cannot_be_had_is_told(
    tmp_path: Path, desk: Desk, changes: dict[str, str], expected: int, said: str
) -> None:
    async with a_house(tmp_path, allowed=("1", "2", "3", "sign-in")) as house:
        gateway = house.stack.target.connect_to
        status, _, err = await desk.run(house, "call", "--gateway", gateway, "--starter", **changes)

        assert status == expected
        assert said in err
