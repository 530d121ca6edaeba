"""Several workers on one port: numbers, orders, deaths and ends, with real processes.

The system decides which worker a connection on the shared port reaches, so tests that care speak to
a worker at its own port, as other workers do.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.door_carrier import eventually, new_call_sid
from tests.end_to_end.door_kit import Grounds, House, open_grounds
from tests.end_to_end.door_order import store_in_order
from tests.end_to_end.door_process import Served
from tests.end_to_end.door_stream import GOODBYE, Stream

TWO = {"GATEWAY_WORKERS": "2", "GATEWAY_IDENTITY": "pool", "AMIGO_USER_POOL": "ann,ben,cid"}
NOBODY: Any = None


@dataclass
class Workers:
    """A parent with two workers; `front` is the port they share, `one` and `other` their own."""

    grounds: Grounds
    process: Served
    front: House
    one: House
    other: House

    def pids(self) -> list[int]:
        """Of the workers as they were started."""
        return [line["pid"] for line in self.process.logged("worker.started")]

    def house(self, number: int) -> House:
        """The worker that was ready as the so-manieth, at its own port."""
        at = self.process.logged("gateway.ready")[number]["reached_at"]
        return self.grounds._house(at, NOBODY)

    async def ended_in_order(self) -> None:
        assert self.process.complaints() == []
        await self.front.looks_in_order()
        store_in_order(self.front.store_path)
        for pid in self.pids():
            assert not alive(pid)


def alive(pid: int) -> bool:
    """Whether the process is there, and no zombie."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


@asynccontextmanager
async def two_workers(tmp_path: Path, **env: str) -> AsyncIterator[Workers]:
    async with (
        open_grounds(tmp_path, env=TWO | env) as grounds,
        grounds.served() as (front, process),
    ):
        workers = Workers(grounds, process, front, NOBODY, NOBODY)
        # the log, written by a thread, comes a moment after what it tells
        await eventually(lambda: len(process.logged("gateway.ready")) == 2, 15.0, "both in the log")
        workers.one, workers.other = workers.house(0), workers.house(1)
        await eventually(lambda: beating(workers), 15.0, "the first heartbeats")
        yield workers


async def beating(workers: Workers) -> bool:
    """Whether each worker answers for a call of the other: both are known to the store."""
    for here, there in ((workers.one, workers.other), (workers.other, workers.one)):
        sid = new_call_sid()
        answer = await here.carrier.voice(sid)
        if answer.busy:
            return False
        again = await there.carrier.voice(sid)
        await here.carrier.status(sid)
        if again.text != answer.text:
            return False
    return True


async def takes_a_turn(house: House, stream: Stream) -> None:
    turns = len((await house.listening(stream.call_sid))["turns"])
    await stream.say(GOODBYE)
    await house.until(stream.call_sid, lambda record: len(record["turns"]) > turns)
    await house.listening(stream.call_sid)


async def order(house: House, sid: str, what: str) -> int:
    async with house.http.post(f"{house.target.connect_to}/v1/calls/{sid}/{what}") as answer:
        return answer.status


async def test_any_worker_tells_the_numbers_of_all_and_passes_orders_on(tmp_path: Path) -> None:
    async with two_workers(tmp_path) as workers:
        one, other, front = workers.one, workers.other, workers.front
        before = await front.metric("calls_total", direction="inbound", end_reason="operator")
        async with one.on_the_line() as first, other.on_the_line() as second:
            await one.listening(first.call_sid)
            await other.listening(second.call_sid)
            for house in (one, other, front):
                assert await house.metric("calls_active") == 2
                assert await house.metric("conversations_open") == 2
            assert await order(other, first.call_sid, "hangup") == 202
            assert await order(one, second.call_sid, "hangup") == 202
            await eventually(first.hung_up.is_set, 10.0, "the order from the other worker")
            await eventually(second.hung_up.is_set, 10.0, "the order from the other worker")
        for sid in (first.call_sid, second.call_sid):
            assert (await front.settled(sid))["end_reason"] == "operator"
        for house in (one, other, front):
            ended = await house.metric("calls_total", direction="inbound", end_reason="operator")
            assert (before, ended) == (0, 2)
            assert await house.metric("calls_active") == 0
        text = await metrics(front)
        assert set(re.findall(r'process_resident_memory_bytes{worker="(\d)"}', text)) == {"1", "2"}
        assert re.findall(r"voice_gateway_build_info{.*} (.*)", text) == ["1.0"]

        workers.process.signal(signal.SIGTERM)
        assert await workers.process.exit_status() == 0
        await workers.ended_in_order()


