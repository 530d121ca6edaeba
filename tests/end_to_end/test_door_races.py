"""Things that happen in the one moment in which nobody would expect them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.bridge.bridge import Bridge
from gateway.bridge.calls import Calls
from gateway.bridge.neighbours import MAX_RECONNECTS, Neighbours
from gateway.ids import CallSid
from gateway.store import SETTLED_STATES
from tests.end_to_end.door_carrier import eventually, new_call_sid
from tests.end_to_end.door_kit import House, open_grounds, open_house
from tests.end_to_end.test_door_drain import takes_a_turn

POOL = {"GATEWAY_IDENTITY": "pool", "AMIGO_USER_POOL": "ann,ben"}


async def stored(house: House, call_sid: str) -> Any:
    board: Any = house.gateway.switchboard
    return await board._store.get(call_sid)


async def test_streams_that_break_before_they_start_are_not_offered_for_ever(
    tmp_path: Path,
) -> None:
    async with open_house(tmp_path) as house, house.on_the_line() as stream:
        sid = stream.call_sid
        await house.listening(sid)
        await stream.reset()
        for _ in range(MAX_RECONNECTS):
            answer = await house.carrier.connected(sid)
            assert answer.verbs == ["Connect", "Hangup"]
            socket = await house.carrier.upgrade(answer.stream_url)
            await socket.close()

        assert (await house.carrier.connected(sid)).verbs == ["Say", "Hangup"]
        assert (await house.settled(sid))["reconnects"] == 0


async def test_a_token_is_spent_once_by_two_sockets_at_a_time(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        sid, url = await house.answered()
        token = url.rsplit("/", 1)[1]
        board = house.gateway.switchboard
        assert await board.place_of(token) is not None

        spent = await asyncio.gather(board.spend(token), board.spend(token))

        assert [one is not None for one in spent] == [True, False]
        await house.carrier.status(sid)


@pytest.mark.parametrize(
    "happens", [Bridge.over, Bridge.line_broke], ids=["the call is over", "the line breaks"]
)
async def test_what_happens_before_a_call_has_begun_is_handled_after_its_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, happens: Callable[[Bridge], None]
) -> None:
    begin = Calls.begin

    def begin_late(calls: Calls, bridge: Bridge) -> None:
        begin(calls, bridge)
        happens(bridge)

    async with open_house(tmp_path) as house:
        monkeypatch.setattr(Calls, "begin", begin_late)
        sid = new_call_sid()
        await house.carrier.voice(sid)
        await house.carrier.status(sid)

        await eventually(lambda: not house.gateway.switchboard.unsettled, 15.0)
        call = await stored(house, sid)
        assert call.ended
        assert call.conversation_state in SETTLED_STATES
        assert all(one["finished"] for one in await house.conversations())


async def test_a_call_that_comes_in_as_the_drain_ends_is_ended_politely_too(
    tmp_path: Path,
) -> None:
    async with open_house(tmp_path) as house:
        board: Any = house.gateway.switchboard
        admit, admitted = board.admission._store.admit, asyncio.Event()

        async def admit_late(new: Any) -> Any:
            outcome = await admit(new)
            await admitted.wait()
            return outcome

        board.admission._store.admit = admit_late
        sid = new_call_sid()
        asking = asyncio.create_task(house.carrier.voice(sid))
        await eventually(lambda: board.admission.coming)
        draining = asyncio.create_task(board.drain(0.0))
        await eventually(lambda: board.admission.closed)
        admitted.set()
        assert (await asking).verbs == ["Connect", "Hangup"]
        await draining

        record = await house.settled(sid)
        assert record["end_reason"] == "drain"
        assert (await house.carrier.connected(sid)).verbs == ["Say", "Hangup"]


async def test_a_call_that_is_taken_up_as_the_drain_ends_is_finished_and_its_caller_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        open_grounds(tmp_path, env=POOL) as grounds,
        grounds.served() as (here, process),
        grounds.inside() as there,
    ):
        async with here.on_the_line() as stream:
            sid = stream.call_sid
            await takes_a_turn(here, stream)
            await process.kill()
            await stream.ends()
        board: Any = there.gateway.switchboard
        take_up = Neighbours.take_up

        async def take_up_late(neighbours: Neighbours, *which: Any) -> Bridge | None:
            bridge = await take_up(neighbours, *which)
            board._calls.part()  # the time is up in this moment
            return bridge

        monkeypatch.setattr(Neighbours, "take_up", take_up_late)
        await there.carrier.connected(sid)

        await eventually(lambda: not board.unsettled, 15.0)
        call = await stored(there, sid)
        assert (call.ended, call.conversation_state) == (True, "finished")
        assert call.record["end_reason"] == "drain"
        assert (await there.carrier.connected(sid)).verbs == ["Say", "Hangup"]
        assert list((await there.finishes()).values()) == [1]


async def test_a_call_whose_core_failed_when_another_had_it_is_left_to_that_one(
    tmp_path: Path,
) -> None:
    async with (
        open_house(tmp_path, expected={"call.core-failed"}) as house,
        house.on_the_line() as stream,
    ):
        sid = CallSid(stream.call_sid)
        await house.listening(sid)
        board: Any = house.gateway.switchboard
        bridge = board.find(sid)

        def handle(*_: object) -> Any:
            raise RuntimeError("the core fails")

        bridge.session.handle = handle
        await board._store.claim(sid, "there:1:1:t", board._clock.wall())
        bridge.over()

        await eventually(lambda: not board.unsettled and not house.gateway.finisher.owed, 10.0)
        call = await board._store.get(sid)
        assert (call.replica, call.ended) == ("there:1:1:t", False)
        await board._store.claim(sid, bridge.record.replica, board._clock.wall())
        await house.gateway.recovery.part()  # its owner, as far as the store can tell
