"""What only the Redis store has: a server that goes away, forgets, stands still, or is not ours to use."""

from __future__ import annotations

import asyncio
import signal
import traceback
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis.asyncio import Connection

from gateway.errors import Fenced, StoreError
from gateway.ids import CallSid
from gateway.store import CallStore, Known, NoUserFree, Order, open_store
from gateway.store.redis_line import PATIENCE, UVLOOP_CLOSED
from gateway.store.redis_schema import STEPS, upgrade_script
from tests.support.redis_server import RedisServer, free_port, running_redis

from .support import (
    HERE,
    JumpClock,
    end,
    leased,
    new_call,
    save,
    stored,
    whole_life_with_owners,
)

TRANSFER = Order(call_sid=CallSid("CA1"), kind="transfer", body={"to": "+15550003333"})


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[RedisServer]:
    """A server this test may stop and start; it keeps what it is told."""
    with running_redis(tmp_path, durable=True) as server:
        yield server


@asynccontextmanager
async def refused_within(seconds: float) -> AsyncIterator[None]:
    """What is done inside fails as a store fails, in time."""
    began = asyncio.get_running_loop().time()
    with pytest.raises(StoreError):
        yield
    assert asyncio.get_running_loop().time() - began < seconds


# ---------------------------------------------------------------- the server goes away and comes back


async def test_a_server_that_restarts_has_everything_and_is_found_again(
    own_server: RedisServer, clock: JumpClock
) -> None:
    async with open_store(own_server.url, clock) as store:
        await asyncio.gather(*(store.admit(new_call(f"CA{n}", (f"u{n}",))) for n in range(20)))
        own_server.end(signal.SIGKILL)
        async with refused_within(PATIENCE):
            await store.admit(new_call("CA-lost", ("u-lost",)))
        own_server.start()

        assert await store.admit(new_call("CA3", ("u3",))) == Known(await stored(store, "CA3"))
        assert len((await store.calls(100))[0]) == 20


async def test_a_server_that_forgot_everything_is_written_to_again(
    redis_server: RedisServer, clock: JumpClock
) -> None:
    async with open_store(redis_server.url, clock) as store:
        await store.admit(new_call("CA1"))
        with redis_server.client() as client:
            client.flushall()
            client.script_flush()

        assert await store.take_orders(HERE, 0) == []
        assert await store.claim(CallSid("CA1"), HERE, clock.time) is None
        assert await store.admit(new_call("CA1")) == leased("u1")
        assert await store.order(TRANSFER, clock.time)
        assert await store.take_orders(HERE, 0) == [TRANSFER]
        with redis_server.client() as client:
            assert client.get("{vg}:schema") == str(len(STEPS))


async def test_a_server_that_is_not_there_is_an_error_in_words(clock: JumpClock) -> None:
    url = f"redis://gateway:hush@127.0.0.1:{free_port()}/3"

    async with refused_within(PATIENCE), open_store(url, clock):
        pass


async def test_what_was_given_up_is_not_done_by_a_server_that_wakes_up_late(
    own_server: RedisServer, clock: JumpClock
) -> None:
    async with open_store(own_server.url, clock) as store:
        await store.admit(new_call("CA1"))
        await save(store, "CA1", record={"turn": 1})
        own_server.send(signal.SIGSTOP)
        given_up = await asyncio.gather(
            *(save(store, "CA1", record={"turn": 2}) for _ in range(20)),
            *(store.admit(new_call(f"CB{n}", (f"b{n}",))) for n in range(20)),
            return_exceptions=True,
        )
        own_server.send(signal.SIGCONT)
        await store.ping()

        assert all(isinstance(answer, StoreError) for answer in given_up)
        assert (await stored(store, "CA1")).record == {"turn": 1}
        assert [
            record["call_sid"] for record in (await store.calls(50))[0] if record != {"turn": 1}
        ] == []
        await save(store, "CA1", record={"turn": 3})
        assert (await stored(store, "CA1")).record == {"turn": 3}


