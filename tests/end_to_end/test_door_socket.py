"""The media socket: who gets through the upgrade, what `start` must say, and one stream per call."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.door_carrier import Carrier, eventually, new_call_sid
from tests.end_to_end.door_kit import House, open_house
from tests.end_to_end.door_stream import WEASELS
from tests.support.stack import PUBLIC


async def is_untouched(house: House, sid: str) -> None:
    """The call waits for its stream as if nothing had happened."""
    assert (await house.record(sid))["status"] == "ringing"
    url = (await house.carrier.voice(sid)).stream_url
    async with house.socket(url, sid) as stream:
        await stream.start()
        await stream.hears()
        await stream.stop()
    await house.settled(sid)


# ---------------------------------------------------------------- before the upgrade


@pytest.mark.parametrize("signature", [None, "", "c29tZXRoaW5nIGVsc2UgZW50aXJlbHk=", "https"])
async def test_a_socket_the_carrier_did_not_sign_is_refused_and_its_token_stays_good(
    tmp_path: Path, signature: str | None
) -> None:
    async with open_house(tmp_path) as house:
        sid, url = await house.answered()
        if signature == "https":  # right in every letter but the scheme's
            signature = house.carrier.sign(url.replace("wss://", "https://", 1))

        assert await house.carrier.refusal(url, signature=signature) == 403
        await is_untouched(house, sid)


async def test_a_socket_signed_with_another_secret_is_refused(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        sid, url = await house.answered()
        stranger = Carrier(house.http, house.carrier.reached_at, token="f" * 32)

        assert await stranger.refusal(url) == 403
        await is_untouched(house, sid)


@pytest.mark.parametrize("token", ["unknown", "x" * 5000, "%00", "a%2Fb", "..%2F..%2Fx"])
async def test_a_token_nobody_was_given_is_refused_although_it_is_signed(
    tmp_path: Path, token: str
) -> None:
    async with open_house(tmp_path) as house:
        url = f"wss{PUBLIC.removeprefix('https')}/twilio/media/{token}"

        assert await house.carrier.refusal(url) in {403, 404}
        assert await house.conversations() == []


async def test_a_token_opens_one_socket_even_when_two_knock_at_once(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        sid, url = await house.answered()
        statuses = await asyncio.gather(*(house.carrier.refusal(url) for _ in range(4)))

        assert sorted(statuses) == [101, 403, 403, 403]
        assert await house.carrier.refusal(url) == 403
        await house.carrier.status(sid)


async def test_a_token_older_than_its_life_is_refused(tmp_path: Path) -> None:
    async with open_house(tmp_path, token_seconds=0.4) as house:
        sid, url = await house.answered()
        await asyncio.sleep(0.45)

        assert await house.carrier.refusal(url) == 403
        assert (await house.settled(sid))["end_reason"] == "no-media"


async def test_the_token_of_an_ended_call_is_refused(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        sid, url = await house.answered()
        await house.carrier.status(sid, "no-answer")

        assert await house.carrier.refusal(url) == 403
        assert (await house.settled(sid))["end_reason"] == "caller-hangup"


async def test_a_plain_request_does_not_spend_the_token(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        sid, url = await house.answered()
        headers = {"X-Twilio-Signature": house.carrier.sign(url)}
        plain = str(house.carrier.reach(url))
        async with house.http.get(plain, headers=headers) as answer:
            assert answer.status == 400
        await is_untouched(house, sid)


async def test_a_client_that_offers_compression_is_answered_without(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        sid, url = await house.answered()
        headers = {"x-twilio-signature": house.carrier.sign(url), "X-Something": "else"}
        async with house.http.ws_connect(
            house.carrier.reach(url), headers=headers, compress=15
        ) as ws:
            assert not ws.compress
        await house.carrier.status(sid)


# ---------------------------------------------------------------- start


STRANGERS: dict[str, dict[str, Any]] = {
    "another call": {"callSid": new_call_sid()},
    "another account": {"accountSid": f"AC{'9' * 32}"},
}


@pytest.mark.parametrize("who", STRANGERS)
async def test_a_start_that_names_somebody_else_is_closed_with_1008(
    tmp_path: Path, who: str
) -> None:
    async with open_house(tmp_path) as house:
        sid, url = await house.answered()
        async with house.socket(url, sid) as stream:
            await stream.start(**STRANGERS[who])

            assert await stream.ends() == 1008
            assert stream.received == []
        assert await house.carrier.refusal(url) == 403, "the token is spent"
        assert len(await house.conversations()) == 1
        assert await house.media_errors("foreign-start") == 1
        await house.carrier.connected(sid)


async def test_a_socket_without_start_is_closed_after_five_seconds(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        sid, url = await house.answered()
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with house.socket(url, sid) as stream:
            await stream.send({"event": "connected", "protocol": "Call", "version": "1.0.0"})

            assert await stream.ends() == 1008
            assert 4.5 < loop.time() - began < 8
            assert stream.received == []
        # the carrier asks what is next; the caller never had a stream, and is told so by its voice
        assert (await house.carrier.connected(sid)).verbs == ["Say", "Hangup"]
        assert (await house.settled(sid))["end_reason"] == "no-media"


LENIENT: dict[str, dict[str, Any]] = {
    "without account": {"accountSid": None},
    "without tracks and parameters": {"tracks": None, "customParameters": None},
    "without media format": {"mediaFormat": None},
    "format as strings": {
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": "8000", "channels": "1"}
    },
    "unknown fields": {"tomorrow": {"a": [1, None]}, "customParameters": {"n": 7}},
}


@pytest.mark.parametrize("how", LENIENT)
async def test_a_start_that_leaves_out_what_we_can_do_without_is_taken(
    tmp_path: Path, how: str
) -> None:
    async with open_house(tmp_path) as house:
        sid, url = await house.answered()
        async with house.socket(url, sid) as stream:
            await stream.start(**LENIENT[how])
            await stream.hears()
            await stream.stop()


async def test_a_stream_without_connected_and_with_a_uuid_for_a_name_is_taken(
    tmp_path: Path,
) -> None:
    async with open_house(tmp_path) as house:
        sid, url = await house.answered()
        async with house.socket(url, sid) as stream:
            stream.sid = "0e9a1f4e-95a5-4a0c-8b1f-7f9f8ad3a2c1"
            message = stream.start_message()
            del message["streamSid"]
            await stream.send(message)
            await stream.hears()
            assert (await house.record(sid))["stream_sid"] == stream.sid
            await stream.stop()


UNDECODABLE: dict[str, Any] = {
    "another codec": {"encoding": "audio/opus", "sampleRate": 8000, "channels": 1},
    "another rate": {"encoding": "audio/x-mulaw", "sampleRate": 16000, "channels": 1},
    "stereo": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 2},
    "nonsense": {"encoding": 7, "sampleRate": "fast", "channels": None},
    "no object": "audio/x-mulaw",
}


@pytest.mark.parametrize("name", UNDECODABLE)
async def test_sound_we_cannot_decode_is_refused_and_the_carrier_apologises_for_us(
    tmp_path: Path, name: str
) -> None:
    async with open_house(tmp_path) as house:
        sid, url = await house.answered()
        async with house.socket(url, sid) as stream:
            await stream.start(mediaFormat=UNDECODABLE[name])

            assert await stream.ends() == 1003
            assert stream.received == []
        answer = await house.carrier.connected(sid)
        assert answer.verbs == ["Say", "Hangup"]
        assert "sorry" in str(answer.root[0].text)
        assert (await house.carrier.connected(sid)).verbs == ["Say", "Hangup"], "asked twice"
        record = await house.settled(sid)
        assert (record["end_reason"], record["status"]) == ("no-media", "failed")
        assert await house.media_errors("undecodable-format") == 1


async def test_a_start_that_comes_after_the_call_has_ended_is_sent_away(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        sid, url = await house.answered()
        async with house.socket(url, sid) as stream:
            await house.carrier.status(sid)
            await stream.start()

            assert await stream.ends(3.0) == 1000
            assert stream.received == []


# ---------------------------------------------------------------- one stream per call


async def test_a_second_stream_takes_over_and_the_talk_goes_on(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        async with house.on_the_line() as first:
            sid = first.call_sid
            await first.hears()
            url = (await house.carrier.voice(sid)).stream_url
            async with house.socket(url, sid) as second:
                await second.start()
                assert await first.ends() == 1000
                assert await house.carrier.refusal(url) == 403
                await house.listening(sid)
                # what the old stream still brings is nobody's
                await second.say(WEASELS)
                record = await house.until(sid, lambda record: len(record["turns"]) == 2)
                assert record["stream_sid"] == second.sid
                heard = second.sound_heard
                await eventually(lambda: second.sound_heard > heard)
                await second.stop()
        record = await house.settled(sid)
        assert record["end_reason"] == "caller-hangup"
        assert [turn["kind"] for turn in record["turns"]] == ["greeting", "voice"]
        assert len(await house.conversations()) == 1


async def test_a_new_stream_does_not_wait_for_an_old_one_that_is_dead(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        sid, url = await house.answered()
        async with house.dead_line(url, sid):
            second_url = (await house.carrier.voice(sid)).stream_url
            async with house.socket(second_url, sid) as second:
                await second.start()
                await house.until(sid, lambda record: record["stream_sid"] == second.sid, 1.5)
                await house.listening(sid)
                await second.say(WEASELS)
                await house.until(sid, lambda record: len(record["turns"]) == 2)
                await second.stop()