async def metrics(house: House) -> str:
    async with house.http.get(f"{house.target.connect_to}/metrics") as answer:
        return await answer.text()


async def test_a_dead_workers_call_goes_on_at_the_other_and_a_new_one_takes_its_place(
    tmp_path: Path,
) -> None:
    async with two_workers(tmp_path) as workers:
        other, process = workers.other, workers.process
        async with workers.one.on_the_line() as stream:
            sid = stream.call_sid
            await takes_a_turn(workers.one, stream)
            assert await other.metric("calls_active") == 1
            frames = await other.metric("frames_total", direction="in")
            turns = await other.metric("turns_total", kind="voice", interrupted="false")
            os.kill(workers.pids()[0], signal.SIGKILL)
            await stream.ends()
        answer = await other.carrier.connected(sid)
        async with other.socket(answer.stream_url, sid) as stream:
            await stream.start()
            await takes_a_turn(other, stream)
            await eventually(lambda: len(process.logged("gateway.ready")) == 3, 60.0, "a new one")
            assert [line["worker"] for line in process.logged("worker.started")] == [1, 2, 1]
            assert [line["status"] for line in process.logged("worker.ended")] == [-9]
            reborn = workers.house(2)
            for house in (reborn, other):
                # what the dead one counted is there once, what it held is not
                assert await house.metric("calls_active") == 1
                assert await house.metric("frames_total", direction="in") > frames
                told = await house.metric("turns_total", kind="voice", interrupted="false")
                assert (turns, told) == (1, 2)
                assert await house.metric("calls_taken_up_total") == 1
            await stream.stop()
        record = await other.settled(sid)
        assert (record["end_reason"], record["reconnects"]) == ("caller-hangup", 1)
        # the new one counts on from where the dead one was
        async with reborn.on_the_line() as stream:
            await takes_a_turn(reborn, stream)
            await stream.stop()
        await reborn.settled(stream.call_sid)
        assert await other.metric("turns_total", kind="voice", interrupted="false") == 3

        process.signal(signal.SIGTERM)
        assert await process.exit_status() == 0
        assert [line["event"] for line in process.complaints()] == ["worker.ended"]
        await workers.front.looks_in_order()
        assert set((await workers.front.finishes()).values()) <= {1}


async def test_after_sigterm_the_calls_of_all_workers_go_on_and_the_status_is_0(
    tmp_path: Path,
) -> None:
    async with two_workers(tmp_path) as workers:
        one, other, process = workers.one, workers.other, workers.process
        async with one.on_the_line() as first, other.on_the_line() as second:
            await one.listening(first.call_sid)
            await other.listening(second.call_sid)
            # as a service manager does that signals every process: that is one request for each
            process.signal(signal.SIGTERM)
            for pid in workers.pids():
                os.kill(pid, signal.SIGTERM)
            await eventually(lambda: len(process.logged("gateway.draining")) == 2)
            assert (await workers.front.carrier.voice(new_call_sid())).busy
            await takes_a_turn(one, first)
            await takes_a_turn(other, second)
            await first.stop()
            # asked at the other: this one is done with its last call, and goes
            await other.settled(first.call_sid)
            assert process.process.returncode is None
            await second.stop()
        assert await process.exit_status() == 0
        await workers.ended_in_order()


