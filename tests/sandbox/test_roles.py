"""Permissions by role on the token: each operation asks for what the API's pages say it does."""

from __future__ import annotations

from typing import Any

import jwt
import pytest

from gateway.sandbox.options import Credentials
from gateway.sandbox.roles import PERMISSIONS, Role
from tests.sandbox.house import House, open_house

NEEDED = [
    ("2025-06", "create", "Conversation:CreateConversation"),
    ("2025-06", "interact", "Conversation:InteractWithConversation"),
    ("2025-06", "interact", "User:UpdateUserInfo"),
    ("2025-06", "finish", "Conversation:InteractWithConversation"),
    ("2026-04", "finish", "Conversation:FinishConversation"),
    ("2026-04", "finish", "User:UpdateUserInfo"),
    ("2025-06", "insights", "Conversation:GetInteractionInsights"),
    ("2025-06", "insights", "Organization:GetServiceHierarchicalStateMachine"),
    ("2025-06", "feedback", "Conversation:UpsertConversationFeedback"),
    ("2026-04", "tags", "Conversation:ModifyConversation"),
    ("2026-04", "users", "User:GetUserInfo"),
    ("2026-04", "services", "Service:GetService"),
    ("2026-04", "source", "Conversation:GetMessage"),
]


def without(permission: str) -> Credentials:
    """`ada` has every permission but this one."""
    role = Role(name="lacking", permissions=frozenset(PERMISSIONS) - {permission})
    usual = Credentials()
    return Credentials(
        roles={**usual.roles, role.name: role}, role_of={"ada": role.name, "boss": "AdminRole"}
    )


async def attempt(house: House, operation: str) -> tuple[int, Any]:
    ada, boss = await house.caller("ada"), await house.caller("boss")
    if operation == "create":
        answer = await ada.create()
        return answer.status, answer.json
    token, ada.token = ada.token, (await _as(house, boss, "ada"))
    begun = await ada.create("voice")
    ada.token = token
    root = f"/v1/sandbox/conversation/{begun.conversation_id}"
    done = begun.of("interaction-complete")[0]
    calls: dict[str, tuple[str, str, Any]] = {
        "finish": ("POST", f"{root}/finish/", None),
        "insights": ("GET", f"{root}/interaction/{done['interaction_id']}/insights", None),
        "feedback": ("POST", f"{root}/feedback", {"comment": "x"}),
        "tags": ("POST", f"{root}/tags/", {"updates": {}}),
        "users": ("GET", "/v1/sandbox/user/", None),
        "services": ("GET", "/v1/sandbox/service/", None),
        "source": ("GET", f"{root}/messages/{done['message_id']}/source", None),
    }
    if operation == "interact":
        answer = await ada.say(begun.conversation_id, "hello there")
    else:
        method, path, body = calls[operation]
        answer = await ada.ask(method, path, **({"json": body} if body is not None else {}))
    return answer.status, answer.json


async def _as(house: House, boss: Any, user: str) -> str:
    """A token of the same user with the administrator's role, as an earlier sign-in would have had."""
    from gateway.sandbox.state import SANDBOX
    from gateway.sandbox.tokens import Claims

    return house.app[SANDBOX].tokens.issue(Claims("sandbox", user, "AdminRole"))[0]


@pytest.mark.parametrize(("revision", "operation", "permission"), NEEDED)
async def test_what_is_missing_is_named_in_a_403(revision, operation, permission):
    async with open_house(revision, credentials=without(permission)) as house:
        status, body = await attempt(house, operation)

        assert (status, body["detail"]) == (403, f"the permission {permission} is missing")


async def test_lists_are_emptied_instead():
    async with open_house(credentials=without("Conversation:GetMessage")) as house:
        ada = await house.caller("ada")
        conversation = await ada.begin()

        assert await ada.messages(conversation) == []
        assert (await ada.listed())[0]["final_message"] == ""
    async with open_house(credentials=without("Service:GetVersionSet")) as house:
        ada = await house.caller("ada")
        await ada.begin()
        assert (await ada.listed())[0]["version_set_info"] is None
    async with open_house(credentials=without("Conversation:GetConversation")) as house:
        ada = await house.caller("ada")
        await ada.begin()
        assert await ada.listed() == []


async def test_action_events_need_the_permission_for_insights():
    async with open_house(
        "2026-04", credentials=without("Conversation:GetInteractionInsights")
    ) as house:
        assert (await (await house.caller("ada")).create()).of("current-agent-action") == []
        assert (await (await house.caller("bob")).create()).of("current-agent-action") != []


async def test_A3_a_token_signed_by_another_or_by_nobody_is_401():
    async with open_house() as house:
        guest = await house.caller()
        claims = jwt.decode(guest.token, options={"verify_signature": False})
        forged = (
            jwt.encode(claims, "another secret of thirty-two bytes!!", algorithm="HS256"),
            jwt.encode(claims, None, algorithm="none"),
        )
        for token in forged:
            guest.token = token
            answer = await guest.ask("GET", "/v1/sandbox/conversation/")

            assert answer.status == 401


async def test_the_token_tells_user_organization_and_role():
    async with open_house() as house:
        claims = jwt.decode((await house.caller("ada")).token, options={"verify_signature": False})

        assert (claims["sub"], claims["org"], claims["role"]) == ("ada", "sandbox", "SandboxRole")
