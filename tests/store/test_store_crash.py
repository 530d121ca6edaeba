"""Killed in the middle of its work, a process loses nothing it was told is stored."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from gateway.clock import SystemClock
from gateway.store import make_replica, open_store, proven_dead
from tests.support.redis_server import running_redis

from .support import stored

CHILD = """
import asyncio, os, sys
from gateway.clock import SystemClock
from gateway.store import NewCall, make_replica, open_store

async def one_call(store, replica, n):
    sid = f"CA{n}"
    await store.admit(NewCall(
        call_sid=sid, account_sid="AC", direction="inbound", caller="", called="", route="",
        organization="o", service_id="s", candidates=(f"u{n}",), replica=replica,
        token_digest=sid, token_expires=0.0, answer="", record={"call_sid": sid}, now=0.0))
    os.write(1, f"admitted {sid}\\n".encode())
    await store.save(sid, replica=replica, record={"call_sid": sid, "filling": "x" * 3000}, status="listening",
        end_reason=None, conversation_id=f"c{n}", conversation_state="open", ended=False)
    os.write(1, f"saved {sid}\\n".encode())

async def main():
    replica = make_replica()
    async with open_store(sys.argv[1], SystemClock()) as store:
        os.write(1, f"replica {replica}\\n".encode())
        n = 0
        while True:
            await asyncio.gather(*(one_call(store, replica, n + k) for k in range(8)))
            n += 8

asyncio.run(main())
"""


def spawn(code: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        stdin=subprocess.PIPE,
        text=True,
    )


def read_line(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    return child.stdout.readline().strip()


@pytest.mark.parametrize("lines", [1, 40, 333])
async def test_every_acknowledged_write_survives_a_kill(url: str, lines: int) -> None:
    with spawn(CHILD, url) as child:
        told = [read_line(child) for _ in range(lines)]
        child.send_signal(signal.SIGKILL)
        told += child.communicate()[0].splitlines()
    words = [line.split() for line in told if len(line.split()) == 2]
    replica = next(name for word, name in words if word == "replica")

    await holds_what_was_told(url, words, replica)
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


async def holds_what_was_told(url: str, words: list[list[str]], replica: str) -> None:
    async with open_store(url, SystemClock()) as store:
        for word, call_sid in words:
            if word == "admitted":
                await stored(store, call_sid)
            elif word == "saved":
                assert (await stored(store, call_sid)).conversation_state == "open"
        # The same machine knows at once that the process is gone: no heartbeat has to run out.
        orphans = await store.orphans(0.0, make_replica())
        assert {call.replica for call in orphans} <= {replica}
        assert len(orphans) >= sum(word == "admitted" for word, _ in words)


async def test_what_a_killed_redis_acknowledged_is_there_when_it_starts_again(
    tmp_path: Path,
) -> None:
    with running_redis(tmp_path, durable=True) as server, spawn(CHILD, server.url) as child:
        told = [read_line(child) for _ in range(100)]
        server.end(signal.SIGKILL)
        child.kill()
        told += child.communicate()[0].splitlines()
        words = [line.split() for line in told if len(line.split()) == 2]
        server.start()

        replica = next(name for word, name in words if word == "replica")
        await holds_what_was_told(server.url, words, replica)


CROWD = """
import asyncio, os, sys
from gateway.clock import SystemClock
from gateway.store import Admitted, NewCall, open_store

async def main():
    url, me = sys.argv[1:]
    users = tuple(f"u{n}" for n in range(30))
    async with open_store(url, SystemClock()) as store:
        os.write(1, b"ready\\n")
        sys.stdin.readline()
        answers = await asyncio.gather(*(store.admit(NewCall(
            call_sid=f"CA{me}-{n}", account_sid="AC", direction="inbound", caller="", called="",
            route="", organization="o", service_id="s", candidates=users, replica=me,
            token_digest=f"{me}-{n}", token_expires=0.0, answer="", record={}, now=0.0))
            for n in range(30)))
    for answer in answers:
        if isinstance(answer, Admitted):
            print(answer.user_id)

asyncio.run(main())
"""


def test_processes_at_once_never_lease_one_user_twice(url: str) -> None:
    with ExitStack() as stack:
        children = [stack.enter_context(spawn(CROWD, url, str(n))) for n in range(4)]
        assert [read_line(child) for child in children] == ["ready"] * 4
        for child in children:
            assert child.stdin is not None
            child.stdin.write("go\n")
            child.stdin.flush()
        leased = [user for child in children for user in child.communicate()[0].split()]

    assert sorted(leased) == sorted(f"u{n}" for n in range(30))


NAMED = "from gateway.store import make_replica; print(make_replica(), flush=True); input()"


def test_a_process_is_proven_dead_once_it_is_killed_even_before_it_is_waited_for() -> None:
    with spawn(NAMED) as child:
        replica = read_line(child)
        assert not proven_dead(replica)

        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # dead, but still a zombie
        assert proven_dead(replica)
        child.wait()
        assert proven_dead(replica)


def test_a_number_given_to_another_process_does_not_bring_the_first_back() -> None:
    host, pid, start, chance = make_replica().split(":")

    assert not proven_dead(f"{host}:{pid}:{start}:{chance}")
    assert proven_dead(f"{host}:{pid}:{int(start) + 1}:{chance}")


@pytest.mark.parametrize("name", ["", "x", "elsewhere:1:1:aa", ":::", "a:b:c:d:e", "h:-1:0:x"])
def test_of_other_machines_nothing_is_proven(name: str) -> None:
    assert not proven_dead(name)


def test_two_applications_of_one_process_have_different_names() -> None:
    assert make_replica() != make_replica()


NEVER_CLOSED = """
import asyncio, sys
from gateway.clock import SystemClock
from gateway.store import open_store

async def main():
    store = await open_store(sys.argv[1], SystemClock()).__aenter__()
    await store.ping()
    sys.exit(7)

asyncio.run(main())
"""


def test_a_store_nobody_closed_does_not_keep_the_process(url: str) -> None:
    done = subprocess.run([sys.executable, "-c", NEVER_CLOSED, url], timeout=60, check=False)

    assert done.returncode == 7
