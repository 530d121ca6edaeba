"""Roles: which permissions a user's token carries, by the names the API's pages give them.

The pages write `Conversation:GetMessage` and `Conversation.GetMessage` interchangeably; so does a
credentials file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

CREATE: Final = "Conversation:CreateConversation"
GET_CONVERSATION: Final = "Conversation:GetConversation"
GET_MESSAGE: Final = "Conversation:GetMessage"
INTERACT: Final = "Conversation:InteractWithConversation"
FINISH: Final = "Conversation:FinishConversation"
MODIFY: Final = "Conversation:ModifyConversation"
RECOMMEND: Final = "Conversation:GetRecommendedResponses"
INSIGHTS: Final = "Conversation:GetInteractionInsights"
GET_FEEDBACK: Final = "Conversation:GetConversationFeedback"
GET_INTERACTION_FEEDBACK: Final = "Conversation:GetInteractionFeedback"
PUT_FEEDBACK: Final = "Conversation:UpsertConversationFeedback"
PUT_INTERACTION_FEEDBACK: Final = "Conversation:UpsertInteractionFeedback"
STATE_MACHINE: Final = "Organization:GetServiceHierarchicalStateMachine"
GET_SERVICE: Final = "Service:GetService"
VERSION_SET: Final = "Service:GetVersionSet"
UPDATE_USER: Final = "User:UpdateUserInfo"
GET_USER: Final = "User:GetUserInfo"
INVITE: Final = "User:InviteUser"
DELETE_USER: Final = "User:DeleteUser"

PERMISSIONS: Final = (
    CREATE, GET_CONVERSATION, GET_MESSAGE, INTERACT, FINISH, MODIFY, RECOMMEND, INSIGHTS, GET_FEEDBACK,
    GET_INTERACTION_FEEDBACK, PUT_FEEDBACK, PUT_INTERACTION_FEEDBACK, STATE_MACHINE, GET_SERVICE, VERSION_SET,
    UPDATE_USER, GET_USER, INVITE, DELETE_USER,
)  # fmt: skip
"""Everything a role can hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """A name and what it allows."""

    name: str
    permissions: frozenset[str]
    everybodys: bool = False
    """It reaches the conversations of every user, not only its bearer's own."""


USER: Final = Role(
    name="DefaultUserRole",
    permissions=frozenset(PERMISSIONS) - {INVITE, DELETE_USER, GET_USER},
)
"""What a created user gets."""
GUEST: Final = Role(name="SandboxRole", permissions=USER.permissions)
"""Anybody the sandbox has never heard of: as a user, everything with their own conversations."""
ADMIN: Final = Role(name="AdminRole", permissions=frozenset(PERMISSIONS), everybodys=True)
BUILT_IN: Final = (USER, GUEST, ADMIN)


def permission_named(text: str) -> str | None:
    """The permission of this name in either spelling; None for one that does not exist."""
    name = text.strip().replace(".", ":")
    return name if name in PERMISSIONS else None