async def test_answers_are_not_mixed_up_by_who_leaves_while_the_server_stands_still(
    own_server: RedisServer, clock: JumpClock
) -> None:
    async with open_store(own_server.url, clock) as store:
        await asyncio.gather(*(store.remember(f"k{n}", f"v{n}") for n in range(40)))
        own_server.send(signal.SIGSTOP)
        asked = [asyncio.create_task(store.recall(f"k{n}")) for n in range(40)]
        await asyncio.sleep(0.1)
        for task in asked[::2]:
            task.cancel()
        own_server.send(signal.SIGCONT)
        answers = await asyncio.gather(*asked, return_exceptions=True)

        assert answers[1::2] == [f"v{n}" for n in range(1, 40, 2)]
        assert [await store.recall(f"k{n}") for n in range(40)] == [f"v{n}" for n in range(40)]


async def test_an_admission_whose_caller_left_a_standing_server_leaves_nothing_behind(
    own_server: RedisServer, clock: JumpClock
) -> None:
    async with open_store(own_server.url, clock) as store:
        own_server.send(signal.SIGSTOP)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await store.admit(new_call("CA1"))
        own_server.send(signal.SIGCONT)
        for _ in range(2):
            await store.flush()

        assert await store.get(CallSid("CA1")) is None
        assert await store.admit(new_call("CA2")) == leased("u1")


async def test_a_carrier_that_asks_again_at_once_is_admitted_anew_and_stays(
    redis_server: RedisServer, clock: JumpClock
) -> None:
    async with open_store(redis_server.url, clock) as store:
        for patience in range(8):
            call = f"CA{patience}"
            asking = asyncio.create_task(store.admit(new_call(call, (f"u{patience}",))))
            for _ in range(patience):
                await asyncio.sleep(0)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)

            again = await store.admit(new_call(call, (f"u{patience}",)))
            if asking.cancelled():
                assert again == leased(f"u{patience}")
            for _ in range(2):
                await store.flush()
            assert (await stored(store, call)).user_id == f"u{patience}"
        assert store._undoing == {}  # type: ignore[attr-defined]


# ---------------------------------------------------------------- sent twice, answered once


@pytest.mark.parametrize(
    ("operation", "values"),
    [
        ("use_token", ("digest-of-CA1", 1_000_000.0)),
        ("adopt", ("CA1", "elsewhere:1:1:aaaa", "b:1:1:y", 1_000_099.0, False)),
    ],
)
async def test_a_change_sent_again_says_what_the_first_did(
    redis_server: RedisServer, clock: JumpClock, operation: str, values: tuple[object, ...]
) -> None:
    async with open_store(redis_server.url, clock) as store:
        await store.admit(new_call("CA1"))
        line = store._line  # type: ignore[attr-defined]
        first = await line.change(operation, "nonce", *values)

        assert first
        assert await line.change(operation, "nonce", *values) == first
        assert not await line.change(operation, "another", *values)


async def test_a_claim_sent_again_does_not_take_the_call_back(
    redis_server: RedisServer, clock: JumpClock
) -> None:
    async with open_store(redis_server.url, clock) as store:
        await store.admit(new_call("CA1"))
        line = store._line  # type: ignore[attr-defined]
        await line.change("claim", "nonce", "CA1", "b:1:1:y", clock.time)
        await store.claim(CallSid("CA1"), "c:1:1:z", clock.time)
        await line.change("claim", "nonce", "CA1", "b:1:1:y", clock.time)

        assert (await stored(store, "CA1")).replica == "c:1:1:z"


async def test_an_adoption_sent_again_after_a_claim_has_not_succeeded(
    redis_server: RedisServer, clock: JumpClock
) -> None:
    async with open_store(redis_server.url, clock) as store:
        await store.admit(new_call("CA1"))
        line = store._line  # type: ignore[attr-defined]
        values = ("nonce", "CA1", HERE, "b:1:1:y", clock.time + 99, False)
        assert await line.change("adopt", *values)
        await store.claim(CallSid("CA1"), "c:1:1:z", clock.time + 99)

        assert not await line.change("adopt", *values)


