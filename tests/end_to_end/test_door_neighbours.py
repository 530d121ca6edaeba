"""Several gateways on one store: the carrier reaches whichever, a call survives its line and its process."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.bridge.calls import LINE_SILENCE
from tests.end_to_end.door_carrier import eventually, new_call_sid
from tests.end_to_end.door_kit import Grounds, House, open_grounds
from tests.end_to_end.door_stream import GOODBYE, Stream
from tests.support.redis_server import running_redis

POOL = {"GATEWAY_IDENTITY": "pool", "AMIGO_USER_POOL": "ann,ben,cid"}


@pytest.fixture(params=["sqlite", "redis"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, str]]:
    if request.param == "sqlite":
        yield {}
        return
    folder = tmp_path / "redis"
    folder.mkdir()
    with running_redis(folder) as server:
        yield {"GATEWAY_STORE_URL": server.url}


@asynccontextmanager
async def two(tmp_path: Path, env: dict[str, str]) -> AsyncIterator[tuple[House, House]]:
    """Two gateways on one store; both are left in order."""
    async with (
        open_grounds(tmp_path, env=POOL | env) as grounds,
        grounds.inside() as here,
        grounds.inside() as there,
    ):
        # each has told the store where it is reached
        await beating(here, there)
        yield here, there
        for house in (here, there):
            await idle(house)
        assert set((await here.finishes()).values()) <= {1}
        assert [one for one in await here.conversations() if not one["finished"]] == []


async def idle(house: House) -> None:
    gateway = house.gateway
    await eventually(lambda: not gateway.switchboard.unsettled and not gateway.finisher.owed, 15.0)


async def beating(*houses: House) -> None:
    async def known() -> bool:
        found = []
        for house in houses:
            board: Any = house.gateway.switchboard
            store, replica = board._store, board._options.replica
            found.append(await store.address_of(replica, board._clock.wall()))
        return all(found)

    await eventually(known, 10.0, "the first heartbeats")


async def takes_a_turn(house: House, stream: Stream) -> None:
    turns = len((await house.listening(stream.call_sid))["turns"])
    await stream.say(GOODBYE)
    await house.until(stream.call_sid, lambda record: len(record["turns"]) > turns)
    await house.listening(stream.call_sid)


async def test_a_call_answered_here_opens_its_stream_there(
    tmp_path: Path, store_url: dict[str, str]
) -> None:
    async with two(tmp_path, store_url) as (here, there):
        sid, url = await here.answered()
        async with there.socket(url, sid) as stream:
            await stream.start()
            await takes_a_turn(here, stream)
            assert stream.sound_heard > 0
            await stream.stop()
            await stream.ends()
        record = await here.settled(sid)
        assert (record["end_reason"], record["reconnects"]) == ("caller-hangup", 0)
        assert there.gateway.switchboard.find(sid) is None
        # the token is spent, whoever is asked
        for house in (here, there):
            with pytest.raises(Exception, match="403"):
                await house.carrier.upgrade(url)


async def test_a_replica_that_drains_carries_a_call_of_another_to_its_end(
    tmp_path: Path, store_url: dict[str, str]
) -> None:
    async with two(tmp_path, store_url) as (here, there):
        sid, url = await here.answered()
        async with there.socket(url, sid) as stream:
            await stream.start()
            await here.listening(sid)
            draining = asyncio.create_task(there.gateway.leave(30.0, asyncio.Event()))
            await eventually(lambda: there.gateway.switchboard.admission.closed)
            await takes_a_turn(here, stream)
            assert not draining.done()
            await stream.stop()
            await stream.ends()
        assert not await draining
        record = await here.settled(sid)
        assert (record["end_reason"], record["reconnects"]) == ("caller-hangup", 0)


async def test_a_close_of_ours_reaches_the_carrier_through_the_other_one(tmp_path: Path) -> None:
    async with two(tmp_path, {}) as (here, there):
        sid, url = await here.answered()
        async with there.socket(url, sid) as stream:
            await stream.start()
            await here.listening(sid)
            assert await operator(there, sid, "hangup") == 202
            assert await stream.ends() == 1000
        assert (await here.settled(sid))["end_reason"] == "operator"


async def test_a_webhook_repeated_there_gets_the_same_answer_or_a_new_token(
    tmp_path: Path, store_url: dict[str, str]
) -> None:
    async with two(tmp_path, store_url) as (here, there):
        sid = new_call_sid()
        first = await here.carrier.voice(sid)
        assert (await there.carrier.voice(sid)).text == first.text
        async with here.socket(first.stream_url, sid) as stream:
            await stream.start()
            await here.listening(sid)
            again = await there.carrier.voice(sid)
            assert again.stream_url != first.stream_url
            async with here.socket(again.stream_url, sid) as second:
                await second.start()
                await takes_a_turn(here, second)
                await second.stop()
        await here.settled(sid)
        assert (await there.carrier.voice(sid)).verbs == ["Hangup"]


async def test_the_end_of_a_call_told_there_ends_it_here(
    tmp_path: Path, store_url: dict[str, str]
) -> None:
    async with two(tmp_path, store_url) as (here, there):
        async with here.on_the_line() as stream:
            await here.listening(stream.call_sid)
            await there.carrier.status(stream.call_sid)
            await stream.ends()
        assert (await here.settled(stream.call_sid))["end_reason"] == "caller-hangup"


async def operator(house: House, sid: str, what: str, **body: object) -> int:
    url = f"{house.target.connect_to}/v1/calls/{sid}/{what}"
    async with house.http.post(url, json=body or None) as answer:
        return answer.status


async def test_an_operator_hangs_up_and_transfers_through_any_gateway(
    tmp_path: Path, store_url: dict[str, str]
) -> None:
    async with two(tmp_path, store_url) as (here, there):
        async with here.on_the_line() as stream:
            await here.listening(stream.call_sid)
            assert await operator(there, stream.call_sid, "hangup") == 202
            await eventually(stream.hung_up.is_set, 10.0, "the hang-up order")
        assert (await here.settled(stream.call_sid))["end_reason"] == "operator"
        assert await operator(there, stream.call_sid, "hangup") == 409
        assert await operator(there, "CA404", "hangup") == 404

        async with here.on_the_line() as stream:
            sid = stream.call_sid
            await here.listening(sid)
            assert await operator(there, sid, "transfer") == 400
            assert await operator(there, sid, "transfer", to="nobody") == 400
            assert await operator(there, sid, "transfer", to="+15550009999") == 202
            await stream.ends()
            answer = await there.carrier.connected(sid)
            assert answer.verbs == ["Dial", "Hangup"]
            assert "+15550009999" in answer.text
        assert (await here.settled(sid))["end_reason"] == "transfer"


async def test_a_lost_line_comes_back_in_the_same_conversation_whoever_is_asked(
    tmp_path: Path, store_url: dict[str, str]
) -> None:
    async with two(tmp_path, store_url) as (here, there):
        async with here.on_the_line() as stream:
            sid = stream.call_sid
            await takes_a_turn(here, stream)
            await stream.reset()
        for number, house in enumerate((there, here), 1):
            answer = await house.carrier.connected(sid)
            assert answer.verbs == ["Connect", "Hangup"]
            async with house.socket(answer.stream_url, sid) as stream:
                await stream.start()
                await takes_a_turn(here, stream)
                assert (await here.record(sid))["reconnects"] == number
                await (stream.reset() if number == 1 else stream.stop())
        record = await here.settled(sid)
        assert record["end_reason"] == "caller-hangup"
        assert len(await here.conversations()) == 1
        assert there.gateway.switchboard.find(sid) is None


async def test_a_caller_who_does_not_come_back_is_let_go(tmp_path: Path) -> None:
    async with two(tmp_path, {"GATEWAY_RECONNECT_SECONDS": "0.5"}) as (here, _):
        async with here.on_the_line() as stream:
            await here.listening(stream.call_sid)
            await stream.reset()
        assert (await here.settled(stream.call_sid))["end_reason"] == "caller-hangup"


async def test_a_line_that_breaks_again_and_again_is_given_up_with_an_apology(
    tmp_path: Path,
) -> None:
    async with two(tmp_path, {}) as (here, _):
        async with here.on_the_line() as stream:
            sid = stream.call_sid
            await here.listening(sid)
            await stream.reset()
        for _number in range(5):
            answer = await here.carrier.connected(sid)
            async with here.socket(answer.stream_url, sid) as stream:
                await stream.start()
                await here.listening(sid)
                await stream.reset()
        assert (await here.carrier.connected(sid)).verbs == ["Say", "Hangup"]
        await here.settled(sid)


async def test_a_dead_process_is_replaced_at_once(
    tmp_path: Path, store_url: dict[str, str]
) -> None:
    async with (
        open_grounds(tmp_path, env=POOL | store_url) as grounds,
        grounds.served() as (here, process),
        grounds.inside() as there,
    ):
        async with here.on_the_line() as stream:
            sid = stream.call_sid
            await takes_a_turn(here, stream)
            await process.kill()
            await stream.ends()
        answer = await there.carrier.connected(sid)
        async with there.socket(answer.stream_url, sid) as stream:
            await stream.start()
            await takes_a_turn(there, stream)
            await stream.stop()
        record = await there.settled(sid)
        assert (record["end_reason"], record["reconnects"]) == ("caller-hangup", 1)
        assert len(await there.conversations()) == 1
        await eventually(lambda: not there.gateway.finisher.owed, 15.0)
        assert list((await there.finishes()).values()) == [1]


async def test_a_caller_with_a_user_of_their_own_keeps_it_and_the_conversation(
    tmp_path: Path,
) -> None:
    env = {
        "GATEWAY_IDENTITY": "per-caller",
        "AMIGO_ADMIN_USER_ID": "sandbox-admin",
        "GATEWAY_IDENTITY_SECRET": "a secret of at least sixteen characters",
        "AMIGO_USER_ID": "",
    }
    async with (
        open_grounds(tmp_path, env=env) as grounds,
        grounds.served() as (here, process),
        grounds.inside() as there,
    ):
        async with here.on_the_line() as stream:
            sid = stream.call_sid
            await takes_a_turn(here, stream)
            await process.kill()
            await stream.ends()
        before = await there.record(sid)
        answer = await there.carrier.connected(sid)
        async with there.socket(answer.stream_url, sid) as stream:
            await stream.start()
            await takes_a_turn(there, stream)
            await stream.stop()
        record = await there.settled(sid)
        for name in ("user_id", "conversation_id"):
            assert record[name] == before[name]
        assert list((await there.finishes()).values()) == [1]


async def test_a_process_that_stood_still_does_not_act_on_calls_taken_up_meanwhile(
    tmp_path: Path, store_url: dict[str, str]
) -> None:
    env = {"GATEWAY_SILENCE__PROMPT_AFTER_MS": "4000", "GATEWAY_SILENCE__PROMPTS": "0"}
    env["GATEWAY_SILENCE__HANG_UP_AFTER_MS"] = "4000"
    async with open_grounds(tmp_path, env=POOL | store_url | env) as grounds:
        await _stood_still(grounds)


async def _stood_still(grounds: Grounds) -> None:
    async with grounds.served() as (here, process), grounds.inside() as there:
        async with here.on_the_line() as stream:
            sid = stream.call_sid
            await here.listening(sid)
            await process.stand_still(here.store_path)
            await stream.reset()
        answer = await there.carrier.connected(sid)
        assert answer.verbs == ["Connect", "Hangup"]
        async with there.socket(answer.stream_url, sid) as stream:
            await stream.start()
            await takes_a_turn(there, stream)
            # by now the one that stands still would have hung up on a silent caller
            await asyncio.sleep(3.0)
            orders = len(there.rest.requests)
            process.signal(signal.SIGCONT)
            await eventually(lambda: process.logged("call.taken-over"), 15.0)
            await takes_a_turn(there, stream)
            assert len(there.rest.requests) == orders
            await stream.stop()
        record = await there.settled(sid)
        assert record["end_reason"] == "caller-hangup"
        assert list((await there.finishes()).values()) == [1]
        process.signal(signal.SIGTERM)
        assert await process.exit_status() == 0
        assert process.complaints() == []


async def test_a_process_that_stood_still_keeps_a_line_that_was_there_all_the_time(
    tmp_path: Path,
) -> None:
    """What the caller said meanwhile waits in the socket: the line was not silent, we were deaf."""
    async with open_grounds(tmp_path, env=POOL) as grounds, grounds.served() as (here, process):
        async with here.on_the_line() as stream:
            await here.listening(stream.call_sid)
            await process.stand_still(here.store_path)
            await asyncio.sleep(LINE_SILENCE + 1.5)
            process.signal(signal.SIGCONT)
            await eventually(lambda: process.logged("process.stood-still"), 15.0)
            await takes_a_turn(here, stream)
            await stream.stop()
        record = await here.settled(stream.call_sid)
        assert (record["end_reason"], record["reconnects"]) == ("caller-hangup", 0)
        assert not process.logged("line.silent")
