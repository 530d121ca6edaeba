"""Users: created once per e-mail address, found again, changed, deleted; only by those who may."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sandbox.house import SERVICE, Answer, Guest, open_house

REVISIONS = pytest.mark.parametrize("revision", ["2025-06", "2026-04"])


def person(**changes: Any) -> dict[str, Any]:
    return {
        "first_name": "Phone",
        "last_name": "Caller",
        "email": "c1@caller.invalid",
        "role_name": "DefaultUserRole",
        **changes,
    }


async def create(guest: Guest, **changes: Any) -> Answer:
    ending = "invite" if guest.revision == "2025-06" else ""
    return await guest.ask("POST", f"/v1/sandbox/user/{ending}", json=person(**changes))


async def found(guest: Guest, **query: str) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = (await guest.ask("GET", "/v1/sandbox/user/", params=query)).json[
        "users"
    ]
    return listed


@REVISIONS
async def test_a_created_user_is_found_by_id_address_and_text(revision):
    async with open_house(revision) as house:
        admin = await house.caller("sandbox-admin")
        made = await create(admin)
        uid = made.json["user_id"]
        search = await admin.ask("GET", "/v1/sandbox/user/search/", params={"query": "C1@CALLER"})

        assert (made.status, made.json["verify_link"]) == (201, None)
        assert [one["email"] for one in await found(admin, user_id=uid)] == ["c1@caller.invalid"]
        assert [one["user_id"] for one in await found(admin, email="C1@caller.invalid")] == [uid]
        assert [one["user_id"] for one in search.json["users"]] == [uid]
        assert await found(admin, email="c2@caller.invalid") == []


@REVISIONS
async def test_a_created_user_signs_in_and_talks(revision):
    async with open_house(revision) as house:
        admin = await house.caller("sandbox-admin")
        uid = (await create(admin)).json["user_id"]
        caller = await house.caller(uid)
        conversation = await caller.begin()

        assert (await caller.say(conversation, "hello there")).status == 200
        assert (await found(admin, user_id=uid))[0]["user_stats"]["num_conversations"] == 1


@REVISIONS
async def test_an_address_is_taken_once(revision):
    async with open_house(revision) as house:
        admin = await house.caller("sandbox-admin")
        await create(admin)

        assert (await create(admin, email="C1@Caller.invalid")).status == 409
        assert len(await found(admin)) == 1


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"role_name": "Emperor"}, 404),
        ({"email": "nowhere"}, 422),
        ({"email": "a b@c.d"}, 422),
        ({"first_name": " "}, 422),
        ({"last_name": None}, 422),
    ],
)
async def test_wrong_users_are_refused(changes, status):
    async with open_house("2026-04") as house:
        answer = await create(await house.caller("sandbox-admin"), **changes)

        assert answer.status == status


@REVISIONS
async def test_a_created_user_may_not_create_others(revision):
    async with open_house(revision) as house:
        uid = (await create(await house.caller("sandbox-admin"))).json["user_id"]
        answer = await create(await house.caller(uid), email="c2@caller.invalid")

        assert answer.status == 403
        assert "User:InviteUser" in answer.json["detail"]


@REVISIONS
async def test_names_and_preferences_are_changed(revision):
    async with open_house(revision) as house:
        admin = await house.caller("sandbox-admin")
        uid = (await create(admin)).json["user_id"]
        ending = "/user" if revision == "2025-06" else ""
        changes = {
            "first_name": "New",
            "preferred_language": "eng",
            "timezone": {},
            "additional_context": ["calls about plumbing"],
        }
        answer = await admin.ask("POST", f"/v1/sandbox/user/{uid}{ending}", json=changes)
        one = (await found(admin, user_id=uid))[0]

        assert answer.status == 204
        assert (one["first_name"], one["last_name"]) == ("New", "Caller")
        assert one["preferences"]["preferred_language"] == "eng"
        nobody = await admin.ask("POST", f"/v1/sandbox/user/nobody{ending}", json={})
        assert nobody.status == 404


async def test_variables_are_set_hidden_and_deleted():
    async with open_house("2026-04") as house:
        admin = await house.caller("sandbox-admin")
        uid = (await create(admin)).json["user_id"]
        path = f"/v1/sandbox/user/{uid}/variable"
        upserts = [
            {"name": "plan", "value": "gold", "is_secret": False},
            {"name": "pin_code", "value": "1234", "is_secret": True},
        ]
        assert (await admin.ask("POST", path, json={"upserts": upserts})).status == 204
        one = (await found(admin, user_id=uid))[0]
        await admin.ask("POST", path, json={"deletes": [{"name": "plan"}]})
        two = (await found(admin, user_id=uid))[0]
        wrong = [{"name": "Plan", "value": "x", "is_secret": False}]

        assert one["nonsensitive_variables"] == {"plan": "gold"}
        assert (one["sensitive_variables"], "1234" in str(one)) == (["pin_code"], False)
        assert two["nonsensitive_variables"] == {}
        assert (await admin.ask("POST", path, json={"upserts": wrong})).status == 422


async def test_too_many_variables_are_400():
    async with open_house("2026-04") as house:
        admin = await house.caller("sandbox-admin")
        uid = (await create(admin)).json["user_id"]
        upserts = [{"name": f"v_{n}", "value": "x", "is_secret": False} for n in range(20)]
        path = f"/v1/sandbox/user/{uid}/variable"

        assert (await admin.ask("POST", path, json={"upserts": upserts})).status == 400


@REVISIONS
async def test_a_deleted_user_is_gone(revision):
    async with open_house(revision) as house:
        admin = await house.caller("sandbox-admin")
        uid = (await create(admin)).json["user_id"]

        assert (await admin.ask("DELETE", f"/v1/sandbox/user/{uid}")).status == 204
        assert await found(admin) == []
        assert (await admin.ask("DELETE", f"/v1/sandbox/user/{uid}")).status == 404


async def test_tags_are_changed_and_filtered_by():
    async with open_house("2026-04") as house:
        guest = await house.caller()
        begun = await guest.create(body={"tags": {"line": "+1", "old": None}})
        path = f"/v1/sandbox/conversation/{begun.conversation_id}/tags/"
        changed = await guest.ask(
            "POST", path, json={"updates": {"rating": "4", "line": None}, "deletes": ["old"]}
        )

        assert changed.status == 204
        assert (await guest.listed())[0]["tags"] == {"line": None, "rating": "4"}
        assert len(await guest.listed(tag="rating:4")) == 1
        assert len(await guest.listed(tag="rating:*")) == 1
        assert len(await guest.listed(tag="line:")) == 1
        assert await guest.listed(tag="rating:5") == []


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"updates": {"line": "+15550001111"}}, 422),
        ({"updates": {"a-b": "x"}}, 422),
        ({"updates": {f"t{n}": "x" for n in range(21)}}, 422),
        ({"updates": {f"t{n}": "x" for n in range(20)}}, 400),
        ([], 422),
    ],
)
async def test_wrong_tags_are_refused(body, status):
    async with open_house("2026-04") as house:
        guest = await house.caller()
        begun = await guest.create(body={"tags": {"first": "one"}})
        path = f"/v1/sandbox/conversation/{begun.conversation_id}/tags/"

        assert (await guest.ask("POST", path, json=body)).status == status


async def test_the_service_of_a_created_users_conversation_is_the_asked_one():
    async with open_house() as house:
        guest = await house.caller()
        await guest.begin()

        assert (await guest.listed())[0]["service_id"] == SERVICE


@REVISIONS
async def test_a_deleted_users_token_and_sign_in_are_refused_for_good(revision, tmp_path):
    async with open_house(revision, data=tmp_path) as house:
        admin = await house.caller("sandbox-admin")
        uid = (await create(admin)).json["user_id"]
        gone = await house.caller(uid)
        assert (await gone.create()).status == 201
        assert (await admin.ask("DELETE", f"/v1/sandbox/user/{uid}")).status == 204

        assert (await gone.ask("GET", "/v1/sandbox/conversation/")).status == 401
        assert (await gone.sign_in()).status == 401
        assert await found(admin) == []
        assert (await create(admin)).json["user_id"] != uid, "the address is free again"
    async with open_house(revision, data=tmp_path) as house:
        assert (await house.guest(uid).sign_in()).status == 401
        assert len(await found(await house.caller("sandbox-admin"))) == 1
    assert uid.encode() in (tmp_path / "sandbox.db").read_bytes()


@REVISIONS
async def test_only_the_admin_administers_users_with_the_defaults_too(revision):
    async with open_house(revision) as house:
        admin, guest = await house.caller("sandbox-admin"), await house.caller("somebody")
        uid = (await create(admin)).json["user_id"]
        own = await house.caller(uid)
        place = f"/v1/sandbox/user/{uid}" + ("/user" if revision == "2025-06" else "")

        assert (await create(guest, email="c2@caller.invalid")).status == 403
        assert (await guest.ask("GET", "/v1/sandbox/user/")).status == 403
        search = await guest.ask("GET", "/v1/sandbox/user/search/", params={"query": "c"})
        assert search.status == 403
        assert (await guest.ask("POST", place, json={"first_name": "Mallory"})).status == 403
        assert (await guest.ask("DELETE", f"/v1/sandbox/user/{uid}")).status == 403
        assert (await own.ask("POST", place, json={"first_name": "Own"})).status == 204
        assert (await found(admin, user_id=uid))[0]["first_name"] == "Own"
