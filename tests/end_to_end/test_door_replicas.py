"""Two gateways on one Redis: what one has taken the other knows, and cares for when the first is gone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import gateway.bridge.recovery
import gateway.store.redis
import gateway.store.redis_line
from gateway.bridge.recovery import BEAT_SECONDS
from tests.end_to_end.door_carrier import eventually, new_call_sid
from tests.end_to_end.door_kit import House, open_grounds
from tests.end_to_end.door_stream import GOODBYE
from tests.support.redis_server import RedisServer, running_redis

SHORT_TTL = BEAT_SECONDS + 1.5
"""Seconds of silence that mean death in this test: a beat and a half."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    folder = tmp_path / "redis"
    folder.mkdir()
    with running_redis(folder) as server:
        yield server


async def settled_once(house: House, sid: str) -> None:
    async def settled() -> bool:
        return bool((await house.record(sid))["conversation_state"] == "finished")

    await eventually(settled, 20.0, "the conversation was finished")
    assert set((await house.finishes()).values()) == {1}


async def test_a_call_of_one_gateway_is_known_to_the_other_and_its_users_are_shared(
    tmp_path: Path, server: RedisServer
) -> None:
    async with (
        open_grounds(tmp_path, env={"GATEWAY_STORE_URL": server.url}) as grounds,
        grounds.inside() as here,
        grounds.inside() as there,
    ):
        async with here.on_the_line() as stream:
            await here.listening(stream.call_sid)

            record = await there.until(stream.call_sid, lambda one: one["status"] == "listening")
            assert (
                record["conversation_id"] == (await here.record(stream.call_sid))["conversation_id"]
            )
            assert (await there.carrier.voice(stream.call_sid)).verbs[-1] == "Hangup"
            assert (await there.carrier.voice(new_call_sid())).busy
            await stream.stop()
        await settled_once(there, stream.call_sid)
        async with there.on_the_line() as stream:
            await there.listening(stream.call_sid)
            await stream.stop()
        await there.settled(stream.call_sid)


async def test_a_gateway_that_fell_silent_elsewhere_is_cared_for_once_its_heartbeats_ran_out(
    tmp_path: Path, server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # as on another machine: no process table tells of the other, only heartbeats do
    monkeypatch.setattr(gateway.store.redis, "proven_dead", lambda _: False)
    monkeypatch.setattr(gateway.store.redis_line, "HEARTBEAT_TTL", SHORT_TTL)
    monkeypatch.setattr(gateway.bridge.recovery, "BEAT_SECONDS", 0.1)
    async with (
        open_grounds(tmp_path, env={"GATEWAY_STORE_URL": server.url}) as grounds,
        grounds.served() as (house, process),
        grounds.inside() as there,
        grounds.inside() as third,
    ):
        async with house.on_the_line() as stream:
            await there.listening(stream.call_sid)  # as the store has it, and not only its gateway
            await process.kill()
            assert (await there.record(stream.call_sid))["status"] == "listening"
            await stream.ends()

        await settled_once(there, stream.call_sid)
        record = await third.record(stream.call_sid)
        assert (record["end_reason"], record["status"]) == ("replica-lost", "failed")
        adopted = [await house.metric("orphans_finished_total") for house in (there, third)]
        assert sorted(adopted) == [0, 1]
        async with third.on_the_line() as stream:
            await third.listening(stream.call_sid)
            await stream.stop()
        await third.settled(stream.call_sid)


async def test_a_server_that_would_lose_calls_is_complained_of_at_the_start(
    tmp_path: Path, server: RedisServer
) -> None:
    async with (
        open_grounds(tmp_path, env={"GATEWAY_STORE_URL": server.url}) as grounds,
        grounds.served() as (_, process),
    ):
        (line,) = process.logged("store.at-risk")

        assert line["level"] == "warning"
        assert "neither an append-only file nor a replica" in line["meaning"]


async def test_while_redis_is_away_live_calls_go_on_and_what_is_owed_is_written_later(
    tmp_path: Path,
) -> None:
    with running_redis(tmp_path, durable=True) as server:
        async with (
            open_grounds(tmp_path, env={"GATEWAY_STORE_URL": server.url}) as grounds,
            grounds.inside() as house,
        ):
            async with house.on_the_line() as stream:
                await house.listening(stream.call_sid)
                server.end()
                assert (await house.carrier.voice(new_call_sid())).busy
                status, reasons = await house.readiness()
                assert (status, "store" in " ".join(reasons)) == (503, True)
                await stream.stop()
            await eventually(lambda: house.gateway.finisher.owed == 0, 10.0, "the finish")
            server.start()
            await settled_once(house, stream.call_sid)


async def stored_again(house: House, sid: str) -> None:
    async def known() -> bool:
        async with house.http.get(f"{house.target.connect_to}/v1/calls/{sid}") as answer:
            return answer.status == 200

    await eventually(known, 20.0, "the call was stored again")


async def test_a_redis_that_forgets_everything_costs_no_call_and_holds_none_back(
    tmp_path: Path, server: RedisServer
) -> None:
    async with (
        open_grounds(tmp_path, env={"GATEWAY_STORE_URL": server.url}) as grounds,
        grounds.inside() as here,
        grounds.inside() as there,
    ):
        async with here.on_the_line() as stream:
            await here.listening(stream.call_sid)
            server.forget()
            await stream.say(GOODBYE)
            await stored_again(there, stream.call_sid)
            await there.until(stream.call_sid, lambda one: one["status"] == "listening")
            await stream.stop()
        await settled_once(there, stream.call_sid)
        await eventually(lambda: not here.gateway.switchboard.unsettled, 10.0, "the call is over")
        async with there.on_the_line() as stream:
            await there.listening(stream.call_sid)
            server.forget()
            await stream.stop()
        await stored_again(here, stream.call_sid)
        await settled_once(here, stream.call_sid)
        await eventually(lambda: not there.gateway.switchboard.unsettled, 10.0, "the call is over")
