"""Checklist A, auth: items 1 to 5."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from datetime import datetime

import pytest

from gateway.sandbox.options import Credentials
from tests.sandbox.house import open_house


async def test_A1_sign_in_gives_a_token_for_any_user():
    async with open_house() as house:
        answer = await house.guest("somebody-else").sign_in()

        assert answer.status == 200


@pytest.mark.parametrize("missing", ["x_api_key", "x_api_key_id", "x_user_id"])
async def test_A1_each_of_the_three_headers_is_required(missing):
    async with open_house() as house:
        answer = await house.guest().sign_in(**{missing: ""})

        assert answer.status == 422
        assert missing.replace("_", "-") in answer.json["detail"][0]["loc"]


@pytest.mark.parametrize("wrong", [{"x_api_key": "nope"}, {"x_api_key_id": "nope"}])
async def test_A1_a_wrong_key_is_refused(wrong):
    async with open_house() as house:
        assert (await house.guest().sign_in(**wrong)).status == 401


async def test_A1_with_a_strict_list_an_unknown_user_is_refused():
    async with open_house(credentials=Credentials(users=frozenset({"ada"}))) as house:
        assert (await house.guest("ada").sign_in()).status == 200
        assert (await house.guest("bob").sign_in()).status == 401


async def test_A1_an_unknown_organization_is_not_found():
    async with open_house() as house:
        answer = await house.guest().ask("POST", "/v1/elsewhere/user/signin_with_api_key")

        assert answer.status == 404


async def test_A1_the_sixth_sign_in_within_a_minute_has_to_wait():
    async with open_house(limits="user") as house:
        guest = house.guest()
        statuses = [(await guest.sign_in()).status for _ in range(5)]
        refused = await guest.sign_in()
        other = await house.guest("another").sign_in()
        house.clock.ahead += 60
        later = await guest.sign_in()

        assert statuses == [200] * 5
        assert refused.status == 429
        assert 1 <= int(refused.headers["Retry-After"]) <= 60
        assert other.status == 200
        assert later.status == 200


async def test_A2_the_answer_has_the_token_and_its_end_and_nothing_else():
    async with open_house(token_seconds=90) as house:
        before = house.clock.wall()
        answer = await house.guest().sign_in()
        expires = datetime.fromisoformat(answer.json["expires_at"]).timestamp()

        assert set(answer.json) == {"id_token", "expires_at"}
        assert before + 89 <= expires <= house.clock.wall() + 90


async def test_A2_a_token_lives_as_long_as_it_was_told_to():
    async with open_house(token_seconds=2) as house:
        guest = await house.caller()
        first = (await guest.ask("GET", "/v1/sandbox/service/")).status
        house.clock.ahead += 2

        assert first == 200
        assert (await guest.ask("GET", "/v1/sandbox/service/")).status == 401


def _forged(token: str) -> str:
    head, claims, signature = token.split(".")
    told = json.loads(base64.urlsafe_b64decode(claims + "=="))
    told["sub"] = "somebody-else"
    forged = base64.urlsafe_b64encode(json.dumps(told).encode()).rstrip(b"=").decode()
    return f"{head}.{forged}.{signature}"


async def test_A3_missing_malformed_and_forged_tokens_are_refused():
    async with open_house() as house:
        guest = await house.caller()
        good = guest.token
        statuses = []
        for token in ("", "x", "a.b.c", "sandbox-key", _forged(good), good + "x", "é.ü.ß"):
            guest.token = token
            statuses.append((await guest.ask("GET", "/v1/sandbox/service/")).status)

        assert statuses == [401] * 7


async def test_A3_a_bad_token_is_refused_before_the_body_is_read():
    async with open_house() as house:
        guest = house.guest()

        async def never_ending() -> AsyncIterator[bytes]:
            yield b"RIFF"
            await asyncio.Event().wait()

        answer = await guest.speak("0" * 24, never_ending())
        entry = await guest.last("interact")

        assert answer.status == 401
        assert entry["upload"]["end"] == "none"


async def test_A4_the_organization_must_be_the_tokens():
    async with open_house() as house:
        guest = await house.caller()

        assert (await guest.ask("GET", "/v1/elsewhere/conversation/")).status == 404


async def test_A5_another_users_conversation_cannot_be_used_and_is_not_listed():
    async with open_house() as house:
        ada, bob = await house.caller("ada"), await house.caller("bob")
        conversation = await ada.begin()
        path = f"/v1/sandbox/conversation/{conversation}/messages/"

        assert (await bob.say(conversation, "hello")).status == 403
        assert await bob.finish(conversation) == 403
        assert (await bob.ask("GET", path)).status == 403
        assert await bob.listed() == []
        assert len(await ada.listed()) == 1


async def test_A5_an_admin_may_finish_anybodys_conversation():
    async with open_house(credentials=Credentials(role_of={"boss": "AdminRole"})) as house:
        ada, boss = await house.caller("ada"), await house.caller("boss")
        conversation = await ada.begin()

        assert len(await boss.listed()) == 1
        assert await boss.finish(conversation) == 204


async def test_A5_the_rule_can_be_switched_off():
    async with open_house(share_conversations=True) as house:
        ada, bob = await house.caller("ada"), await house.caller("bob")

        assert await bob.finish(await ada.begin()) == 204


def basic(name: str, token: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{token}".encode()).decode()}


@pytest.mark.parametrize(
    ("revision", "name", "status"),
    [
        ("2026-04", "sandbox_ada", 200),
        ("2026-04", "sandbox_bob", 401),
        ("2026-04", "elsewhere_ada", 401),
        ("2025-06", "sandbox_ada", 401),
    ],
)
async def test_A3_the_token_is_a_password_where_the_revision_knows_basic(revision, name, status):
    async with open_house(revision) as house:
        ada = await house.caller("ada")
        place = "/v1/sandbox/conversation/"
        answer = await ada.ask("GET", place, headers=basic(name, ada.token))

        assert answer.status == status


@pytest.mark.parametrize("given", ["", "zzz", "/w==", "c2FuZGJveF9hZGE="])
async def test_A3_broken_basic_credentials_are_401(given):
    async with open_house("2026-04") as house:
        guest = await house.caller("ada")
        answer = await guest.ask(
            "GET", "/v1/sandbox/conversation/", headers={"Authorization": f"Basic {given}"}
        )

        assert answer.status == 401
