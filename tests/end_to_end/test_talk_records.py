"""What is left of a call: its stereo recording and its record."""

from __future__ import annotations

from pathlib import Path

from tests.end_to_end.talk_sounds import loud_ms, read_stereo, says, share_heard
from tests.end_to_end.talking import a_house, both_revisions


@both_revisions
async def test_the_recording_has_the_caller_left_and_the_agent_right(
    tmp_path: Path, revision: str
) -> None:
    recordings = tmp_path / "recordings"
    async with a_house(tmp_path, revision, GATEWAY_RECORDINGS_DIR=str(recordings)) as house:
        house.expect("goodbye")
        call = await house.call(says("goodbye"))
    left, right = read_stereo(recordings / f"{call.result.call_sid}.wav")

    assert share_heard(call.said, left) > 0.95
    assert share_heard(call.heard, right) > 0.95
    assert share_heard(call.heard, left) < 0.1
    assert share_heard(call.said, right) < 0.1
    assert len(left) == len(right) >= len(call.said) - 4000
    assert sorted(path.name for path in recordings.iterdir()) == [f"{call.result.call_sid}.wav"]


async def test_what_an_interruption_cut_off_is_not_on_the_recording(tmp_path: Path) -> None:
    recordings = tmp_path / "recordings"
    async with a_house(tmp_path, voice_ms=60, GATEWAY_RECORDINGS_DIR=str(recordings)) as house:
        house.expect("goodbye")
        call = await house.call(says("goodbye", interrupts=True))
    _, right = read_stereo(recordings / f"{call.result.call_sid}.wav")

    assert call.turn("greeting")["interrupted"]
    assert share_heard(call.heard, right) > 0.95
    assert loud_ms(right) <= call.heard_ms + 200


@both_revisions
async def test_the_record_is_listed_and_says_when_who_and_how(
    tmp_path: Path, revision: str
) -> None:
    async with a_house(tmp_path, revision) as house:
        house.expect("goodbye")
        call = await house.call(says("goodbye"))
        async with house.stack.http.get(f"{house.stack.target.connect_to}/v1/calls") as answer:
            listed = (await answer.json())["calls"]

    assert [one["call_sid"] for one in listed] == [call.result.call_sid]
    record = call.record
    assert (record["from"], record["to"]) == ("+15550001111", "+15550002222")
    assert record["stream_sid"] == call.result.stream_sids[0]
    assert record["started_at"] <= record["answered_at"] <= record["ended_at"]
    assert record["user_id"] == "sandbox-caller"


@both_revisions
async def test_what_the_api_stored_follows_into_the_record(tmp_path: Path, revision: str) -> None:
    async with a_house(tmp_path, revision) as house:
        house.expect("an appointment for Oscar", "goodbye")
        call = await house.call(says("young-man"), says("goodbye"))
        sid = call.result.call_sid
        record = await house.stack.until(sid, lambda one: one["transcript_state"] == "fetched")

    told = [(line["kind"], line["voice"], line["text"]) for line in record["transcript"]]
    assert told[0][0] == "agent-message"
    assert ("user-message", True, "an appointment for Oscar") in told
    assert told[-1] == ("agent-message", True, "All right, no appointment then. Goodbye.")
    spoken = {turn["user_message_id"] for turn in record["turns"]} - {None}
    assert spoken <= {line["message_id"] for line in record["transcript"]}
