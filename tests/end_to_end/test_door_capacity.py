"""Calls there is no room for: busy at once, and nobody else's harm."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gateway.sandbox.options import SandboxOptions
from gateway.simulator import CallPlan
from tests.end_to_end.door_carrier import eventually, new_call_sid
from tests.end_to_end.door_kit import House, open_house
from tests.end_to_end.door_order import store_rows
from tests.end_to_end.door_stream import GOODBYE

both_revisions = pytest.mark.parametrize("revision", ["2025-06", "2026-04"])


def pool(*users: str) -> dict[str, str]:
    return {"GATEWAY_IDENTITY": "pool", "AMIGO_USER_POOL": ",".join(users)}


TWO = {"GATEWAY_MAX_CALLS": "2"}


async def gone(house: House, sid: str) -> None:
    """The call is settled and has left the gateway."""
    await eventually(lambda: house.gateway.switchboard.find(sid) is None)


async def hang_up(house: House, *sids: str) -> None:
    for sid in sids:
        await house.carrier.status(sid)
        await house.settled(sid)


@both_revisions
async def test_on_one_fixed_user_the_second_caller_hears_busy_and_the_first_is_unharmed(
    tmp_path: Path, revision: Any
) -> None:
    async with open_house(tmp_path, SandboxOptions(revision=revision, think_ms=30)) as house:
        async with house.on_the_line() as first:
            sid = first.call_sid
            await house.listening(sid)
            talking = asyncio.create_task(first.say(GOODBYE))
            rejected = [await house.call(CallPlan()) for _ in range(3)]
            await talking

            assert [result.outcome for result in rejected] == ["rejected"] * 3
            record = await house.until(sid, lambda record: len(record["turns"]) == 2)
            await house.until(sid, lambda record: record["turns"][1]["agent_text"])
            assert record["end_reason"] is None
            await first.stop()
        record = await house.settled(sid)

        assert record["end_reason"] == "caller-hangup"
        assert record["turns"][1]["retries"] == 0
        assert len(await house.conversations()) == 1
        operations = [one["operation"] for one in (await house.log())["requests"]]
        assert operations.count("create") == 1
        assert await house.metric("calls_total", direction="inbound", end_reason="rejected") == 3
        await house.gateway.switchboard._store.flush()
        kept = store_rows(
            house.store_path,
            "SELECT call_sid, status, end_reason, user_id FROM calls ORDER BY number",
        )
        assert kept == [
            (sid, "completed", "caller-hangup", "sandbox-caller"),
            *((one.call_sid, "failed", "rejected", "") for one in rejected),
        ]


async def test_the_next_caller_is_taken_as_soon_as_the_first_is_settled(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        for _ in range(3):
            sid, _ = await house.answered()
            assert (await house.carrier.voice(new_call_sid())).busy
            await house.until(sid, lambda record: record["conversation_id"] is not None)
            await hang_up(house, sid)
            await gone(house, sid)


async def test_the_user_stays_taken_until_the_conversation_is_finished(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        await house.faults("late-finish=1:1@800")
        sid, _ = await house.answered()
        await house.until(sid, lambda record: record["conversation_id"] is not None)
        await house.carrier.status(sid)
        await house.until(sid, lambda record: record["conversation_state"] == "finishing")

        assert (await house.carrier.voice(new_call_sid())).busy
        await house.settled(sid)


async def test_a_pool_of_two_holds_two_calls_and_gives_the_user_longest_unused(
    tmp_path: Path,
) -> None:
    async with open_house(tmp_path, env=pool("ann", "ben")) as house:
        first, _ = await house.answered()
        second, _ = await house.answered()
        assert (await house.carrier.voice(new_call_sid())).busy

        users = [(await house.record(sid))["user_id"] for sid in (first, second)]
        assert sorted(users) == ["ann", "ben"]
        await hang_up(house, second)
        await gone(house, second)
        third, _ = await house.answered()
        assert (await house.record(third))["user_id"] == users[1]
        await hang_up(house, first, third)


async def test_three_calls_at_once_on_two_users_are_two_calls(tmp_path: Path) -> None:
    async with open_house(tmp_path, env=pool("ann", "ben")) as house:
        sids = [new_call_sid() for _ in range(3)]
        answers = await asyncio.gather(*(house.carrier.voice(sid) for sid in sids))

        assert sorted(answer.busy for answer in answers) == [False, False, True]
        taken = [sid for sid, answer in zip(sids, answers, strict=True) if not answer.busy]
        for sid in taken:
            await house.until(sid, lambda record: record["conversation_id"] is not None)
        users = {one["user_id"] for one in await house.conversations()}
        assert users == {"ann", "ben"}
        await hang_up(house, *taken)


async def test_beyond_the_limit_of_calls_callers_hear_busy_and_the_gateway_is_not_ready(
    tmp_path: Path,
) -> None:
    async with open_house(tmp_path, env=TWO | pool("a", "b", "c")) as house:
        first, _ = await house.answered()
        assert await house.readiness() == (200, [])
        second, url = await house.answered()
        assert await house.readiness() == (503, ["at-capacity"])

        assert (await house.carrier.voice(new_call_sid())).busy
        # a call that is held already is asked about again as ever
        assert (await house.carrier.voice(second)).stream_url == url
        await hang_up(house, first)
        await eventually(lambda: house.gateway.switchboard.active < 2)
        assert await house.readiness() == (200, [])
        third, _ = await house.answered()
        await hang_up(house, second, third)


async def test_calls_that_come_at_the_same_instant_do_not_exceed_the_limit(tmp_path: Path) -> None:
    users = [f"user{number}" for number in range(8)]
    async with open_house(tmp_path, env=TWO | pool(*users)) as house:
        sids = [new_call_sid() for _ in range(8)]
        answers = await asyncio.gather(*(house.carrier.voice(sid) for sid in sids))

        taken = [sid for sid, answer in zip(sids, answers, strict=True) if not answer.busy]
        assert len(taken) == 2
        await hang_up(house, *taken)


@both_revisions
async def test_a_conversation_of_somebody_else_is_left_alone_and_the_caller_hears_busy(
    tmp_path: Path, revision: Any
) -> None:
    async with open_house(tmp_path, SandboxOptions(revision=revision, think_ms=30)) as house:
        foreign = await someone_elses_conversation(house)
        async with house.on_the_line() as stream:
            assert await stream.ends() == 1000
            assert stream.sound_heard > 4000, "a phrase says so"
        record = await house.settled(stream.call_sid)

        assert record["end_reason"] == "rejected"
        assert record["conversation_state"] == "none"
        assert await house.finishes() == {}
        await finish(house, foreign)


async def test_finishing_what_is_not_ours_can_be_allowed(tmp_path: Path) -> None:
    async with open_house(tmp_path, env={"AMIGO_FINISH_FOREIGN": "true"}) as house:
        await someone_elses_conversation(house)
        async with house.on_the_line() as stream:
            await house.listening(stream.call_sid)
            await stream.stop()
        await house.settled(stream.call_sid)
        assert len(await house.finishes()) == 2


async def someone_elses_conversation(house: House) -> str:
    """Made for our user by a program that is not ours: our own create must run into it."""
    house.forgiven = frozenset({"8"})
    headers = await token(house)
    params = {"response_format": "text"}
    body = {"service_id": "5a9db0c55a9db0c55a9db0c5", "service_version_set_name": "release"}
    url = f"{house.sandbox_url}/v1/sandbox/conversation/"
    async with house.http.post(url, params=params, json=body, headers=headers) as answer:
        assert answer.status == 201
        await answer.read()
    (conversation,) = await house.conversations()
    return str(conversation["id"])


async def finish(house: House, conversation: str) -> None:
    url = f"{house.sandbox_url}/v1/sandbox/conversation/{conversation}/finish/"
    async with house.http.post(url, headers=await token(house)) as answer:
        assert answer.status == 204


async def token(house: House) -> dict[str, str]:
    keys = {
        "x-api-key": "sandbox-key",
        "x-api-key-id": "sandbox-key-id",
        "x-user-id": "sandbox-caller",
    }
    url = f"{house.sandbox_url}/v1/sandbox/user/signin_with_api_key"
    async with house.http.post(url, headers=keys) as answer:
        assert answer.status == 200, await answer.text()
        return {"Authorization": f"Bearer {(await answer.json())['id_token']}"}


async def test_while_the_event_loop_is_late_new_calls_hear_busy_and_live_ones_go_on(
    tmp_path: Path,
) -> None:
    env = pool("ann", "ben") | {"GATEWAY_MAX_LAG_MS": "100"}
    async with open_house(tmp_path, env=env) as house, house.on_the_line() as stream:
        await house.listening(stream.call_sid)
        pulse = house.gateway.switchboard.admission._pulse
        pulse._lags.extend([0.2] * 8)

        assert await house.readiness() == (503, ["overloaded"])
        assert (await house.carrier.voice(new_call_sid())).busy
        assert house.gateway.switchboard.active == 1
        await eventually(lambda: not house.gateway.switchboard.admission.overloaded, 20.0)
        assert (await house.readiness())[0] == 200
        await stream.stop()
