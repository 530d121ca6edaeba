"""Message sources: a short-lived link to what the caller really said."""

from __future__ import annotations

import pytest

from gateway.sandbox.sound import decode_mp3
from gateway.sandbox.wav import read_wav, wav_header
from tests.sandbox.house import Guest, noise, open_house

REVISIONS = pytest.mark.parametrize("revision", ["2025-06", "2026-04"])
NOBODY = "0" * 24


async def spoken(guest: Guest, wav: bytes | None = None) -> tuple[str, str, str]:
    """Conversation, user message and agent message of a voice turn."""
    conversation = await guest.begin()
    answer = await guest.speak(conversation, wav)
    user = answer.of("user-message-available")[0]["message_id"]
    return conversation, user, answer.of("interaction-complete")[0]["message_id"]


def path(conversation: str, message: str) -> str:
    return f"/v1/sandbox/conversation/{conversation}/messages/{message}/source"


@REVISIONS
async def test_the_link_leads_to_the_callers_recording_without_a_token(revision):
    sound = noise(500)
    streamed = wav_header(8000) + sound.astype("<i2").tobytes()
    async with open_house(revision) as house:
        guest = await house.caller()
        conversation, user, _ = await spoken(guest, streamed)
        found = (await guest.ask("GET", path(conversation, user))).json
        async with house.http.get(found["url"]) as answer:
            body = await answer.read()
            media = answer.content_type

        assert (answer.status, media, found["content_type"]) == (200, "audio/wav", "audio/wav")
        pcm, rate = read_wav(body)
        assert (rate, pcm.tolist()) == (8000, sound.tolist())
        # The upload's header could not know its length; the file's does.
        assert int.from_bytes(body[40:44], "little") == len(body) - 44


@REVISIONS
async def test_a_link_lives_for_minutes(revision):
    async with open_house(revision, source_seconds=60.0) as house:
        guest = await house.caller()
        conversation, user, _ = await spoken(guest)
        url = (await guest.ask("GET", path(conversation, user))).json["url"]
        house.clock.ahead += 61
        async with house.http.get(url) as answer:
            assert answer.status == 404


async def test_a_long_lived_link_lives_for_twelve_hours():
    async with open_house("2026-04", token_seconds=1e6) as house:
        guest = await house.caller()
        conversation, user, _ = await spoken(guest)
        asked = await guest.ask("GET", path(conversation, user), params={"long_lived": "true"})
        house.clock.ahead += 12 * 3600 - 60
        async with house.http.get(asked.json["url"]) as answer:
            assert answer.status == 200


@REVISIONS
async def test_text_has_no_source_and_unknown_messages_are_404(revision):
    async with open_house(revision) as house:
        guest = await house.caller()
        conversation = await guest.begin()
        said = await guest.say(conversation, "hello there you")
        text = said.of("user-message-available")[0]["message_id"]

        assert (await guest.ask("GET", path(conversation, text))).status == 400
        assert (await guest.ask("GET", path(conversation, NOBODY))).status == 404


async def test_a_link_cannot_be_guessed_from_the_messages_id():
    async with open_house() as house:
        guest = await house.caller()
        _, user, _ = await spoken(guest)

        assert (await guest.ask("GET", f"/_sandbox/source/{user}")).status == 404


@REVISIONS
@pytest.mark.parametrize("voice_format", ["pcm16", "wav", "wav-pieces", "mp3"])
async def test_a_spoken_answer_has_its_sound_for_a_source(revision, voice_format):
    async with open_house(revision, voice_format=voice_format, voice_rate=24_000) as house:
        guest = await house.caller()
        conversation = await guest.begin()
        answer = await guest.say(conversation, "hello there", answer="voice")
        message = answer.of("interaction-complete")[0]["message_id"]
        found = (await guest.ask("GET", path(conversation, message))).json
        async with house.http.get(found["url"]) as fetched:
            body, media = await fetched.read(), fetched.content_type

        assert media == found["content_type"]
        match voice_format:
            case "pcm16":
                pcm, rate = read_wav(body)
                assert (rate, pcm.astype("<i2").tobytes()) == (24_000, answer.sound)
            case "mp3":
                assert (media, body, decode_mp3(body)[1]) == ("audio/mpeg", answer.sound, 24_000)
            case _:
                assert (media, read_wav(body)[1]) == ("audio/wav", 24_000)


async def test_a_written_answer_has_no_source():
    async with open_house() as house:
        guest = await house.caller()
        conversation, _, agent = await spoken(guest)

        assert (await guest.ask("GET", path(conversation, agent))).status == 400


async def test_a_link_outlives_the_process_where_things_are_kept_and_tells_when_it_was_altered(
    tmp_path,
):
    async with open_house(data=tmp_path) as house:
        guest = await house.caller()
        conversation, user, agent = await spoken(guest)
        url = (await guest.ask("GET", path(conversation, user))).json["url"]
    place = "/_sandbox/source/" + url.rpartition("/")[2]
    _, stamp, seal = place.rpartition("/")[2].split(".")
    async with open_house(data=tmp_path) as house:
        guest = house.guest()
        assert (await guest.ask("GET", place)).status == 200
        for altered in (
            f"{agent}.{stamp}.{seal}",
            f"{user}.{int(stamp) + 60}.{seal}",
            user,
            "..",
            "x",
        ):
            assert (await guest.ask("GET", f"/_sandbox/source/{altered}")).status == 404
