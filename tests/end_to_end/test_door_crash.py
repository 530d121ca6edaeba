"""kill -9 with calls on the line: the next process on the same store pays what is owed, once."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from gateway.sandbox.options import SandboxOptions
from tests.end_to_end.door_carrier import eventually, new_call_sid
from tests.end_to_end.door_kit import Grounds, House, open_grounds
from tests.end_to_end.door_order import store_rows
from tests.end_to_end.door_stream import GOODBYE, WEASELS, Stream

both_revisions = pytest.mark.parametrize("revision", ["2025-06", "2026-04"])
POOL = {"GATEWAY_IDENTITY": "pool", "AMIGO_USER_POOL": "ann,ben,cid"}


async def speaking(house: House, stream: Stream) -> asyncio.Task[None]:
    """The caller is in the middle of an utterance that is being uploaded."""
    await house.listening(stream.call_sid)
    talking = asyncio.create_task(stream.say(WEASELS))
    await house.until(stream.call_sid, lambda record: record["status"] == "uploading")
    return talking


async def waits_for_create(house: House) -> str:
    """A call whose conversation the API is still making."""
    await house.faults("late-create=1:1@900")
    sid, _ = await house.answered()

    async def is_running() -> bool:
        return any(one["running"] == "create" for one in await house.conversations())

    await eventually(is_running, 5.0, "the create at the API")
    return sid


async def paid(house: House, count: int, seconds: float = 20.0) -> None:
    """The new process has closed so many calls of the old one."""

    def closed() -> bool:
        rows = store_rows(house.store_path, "SELECT ended, conversation_state FROM calls")
        return len(rows) >= count and all(row[0] and row[1] != "finishing" for row in rows)

    await eventually(closed, seconds, "everything owed was paid")
    await house.in_order()


async def is_lost(house: House, sid: str) -> dict[str, Any]:
    record = await house.record(sid)
    assert record["end_reason"] == "replica-lost"
    assert record["status"] == "failed"
    assert record["conversation_state"] == "finished"
    assert record["ended_at"] is not None
    return record


async def takes_a_turn(house: House, stream: Stream) -> None:
    turns = len((await house.listening(stream.call_sid))["turns"])
    await stream.say(GOODBYE)
    await house.until(stream.call_sid, lambda record: len(record["turns"]) > turns)
    await house.listening(stream.call_sid)


async def holds_a_call(house: House) -> None:
    async with house.on_the_line() as stream:
        await house.listening(stream.call_sid)
        await stream.say(GOODBYE)
        await house.until(stream.call_sid, lambda record: len(record["turns"]) == 2)
        await house.listening(stream.call_sid)
        await stream.stop()
    assert (await house.settled(stream.call_sid))["end_reason"] == "caller-hangup"


async def killed_with_three_calls(grounds: Grounds) -> tuple[str, str, str]:
    """One call listens, one is mid-upload, one waits for its conversation; then the process dies."""
    async with grounds.served() as (house, process), AsyncExitStack() as lines:
        idle = await lines.enter_async_context(house.on_the_line())
        loud = await lines.enter_async_context(house.on_the_line())
        await house.listening(idle.call_sid)
        talking = await speaking(house, loud)
        young = await waits_for_create(house)
        await process.kill()
        await talking
        await asyncio.gather(idle.ends(), loud.ends())
    return idle.call_sid, loud.call_sid, young


@both_revisions
async def test_after_a_crash_everything_owed_is_finished_once_and_the_next_call_works(
    tmp_path: Path, revision: Any
) -> None:
    options = SandboxOptions(revision=revision, think_ms=30)
    async with open_grounds(tmp_path, options, env=POOL) as grounds:
        sids = await killed_with_three_calls(grounds)
        async with grounds.inside() as house:
            # the callers hung up meanwhile; what was to be next is asked too late, or not at all
            for sid in sids:
                assert (await house.carrier.status(sid)).status == 204
            await paid(house, 3)

            for sid in sids:
                await is_lost(house, sid)
                assert (await house.carrier.voice(sid)).verbs == ["Hangup"]
            assert sum((await house.finishes()).values()) == 3
            assert await house.metric("orphans_finished_total") == 3
            young = await house.record(sids[2])
            assert young["conversation_id"] is None, "its name never reached us"
            await holds_a_call(house)
            await house.in_order()


async def test_callers_of_a_dead_process_are_reconnected_in_the_same_conversation(
    tmp_path: Path,
) -> None:
    async with open_grounds(tmp_path, env=POOL) as grounds:
        sids = await killed_with_three_calls(grounds)
        async with grounds.inside() as house, AsyncExitStack() as lines:
            # the create that was cut off may have come to nothing: it is tried first
            house.forgiven = frozenset({"8"})
            before = {sid: (await house.record(sid))["conversation_id"] for sid in sids}
            for sid in sids:
                answer = await house.carrier.connected(sid)
                assert answer.verbs == ["Connect", "Hangup"]
                line = await lines.enter_async_context(house.socket(answer.stream_url, sid))
                await line.start()
                await takes_a_turn(house, line)
                await line.stop()
                record = await house.settled(sid)
                assert record["reconnects"] == 1
                assert record["end_reason"] == "caller-hangup"
                assert record["conversation_id"] == (before[sid] or record["conversation_id"])
            await paid(house, 3)
            # what the create that was cut off had made is a left-over, and was finished for the new one
            assert sorted((await house.finishes()).values()) == [1, 1, 1, 1]


async def test_the_carrier_asking_again_about_a_lost_call_has_it_reconnected(
    tmp_path: Path,
) -> None:
    async with open_grounds(tmp_path) as grounds:
        async with grounds.served() as (house, process):
            sid, _ = await house.answered()
            await house.until(sid, lambda record: record["conversation_id"] is not None)
            await house.faults("finish-503=1:2@1000")
            await process.kill()
        async with grounds.inside() as house:
            answer = await house.carrier.voice(sid)
            assert answer.verbs == ["Connect", "Hangup"]
            # its user is not free before the conversation is finished
            assert (await house.carrier.voice(new_call_sid())).busy
            async with house.socket(answer.stream_url, sid) as stream:
                await stream.start()
                await house.listening(sid)
                await stream.stop()
            await paid(house, 1)
            await holds_a_call(house)
            await house.in_order()


async def test_a_finish_owed_by_a_call_that_had_ended_is_paid_and_its_record_kept(
    tmp_path: Path,
) -> None:
    async with open_grounds(tmp_path) as grounds:
        async with grounds.served() as (house, process):
            await house.faults("finish-503=1")
            async with house.on_the_line() as stream:
                await house.listening(stream.call_sid)
                await stream.stop()
            sid = stream.call_sid
            await house.until(sid, lambda record: record["conversation_state"] == "finishing")
            await eventually(lambda: process.logged("finish.failed"))
            await process.kill()
            await house.faults()
        async with grounds.inside() as house:
            await paid(house, 1)
            record = await house.record(sid)

            assert record["end_reason"] == "caller-hangup"
            assert record["conversation_state"] == "finished"
            assert sum((await house.finishes()).values()) == 1


async def test_a_crash_between_the_finish_and_its_record_asks_the_api_and_believes_it(
    tmp_path: Path,
) -> None:
    async with open_grounds(tmp_path) as grounds:
        async with grounds.served() as (house, process):
            await house.faults("late-finish=1:1@400")
            async with house.on_the_line() as stream:
                await house.listening(stream.call_sid)
                await stream.stop()
            await house.until(
                stream.call_sid, lambda record: record["conversation_state"] == "finishing"
            )
            await process.kill()
        async with grounds.inside() as house:
            # whichever of the two finishes the API took, there was one
            house.forgiven = frozenset({"31"})
            await paid(house, 1)
            assert sum((await house.finishes()).values()) == 1


async def test_two_processes_that_start_together_pay_once(tmp_path: Path) -> None:
    async with open_grounds(tmp_path, env=POOL) as grounds:
        async with grounds.served() as (house, process), AsyncExitStack() as lines:
            streams = [await lines.enter_async_context(house.on_the_line()) for _ in range(3)]
            for stream in streams:
                await house.listening(stream.call_sid)
            await process.kill()
            await asyncio.gather(*(stream.ends() for stream in streams))
        async with grounds.inside() as one, grounds.inside() as other:
            await paid(one, 3)
            await other.in_order()

            assert sorted((await one.finishes()).values()) == [1, 1, 1]
            finished = [await house.metric("orphans_finished_total") for house in (one, other)]
            assert sum(finished) == 3


async def test_an_api_that_is_down_at_the_restart_is_asked_again(tmp_path: Path) -> None:
    async with open_grounds(tmp_path, unplugged=True) as grounds:
        await grounds.cable.plug()
        async with grounds.served() as (house, process), house.on_the_line() as stream:
            await house.listening(stream.call_sid)
            await process.kill()
            await stream.ends()
        await grounds.cable.unplug()
        async with grounds.inside() as house:
            await eventually(lambda: house.gateway.finisher.owed)
            await asyncio.sleep(0.2)
            await grounds.cable.plug()
            await paid(house, 1)
            await is_lost(house, stream.call_sid)


async def test_the_live_call_of_a_living_process_is_nobody_elses(tmp_path: Path) -> None:
    async with open_grounds(tmp_path) as grounds, grounds.served() as (house, process):
        async with house.on_the_line() as stream:
            await house.listening(stream.call_sid)
            async with grounds.inside() as other:
                assert (await other.carrier.voice(new_call_sid())).busy
                await asyncio.sleep(0.3)
                assert other.gateway.finisher.owed == 0
            assert (await house.record(stream.call_sid))["status"] == "listening"
            assert await house.finishes() == {}
            await stream.stop()
        await house.settled(stream.call_sid)
        await house.looks_in_order()
        assert process.complaints() == []