async def test_a_renewal_sent_again_does_not_make_a_spent_token_new(
    redis_server: RedisServer, clock: JumpClock
) -> None:
    async with open_store(redis_server.url, clock) as store:
        await store.admit(new_call("CA1"))
        line = store._line  # type: ignore[attr-defined]
        values = ("nonce", "CA1", "new", clock.time + 60, "<Response/>")
        await line.change("renew_token", *values)
        assert await store.use_token("new", clock.time) is not None
        await line.change("renew_token", *values)

        assert await store.use_token("new", clock.time) is None


async def test_an_order_sent_again_after_it_was_taken_is_not_given_twice(
    redis_server: RedisServer, clock: JumpClock
) -> None:
    async with open_store(redis_server.url, clock) as store:
        await store.admit(new_call("CA1"))
        line = store._line  # type: ignore[attr-defined]
        values = ("nonce", "CA1", "transfer", "{}", clock.time)
        await line.change("order", *values)
        assert len(await store.take_orders(HERE, 0)) == 1
        await line.change("order", *values)

        assert await store.take_orders(HERE, 0) == []


async def test_an_order_whose_answer_was_lost_goes_to_the_new_owner_once_its_taker_looks_again(
    redis_server: RedisServer, clock: JumpClock
) -> None:
    async with open_store(redis_server.url, clock) as store:
        await store.admit(new_call("CA1"))
        await store.order(TRANSFER, clock.time)
        line = store._line  # type: ignore[attr-defined]
        assert await line.change("take_orders", "lost", HERE, None, clock.time)
        await store.claim(CallSid("CA1"), "c:1:1:z", clock.time)
        assert await store.take_orders("c:1:1:z", 0) == []  # it may have arrived
        waiting = asyncio.create_task(store.take_orders("c:1:1:z", 60))
        await asyncio.sleep(0.05)
        assert await store.take_orders(HERE, 0) == []

        assert await asyncio.wait_for(waiting, 10) == [TRANSFER]


async def test_an_admission_is_not_withdrawn_once_the_call_was_claimed(
    redis_server: RedisServer, clock: JumpClock
) -> None:
    async with open_store(redis_server.url, clock) as store:
        line = store._line  # type: ignore[attr-defined]
        for call_sid, claimed in (("CA1", True), ("CA2", False)):
            await store.admit(new_call(call_sid, (f"user-of-{call_sid}",)))
            with redis_server.client() as client:
                nonce = client.hget(f"{{vg}}:call:{call_sid}", "admission")
            if claimed:
                await store.claim(CallSid(call_sid), "c:1:1:z", clock.time)

            assert bool(await line.change("withdraw", nonce, call_sid)) is not claimed
            assert (await store.get(CallSid(call_sid)) is not None) is claimed


async def test_who_gets_a_call_with_orders_is_woken_and_a_wait_does_not_keep_a_flush(
    redis_server: RedisServer, clock: JumpClock
) -> None:
    async with open_store(redis_server.url, clock) as store:
        await store.admit(new_call("CA1"))
        await store.order(TRANSFER, clock.time)
        await store.claim(CallSid("CA1"), "c:1:1:z", clock.time)
        assert "{vg}:bell:c:1:1:z" in keys(redis_server)

        waiting = asyncio.create_task(store.take_orders("b:1:1:y", 60))
        while not store._listening:  # type: ignore[attr-defined]
            await store.ping()
        listening = set(store._listening)  # type: ignore[attr-defined]
        await store.flush()
        assert listening == store._listening  # type: ignore[attr-defined]
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)


