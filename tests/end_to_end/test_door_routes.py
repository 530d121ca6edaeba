"""Numbers that lead to different organizations, callers who are users of their own, callers who wait."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from gateway.rca import explain
from gateway.sandbox.options import Credentials, SandboxOptions, Service
from gateway.simulator import CallPlan
from tests.end_to_end.door_carrier import eventually, new_call_sid
from tests.end_to_end.door_kit import BriefVoice, House, open_grounds, open_house
from tests.end_to_end.door_order import leased, store_rows
from tests.support.stack import run_sandbox

BERLIN, PARIS, ROME = "+4930111111", "+33123456789", "+39061234567"
KEY, KEY_ID, SERVICE = "berlin-key", "berlin-id", "be" * 12
OWN = Credentials(
    organization="berlin",
    api_key=KEY,
    api_key_id=KEY_ID,
    services=(Service(id=SERVICE, name="Berlin desk"),),
)
PER_CALLER = {
    "GATEWAY_IDENTITY": "per-caller",
    "AMIGO_ADMIN_USER_ID": "sandbox-admin",
    "AMIGO_NEW_USER_ROLE": "DefaultUserRole",
    "GATEWAY_IDENTITY_SECRET": "a secret of at least sixteen characters",
    "AMIGO_USER_ID": "",
}
both_revisions = pytest.mark.parametrize("revision", ["2025-06", "2026-04"])


def routes(tmp_path: Path, text: str) -> dict[str, str]:
    path = tmp_path / "routes.toml"
    path.write_text(text)
    return {"GATEWAY_ROUTES": str(path), "BERLIN_KEY": KEY, "BERLIN_KEY_ID": KEY_ID}


@asynccontextmanager
async def two_organizations(
    tmp_path: Path, extra: str = "", env: Mapping[str, str] = MappingProxyType({})
) -> AsyncIterator[tuple[House, str]]:
    """A gateway whose Berlin number leads to another sandbox, in the other revision."""
    options = SandboxOptions(revision="2026-04", think_ms=30, credentials=OWN)
    async with run_sandbox(options, None, BriefVoice()) as berlin:
        text = f"""
            ["{BERLIN}"]
            base_url = "{berlin}"
            organization = "berlin"
            api_key_env = "BERLIN_KEY"
            api_key_id_env = "BERLIN_KEY_ID"
            service_id = "{SERVICE}"
            user_id = "berliner"
            {extra}
        """
        given = {**routes(tmp_path, text), **env}
        async with open_house(tmp_path, env=given) as house:
            yield house, berlin


async def conversations(house: House, url: str) -> list[dict[str, Any]]:
    async with house.http.get(f"{url}/_sandbox/log") as answer:
        return list((await answer.json())["conversations"])


async def test_each_number_leads_to_its_organization_with_its_own_key(tmp_path: Path) -> None:
    async with two_organizations(tmp_path) as (house, berlin):
        one, two = await asyncio.gather(
            house.call(CallPlan(called=BERLIN)), house.call(CallPlan(called=PARIS))
        )
        there, here = await house.settled(one.call_sid), await house.settled(two.call_sid)

        assert (there["organization"], there["service_id"], there["user_id"], there["route"]) == (
            "berlin",
            SERVICE,
            "berliner",
            BERLIN,
        )
        assert (here["organization"], here["route"]) == ("sandbox", None)
        assert [one["finished"] for one in await conversations(house, berlin)] == [True]
        assert [one["finished"] for one in await conversations(house, house.sandbox_url)] == [True]
        for record in (there, here):
            full = await house.until(
                record["call_sid"], lambda record: record["transcript_state"] == "fetched"
            )
            assert full["transcript"]


async def test_a_number_nobody_answers_is_refused_as_that(tmp_path: Path) -> None:
    text = f'["{BERLIN}"]\nservice_id = "5a9db0c55a9db0c55a9db0c5"\n'
    env = {**routes(tmp_path, text), "AMIGO_SERVICE_ID": ""}
    async with open_house(tmp_path, env=env) as house:
        answer = await house.carrier.voice(new_call_sid(), To=PARIS)

        assert answer.root[0].attrib == {"reason": "rejected"}
        sid, _ = await house.answered(To=BERLIN)
        await house.carrier.status(sid)


async def test_default_answers_every_other_number(tmp_path: Path) -> None:
    text = '[default]\nversion_set = "edge"\n'
    async with open_house(tmp_path, env=routes(tmp_path, text)) as house:
        sid, _ = await house.answered(To=ROME)

        assert (await house.record(sid))["route"] == "default"
        await house.carrier.status(sid)


async def test_calls_of_a_process_that_died_are_finished_at_their_own_organization(
    tmp_path: Path,
) -> None:
    options = SandboxOptions(think_ms=30, credentials=OWN)
    async with run_sandbox(options, None, BriefVoice()) as berlin:
        text = f"""
            ["{BERLIN}"]
            base_url = "{berlin}"
            organization = "berlin"
            api_key_env = "BERLIN_KEY"
            api_key_id_env = "BERLIN_KEY_ID"
            service_id = "{SERVICE}"
            identity = "per-caller"
            admin_user_id = "sandbox-admin"
        """
        env = routes(tmp_path, text) | {"GATEWAY_IDENTITY_SECRET": "hush"}
        async with open_grounds(tmp_path, env=env) as grounds:
            async with grounds.served() as (house, process):
                sid, url = await house.answered(To=BERLIN)
                async with house.socket(url, sid) as stream:
                    await stream.start()
                    await house.listening(sid)
                    await process.kill()
            [left] = await conversations(house, berlin)
            assert not left["finished"]
            async with grounds.inside() as house:
                record = await house.settled(sid)
                await house.until(sid, lambda one: one["transcript_state"] == "fetched")
            [left] = await conversations(house, berlin)

        assert left["finished"]
        assert record["end_reason"] == "replica-lost"
        assert leased(tmp_path / "calls.db") == []


# ---------------------------------------------------------------- users per caller


@both_revisions
async def test_each_number_has_a_user_of_its_own_and_keeps_it(
    tmp_path: Path, revision: Any
) -> None:
    options = SandboxOptions(revision=revision, think_ms=30)
    async with open_house(tmp_path, options, env=PER_CALLER) as house:
        users = []
        for caller in ("+15550001111", "+15550001112", "+15550001111"):
            result = await house.call(CallPlan(caller=caller))
            users.append((await house.settled(result.call_sid))["user_id"])

        assert users[0] == users[2] != users[1]
        log = await house.log()
        made = [one for one in log["requests"] if one["operation"] == "user-create"]
        assert len(made) == 2
        assert "5550001111" not in str(await people(house))


async def people(house: House) -> list[dict[str, Any]]:
    base, org = house.sandbox_url, "sandbox"
    headers = {
        "x-api-key": "sandbox-key",
        "x-api-key-id": "sandbox-key-id",
        "x-user-id": "sandbox-admin",
    }
    async with house.http.post(f"{base}/v1/{org}/user/signin_with_api_key", headers=headers) as it:
        token = (await it.json())["id_token"]
    bearer = {"Authorization": f"Bearer {token}"}
    async with house.http.get(f"{base}/v1/{org}/user/", headers=bearer) as answer:
        return list((await answer.json())["users"])


async def test_a_number_calls_once_at_a_time_and_others_are_unharmed(tmp_path: Path) -> None:
    async with open_house(tmp_path, env=PER_CALLER) as house:
        sid, _ = await house.answered()
        await house.until(sid, lambda record: record["conversation_id"] is not None)

        assert (await house.carrier.voice(new_call_sid())).busy
        other, _ = await house.answered(From="+15550001119")
        for one in (sid, other):
            await house.carrier.status(one)


async def test_a_caller_without_a_number_but_with_a_name_is_oneself(tmp_path: Path) -> None:
    async with open_house(tmp_path, env=PER_CALLER) as house:
        ann, _ = await house.answered(From="sip:ann@phones.example")
        again = await house.carrier.voice(new_call_sid(), From="sip:ann@Phones.example:5060")
        bob, _ = await house.answered(From="client:bob")
        users = {
            (await house.until(sid, lambda record: record["conversation_id"]))["user_id"]
            for sid in (ann, bob)
        }

        assert again.busy
        assert len(users) == 2
        for sid in (ann, bob):
            await house.carrier.status(sid)


async def test_a_caller_without_a_number_speaks_for_the_users_for_all_or_hears_busy(
    tmp_path: Path,
) -> None:
    shared = PER_CALLER | {"AMIGO_USER_ID": "anybody"}
    async with open_house(tmp_path, env=shared) as house:
        sid, _ = await house.answered(From="anonymous")
        assert (await house.record(sid))["user_id"] == "anybody"
        await house.carrier.status(sid)
    (tmp_path / "calls.db").unlink()
    async with open_house(tmp_path, env=PER_CALLER) as house:
        assert (await house.carrier.voice(new_call_sid(), From="+266696687")).busy


async def test_who_hangs_up_before_there_is_a_user_owes_nothing(tmp_path: Path) -> None:
    async with open_house(tmp_path, env=PER_CALLER) as house:
        await house.faults("user-create-503=1:1")
        sid, _ = await house.answered()
        await house.carrier.status(sid)
        record = await house.settled(sid)

        assert (record["user_id"], record["conversation_state"]) == ("", "none")
        assert await house.conversations() == []


async def test_a_caller_whose_user_cannot_be_made_hears_an_apology(tmp_path: Path) -> None:
    env = PER_CALLER | {"AMIGO_NEW_USER_ROLE": "NoSuchRole"}
    async with open_house(tmp_path, env=env) as house:
        house.forgiven = frozenset({"users"})
        result = await house.call(CallPlan())
        record = await house.settled(result.call_sid)

        assert record["end_reason"] == "api-error"
        assert result.agent_speech, "the caller hears why"
        assert await house.conversations() == []


@both_revisions
@pytest.mark.parametrize(
    ("change", "advice"),
    [
        ({"AMIGO_ADMIN_USER_ID": "no-admin"}, "give AMIGO_ADMIN_USER_ID a role that may invite"),
        ({"AMIGO_NEW_USER_ROLE": "NoSuchRole"}, "does AMIGO_NEW_USER_ROLE exist?"),
    ],
)
async def test_why_no_user_could_be_made_is_explained(
    tmp_path: Path, revision: Any, change: dict[str, str], advice: str
) -> None:
    people = Credentials(role_of={"sandbox-admin": "AdminRole", "no-admin": "DefaultUserRole"})
    options = SandboxOptions(revision=revision, think_ms=30, credentials=people)
    async with open_house(tmp_path, options, env=PER_CALLER | change) as house:
        house.forgiven = frozenset({"users", "5"})
        result = await house.call(CallPlan())
        [found] = [
            one for one in explain(await house.settled(result.call_sid)) if one.rule == "api-error"
        ]

        assert found.what.startswith("the API failed (create-user refused, status 4")
        assert advice in found.change


# ---------------------------------------------------------------- nobody free


async def test_a_call_that_cannot_be_taken_goes_to_the_overflow(tmp_path: Path) -> None:
    text = f'["{BERLIN}"]\noverflow = "+15550009999"\n["{PARIS}"]\noverflow = "sip:a@b.example"\n'
    async with open_house(tmp_path, env=routes(tmp_path, text)) as house:
        sid, _ = await house.answered(To=BERLIN)
        to_number = await house.carrier.voice(new_call_sid(), To=BERLIN)
        to_sip = await house.carrier.voice(new_call_sid(), To=PARIS)

        assert to_number.verbs == ["Dial", "Hangup"]
        assert to_number.root[0].text == "+15550009999"
        assert to_sip.root.findtext("./Dial/Sip") == "sip:a@b.example"
        assert (await house.carrier.voice(new_call_sid(), To=ROME)).busy
        assert (await house.call(CallPlan(called=PARIS))).outcome == "handed-over"
        await house.carrier.status(sid)
        assert await house.metric("calls_total", direction="inbound", end_reason="overflow") == 3


async def test_a_caller_who_waits_is_taken_as_soon_as_a_user_is_free(tmp_path: Path) -> None:
    async with open_house(tmp_path, env={"GATEWAY_BUSY_WAIT_SECONDS": "60"}) as house:
        first, _ = await house.answered()
        second = new_call_sid()
        hold = await house.carrier.voice(second)
        assert hold.verbs == ["Say", "Pause", "Redirect"]
        again = await house.carrier.post(back(hold), house.carrier.form(second))
        assert again.verbs == ["Pause", "Redirect"]
        assert back(again) == back(hold)

        kept = "SELECT call_sid FROM calls"
        assert store_rows(house.store_path, kept) == [(first,)], "who waits is not refused yet"
        await house.carrier.status(first)
        await house.settled(first)
        taken = await house.carrier.post(back(again), house.carrier.form(second))

        assert taken.stream_url
        assert (await house.record(second))["end_reason"] is None
        await house.carrier.status(second)


async def test_the_carrier_says_what_the_settings_and_the_route_have_it_say(tmp_path: Path) -> None:
    text = f"""
        ["{BERLIN}"]
        hold_text = "Bitte bleiben Sie am Apparat."
        busy_text = "Leider sind alle im Gespräch."
        say_language = "de-DE"
    """
    env = {"GATEWAY_BUSY_WAIT_SECONDS": "30", "GATEWAY_HOLD_TEXT": "Do hold on."}
    async with open_house(tmp_path, env=env | routes(tmp_path, text)) as house:
        first, _ = await house.answered()
        said = []
        for called in (BERLIN, PARIS):
            form = house.carrier.form(new_call_sid(), To=called)
            for path in ("/twilio/voice", "/twilio/voice?waiting_since=1"):
                answer = await house.carrier.post(path, form)
                say = answer.root.find("Say")
                assert say is not None
                said.append((say.text, say.get("language")))

        assert said == [
            ("Bitte bleiben Sie am Apparat.", "de-DE"),
            ("Leider sind alle im Gespräch.", "de-DE"),
            ("Do hold on.", "en-US"),
            ("We are sorry, all our lines are busy. Please call again later.", "en-US"),
        ]
        await house.carrier.status(first)


def back(answer: Any) -> str:
    """Where a caller on hold comes back to."""
    url = str(answer.root.findtext("Redirect"))
    return url.removeprefix("https://gateway.example")


async def test_who_has_waited_long_enough_is_told_so(tmp_path: Path) -> None:
    async with open_house(tmp_path, env={"GATEWAY_BUSY_WAIT_SECONDS": "3"}) as house:
        first, _ = await house.answered()
        result = await house.call(CallPlan())

        assert any("hold the line" in note for note in result.notes), result.notes
        assert any("call again later" in note for note in result.notes)
        kept = "SELECT call_sid FROM calls WHERE end_reason = 'rejected'"
        await eventually(lambda: store_rows(house.store_path, kept) == [(result.call_sid,)])
        record = await house.record(result.call_sid)
        assert record["events"][-1]["waited_seconds"] in range(2, 6)
        assert len(store_rows(house.store_path, "SELECT call_sid FROM calls")) == 2
        await house.carrier.status(first)


async def test_a_simulated_caller_who_holds_the_line_gets_through(tmp_path: Path) -> None:
    async with open_house(tmp_path, env={"GATEWAY_BUSY_WAIT_SECONDS": "30"}) as house:
        first, _ = await house.answered()
        waiting = asyncio.create_task(house.call(CallPlan()))
        await asyncio.sleep(1)
        await house.carrier.status(first)
        result = await waiting

        assert result.stream_sids
        assert result.outcome == "caller-hangup"


@pytest.mark.parametrize("since", ["x", "nan", "99999999999", "-5"])
async def test_a_strange_waiting_time_harms_nobody(tmp_path: Path, since: str) -> None:
    async with open_house(tmp_path, env={"GATEWAY_BUSY_WAIT_SECONDS": "5"}) as house:
        first, _ = await house.answered()
        sid = new_call_sid()
        answer = await house.carrier.post(
            f"/twilio/voice?waiting_since={since}", house.carrier.form(sid)
        )

        assert answer.verbs in (
            ["Say", "Pause", "Redirect"],
            ["Pause", "Redirect"],
            ["Say", "Hangup"],
        )
        await house.carrier.status(first)
