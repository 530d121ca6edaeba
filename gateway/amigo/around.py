"""What can be asked around a conversation: insights, sources, recommendations, feedback, simulation, starters, tags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from gateway.amigo.answers import (
    ConversationFeedbackMade,
    Feedback,
    FeedbackPage,
    Insights,
    InteractionFeedbackMade,
    MessageSource,
    Recommendations,
    SimulatedReply,
    Starter,
    StarterList,
    StarterRequest,
)
from gateway.amigo.limits import FEEDBACKS, TAGS, Limits
from gateway.amigo.models import read_answer
from gateway.amigo.revisions import Query
from gateway.amigo.signed import SignedIn
from gateway.ids import ConversationId, UserId

_FEEDBACK_SORTS = ("created_at", "user_id", "user_org_id", "conversation_id")


def _in(conversation: ConversationId, *rest: str) -> str:
    return "/".join(("conversation", conversation, *rest))


class AroundConversations(SignedIn):
    """Operations that need no stream. Each raises `AmigoError`; `AmigoInvalid` before anything is sent."""

    async def recommend_responses(
        self,
        user: UserId,
        conversation: ConversationId,
        interaction: str,
        *,
        context: str | None = None,
    ) -> tuple[str, ...]:
        """Sentences the caller could say now; only for the latest interaction of an open conversation.

        `context` is sent in 2026-04 only; the older revision has no place for it.
        """
        name = "recommend-responses"
        Limits(name).ids(conversation_id=conversation, interaction_id=interaction)
        place = _in(conversation, "interaction", interaction, "recommend_responses")
        if self._later:
            body = await self._tell(
                user, name, place, {} if context is None else {"context": context}
            )
        else:
            body = await self._ask(user, name, "GET", place)
        return read_answer(Recommendations, name, 200, body).recommended_responses

    async def insights(
        self, user: UserId, conversation: ConversationId, interaction: str
    ) -> Insights:
        """State, transitions, memory and thoughts behind one interaction."""
        name = "insights"
        Limits(name).ids(conversation_id=conversation, interaction_id=interaction)
        place = _in(conversation, "interaction", interaction, "insights")
        return read_answer(Insights, name, 200, await self._ask(user, name, "GET", place))

    async def message_source(
        self,
        user: UserId,
        conversation: ConversationId,
        message: str,
        *,
        long_lived: bool = False,
    ) -> MessageSource:
        """Where a spoken message's recording can be had; `long_lived` (2026-04): for 12 hours."""
        name = "message-source"
        Limits(name).ids(conversation_id=conversation, message_id=message)
        query: Query = (("long_lived", "true"),) if long_lived and self._later else ()
        place = _in(conversation, "messages", message, "source")
        return read_answer(
            MessageSource, name, 200, await self._ask(user, name, "GET", place, query)
        )

    async def simulate(
        self,
        user: UserId,
        conversation: ConversationId,
        interaction: str,
        *,
        agent: Mapping[str, Any] | None = None,
        state_machine: Mapping[str, Any] | None = None,
    ) -> SimulatedReply:
        """Run an interaction again, perhaps with another agent; nothing is stored (2025-06)."""
        name = "simulate"
        self._current(name, offered=not self._later)
        Limits(name).ids(conversation_id=conversation, interaction_id=interaction)
        place = _in(conversation, "interaction", interaction, "simulate")
        overrides = {
            "agent_version_override": None if agent is None else dict(agent),
            "state_machine_version_override": None
            if state_machine is None
            else dict(state_machine),
        }
        return read_answer(
            SimulatedReply, name, 200, await self._tell(user, name, place, overrides)
        )

    async def starters(self, user: UserId, wanted: StarterRequest) -> tuple[Starter, ...]:
        """Sentences a conversation with this service could begin with."""
        name, limits = "starters", Limits("starters")
        limits.ids(service_id=wanted.service_id)
        limits.counts(wanted.min_count, wanted.max_count)
        limits.filled(instructions=wanted.instructions)
        if not wanted.facets:
            raise limits.refuse("facets", "at least one")
        for facet in wanted.facets:
            limits.filled(facets=facet)
        body = {
            "service_id": wanted.service_id,
            "service_version_set_name": wanted.version_set,
            "facets": list(wanted.facets),
            "min_count": wanted.min_count,
            "max_count": wanted.max_count,
            "generation_instructions": wanted.instructions,
        }
        answer = await self._tell(user, name, "conversation/conversation_starter", body)
        return read_answer(StarterList, name, 200, answer).prompts

    async def modify_tags(
        self,
        user: UserId,
        conversation: ConversationId,
        updates: Mapping[str, str | None],
        deletes: Sequence[str] = (),
    ) -> None:
        """Set and delete tags (2026-04). Here values hold only words and blanks, unlike at creation."""
        name, limits = "tags", Limits("tags")
        self._current(name, offered=self._later)
        limits.ids(conversation_id=conversation)
        limits.tags(updates, created=False)
        if len(set(deletes)) > TAGS:
            raise limits.refuse("deletes", f"at most {TAGS}")
        body = {"updates": dict(updates), "deletes": sorted(set(deletes))}
        await self._tell(user, name, f"{_in(conversation, 'tags')}/", body)

    # ------------------------------------------------------------------ feedback (2025-06)

    async def feedbacks(
        self,
        user: UserId,
        kind: Literal["conversation", "interaction"],
        *,
        conversation_ids: Sequence[ConversationId] = (),
        interaction_ids: Sequence[str] = (),
        sort: Sequence[str] = (),
        limit: int = FEEDBACKS,
    ) -> list[Feedback]:
        """All feedback of a kind that passes the filters, from all pages of `limit` items."""
        name, limits = "feedbacks", Limits("feedbacks")
        self._current(name, offered=not self._later)
        limits.ids(conversation_id=conversation_ids, interaction_id=interaction_ids)
        limits.page(limit, FEEDBACKS)
        extra = ("feedback_content.interaction_id",) if kind == "interaction" else ()
        limits.sort(sort, (*_FEEDBACK_SORTS, *extra))
        query = (
            ("type", kind),
            *(("conversation_id", one) for one in conversation_ids),
            *(("interaction_id", one) for one in interaction_ids),
            *(("sort_by", wish) for wish in sort),
            ("limit", str(limit)),
        )
        pages = self._pages(
            user,
            FeedbackPage,
            lambda token: self._requests.plain(
                name, "GET", "conversation/feedback/", (*query, ("continuation_token", str(token)))
            ),
        )
        return [one async for page in pages for one in page.feedbacks]

    async def create_conversation_feedback(
        self, user: UserId, conversation: ConversationId, comment: str
    ) -> str:
        """Comment on a conversation; returns the feedback's id."""
        name = "create-feedback"
        self._check_feedback(name, comment, conversation_id=conversation)
        answer = await self._tell(user, name, _in(conversation, "feedback"), {"comment": comment})
        return read_answer(ConversationFeedbackMade, name, 200, answer).conversation_feedback_id

    async def update_conversation_feedback(
        self, user: UserId, conversation: ConversationId, feedback: str, comment: str
    ) -> None:
        """Replace the comment."""
        name = "update-feedback"
        self._check_feedback(name, comment, conversation_id=conversation, feedback_id=feedback)
        place = _in(conversation, "feedback", feedback)
        await self._tell(user, name, place, {"feedback": comment})  # creation calls it `comment`

    async def delete_conversation_feedback(
        self, user: UserId, conversation: ConversationId, feedback: str
    ) -> None:
        name = "delete-feedback"
        self._check_feedback(name, None, conversation_id=conversation, feedback_id=feedback)
        await self._ask(user, name, "DELETE", _in(conversation, "feedback", feedback))

    async def create_interaction_feedback(
        self, user: UserId, conversation: ConversationId, interaction: str, comment: str
    ) -> str:
        """Comment on one interaction; returns the feedback's id."""
        name = "create-feedback"
        self._check_feedback(
            name, comment, conversation_id=conversation, interaction_id=interaction
        )
        place = _in(conversation, "interaction", interaction, "feedback")
        body = {"feedback": {"type": "interaction_comment", "comment": comment}}
        answer = await self._tell(user, name, place, body)
        return read_answer(InteractionFeedbackMade, name, 200, answer).interaction_feedback_id

    async def update_interaction_feedback(
        self,
        user: UserId,
        conversation: ConversationId,
        interaction: str,
        feedback: str,
        comment: str,
        *,
        resolved: bool,
    ) -> None:
        """Change or resolve a comment; the words of a resolved one cannot be changed."""
        name = "update-feedback"
        ids = {"conversation_id": conversation, "interaction_id": interaction}
        self._check_feedback(name, comment, **ids, feedback_id=feedback)
        place = _in(conversation, "interaction", interaction, "feedback", feedback)
        content = {"type": "interaction_comment", "comment": comment, "resolved": resolved}
        await self._tell(user, name, place, {"feedback": content})

    async def delete_interaction_feedback(
        self, user: UserId, conversation: ConversationId, interaction: str, feedback: str
    ) -> None:
        name = "delete-feedback"
        ids = {"conversation_id": conversation, "interaction_id": interaction}
        self._check_feedback(name, None, **ids, feedback_id=feedback)
        place = _in(conversation, "interaction", interaction, "feedback", feedback)
        await self._ask(user, name, "DELETE", place)

    def _check_feedback(self, name: str, comment: str | None, **ids: str) -> None:
        self._current(name, offered=not self._later)
        Limits(name).ids(**ids)
        if comment is not None:
            Limits(name).filled(comment=comment)
