"""Answers of the operations around a conversation, read liberally: what a build does not send is neutral."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import AliasChoices, BeforeValidator, Field

from gateway.amigo.models import Answer, Flag, Page, Text
from gateway.ids import UserId


def _listed(value: object) -> object:
    return () if value is None else value


def _texts(value: object) -> object:
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()


Texts = Annotated[tuple[str, ...], BeforeValidator(_texts)]
"""A list of texts; null and anything else in it is left out."""


class Transition(Answer):
    """One step of the agent's state machine."""

    previous: Text = Field("", validation_alias=AliasChoices("previous_state", "previous"))
    next: Text = Field("", validation_alias=AliasChoices("next_state", "next"))
    kind: Text = Field("", validation_alias=AliasChoices("type", "kind"))
    reason: Text = Field(
        "", validation_alias=AliasChoices("previous_state_exit_condition_description", "reason")
    )


class Memory(Answer):
    """One thing the agent had in mind."""

    content: Text = Field("", repr=False)
    context: Text = Field("", repr=False)


class Insights(Answer):
    """What lay behind one interaction (`insights`)."""

    state: Text = Field("", validation_alias=AliasChoices("current_state_name", "state"))
    action: Text = Field("", validation_alias=AliasChoices("current_state_action", "action"))
    objective: Text = Field(
        "", validation_alias=AliasChoices("current_state_objective", "objective")
    )
    transitions: Annotated[tuple[Transition, ...], BeforeValidator(_listed)] = Field(
        (), validation_alias=AliasChoices("state_transition_logs", "transitions")
    )
    memory: Annotated[tuple[Memory, ...], BeforeValidator(_listed)] = Field(
        (), validation_alias=AliasChoices("working_memory", "memory")
    )
    reflections: Texts = ()
    dynamic_behavior: Any = Field(
        None, validation_alias="triggered_dynamic_behavior_set_version_info"
    )
    """Pair of id and version, null, or an empty list: builds differ."""
    next_action_tools: Any = Field(None, validation_alias="select_next_action_tool_call_logs")
    engage_tools: Any = Field(None, validation_alias="engage_user_tool_call_logs")


class MessageSource(Answer):
    """Where the recording behind a message can be had, for a while."""

    url: str = Field(min_length=1, repr=False)
    """A capability: whoever knows it can fetch the recording."""
    expires_at: Text = ""
    content_type: Text = ""
    """`audio/wav` or `audio/mpeg`."""


class Recommendations(Answer):
    """Answer of `recommend_responses`."""

    recommended_responses: Texts = ()


class Starter(Answer):
    """A sentence a conversation could begin with."""

    prompt: Text = ""
    facets: Texts = ()


class StarterList(Answer):
    """Answer of `conversation_starter`."""

    prompts: Annotated[tuple[Starter, ...], BeforeValidator(_listed)] = ()


class SimulatedReply(Answer):
    """Answer of `simulate`; nothing of it was stored."""

    agent_message: Text = ""
    conversation_ended: Flag = False


class FeedbackContent(Answer):
    """What a feedback says."""

    kind: Text = Field("", validation_alias=AliasChoices("type", "kind"))
    comment: Text = Field("", repr=False)
    interaction_id: Text = ""
    resolved: Flag = False


class Feedback(Answer):
    """One feedback on a conversation or an interaction."""

    id: Text = ""
    user_id: Text = ""
    conversation_id: Text = ""
    created_at: Text = ""
    content: FeedbackContent = Field(
        FeedbackContent(), validation_alias=AliasChoices("feedback_content", "content")
    )


class FeedbackPage(Page):
    """Answer of "get conversation feedbacks"."""

    feedbacks: tuple[Feedback, ...]


class ConversationFeedbackMade(Answer):
    """Answer of "create a conversation feedback"."""

    conversation_feedback_id: str = Field(min_length=1)


class InteractionFeedbackMade(Answer):
    """Answer of "create an interaction feedback"."""

    interaction_feedback_id: str = Field(min_length=1)


class UserInfo(Answer):
    """One user of the organization."""

    id: UserId = Field(UserId(""), validation_alias=AliasChoices("user_id", "id"))
    first_name: Text = Field("", repr=False)
    last_name: Text = Field("", repr=False)
    email: Text = Field("", repr=False)
    role: Text = ""


class UserPage(Page):
    """Answer of "get users" and "search users"."""

    users: tuple[UserInfo, ...]


class UserMade(Answer):
    """Answer of "create a user"."""

    user_id: str = Field(min_length=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewUser:
    """A user to be created; names and address may be placeholders, the address must be unique."""

    first_name: str = field(repr=False)
    last_name: str = field(repr=False)
    email: str = field(repr=False)
    role_name: str = "DefaultUserRole"
    login_link: str | None = None
    """Sent to the address if given."""
    preferences: dict[str, Any] | None = None
    variables: dict[str, str] = field(default_factory=dict)
    """For the agent's tools (2026-04)."""
    secret_variables: dict[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class UserUpdate:
    """Changes of a user; None leaves a field as it is."""

    first_name: str | None = field(default=None, repr=False)
    last_name: str | None = field(default=None, repr=False)
    preferred_language: str | None = None
    """ISO 639-3."""
    timezone: str | None = None
    additional_context: tuple[str, ...] | None = field(default=None, repr=False)
    audio_keyterms: tuple[str, ...] | None = None
    enable_response_recommendation: bool | None = None
    conversations_visible_to_admins: bool | None = None
    user_model_visible_to_admins: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StarterRequest:
    """What generated starters should be about."""

    service_id: str
    facets: tuple[str, ...]
    version_set: str = "release"
    min_count: int = 1
    max_count: int = 3
    instructions: str = "Short sentences, as people speak on the telephone."
