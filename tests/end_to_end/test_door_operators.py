"""What operators, load balancers and the log see of calls, and what they must never see."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.end_to_end.door_carrier import eventually
from tests.end_to_end.door_kit import House, open_grounds, open_house
from tests.end_to_end.door_stream import GOODBYE
from tests.support.stack import TOKEN

FIELDS = {
    "call_sid",
    "stream_sid",
    "direction",
    "from",
    "to",
    "route",
    "organization",
    "service_id",
    "user_id",
    "conversation_id",
    "status",
    "end_reason",
    "started_at",
    "answered_at",
    "ended_at",
    "conversation_state",
    "replica",
    "turns",
    "events",
}
STATUSES = ("ringing", "greeting", "listening", "uploading", "thinking", "speaking")


async def listed(house: House) -> list[str]:
    async with house.http.get(f"{house.target.connect_to}/v1/calls") as answer:
        assert answer.status == 200
        return [call["call_sid"] for call in (await answer.json())["calls"]]


async def test_a_live_call_can_be_watched_from_ringing_to_its_end(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        sid, url = await house.answered()
        ringing = await house.record(sid)
        assert set(ringing) >= FIELDS
        assert (ringing["status"], ringing["answered_at"]) == ("ringing", None)
        seen: list[str] = []

        def watch() -> bool:
            record = house.gateway.switchboard.live_record(sid)
            if record is not None and (not seen or seen[-1] != record["status"]):
                seen.append(str(record["status"]))
            return record is None

        watching = asyncio.create_task(eventually(watch, 20.0))
        async with house.socket(url, sid) as stream:
            await stream.start()
            await house.listening(sid)
            await stream.say(GOODBYE)
            await house.until(sid, lambda record: len(record["turns"]) == 2)
            live = await house.listening(sid)
            assert live["stream_sid"] == stream.sid
            assert live["conversation_state"] == "open"
            assert await listed(house) == [sid]
            await stream.stop()
        await watching
        ended = await house.settled(sid)

        for status in STATUSES:
            assert status in seen, seen
        assert ended["status"] == "completed"
        assert ended["started_at"] <= ended["answered_at"] <= ended["ended_at"]
        assert [turn["index"] for turn in ended["turns"]] == [0, 1]


async def test_the_numbers_follow_a_call(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        assert await house.metric("calls_active") == 0
        async with house.on_the_line() as stream:
            await house.listening(stream.call_sid)
            assert await house.metric("calls_active") == 1
            assert await house.metric("conversations_open") == 1
            await stream.stop()
        await eventually(lambda: house.gateway.switchboard.find(stream.call_sid) is None)

        assert await house.metric("calls_active") == 0
        assert await house.metric("conversations_open") == 0
        ended = {"direction": "inbound", "end_reason": "caller-hangup"}
        assert await house.metric("calls_total", **ended) == 1
        assert await house.metric("frames_total", direction="in") > 5
        assert await house.metric("frames_total", direction="out") > 5
        created = {"operation": "create", "status": "201"}
        assert await house.metric("amigo_requests_total", **created) == 1


@pytest.mark.parametrize("level", ["info", "debug"])
async def test_the_log_names_the_call_and_gives_nothing_away(tmp_path: Path, level: str) -> None:
    numbers = {"From": "+15558675309", "To": "+15552368000", "CallerName": "Ada Quill"}
    async with open_grounds(tmp_path, env={"LOG_LEVEL": level}) as grounds:
        async with grounds.served() as (house, process):
            sid, url = await house.answered(**numbers)
            async with house.socket(url, sid) as stream:
                await stream.start()
                await house.listening(sid)
                await stream.say(GOODBYE)
                await house.until(
                    sid, lambda r: len(r["turns"]) == 2 and r["turns"][1]["agent_text"]
                )
                for rubbish in ("Ada Quill", '{"event":"Ada Quill"}'):
                    await stream.send(rubbish)
                await house.carrier.refusal(url)
                await stream.stop()
            record = await house.settled(sid)
            ended = await eventually(lambda: process.logged("call.ended"))
        log = process.log.read_text()

        assert [line["call_sid"] for line in ended] == [sid]
        assert [line["conversation_id"] for line in ended] == [record["conversation_id"]]
        token = url.rpartition("/")[2]
        secrets = [TOKEN, 'sandbox-key"', token, "5558675309", "5552368000", "Bearer", "eyJ"]
        assert [secret for secret in secrets if secret in log] == []
        if level == "info":
            said = [record["turns"][1]["user_text"], record["turns"][1]["agent_text"], "Ada Quill"]
            assert [text for text in said if text in log] == []


async def test_the_answer_of_the_record_is_not_for_everybody(tmp_path: Path) -> None:
    async with open_house(tmp_path, env={"GATEWAY_ADMIN_TOKEN": "a-long-admin-token"}) as house:
        url = f"{house.target.connect_to}/v1/calls"
        for headers, status in (
            ({}, 401),
            ({"Authorization": "Bearer wrong"}, 401),
            ({"Authorization": "Bearer a-long-admin-token"}, 200),
        ):
            async with house.http.get(url, headers=headers) as answer:
                assert answer.status == status