async def test_after_sigterm_a_stream_that_one_worker_carries_for_the_other_goes_on(
    tmp_path: Path,
) -> None:
    async with two_workers(tmp_path) as workers:
        one, other, process = workers.one, workers.other, workers.process
        sid, url = await one.answered()
        async with other.socket(url, sid) as stream:
            await stream.start()
            await one.listening(sid)
            process.signal(signal.SIGTERM)
            await eventually(lambda: len(process.logged("gateway.draining")) == 2)
            await takes_a_turn(one, stream)
            await stream.stop()
        assert await process.exit_status() == 0
        await workers.ended_in_order()


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
async def test_a_second_signal_shortens_the_end_of_all_workers(
    tmp_path: Path, second: signal.Signals
) -> None:
    async with two_workers(tmp_path) as workers:
        one, other, process = workers.one, workers.other, workers.process
        async with one.on_the_line() as first, other.on_the_line() as last:
            await one.listening(first.call_sid)
            await other.listening(last.call_sid)
            process.signal(signal.SIGTERM)
            await eventually(lambda: len(process.logged("gateway.draining")) == 2)
            process.signal(second)
            assert await first.ends() == 1000
            assert await last.ends() == 1000
        assert await process.exit_status() == 0
        await workers.ended_in_order()


async def test_workers_whose_parent_died_let_their_calls_end_and_go(tmp_path: Path) -> None:
    async with two_workers(tmp_path) as workers:
        async with workers.one.on_the_line() as stream:
            await workers.one.listening(stream.call_sid)
            await workers.process.kill()
            await eventually(lambda: not alive(workers.pids()[1]), 20.0, "the idle one's end")
            await takes_a_turn(workers.one, stream)
            await stream.stop()
        await eventually(lambda: not alive(workers.pids()[0]), 20.0, "the busy one's end")
        await workers.ended_in_order()


# ---------------------------------------------------------------- starts that fail


def said(process: Served) -> list[str]:
    return [line for line in process.log.read_text().splitlines() if not line.startswith("{")]


async def failed_start(tmp_path: Path, **env: str) -> tuple[int, list[str]]:
    """The status of a start that must fail, and all it said outside of its log."""
    async with open_grounds(tmp_path, env=TWO | env) as grounds:
        process = await Served.start(grounds.folder, grounds.environ)
        try:
            return await process.exit_status(60.0), said(process)
        finally:
            await process.end()


@pytest.mark.parametrize(
    "env",
    [
        pytest.param({"GATEWAY_WORKERS": "0"}, id="no workers"),
        # only a worker finds out
        pytest.param({"GATEWAY_RECORDINGS_DIR": "calls.txt/recordings"}, id="recordings"),
    ],
)
async def test_bad_settings_are_told_once_with_status_2(
    tmp_path: Path, env: dict[str, str]
) -> None:
    (tmp_path / "calls.txt").write_text("not a folder")
    status, lines = await failed_start(tmp_path, **env)

    assert status == 2
    assert len(lines) == 1, lines
    assert lines[0].startswith(f"{next(iter(env))}: ")


async def test_a_store_that_cannot_be_opened_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    url = f"sqlite:///{tmp_path / 'file' / 'calls.db'}"
    status, lines = await failed_start(tmp_path, GATEWAY_STORE_URL=url)

    assert (status, len(lines)) == (1, 1), lines


async def test_a_port_of_somebody_else_is_told_once_with_status_2(tmp_path: Path) -> None:
    with socket.socket() as taken:
        # as another gateway with workers has it
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        status, lines = await failed_start(tmp_path, GATEWAY_PORT=port)

    assert status == 2
    assert len(lines) == 1, lines
    assert lines[0].startswith("GATEWAY_PORT: ")


async def test_sigterm_during_the_start_ends_it_with_0(tmp_path: Path) -> None:
    async with open_grounds(tmp_path, env=TWO) as grounds:
        process = await Served.start(grounds.folder, grounds.environ)
        try:
            await eventually(lambda: process.logged("worker.started"), 60.0)
            process.signal(signal.SIGTERM)
            assert await process.exit_status(60.0) == 0
        finally:
            await process.end()
        await asyncio.sleep(0)
        assert not any(alive(line["pid"]) for line in process.logged("worker.started"))
