"""The voice webhook: who is let in, what is answered, and that nothing is ever made twice."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest

from tests.end_to_end.door_carrier import Carrier, eventually, new_call_sid
from tests.end_to_end.door_kit import open_house
from tests.end_to_end.door_order import store_rows
from tests.support.stack import PUBLIC, TOKEN


async def hang_up(house, *sids: str) -> None:
    for sid in sids:
        assert (await house.carrier.status(sid)).status == 204


async def made(house) -> tuple[int, int]:
    """Calls in the store, and create requests at the API."""
    requests = (await house.log())["requests"]
    creates = sum(one["operation"] == "create" for one in requests)
    return len(
        store_rows(house.store_path, "SELECT call_sid FROM calls WHERE answer <> ''")
    ), creates


# ---------------------------------------------------------------- who is let in


@pytest.mark.parametrize("path", ["voice", "connected", "status", "stream-status"])
@pytest.mark.parametrize("signature", [None, "", "bm90IHRoZSByaWdodCBvbmUhISEh", "\u00e9"], ids=str)
async def test_a_request_the_carrier_did_not_sign_is_refused_and_makes_nothing(
    tmp_path: Path, path: str, signature: str | None
) -> None:
    async with open_house(tmp_path) as house:
        fields = house.carrier.form(new_call_sid())
        answer = await house.carrier.post(f"/twilio/{path}", fields, signature=signature)

        assert answer.status == 403
        assert await made(house) == (0, 0)


async def test_a_signature_does_not_outlive_a_change_of_one_field_or_of_the_path(
    tmp_path: Path,
) -> None:
    async with open_house(tmp_path) as house:
        carrier = house.carrier
        fields = carrier.form(new_call_sid())
        signature = carrier.sign(f"{PUBLIC}/twilio/voice", fields)
        forged = [
            ("/twilio/voice", fields | {"From": "+15550001112"}),
            ("/twilio/voice", {name: v for name, v in fields.items() if name != "FromCity"}),
            ("/twilio/voice", fields | {"Extra": ""}),
            ("/twilio/voice?x=1", fields),
            ("/twilio/status", fields),
        ]
        for path, changed in forged:
            answer = await carrier.post(path, changed, signature=signature)
            assert answer.status == 403, (path, changed)

        assert await made(house) == (0, 0)


async def test_a_secret_that_is_not_ours_signs_nothing(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        stranger = Carrier(house.http, house.carrier.reached_at, token="f" * 32)

        assert (await stranger.voice(new_call_sid())).status == 403
        assert await made(house) == (0, 0)


async def test_while_the_auth_token_rotates_both_the_old_and_the_new_one_sign(
    tmp_path: Path,
) -> None:
    async with open_house(tmp_path, env={"TWILIO_AUTH_TOKEN": f"{'e' * 32},{TOKEN}"}) as house:
        old, new = house.carrier, Carrier(house.http, house.carrier.reached_at, token="e" * 32)
        sid = new_call_sid()

        assert (await old.voice(sid)).text == (await new.voice(sid)).text
        await hang_up(house, sid)


async def test_a_call_of_another_account_is_refused_although_the_signature_is_right(
    tmp_path: Path,
) -> None:
    async with open_house(tmp_path) as house:
        answer = await house.carrier.voice(new_call_sid(), AccountSid=f"AC{'9' * 32}")

        assert answer.status == 403
        assert await made(house) == (0, 0)


BODIES = {
    "json": (b'{"CallSid": "CA1"}', "application/json"),
    "no boundary": (b"--x", "multipart/form-data"),
    "cut form": (
        b'--x\r\nContent-Disposition: form-data; name="a"',
        "multipart/form-data; boundary=x",
    ),
    "a file": (
        b'--x\r\nContent-Disposition: form-data; name="CallSid"; filename="f"\r\n\r\nCA1\r\n--x--\r\n',
        "multipart/form-data; boundary=x",
    ),
    "no charset": (b"CallSid=CA1", "application/x-www-form-urlencoded; charset=nonsense"),
    "not utf-8": (b"CallSid=\xff\xfe", "application/x-www-form-urlencoded"),
    "nothing": (b"", "application/x-www-form-urlencoded"),
    "no type": (b"CallSid=CA1", ""),
}


@pytest.mark.parametrize("name", BODIES)
async def test_a_body_that_is_no_form_is_refused_and_never_a_fault_of_ours(
    tmp_path: Path, name: str
) -> None:
    body, kind = BODIES[name]
    async with open_house(tmp_path) as house:
        url = f"{house.carrier.reached_at}/twilio/voice"
        headers = {"Content-Type": kind, "X-Twilio-Signature": "c29tZXRoaW5n"}
        async with house.http.post(url, data=body, headers=headers) as answer:
            assert answer.status == 403


async def test_a_body_beyond_all_measure_is_refused(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        answer = await house.carrier.post("/twilio/voice", {"CallSid": "x" * 200_000})

        assert answer.status == 413


async def test_the_voice_url_is_not_for_browsers(tmp_path: Path) -> None:
    async with (
        open_house(tmp_path) as house,
        house.http.get(f"{house.carrier.reached_at}/twilio/voice") as answer,
    ):
        assert answer.status == 405


async def test_behind_a_tls_proxy_only_the_configured_public_url_counts(tmp_path: Path) -> None:
    public = "https://phones.example/gw/v2"
    async with open_house(tmp_path, env={"GATEWAY_PUBLIC_URL": public + "/"}) as house:
        carrier, sid = house.carrier, new_call_sid()
        carrier.public = public
        proxy = {
            "Host": "10.0.0.7:8080",
            "X-Forwarded-Host": "evil.example",
            "X-Forwarded-Proto": "http",
            "X-Forwarded-For": "203.0.113.9",
            "Forwarded": "host=evil.example;proto=http",
        }
        answer = await carrier.post("/twilio/voice", carrier.form(sid), headers=proxy)

        assert answer.stream_url.startswith("wss://phones.example/gw/v2/twilio/media/")
        connect = answer.root.find("Connect")
        assert connect is not None
        assert connect.attrib["action"] == f"{public}/twilio/connected"

        believed = Carrier(house.http, carrier.reached_at, public="https://evil.example")
        forged = believed.sign("https://evil.example/twilio/voice", carrier.form(sid))
        refused = await carrier.post(
            "/twilio/voice", carrier.form(sid), signature=forged, headers=proxy
        )
        assert refused.status == 403
        async with house.socket(answer.stream_url, sid) as stream:
            await stream.start()
            await stream.hears()
            await stream.stop()


async def test_odd_spellings_of_the_callers_fields_are_accepted(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        sid = new_call_sid()
        answer = await house.carrier.voice(
            sid,
            From="anonymous",
            To="sip:front%20desk@example.com",
            CallerName="Zo\u00eb & <S\u00f8n> \u260e",
            StirVerstat="TN-Validation-Passed-A",
            CallToken='{"a": ["b", "c d"]}',
            AddOns="",
        )

        assert answer.verbs == ["Connect", "Hangup"]
        assert (await house.record(sid))["from"] == "anonymous"
        await hang_up(house, sid)


@pytest.mark.parametrize("sid", ["", " ", "../../etc/x", "a/b", "CA" + "0" * 500, "CA\x001"])
async def test_a_callsid_that_is_no_name_is_refused(tmp_path: Path, sid: str) -> None:
    async with open_house(tmp_path) as house:
        assert (await house.carrier.voice(sid)).status == 400
        assert await made(house) == (0, 0)


# ---------------------------------------------------------------- what is answered


async def test_the_answer_opens_a_stream_and_ends_the_call_behind_it(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        sid = new_call_sid()
        answer = await house.carrier.voice(sid)

        assert (answer.status, answer.content_type) == (200, "text/xml")
        assert answer.text.startswith("<?xml")
        assert answer.verbs == ["Connect", "Hangup"]
        connect = answer.root[0]
        assert connect.attrib == {"action": f"{PUBLIC}/twilio/connected", "method": "POST"}
        assert [noun.tag for noun in connect] == ["Stream"]
        stream = connect[0].attrib
        assert stream["url"].startswith("wss://gateway.example/twilio/media/")
        assert not set("?#&<>\"' ") & set(stream["url"])
        assert stream["statusCallback"] == f"{PUBLIC}/twilio/stream-status"
        token = stream["url"].rpartition("/")[2]
        assert len(token) >= 22, "128 bits at least"
        await hang_up(house, sid)


async def test_a_public_url_with_characters_of_markup_still_gives_clean_markup(
    tmp_path: Path,
) -> None:
    public = "https://phones.example/a&b'c"
    async with open_house(tmp_path, env={"GATEWAY_PUBLIC_URL": public}) as house:
        sid = new_call_sid()
        answer = await house.carrier.voice(sid)

        assert answer.stream_url.startswith("wss://phones.example/a&b'c/twilio/media/")
        await hang_up(house, sid)


async def test_the_same_call_gets_the_same_bytes_while_its_token_is_unused(
    tmp_path: Path,
) -> None:
    async with open_house(tmp_path) as house:
        sid = new_call_sid()
        first = await house.carrier.voice(sid)
        again = await house.carrier.voice(sid, CallStatus="in-progress", RetryCount="1")
        other = await house.carrier.voice(new_call_sid())

        assert again == first
        assert other.busy, "identity fixed: the one user is taken"
        assert await made(house) == (1, 1)
        await hang_up(house, sid)


async def test_webhooks_that_come_at_once_make_one_call_and_one_conversation(
    tmp_path: Path,
) -> None:
    async with open_house(tmp_path) as house:
        sid = new_call_sid()
        answers = await asyncio.gather(*(house.carrier.voice(sid) for _ in range(12)))

        assert len({answer.text for answer in answers}) == 1
        await house.until(sid, lambda record: record["conversation_id"] is not None)
        assert await made(house) == (1, 1)
        await hang_up(house, sid)


async def test_a_live_call_gets_a_new_token_once_its_first_is_used(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        async with house.on_the_line() as stream:
            before = await house.listening(stream.call_sid)
            answer = await house.carrier.voice(stream.call_sid)
            again = await house.carrier.voice(stream.call_sid)

            assert answer.verbs == ["Connect", "Hangup"]
            assert answer == again
            async with house.socket(answer.stream_url, stream.call_sid) as second:
                await second.start()
                # one stream per call: the old one is closed, in order
                assert await stream.ends() == 1000
                after = await house.until(
                    stream.call_sid, lambda record: record["stream_sid"] == second.sid
                )
                assert after["conversation_id"] == before["conversation_id"]
                assert after["status"] == "listening"
                await second.stop()
        assert await made(house) == (1, 1)


async def test_a_token_that_expired_unused_is_replaced_while_the_call_lives(
    tmp_path: Path,
) -> None:
    async with open_house(tmp_path, token_seconds=2.0) as house, house.on_the_line() as stream:
        sid = stream.call_sid
        await house.listening(sid)
        expired = (await house.carrier.voice(sid)).stream_url
        await asyncio.sleep(2.1)
        fresh = (await house.carrier.voice(sid)).stream_url

        assert fresh != expired
        assert await house.carrier.refusal(expired) == 403
        async with house.socket(fresh, sid) as second:
            await second.start()
            await house.until(sid, lambda record: record["stream_sid"] == second.sid)
            assert (await house.record(sid))["status"] == "listening"
            await second.stop()


async def test_an_ended_call_is_only_hung_up(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        async with house.on_the_line() as stream:
            await stream.hears()
            await stream.stop()
        sid = stream.call_sid
        answer = await house.carrier.voice(sid)
        assert answer.verbs == ["Hangup"]
        await house.settled(sid)
        await eventually(lambda: house.gateway.switchboard.find(sid) is None)

        assert (await house.carrier.voice(sid)).verbs == ["Hangup"], "also from the store"
        assert (await house.carrier.connected(sid)).verbs == ["Hangup"]
        assert await made(house) == (1, 1)


async def test_status_callbacks_of_calls_nobody_knows_change_nothing(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        for status in ("initiated", "completed", "canceled", "nonsense", ""):
            assert (await house.carrier.status(new_call_sid(), status)).status == 204
        # somebody is on that line: a caller of whom nothing is known hears a word
        assert (await house.carrier.connected(new_call_sid())).verbs == ["Say", "Hangup"]
        assert await made(house) == (0, 0)


async def test_a_stream_error_told_by_the_carrier_is_taken_and_changes_nothing(
    tmp_path: Path,
) -> None:
    async with open_house(tmp_path) as house, house.on_the_line() as stream:
        await stream.hears()
        told = {
            "CallSid": stream.call_sid,
            "AccountSid": house.carrier.account,
            "StreamSid": stream.sid,
            "StreamEvent": "stream-error",
            "StreamError": "31951 - Stream - Protocol - Invalid Message",
        }
        answer = await house.carrier.post("/twilio/stream-status", told)

        assert answer.status == 204
        await house.listening(stream.call_sid)
        await stream.stop()


# ---------------------------------------------------------------- whatever the API does


@pytest.mark.parametrize(
    "fault",
    ["create-500=1", "create-401=1", "create-429=1@1000", "late-create=1@9000", "sign-in-500=1"],
)
async def test_the_webhook_is_answered_at_once_whatever_the_api_does(
    tmp_path: Path, fault: str
) -> None:
    async with open_house(tmp_path) as house:
        await house.faults(fault)
        sid = new_call_sid()
        loop = asyncio.get_running_loop()
        began = loop.time()
        answer = await house.carrier.voice(sid)

        assert answer.verbs == ["Connect", "Hangup"]
        assert loop.time() - began < 1.0
        await house.faults()
        await hang_up(house, sid)


async def test_the_webhook_is_answered_while_the_api_cannot_be_reached(tmp_path: Path) -> None:
    async with open_house(tmp_path, unplugged=True) as house:
        sid = new_call_sid()

        assert (await house.carrier.voice(sid)).verbs == ["Connect", "Hangup"]
        await hang_up(house, sid)
        await house.cable.plug()


async def test_a_client_that_leaves_before_the_answer_changes_nothing(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        sid = new_call_sid()
        asking = asyncio.create_task(house.carrier.voice(sid))
        await asyncio.sleep(0.002)
        asking.cancel()
        # on a busy machine the answer may have been quicker than our leaving; it must not matter
        with contextlib.suppress(asyncio.CancelledError):
            await asking

        # the carrier tries again, as it does
        assert (await house.carrier.voice(sid)).verbs == ["Connect", "Hangup"]
        assert (await made(house))[0] == 1
        await hang_up(house, sid)


async def test_health_is_not_signed(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        for path in ("healthz", "readyz", "metrics"):
            async with house.http.get(f"{house.carrier.reached_at}/{path}") as answer:
                assert answer.status == 200, path
