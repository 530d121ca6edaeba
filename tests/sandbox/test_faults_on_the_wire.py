"""Checklist A: injected faults (29), what an error event voids (30), and what each leaves behind."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator

import aiohttp
import pytest

from gateway.sandbox.faults import parse_fault
from gateway.sandbox.sound import decode_mp3
from gateway.sandbox.wav import read_wav
from tests.sandbox.house import open_house, recording

REVISIONS = pytest.mark.parametrize("revision", ["2025-06", "2026-04"])


def house_with(*faults: str, revision: str = "2025-06", **options):
    return open_house(revision, faults=tuple(parse_fault(fault) for fault in faults), **options)


@pytest.mark.parametrize("status", [401, 408, 409, 429, 500, 503])
async def test_A29_an_operation_can_be_refused_with_any_status_a_number_of_times(status):
    async with house_with(f"interact-{status}=1:2") as house:
        guest = await house.caller()
        conversation = await guest.begin()
        statuses = [(await guest.say(conversation, "hello")).status for _ in range(3)]

        assert statuses == [status, status, 200]
        assert len(await guest.messages(conversation)) == 3


async def test_A29_a_429_says_how_long_to_wait():
    async with house_with("create-429=1:1@2500") as house:
        assert (await (await house.caller()).create()).headers["Retry-After"] == "3"


async def test_A29_status_alone_strikes_every_operation():
    async with house_with("status-503=1:2") as house:
        guest = house.guest()

        assert (await guest.sign_in()).status == 503
        assert (await guest.ask("GET", "/v1/openapi.json")).status == 503
        assert (await guest.sign_in()).status == 200


async def test_A29_a_refused_upload_need_not_be_complete():
    async def endless() -> AsyncIterator[bytes]:
        yield b"RIFF"
        await asyncio.Event().wait()

    async with house_with("interact-429=1:1") as house:
        guest = await house.caller()

        assert (await guest.speak(await guest.begin(), endless())).status == 429


@REVISIONS
@pytest.mark.parametrize("fault", ["error-before", "error-mid"])
async def test_A30_an_error_before_completion_voids_the_interaction(revision, fault):
    async with house_with(f"interact-{fault}=1:1", revision=revision) as house:
        guest = await house.caller()
        conversation = await guest.begin()
        failed = await guest.say(conversation, "first", answer="voice")
        again = await guest.say(conversation, "second")

        assert failed.status == 200
        assert failed.types[-1] == "error"
        assert ("new-message" in failed.types) == (fault == "error-mid")
        assert not failed.of("interaction-complete")
        assert again.status == 200
        told = [m["message"] for m in await guest.messages(conversation)]
        assert "first" not in told
        assert "second" in told


@REVISIONS
async def test_A30_an_error_after_completion_leaves_it_stored_and_owed_one_finish(revision):
    async with house_with("interact-error-after=1:1", revision=revision) as house:
        guest = await house.caller()
        conversation = await guest.begin()
        answer = await guest.say(conversation, "hello")

        assert answer.types[-1] == "error"
        assert answer.of("interaction-complete")
        assert len(await guest.messages(conversation)) == 3
        assert [item["is_finished"] for item in await guest.listed()] == [True]
        assert (await guest.say(conversation, "more")).status == 409
        assert await guest.finish(conversation) == 204
        assert await guest.finish(conversation) == 409


async def test_A30_a_create_that_failed_leaves_no_conversation():
    async with house_with("create-error-before=1:1") as house:
        guest = await house.caller()
        failed = await guest.create()

        assert failed.types == ["conversation-created", "error"]
        assert await guest.listed() == []
        assert (await guest.create()).status == 201


async def test_A30_a_create_that_failed_may_also_leave_an_empty_conversation():
    async with house_with("create-error-before=1:1", failed_create="keep") as house:
        guest = await house.caller()
        failed = await guest.create()

        assert (await guest.create()).status == 400
        assert await guest.finish(failed.conversation_id) == 204


async def test_cut_create_breaks_the_connection_but_not_the_conversation():
    async with house_with("cut-create=1:1") as house:
        guest = await house.caller()
        answer = await guest.create()
        [left] = await guest.idle()

        assert answer.broken
        assert answer.types == ["conversation-created"]
        assert not left["finished"]
        assert len(left["messages"]) == 1


@pytest.mark.parametrize(
    ("fault", "pieces"), [("interact-cut-before-reply", 0), ("interact-cut-mid-reply", 2)]
)
async def test_a_cut_reply_breaks_off_and_is_stored_nevertheless(fault, pieces):
    async with house_with(f"{fault}=1:1") as house:
        guest = await house.caller()
        conversation = await guest.begin()
        answer = await guest.say(conversation, "hello", answer="voice")
        [left] = await guest.idle()

        assert answer.broken
        assert len(answer.of("new-message")) <= pieces
        assert len(left["messages"]) == 3


async def test_a_cut_reply_is_rolled_back_under_that_policy():
    async with house_with("interact-cut-mid-reply=1:1", on_disconnect="rollback") as house:
        guest = await house.caller()
        await guest.say(await guest.begin(), "hello", answer="voice")

        assert len((await guest.idle())[0]["messages"]) == 1


async def test_eof_early_is_a_clean_end_without_completion():
    async with house_with("interact-eof-early=1:1") as house:
        guest = await house.caller()
        conversation = await guest.begin()
        answer = await guest.say(conversation, "hello", answer="voice")

        assert not answer.broken
        assert answer.types == ["user-message-available", "new-message"]
        assert len(await guest.messages(conversation)) == 1


async def test_truncated_line_ends_inside_a_line():
    async with house_with("interact-truncated-line=1:1") as house:
        guest = await house.caller()
        answer = await guest.say(await guest.begin(), "hello", answer="voice")
        *whole, torn = answer.body.split(b"\n")

        assert [json.loads(line)["type"] for line in whole][-1] == "new-message"
        with pytest.raises(ValueError, match="Unterminated"):
            json.loads(torn)


async def test_huge_line_exceeds_a_mebibyte():
    async with house_with("huge-line=1") as house:
        answer = await (await house.caller()).create("voice")

        assert max(len(line) for line in answer.body.split(b"\n")) > 2**20


async def test_malformed_line_stands_between_good_ones():
    async with house_with("create-malformed-line=1") as house:
        body = (await (await house.caller()).create("voice")).body
        good, bad = [], []
        for line in body.splitlines():
            try:
                good.append(json.loads(line))
            except ValueError:
                bad.append(line)

        assert len(bad) == 1
        assert good[-1]["type"] == "interaction-complete"


async def test_unknown_events_actions_and_fields_come_along():
    faults = ("unknown-event=1", "unknown-action=1", "extra-fields=1")
    async with house_with(*faults, revision="2026-04") as house:
        answer = await (await house.caller()).create("voice")

        assert answer.of("weather-report")
        assert "consult-the-stars" in [
            e["action"]["type"] for e in answer.of("current-agent-action")
        ]
        assert all("x_trace" in event for event in answer.events)


async def test_lines_may_end_in_crlf_with_blanks_and_the_last_in_nothing():
    async with house_with("crlf=1", "no-final-newline=1") as house:
        answer = await (await house.caller()).create()

        assert b"\r\n\r\n" in answer.body
        assert not answer.body.endswith(b"\n")
        assert answer.events[-1]["type"] == "interaction-complete"


async def test_odd_pieces_add_up_to_the_same_sound():
    async with open_house() as plain, house_with("odd-pieces=1") as odd:
        whole = (await (await plain.caller()).create("voice")).sound
        answer = await (await odd.caller()).create("voice")
        sizes = [len(base64.b64decode(event["message"])) for event in answer.of("new-message")]

        assert answer.sound == whole
        assert all(size % 2 for size in sizes[:-1])


async def test_empty_piece_is_the_last_one():
    async with house_with("empty-piece=1") as house:
        pieces = (await (await house.caller()).create("voice")).of("new-message")

        assert pieces[-1]["message"] == ""
        assert [piece["stop"] for piece in pieces].count(True) == 1
        assert pieces[-1]["stop"]


async def test_alignment_can_come_reversed_or_sparse():
    async with (
        house_with("reversed-alignment=1") as turned,
        house_with("sparse-alignment=1") as thin,
    ):
        first = (await (await turned.caller()).create("voice")).of("new-message")
        second = (await (await thin.caller()).create("voice")).of("new-message")

        assert first[0]["transcript_alignment"][0] == ["H", 0]
        assert "transcript_alignment" not in second[1]
        assert second[2]["transcript_alignment"] is None


async def test_slow_drip_cuts_lines_anywhere():
    async with house_with("create-slow-drip=1@2") as house:
        answer = await (await house.caller()).create("voice")

        assert len(answer.arrivals) > 2 * len(answer.events)
        assert answer.types[-1] == "interaction-complete"


@pytest.mark.parametrize(
    "fault", ["stall-think=1:1@300", "late-create=1:1@300", "late-eof=1:1@300"]
)
async def test_slow_faults_last_as_long_as_asked(fault):
    async with house_with(fault) as house:
        guest = await house.caller()
        await guest.create()
        entry = await guest.last("create")

        assert entry["done_ms"] >= 290
        assert entry["faults"] == [fault.partition("=")[0]]


async def test_late_finish_keeps_the_conversation_busy():
    async with house_with("late-finish=1:1@300") as house:
        guest = await house.caller()
        conversation = await guest.begin()
        first = asyncio.create_task(guest.finish(conversation))
        await guest.busy()
        second = await guest.finish(conversation)

        assert (await first, second) == (204, 409)


async def test_a_filler_is_a_16_khz_wav_before_the_first_piece():
    async with house_with("create-filler=1@10", revision="2026-04") as house:
        answer = await (await house.caller()).create("voice")
        actions = [event["action"] for event in answer.of("current-agent-action")]
        pcm, rate = read_wav(base64.b64decode(actions[-1]["filler"]))

        assert actions[-1]["type"] == "action-too-long"
        assert rate == 16000
        assert len(pcm) > 8000
        assert answer.types.index("new-message") > answer.types.index("current-agent-action")


async def test_a_filler_may_be_text():
    async with house_with("create-filler-text=1@10", revision="2026-04") as house:
        answer = await (await house.caller()).create("voice")

        assert answer.of("current-agent-action")[-1]["action"]["filler"] == "One moment, please."


async def test_faults_can_be_replaced_while_the_sandbox_runs():
    async with house_with("create-500=1") as house:
        guest = await house.caller()
        before = (await guest.create()).status
        set_ = await guest.ask("POST", "/_sandbox/faults", json={"faults": ["finish-409=1:1"]})
        conversation = await guest.begin()

        assert before == 500
        assert set_.json == {"faults": [{"rule": "finish-409=1:1", "struck": 0}]}
        assert [await guest.finish(conversation), await guest.finish(conversation)] == [409, 204]
        shown = (await guest.ask("GET", "/_sandbox/faults")).json
        assert shown == {"faults": [{"rule": "finish-409=1:1", "struck": 1}]}


@pytest.mark.parametrize("body", [b"", b"[]", b'{"faults": ["nonsense"]}', b'{"faults": 5}'])
async def test_wrong_faults_are_refused_and_change_nothing(body):
    async with house_with("create-500=1") as house:
        guest = await house.caller()
        answer = await guest.ask("POST", "/_sandbox/faults", data=body)

        assert answer.status == 422
        assert (await guest.create()).status == 500


@pytest.mark.parametrize(
    ("fault", "kinds"),
    [
        ("cut-headers", []),
        ("cut-before-completion", ["user-message-available", "new-message"]),
        ("cut-after-completion", ["user-message-available", "new-message", "interaction-complete"]),
    ],
)
async def test_A29_the_connection_can_be_cut_at_each_point(fault, kinds):
    async with house_with(f"interact-{fault}=1:1") as house:
        guest = await house.caller()
        conversation = await guest.begin()
        try:
            answer = await guest.say(conversation, "hello there")
            seen, broken = answer.types, answer.broken
        except aiohttp.ClientError:
            seen, broken = [], True
        [left] = await guest.idle()

        assert broken
        # What was written just before a reset may be lost with it.
        assert seen == kinds[: len(seen)]
        assert len(left["messages"]) == 3
        assert (await guest.say(conversation, "hello again")).status == 200


@REVISIONS
async def test_A29_an_upload_can_be_cut_and_leaves_nothing(revision):
    async def slow() -> AsyncIterator[bytes]:
        for _ in range(200):
            yield recording(2000)[:4000]
            await asyncio.sleep(0.01)

    async with house_with("cut-upload=1:1", revision=revision) as house:
        guest = await house.caller()
        conversation = await guest.begin()
        with pytest.raises(aiohttp.ClientError):
            await guest.speak(conversation, slow())
        [left] = await guest.idle()

        assert len(left["messages"]) == 1
        assert (await guest.last("interact"))["upload"]["end"] == "reset"
        assert (await guest.speak(conversation)).status == 200


@REVISIONS
@pytest.mark.parametrize("ms", [20, 3000])
async def test_A29_an_upload_of_known_length_is_cut_too(revision, ms):
    async with house_with("cut-upload=1:1", revision=revision) as house:
        guest = await house.caller()
        conversation = await guest.begin()
        with pytest.raises(aiohttp.ClientError):
            await guest.say(conversation, b"hello " * ms)
        upload = (await guest.last("interact"))["upload"]
        [left] = await guest.idle()

        assert (upload["end"], len(left["messages"])) == ("reset", 1)


async def test_fields_can_be_there_twice_or_be_missing():
    async with house_with("duplicate-fields=1:1") as house:
        lines = (await (await house.caller()).create()).body.splitlines()
        assert all(line.count(b'"type": "') >= 2 for line in lines)
        assert all(json.loads(line)["type"] for line in lines)
    async with house_with("missing-fields=1:1", revision="2026-04") as house:
        answer = await (await house.caller()).create("voice")
        assert set(answer.of("new-message")[0]) == {"type", "message", "message_id"}
        # Required in the revision, and how else is a client to know that the call is over?
        assert answer.of("interaction-complete")[0]["conversation_completed"] is False
        assert set(answer.of("interaction-complete")[0]) >= {"message_id", "full_message"}


@pytest.mark.parametrize("fault", ["audio-mp3", "audio-wav", "audio-24k"])
async def test_one_reply_can_sound_otherwise(fault):
    async with house_with(f"create-{fault}=1:1") as house:
        guest, other = await house.caller(), await house.caller("bob")
        odd = (await guest.create("voice")).sound
        plain = (await other.create("voice")).sound

    match fault:
        case "audio-mp3":
            pcm, rate = decode_mp3(odd)
            assert rate == 16_000
            assert abs(len(pcm) - len(plain) / 2) < 4000
        case "audio-wav":
            assert (odd[:4], odd[44:]) == (b"RIFF", plain)
        case _:
            assert abs(len(odd) / len(plain) - 1.5) < 0.01
