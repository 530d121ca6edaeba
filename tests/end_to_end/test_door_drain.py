"""The polite end of the gateway itself: no new calls, live ones to their end, then a closing phrase."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from gateway.bridge.phrases import load_phrases
from gateway.call.commands import Phrase
from tests.end_to_end.door_carrier import eventually, new_call_sid
from tests.end_to_end.door_kit import House, open_grounds, open_house
from tests.end_to_end.door_order import store_in_order
from tests.end_to_end.door_process import Served
from tests.end_to_end.door_stream import GOODBYE, Stream

POOL = {"GATEWAY_IDENTITY": "pool", "AMIGO_USER_POOL": "ann,ben"}
CLOSING = load_phrases()[Phrase.CLOSING]


async def takes_a_turn(house: House, stream: Stream) -> None:
    turns = len((await house.listening(stream.call_sid))["turns"])
    await stream.say(GOODBYE)
    await house.until(stream.call_sid, lambda record: len(record["turns"]) > turns)
    await house.listening(stream.call_sid)


# ---------------------------------------------------------------- in this process


async def test_while_draining_live_calls_go_on_and_new_ones_hear_busy(tmp_path: Path) -> None:
    async with open_house(tmp_path, env=POOL) as house, house.on_the_line() as stream:
        draining = asyncio.create_task(house.gateway.switchboard.drain(30.0))
        await eventually(lambda: house.gateway.switchboard.admission.closed)

        assert await house.readiness() == (503, ["draining"])
        assert (await house.carrier.voice(new_call_sid())).busy
        await takes_a_turn(house, stream)
        assert not draining.done()
        await stream.stop()
        await draining
        assert (await house.settled(stream.call_sid))["end_reason"] == "caller-hangup"


async def test_a_live_call_is_asked_about_again_while_draining(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        sid, url = await house.answered()
        draining = asyncio.create_task(house.gateway.switchboard.drain(30.0))
        await eventually(lambda: house.gateway.switchboard.admission.closed)

        assert (await house.carrier.voice(sid)).stream_url == url
        async with house.socket(url, sid) as stream:
            await stream.start()
            await house.listening(sid)
            await stream.stop()
        await draining


async def test_a_caller_whose_line_was_lost_meanwhile_is_told_by_the_carriers_voice(
    tmp_path: Path,
) -> None:
    async with open_house(tmp_path) as house, house.on_the_line() as stream:
        await house.listening(stream.call_sid)
        await stream.ws.close()
        await house.until(stream.call_sid, lambda record: record["status"] == "ringing")
        await house.gateway.switchboard.drain(0.2)

        assert (await house.carrier.connected(stream.call_sid)).verbs == ["Say", "Hangup"]
        assert (await house.settled(stream.call_sid))["end_reason"] == "drain"


async def test_when_the_time_is_up_callers_hear_a_closing_phrase_and_are_hung_up(
    tmp_path: Path,
) -> None:
    async with open_house(tmp_path, env=POOL) as house, house.on_the_line() as stream:
        await house.listening(stream.call_sid)
        ringing, _ = await house.answered()
        heard = stream.sound_heard
        await house.gateway.switchboard.drain(0.2)

        assert stream.sound_heard - heard == len(CLOSING), "the whole phrase, and only that"
        assert await stream.ends() == 1000
        assert len(house.rest.requests) == 1
        for sid in (stream.call_sid, ringing):
            assert (await house.settled(sid))["end_reason"] == "drain"


async def test_a_caller_who_speaks_when_the_time_is_up_is_told_so_too(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house, house.on_the_line() as stream:
        await house.listening(stream.call_sid)
        talking = asyncio.create_task(stream.say(GOODBYE * 6))
        await house.until(stream.call_sid, lambda record: record["status"] == "uploading")
        await house.gateway.switchboard.drain(0.0)
        await stream.ends()
        await talking

        record = await house.settled(stream.call_sid)
        assert record["end_reason"] == "drain"
        assert record["conversation_state"] == "finished"


async def test_a_hurry_cuts_the_waiting_short(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house, house.on_the_line() as stream:
        await house.listening(stream.call_sid)
        hurry = asyncio.Event()
        draining = asyncio.create_task(house.gateway.switchboard.drain(600.0, hurry))
        await asyncio.sleep(0.3)
        assert not draining.done()
        hurry.set()
        await draining

        assert (await house.settled(stream.call_sid))["end_reason"] == "drain"


# ---------------------------------------------------------------- the real process


async def test_an_idle_gateway_stops_at_once_with_status_0(tmp_path: Path) -> None:
    async with open_grounds(tmp_path) as grounds, grounds.served() as (house, process):
        assert await house.readiness() == (200, [])
        process.signal(signal.SIGTERM)

        assert await process.exit_status(8.0) == 0
        assert process.complaints() == []


async def test_after_sigterm_a_live_call_goes_on_to_its_own_end_and_the_status_is_0(
    tmp_path: Path,
) -> None:
    async with open_grounds(tmp_path, env=POOL) as grounds, grounds.served() as (house, process):
        async with house.on_the_line() as stream:
            await house.listening(stream.call_sid)
            process.signal(signal.SIGTERM)
            await eventually(lambda: process.logged("gateway.draining"))
            assert await house.readiness() == (503, ["draining"])
            assert (await house.carrier.voice(new_call_sid())).busy
            await takes_a_turn(house, stream)
            await stream.stop()
        assert await process.exit_status() == 0
        await ended_in_order(house, process)


@pytest.mark.parametrize(
    ("seconds", "signals"),
    [
        ("0.5", [signal.SIGTERM]),
        ("600", [signal.SIGTERM, signal.SIGTERM]),
        ("600", [signal.SIGTERM, signal.SIGINT]),
    ],
    ids=["time up", "second SIGTERM", "SIGINT"],
)
async def test_callers_who_stay_hear_the_closing_phrase_and_the_status_is_0(
    tmp_path: Path, seconds: str, signals: list[signal.Signals]
) -> None:
    async with (
        open_grounds(tmp_path, env={"GATEWAY_DRAIN_SECONDS": seconds}) as grounds,
        grounds.served() as (house, process),
    ):
        async with house.on_the_line() as stream:
            await house.listening(stream.call_sid)
            heard = stream.sound_heard
            for number in signals:
                process.signal(number)
                await asyncio.sleep(0.2)
            assert await stream.ends() == 1000
            assert stream.sound_heard - heard == len(CLOSING)
        assert await process.exit_status() == 0
        await ended_in_order(house, process)


async def test_a_finish_that_is_late_is_waited_for_before_the_process_ends(tmp_path: Path) -> None:
    async with open_grounds(tmp_path) as grounds, grounds.served() as (house, process):
        async with house.on_the_line() as stream:
            await house.listening(stream.call_sid)
            await house.faults("finish-503=1:2@1000")
            process.signal(signal.SIGTERM)
            await stream.stop()
        assert await process.exit_status() == 0
        await ended_in_order(house, process)


async def test_a_second_signal_leaves_a_finish_that_fails_to_the_next_start(tmp_path: Path) -> None:
    async with open_grounds(tmp_path) as grounds:
        async with grounds.served() as (house, process):
            async with house.on_the_line() as stream:
                await house.listening(stream.call_sid)
                await house.faults("finish-503=1")
                await stream.stop()
            process.signal(signal.SIGTERM)
            await eventually(lambda: process.logged("gateway.draining"))
            process.signal(signal.SIGTERM)
            # not signalled again, it tries for half a minute
            assert await process.exit_status(20.0) == 1
            assert process.logged("gateway.hurried")
            await house.faults()
        async with grounds.served() as (house, process):
            await house.settled(stream.call_sid)
            process.signal(signal.SIGTERM)
            assert await process.exit_status() == 0
            await ended_in_order(house, process)


async def ended_in_order(house: House, process: Served) -> None:
    """The process is gone: what it left stands in the store and at the API."""
    assert process.complaints() == []
    await house.looks_in_order()
    store_in_order(house.store_path)
