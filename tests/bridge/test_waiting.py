"""The waiting room of calls whose process died: taken, gone or late, and never two of them."""

from __future__ import annotations

import asyncio

from gateway.bridge.waiting import Outcome, WaitingRoom
from tests.support.virtual_time import run_virtual


async def _waits(room: WaitingRoom, seconds: float = 10.0) -> tuple[Outcome, float]:
    loop = asyncio.get_running_loop()
    began = loop.time()
    outcome = await room.wait(room.open("CA1"), seconds)
    return outcome, round(loop.time() - began, 6)


def test_nobody_asks() -> None:
    assert run_virtual(_waits(WaitingRoom())) == (Outcome.LATE, 10.0)


def test_the_caller_is_back() -> None:
    async def main() -> tuple[Outcome, float]:
        room = WaitingRoom()
        waiting = asyncio.create_task(_waits(room))
        await asyncio.sleep(3.0)
        with room.asked_for("CA1") as in_time:
            assert in_time
            room.take("CA1")
        return await waiting

    assert run_virtual(main()) == (Outcome.TAKEN, 3.0)


def test_the_wait_does_not_end_under_a_question_that_is_being_answered() -> None:
    async def main() -> tuple[Outcome, float]:
        room = WaitingRoom()
        waiting = asyncio.create_task(_waits(room))
        await asyncio.sleep(9.9)
        with room.asked_for("CA1") as in_time:
            assert in_time
            await asyncio.sleep(1.0)
            room.take("CA1")
        return await waiting

    assert run_virtual(main()) == (Outcome.TAKEN, 10.9)


def test_a_question_that_comes_to_nothing_does_not_keep_the_call_waiting() -> None:
    async def main() -> tuple[Outcome, float]:
        room = WaitingRoom()
        waiting = asyncio.create_task(_waits(room))
        await asyncio.sleep(9.5)
        with room.asked_for("CA1") as in_time:
            assert in_time
            await asyncio.sleep(1.0)
        outcome = await waiting
        with room.asked_for("CA1") as in_time:
            assert not in_time
        room.close("CA1")
        with room.asked_for("CA1") as in_time:
            assert in_time, "nobody waits for it here any more: the store knows"
        return outcome

    assert run_virtual(main()) == (Outcome.LATE, 10.5)


def test_a_call_that_is_over_is_not_waited_for() -> None:
    async def main() -> tuple[Outcome, float]:
        room = WaitingRoom()
        waiting = asyncio.create_task(_waits(room))
        await asyncio.sleep(2.0)
        assert room.gone("CA1")
        assert not room.gone("CA2")
        return await waiting

    assert run_virtual(main()) == (Outcome.GONE, 2.0)


def test_a_call_that_is_over_is_not_taken_by_a_question_asked_before() -> None:
    async def main() -> tuple[bool, tuple[Outcome, float]]:
        room = WaitingRoom()
        waiting = asyncio.create_task(_waits(room))
        await asyncio.sleep(1.0)
        with room.asked_for("CA1") as in_time:
            assert in_time
            room.gone("CA1")
            await asyncio.sleep(0.1)
            taken = room.take("CA1")
        return taken, await waiting

    assert run_virtual(main()) == (False, (Outcome.GONE, 1.0))
