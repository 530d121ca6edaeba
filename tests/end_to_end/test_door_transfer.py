"""A transfer leaves the call to the carrier: the stream is closed, nobody is hung up."""

from __future__ import annotations

from pathlib import Path

from gateway.call import events as ev
from tests.end_to_end.door_kit import open_house


async def test_the_stream_is_closed_after_a_word_and_the_call_lives_on(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house, house.on_the_line() as stream:
        await house.listening(stream.call_sid)
        bridge = house.gateway.switchboard.find(stream.call_sid)
        assert bridge is not None
        before = stream.sound_heard

        bridge.feed(ev.TransferRequested("+15550003333"))

        assert (await house.record(stream.call_sid))["status"] == "transferring"
        assert await stream.ends() == 1000
        assert stream.sound_heard - before > 8000, "a second of our own words"
        record = await house.settled(stream.call_sid)
        assert (record["end_reason"], record["transfer_to"]) == ("transfer", "+15550003333")
        assert record["conversation_state"] == "finished"
        assert sum((await house.finishes()).values()) == 1
        assert house.rest.requests == []