@pytest.mark.parametrize("cut", range(1, 9))
async def test_with_every_answer_lost_once_each_order_arrives_once(
    redis_server: RedisServer, clock: JumpClock, cut: int
) -> None:
    async with (
        lossy(redis_server.port, cut) as port,
        open_store(f"redis://127.0.0.1:{port}/0", clock) as store,
    ):
        got: list[Order] = []
        await store.admit(new_call("CA1"))
        assert await store.order(TRANSFER, clock.time)
        got += await store.take_orders(HERE, 0)
        call = await store.claim(CallSid("CA1"), "c:1:1:z", clock.time)
        assert await store.order(TRANSFER, clock.time)
        for replica in (HERE, "c:1:1:z", "c:1:1:z"):
            got += await store.take_orders(replica, 0)

        assert got == [TRANSFER] * 2
        assert call is not None
        assert call.replica == "c:1:1:z"
        with pytest.raises(Fenced):
            await save(store, "CA1")


@asynccontextmanager
async def lossy(server: int, cut: int) -> AsyncIterator[int]:
    """A port that leads to the server and breaks the connection in place of every `cut`-th answer."""
    answers = 0
    lines = asyncio.TaskGroup()

    async def forward(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            sink.write(data)

    async def back(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        nonlocal answers
        while data := await source.read(65536):
            answers += 1
            # never twice in a row: that would be a store that is away, not an answer that is lost
            if answers % (cut + 4) == cut:
                break
            sink.write(data)

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", server)
        there = lines.create_task(forward(reader, inner_writer))
        here = lines.create_task(back(inner_reader, writer))
        await asyncio.wait({there, here}, return_when=asyncio.FIRST_COMPLETED)
        for task in (there, here):
            task.cancel()
        writer.close()
        inner_writer.close()

    async with lines, await asyncio.start_server(connected, "127.0.0.1", 0) as front:
        yield front.sockets[0].getsockname()[1]


async def test_a_save_that_comes_after_a_later_one_changes_nothing(
    redis_server: RedisServer, clock: JumpClock
) -> None:
    async with (
        open_store(redis_server.url, clock) as store,
        open_store(redis_server.url, clock) as heir,
    ):
        await store.admit(new_call("CA1"))
        for turn in (1, 2):
            await save(store, "CA1", record={"turn": turn})
        store._turn = 0  # type: ignore[attr-defined]
        await save(store, "CA1", record={"turn": 1})
        assert (await stored(store, "CA1")).record == {"turn": 2}

        await save(heir, "CA1", record={"turn": 3})
        assert (await stored(store, "CA1")).record == {"turn": 3}


# ---------------------------------------------------------------- what it keeps


async def test_every_key_is_in_one_slot_and_a_prefix_keeps_two_apart(
    redis_server: RedisServer, clock: JumpClock
) -> None:
    async with (
        open_store(redis_server.url, clock) as one,
        open_store(f"{redis_server.url}?prefix=other", clock) as two,
    ):
        for store in (one, two):
            assert await store.admit(new_call("CA1")) == leased("u1")
            await save(store, "CA1")
            await store.keep_user("org", "caller", "ann")  # type: ignore[arg-type]
            await store.remember("key", "value")
            await store.heartbeat(HERE, clock.time, "http://10.0.0.7:8080")
            await store.claim(CallSid("CA1"), HERE, clock.time)
            assert await store.order(TRANSFER, clock.time)
            await store.ping()
    with redis_server.client() as client:
        names = [str(name) for name in client.keys("*")]

    assert {name.partition("}")[0] for name in names} == {"{vg", "{other"}
    # 13 of before, addresses, orders, last-order, order:1, bell, and two nonces that expire
    assert len(names) == 2 * 20


async def test_an_order_leaves_nothing_once_the_next_look_is_made(
    redis_server: RedisServer, clock: JumpClock
) -> None:
    async with open_store(redis_server.url, clock) as store:
        await store.admit(new_call("CA1"))
        before = keys(redis_server)
        await store.order(TRANSFER, clock.time)
        for _ in range(2):
            await store.take_orders(HERE, 0)

        left = keys(redis_server) - before
    with redis_server.client() as client:
        lasting = {name for name in left if client.ttl(name) == -1}
    assert lasting == {"{vg}:last-order"}


def keys(server: RedisServer) -> set[str]:
    with server.client() as client:
        return {str(name) for name in client.keys("*")}


async def test_a_replica_that_is_forgotten_leaves_no_address(
    redis_server: RedisServer, clock: JumpClock
) -> None:
    async with open_store(redis_server.url, clock) as store:
        await store.heartbeat("a:1:1:x", clock.time, "http://a")
        await store.heartbeat("b:1:1:y", clock.time + 2 * 86400, "http://b")
    with redis_server.client() as client:
        assert client.hgetall("{vg}:addresses") == {"b:1:1:y": "http://b"}


async def test_nothing_but_the_call_is_left_of_a_settled_call(
    redis_server: RedisServer, clock: JumpClock
) -> None:
    async with open_store(redis_server.url, clock) as store:
        await store.admit(new_call("CA1"))
        await end(store, "CA1")
        await store.release_user(CallSid("CA1"), HERE)
    with redis_server.client() as client:
        left = {str(name).removeprefix("{vg}:") for name in client.keys("*")}

    scope = '["org","5a9db0c55a9db0c55a9db0c5"]'
    assert left == {
        *("schema", "last-number", "numbers", "replicas", "call:CA1"),
        *(f"used:{scope}", "conversation:conversation-of-CA1"),
    }


async def test_half_a_character_in_a_number_does_not_keep_a_call_out(
    redis_server: RedisServer, clock: JumpClock
) -> None:
    async with open_store(redis_server.url, clock) as store:
        await store.admit(new_call("CA1", route="\ud800", answer="\udfff"))

        call = await stored(store, "CA1")
        assert (call.route, call.answer) == ("\ud800", "\udfff")


# ---------------------------------------------------------------- schema versions


async def test_who_only_looks_writes_nothing(redis_server: RedisServer, clock: JumpClock) -> None:
    with pytest.raises(StoreError, match="no store"):
        async with open_store(redis_server.url, clock, must_exist=True):
            pass

    with redis_server.client() as client:
        assert client.dbsize() == 0


async def test_a_database_of_a_newer_program_is_refused_and_left_alone(
    redis_server: RedisServer, clock: JumpClock
) -> None:
    with redis_server.client() as client:
        client.set("{vg}:schema", 99)

    with pytest.raises(StoreError, match="schema version 99"):
        async with open_store(redis_server.url, clock):
            pass
    with redis_server.client() as client:
        assert client.get("{vg}:schema") == "99"


@pytest.mark.parametrize("version", range(1, len(STEPS)))
async def test_a_database_of_an_older_version_is_brought_to_ours_with_its_calls(
    redis_server: RedisServer, clock: JumpClock, version: int
) -> None:
    async with open_store(redis_server.url, clock) as store:
        await store.admit(new_call("CA1"))
        await save(store, "CA1")
    with redis_server.client() as client:
        # what later versions add is there only once it is used
        client.set("{vg}:schema", version)

    async with open_store(redis_server.url, clock) as store:
        await whole_life_with_owners(store, clock)
    with redis_server.client() as client:
        assert client.get("{vg}:schema") == str(len(STEPS))


async def test_a_later_step_keeps_what_the_database_holds(
    redis_server: RedisServer, clock: JumpClock
) -> None:
    async with open_store(redis_server.url, clock) as store:
        await store.admit(new_call("CA1"))
    step = """
      for _, call in ipairs(redis.call('ZRANGE', root .. 'numbers', 0, -1)) do
        redis.call('HSET', root .. 'call:' .. call, 'tenant', 'us')
      end
    """
    later = (*STEPS, step)
    with redis_server.client() as client:
        for _ in range(2):
            assert client.eval(upgrade_script(later), 1, "{vg}:schema") == len(later)

        assert client.hget("{vg}:call:CA1", "tenant") == "us"
        assert client.get("{vg}:schema") == str(len(later))


# ---------------------------------------------------------------- what a server may refuse, and what is said


async def risks(url: str, clock: JumpClock) -> list[str]:
    async with open_store(url, clock) as store:
        return [risk.what for risk in await store.risks()]


async def test_a_server_that_keeps_nothing_is_a_risk(
    redis_server: RedisServer, clock: JumpClock
) -> None:
    (risk,) = await risks(redis_server.url, clock)

    assert "neither an append-only file nor a replica" in risk


async def test_a_server_that_syncs_every_change_is_none_until_it_may_drop_some(
    own_server: RedisServer, clock: JumpClock
) -> None:
    assert await risks(own_server.url, clock) == []

    with own_server.client() as client:
        client.config_set("appendfsync", "everysec")
        client.config_set("maxmemory", "1gb")
        client.config_set("maxmemory-policy", "allkeys-lru")
    late, drops = await risks(own_server.url, clock)
    assert "appendfsync is everysec" in late
    assert "maxmemory-policy is allkeys-lru" in drops


async def test_a_server_that_takes_no_writes_refuses_and_is_left_as_it_was(
    redis_session: RedisServer, tmp_path: Path, clock: JumpClock
) -> None:
    with running_redis(tmp_path) as server:
        async with open_store(server.url, clock) as store:
            await store.admit(new_call("CA1"))
            with server.client() as client:
                client.replicaof("127.0.0.1", free_port())

            with pytest.raises(StoreError, match=r"READONLY|read only"):
                await store.ping()
            assert (await stored(store, "CA1")).user_id == "u1"
            with server.client() as client:
                client.replicaof("NO", "ONE")
                client.config_set("maxmemory", "1")
            with pytest.raises(StoreError, match="memory"):
                await store.admit(new_call("CA2", ("u2",)))
            with server.client() as client:
                client.config_set("maxmemory", "0")
            for _ in range(2):
                await store.flush()
            assert await store.get(CallSid("CA2")) is None


@pytest.mark.parametrize("user", ["", "gateway"])
async def test_a_password_is_in_no_error_however_it_is_refused(
    redis_server: RedisServer, clock: JumpClock, user: str
) -> None:
    host = f"127.0.0.1:{redis_server.port}"
    password = "canary-" + str(7)  # not as one word: a traceback shows lines of this file
    with pytest.raises(StoreError) as caught:
        async with open_store(f"redis://{user}:{password}@{host}", clock):
            pass

    assert "canary-7" not in "".join(traceback.format_exception(caught.value))
    assert host in str(caught.value)


async def test_a_user_with_a_password_and_few_rights_will_do(
    redis_server: RedisServer, clock: JumpClock
) -> None:
    rules = ("resetkeys", "~{vg}:*", "-@all", "+@read", "+@write", "+@scripting", "+@connection")
    with redis_server.client() as client:
        client.execute_command(
            *("ACL", "SETUSER", "gateway", "on", ">s/cret", *rules, "+time"),
        )
    async with open_store(
        f"redis://gateway:s%2Fcret@127.0.0.1:{redis_server.port}", clock
    ) as store:
        assert await store.admit(new_call("CA1")) == leased("u1")
        (risk,) = await store.risks()

    assert "not known" in risk.what


async def test_a_server_is_believed_by_its_certificate_only(
    tmp_path: Path, clock: JumpClock
) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    words = (
        "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=x -addext subjectAltName=IP:127.0.0.1"
    )
    files = ("-keyout", str(key), "-out", str(certificate))
    made = await asyncio.create_subprocess_exec("openssl", *words.split(), *files, stderr=-3)
    assert await made.wait() == 0
    port = free_port()
    tls = ("--tls-port", str(port), "--tls-cert-file", str(certificate), "--tls-key-file", str(key))
    with running_redis(tmp_path, *tls, "--tls-auth-clients", "no"):
        url = f"rediss://127.0.0.1:{port}"
        async with open_store(f"{url}?ca={certificate}", clock) as store:
            await store.ping()
        with pytest.raises(StoreError, match="certificate"):
            async with open_store(url, clock):
                pass


async def test_a_node_of_a_cluster_that_does_not_hold_our_keys_says_so(
    tmp_path: Path, clock: JumpClock
) -> None:
    # its second port is 10000 above the first, unless told: there may be none
    cluster = ("--cluster-enabled", "yes", "--cluster-port", str(free_port()))
    with running_redis(tmp_path, *cluster) as server:
        with pytest.raises(StoreError, match="Cluster"):
            async with open_store(server.url, clock):
                pass
        with server.client() as client:
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
        for _ in range(150):
            with server.client() as client:
                if "cluster_state:ok" in str(client.execute_command("CLUSTER INFO")):
                    break
            await asyncio.sleep(0.1)
        async with open_store(server.url, clock) as store:
            await whole_life(store)


async def whole_life(store: CallStore) -> None:
    """One call through the operations that touch most keys."""
    assert await store.admit(new_call("CA1")) == leased("u1")
    assert await store.use_token("digest-of-CA1", 0.0) is not None
    await save(store, "CA1")
    assert await store.admit(new_call("CA2")) == NoUserFree()
    await end(store, "CA1")
    assert await store.admit(new_call("CA2")) == leased("u1")


async def test_too_many_waiting_requests_are_refused_at_once(
    redis_server: RedisServer, clock: JumpClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.store.redis.MAX_WAITING", 3)
    async with open_store(redis_server.url, clock) as store:
        answers = await asyncio.gather(
            *(store.remember(f"k{n}", "v") for n in range(5)), return_exceptions=True
        )

        assert [str(answer) for answer in answers if answer] == ["the store is overloaded"] * 2
        await store.ping()


async def test_a_cancellation_is_never_lost(redis_server: RedisServer, clock: JumpClock) -> None:
    """At whichever step of a request it comes; the connections are at different steps themselves."""
    async with open_store(redis_server.url, clock) as store:
        await store.admit(new_call("CA1"))
        for steps in range(300):
            asking = asyncio.create_task(store.get(CallSid("CA1")))
            saving = asyncio.create_task(save(store, "CA1"))
            for _ in range(steps % 30):
                await asyncio.sleep(0)
            for task in (asking, saving):
                refused = task.done()
                task.cancel()
                await asyncio.wait([task])
                assert task.cancelled() or refused, (steps, task)


async def test_a_connection_that_closes_under_a_write_is_tried_again(
    redis_server: RedisServer, clock: JumpClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """uvloop, which serves calls, does not call that a connection error."""
    closed = RuntimeError(f"unable to perform operation on <TCPTransport>; {UVLOOP_CLOSED}")
    failures = [closed]
    sent = Connection.send_packed_command

    async def send(self: Connection, *words: object, **options: object) -> None:
        if failures:
            raise failures.pop()
        await sent(self, *words, **options)  # type: ignore[arg-type]

    async with open_store(redis_server.url, clock) as store:
        await store.admit(new_call("CA1"))
        monkeypatch.setattr(Connection, "send_packed_command", send)
        assert (await stored(store, "CA1")).user_id == "u1"
    assert failures == []


async def test_a_clock_that_is_days_off_does_not_make_others_forget_who_has_a_call(
    redis_server: RedisServer, clock: JumpClock
) -> None:
    there, days = "there:1:1:t", 2 * 86400.0
    async with open_store(redis_server.url, clock) as store:
        await store.heartbeat(HERE, clock.time, "http://here")
        await store.admit(new_call("CA1"))
        for wrong in (clock.time + days, 0.0):
            await store.heartbeat(there, wrong, "http://there")
            assert await store.address_of(HERE, None) == "http://here"

        await end(store, "CA1")
        await store.heartbeat(there, clock.time + days, "http://there")
        assert await store.address_of(HERE, None) is None, "nobody asks for it any more"
