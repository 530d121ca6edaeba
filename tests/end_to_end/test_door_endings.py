"""However a call ends, and whenever: one finish, the right reason, the user free, the socket closed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.sandbox.options import SandboxOptions
from gateway.simulator import CallPlan, Ending, Habits
from tests.end_to_end.door_carrier import eventually, new_call_sid
from tests.end_to_end.door_kit import BriefVoice, House, open_house
from tests.end_to_end.door_stream import GOODBYE, WEASELS, Stream

REVISIONS = ("2025-06", "2026-04")
POOL = {"GATEWAY_IDENTITY": "pool", "AMIGO_USER_POOL": "one,two"}
both_revisions = pytest.mark.parametrize("revision", REVISIONS)


async def is_settled(house: House, sid: str, reason: str, finishes: int = 1) -> dict[str, Any]:
    """The record is final and right, and the API heard exactly so many finishes."""
    record = await house.settled(sid)
    await eventually(lambda: house.gateway.switchboard.find(sid) is None, 5.0, "the call left")
    assert record["end_reason"] == reason
    assert record["ended_at"] is not None
    assert record["conversation_state"] == ("finished" if finishes else "auto-finished")
    assert sum((await house.finishes()).values()) == finishes
    assert await house.metric("calls_total", direction="inbound", end_reason=reason) == (
        finishes or 1
    )
    assert await house.metric("calls_active") == 0
    assert await house.metric("conversations_open") == 0
    return record


# ---------------------------------------------------------------- how the end is told


async def stop(house: House, stream: Stream) -> None:
    await stream.stop()


async def stop_then_status(house: House, stream: Stream) -> None:
    await stream.stop()
    await stream.ends()
    for _ in range(2):
        assert (await house.carrier.status(stream.call_sid)).status == 204


async def status_then_stop(house: House, stream: Stream) -> None:
    assert (await house.carrier.status(stream.call_sid)).status == 204
    await stream.stop()


async def status_alone(house: House, stream: Stream) -> None:
    assert (await house.carrier.status(stream.call_sid)).status == 204


async def status_and_stop_at_once(house: House, stream: Stream) -> None:
    await asyncio.gather(
        stream.stop(),
        house.carrier.status(stream.call_sid),
        house.carrier.status(stream.call_sid, "failed"),
        house.carrier.connected(stream.call_sid),
    )


async def stop_twice(house: House, stream: Stream) -> None:
    await stream.stop()
    await stream.stop()


async def close(house: House, stream: Stream) -> None:
    await stream.ws.close(code=1001)


async def reset(house: House, stream: Stream) -> None:
    await stream.reset()


HOW = [stop, stop_then_status, status_then_stop, status_alone, status_and_stop_at_once]
HOW += [stop_twice, close, reset]
Ends = Callable[[House, Stream], Awaitable[None]]


@both_revisions
@pytest.mark.parametrize("ends", HOW, ids=lambda ends: ends.__name__)
async def test_however_the_end_is_told_the_conversation_is_finished_once(
    tmp_path: Path, revision: Any, ends: Ends
) -> None:
    async with open_house(tmp_path, SandboxOptions(revision=revision, think_ms=30)) as house:
        async with house.on_the_line() as stream:
            await house.listening(stream.call_sid)
            await ends(house, stream)

            # our side of the socket closes within two seconds, in order
            await eventually(stream.closed.is_set, 2.5, "the socket closed")
        await is_settled(house, stream.call_sid, "caller-hangup")
        assert house.rest.requests == [], "the caller hung up, nobody has to be hung up"


@pytest.mark.parametrize("status", ["busy", "no-answer", "failed", "canceled"])
async def test_every_final_status_ends_the_call(tmp_path: Path, status: str) -> None:
    async with open_house(tmp_path) as house, house.on_the_line() as stream:
        await stream.hears()
        await house.carrier.status(stream.call_sid, status)

        assert await stream.ends(3.0) == 1000
        await is_settled(house, stream.call_sid, "caller-hangup")


@pytest.mark.parametrize("status", ["initiated", "ringing", "in-progress", "answered", "queued"])
async def test_no_other_status_does(tmp_path: Path, status: str) -> None:
    async with open_house(tmp_path) as house, house.on_the_line() as stream:
        await stream.hears()
        await house.carrier.status(stream.call_sid, status)
        await house.listening(stream.call_sid)
        await stream.stop()


async def test_a_line_that_falls_silent_is_given_up_after_five_seconds(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house, house.on_the_line() as stream:
        await house.listening(stream.call_sid)
        stream.mute()
        loop = asyncio.get_running_loop()
        began = loop.time()
        await stream.ends(12.0)

        assert loop.time() - began > 4.5
        await is_settled(house, stream.call_sid, "caller-hangup")


async def test_a_line_with_nothing_but_marks_or_rubbish_is_no_silent_line(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house, house.on_the_line() as stream:
        await house.listening(stream.call_sid)
        stream.mute()
        for number in range(13):
            await stream.send(stream.message("mark", {"name": f"x{number}"}))
            await asyncio.sleep(0.5)
        assert (await house.record(stream.call_sid))["status"] == "listening"
        await stream.stop()


# ---------------------------------------------------------------- when it comes


async def test_a_caller_who_hangs_up_before_the_stream_opens(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        sid, _ = await house.answered()
        await house.until(sid, lambda record: record["conversation_id"] is not None)
        await house.carrier.status(sid)

        record = await is_settled(house, sid, "caller-hangup")
        assert record["answered_at"] is None


async def test_a_stream_that_could_not_be_opened_is_offered_once_more(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        sid, url = await house.answered()
        assert (await house.carrier.connected(sid)).stream_url == url
        assert (await house.carrier.connected(sid)).verbs == ["Say", "Hangup"]
        await is_settled(house, sid, "no-media")


@both_revisions
async def test_a_stream_that_never_comes(tmp_path: Path, revision: Any) -> None:
    options = SandboxOptions(revision=revision, think_ms=30)
    async with open_house(tmp_path, options, token_seconds=0.6) as house:
        sid, _ = await house.answered()

        record = await is_settled(house, sid, "no-media")
        assert record["status"] == "failed"
        # the user is free: the next caller is not told busy
        next_sid, _ = await house.answered()
        await house.carrier.status(next_sid)


@both_revisions
@pytest.mark.parametrize("ends", [stop, reset], ids=["stop", "reset"])
async def test_a_caller_who_hangs_up_while_the_conversation_is_being_created(
    tmp_path: Path, revision: Any, ends: Ends
) -> None:
    async with open_house(tmp_path, SandboxOptions(revision=revision, think_ms=30)) as house:
        await house.faults("late-create=1:1@1200")
        async with house.on_the_line() as stream:
            await asyncio.sleep(0.2)
            assert (await house.record(stream.call_sid))["conversation_id"] is None
            await ends(house, stream)
        record = await is_settled(house, stream.call_sid, "caller-hangup")
        assert record["conversation_id"] is not None


async def test_a_caller_who_hangs_up_while_the_greeting_is_thought_of(tmp_path: Path) -> None:
    async with open_house(tmp_path, SandboxOptions(think_ms=1000)) as house:
        async with house.on_the_line() as stream:
            await house.until(stream.call_sid, lambda r: r["conversation_id"] is not None)
            await stream.stop()
        await is_settled(house, stream.call_sid, "caller-hangup")


async def test_a_caller_who_hangs_up_during_the_greeting(tmp_path: Path) -> None:
    async with open_house(tmp_path, voice=BriefVoice(3000)) as house:
        async with house.on_the_line() as stream:
            await stream.hears(4000)
            await stream.stop()
            count = len(stream.received)
            await stream.ends(3.0)
            assert len(stream.received) - count <= 2, "nothing is said to a line that stopped"
        await is_settled(house, stream.call_sid, "caller-hangup")


@both_revisions
@pytest.mark.parametrize("ends", [stop, reset, status_alone], ids=lambda ends: ends.__name__)
async def test_a_caller_who_hangs_up_while_speaking_does_not_leave_half_a_turn(
    tmp_path: Path, revision: Any, ends: Ends
) -> None:
    async with open_house(tmp_path, SandboxOptions(revision=revision, think_ms=30)) as house:
        async with house.on_the_line() as stream:
            sid = stream.call_sid
            await house.listening(sid)
            talking = asyncio.create_task(stream.say(WEASELS))
            await house.until(sid, lambda record: record["status"] == "uploading")
            await asyncio.sleep(0.3)
            await ends(house, stream)
            await talking
        await is_settled(house, sid, "caller-hangup")
        uploads = [one for one in (await house.log())["requests"] if one["operation"] == "interact"]
        assert [one["upload"]["end"] for one in uploads] == ["reset"]
        (conversation,) = await house.conversations()
        assert [message["type"] for message in conversation["messages"]] == ["agent-message"]


@both_revisions
async def test_a_caller_who_hangs_up_while_the_agent_thinks(tmp_path: Path, revision: Any) -> None:
    async with open_house(tmp_path, SandboxOptions(revision=revision, think_ms=30)) as house:
        async with house.on_the_line() as stream:
            sid = stream.call_sid
            await house.listening(sid)
            await house.faults("interact-stall-think=1@1500")
            await stream.say(GOODBYE)
            await house.until(sid, lambda record: record["status"] == "thinking")
            await asyncio.sleep(0.2)
            await stream.stop()
        record = await is_settled(house, sid, "caller-hangup")
        # what was said was said: the turn is stored, its reply unheard
        assert record["turns"][1]["user_text"]


@both_revisions
async def test_a_caller_who_hangs_up_while_the_agent_speaks(tmp_path: Path, revision: Any) -> None:
    options = SandboxOptions(revision=revision, think_ms=30)
    async with open_house(tmp_path, options, voice=BriefVoice(800)) as house:
        async with house.on_the_line() as stream:
            sid = stream.call_sid
            await house.listening(sid)
            await stream.say(GOODBYE)
            await house.until(sid, lambda record: record["status"] == "speaking")
            await stream.stop()
        await is_settled(house, sid, "caller-hangup")


async def test_a_caller_who_hangs_up_after_a_reply_whose_connection_lingers(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        await house.faults("interact-late-eof=1@1500")
        async with house.on_the_line() as stream:
            sid = stream.call_sid
            await house.listening(sid)
            await stream.say(GOODBYE)
            await house.until(sid, lambda record: len(record["turns"]) == 2)
            await house.listening(sid)
            await stream.stop()
        # the API would refuse a finish while the connection is open: it had to wait
        await is_settled(house, sid, "caller-hangup")


@both_revisions
async def test_a_caller_who_hangs_up_during_the_agents_last_words(
    tmp_path: Path, revision: Any
) -> None:
    options = SandboxOptions(revision=revision, think_ms=30)
    ears = _ears("goodbye")
    async with open_house(tmp_path, options, recogniser=ears, voice=BriefVoice(800)) as house:
        async with house.on_the_line() as stream:
            sid = stream.call_sid
            await house.listening(sid)
            await stream.say(GOODBYE)
            await house.until(sid, lambda record: len(record["turns"]) == 2)
            await house.until(sid, lambda record: record["status"] in {"speaking", "ending"})
            await asyncio.sleep(0.5)
            await stream.stop()
        record = await house.settled(sid)
        # the agent had ended it already: nothing is left to finish
        assert record["conversation_state"] == "auto-finished"
        assert sum((await house.finishes()).values()) == 0


def _ears(*answers: str) -> Any:
    from gateway.sandbox.engines.tones import TonesRecogniser

    return TonesRecogniser(answers)


# ---------------------------------------------------------------- by a whole telephone


ENDINGS: tuple[Ending, ...] = ("stop", "status-first", "status-only", "drop", "lost")


@pytest.mark.parametrize("ending", ENDINGS)
async def test_the_strict_telephone_finds_no_fault_in_any_ending(
    tmp_path: Path, ending: Ending
) -> None:
    async with open_house(tmp_path) as house:
        result = await house.call(
            CallPlan(hang_up_after=1.2, ending=ending, habits=Habits(linger_seconds=0.5))
        )

        assert result.violations == ()
        assert result.problems == ()
        await is_settled(house, result.call_sid, "caller-hangup")


# ---------------------------------------------------------------- a peer that does not read


@pytest.mark.parametrize("felt", [True, False], ids=["while speaking", "after speaking"])
async def test_a_peer_that_stops_reading_holds_up_neither_others_nor_its_own_end(
    tmp_path: Path, felt: bool
) -> None:
    env = POOL | {"GATEWAY_BARGE_IN__LOOKAHEAD_MS": "5000"}
    options = SandboxOptions(think_ms=600)
    async with open_house(tmp_path, options, voice=BriefVoice(1200), env=env) as house:
        sid, url = await house.answered()
        async with house.dead_line(url, sid, felt=felt):
            bridge = house.gateway.switchboard.find(sid)
            assert bridge is not None
            await eventually(lambda: bridge.mouth.playing)
            async with house.on_the_line() as other:
                await other.hears(8000)
                await other.stop()
            assert (await house.record(sid))["status"] == "greeting"
            await house.carrier.status(sid)
            await is_settled(house, sid, "caller-hangup", finishes=2)


async def test_the_end_of_one_call_is_not_the_end_of_another(tmp_path: Path) -> None:
    async with (
        open_house(tmp_path, env=POOL) as house,
        house.on_the_line() as first,
        house.on_the_line() as second,
    ):
        await house.listening(first.call_sid)
        await house.listening(second.call_sid)
        await first.stop()
        await house.settled(first.call_sid)

        assert (await house.record(second.call_sid))["status"] == "listening"
        assert not second.closed.is_set()
        await second.stop()


async def test_stop_right_after_start_is_a_whole_call(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        sid, url = await house.answered(new_call_sid())
        async with house.socket(url, sid) as stream:
            await stream.start()
            await stream.stop()
            await stream.ends(3.0)
        await is_settled(house, sid, "caller-hangup")
