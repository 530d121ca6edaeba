"""Redis hangs or dies while callers talk: they talk on, nobody new is let in, and nothing stays owed."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.end_to_end.door_carrier import eventually, new_call_sid
from tests.reliability.callers import answered_again, hung_up, on_the_line
from tests.reliability.field import open_field
from tests.support.redis_server import RedisServer

CALLS = 6

Act = Callable[[RedisServer], None]


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("take_away", "give_back"),
    [
        pytest.param(
            lambda redis: redis.send(signal.SIGSTOP),
            lambda redis: redis.send(signal.SIGCONT),
            id="hangs",
        ),
        pytest.param(
            lambda redis: redis.end(signal.SIGKILL), lambda redis: redis.start(), id="dies"
        ),
    ],
)
async def test_calls_go_on_without_redis_and_what_is_owed_is_written_later(
    tmp_path: Path, redis_server: RedisServer, take_away: Act, give_back: Act
) -> None:
    env = {"GATEWAY_STORE_URL": redis_server.url}
    async with open_field(tmp_path, users=CALLS + 1, env=env) as field:
        replica = await field.start()
        async with on_the_line(field, CALLS) as (phones, calls):
            take_away(redis_server)
            # longer than a lease lasts: nobody may conclude that these calls are nobody's
            await answered_again(phones, 120.0, times=5)
            assert (await field.carrier(replica).voice(new_call_sid())).busy
            assert await replica.readiness(field.http) == 503
            # their ends can only be written later
            early = await hung_up((phones[:2], calls[:2]))
            await answered_again(phones[2:], 60.0)
            give_back(redis_server)

            async def ready() -> bool:
                return await replica.readiness(field.http) == 200

            await eventually(ready, 60.0, "readiness")
            await answered_again(phones[2:], 60.0)
            late = await hung_up((phones[2:], calls[2:]))
        ledger = await field.all_finished(CALLS)
        assert sorted(ledger.finished.values()) == [1] * CALLS, ledger.refused
        assert len(ledger.conversations) == CALLS
        assert ledger.violations == {}
        for result in (*early, *late):
            assert result.reconnects == ()
            record = await replica.settled(field.http, result.call_sid)
            assert record["end_reason"] == "caller-hangup"
        replica.process.signal(signal.SIGTERM)
        assert await replica.process.exit_status(60.0) == 0, "nothing owed"
