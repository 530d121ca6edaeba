"""What the service has stored: conversations and their messages, filtered, from all pages."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.amigo.limits import CONVERSATIONS, MESSAGES, Limits
from gateway.amigo.models import ConversationInfo, ConversationPage, Message, MessagePage
from gateway.amigo.signed import SignedIn
from gateway.amigo.wishes import offered
from gateway.ids import ConversationId, UserId


class Archive(SignedIn):
    """Reads; changes nothing."""

    async def conversations(
        self,
        user: UserId,
        *,
        service_id: str | None = None,
        is_finished: bool | None = None,
        ids: Sequence[ConversationId] = (),
        of_users: Sequence[UserId] | None = None,
        tags: Sequence[str] = (),
        sort: Sequence[str] = (),
        limit: int = CONVERSATIONS,
    ) -> list[ConversationInfo]:
        """Conversations that pass all filters, from all pages of `limit`; usually the user's own.

        `of_users`: of these instead (none: of everybody the role reaches). `tags` are `key:value`,
        the value `*` any (2026-04).
        """
        limits = Limits("conversations")
        limits.page(limit, CONVERSATIONS)
        limits.sort(sort, ("created_at",))
        if tags:
            offered("conversations", self.revision, "tags")
        more = (*(("tag", tag) for tag in tags), *(("sort_by", wish) for wish in sort))
        pages = self._pages(
            user,
            ConversationPage,
            lambda token: self._requests.conversations(
                (user,) if of_users is None else of_users,
                service_id=service_id,
                is_finished=is_finished,
                ids=ids,
                token=token,
                more=more,
                limit=limit,
            ),
        )
        return [one async for page in pages for one in page.conversations]

    async def messages(
        self,
        user: UserId,
        conversation_id: ConversationId,
        *,
        ids: Sequence[str] = (),
        interaction_ids: Sequence[str] = (),
        kinds: Sequence[str] = (),
        limit: int | None = None,
    ) -> list[Message]:
        """What was said in a conversation, oldest first; `kinds` of message are chosen in 2026-04."""
        limits = Limits("messages")
        limits.ids(id=ids, interaction_id=interaction_ids)
        if limit is not None:
            limits.page(limit, MESSAGES)
        if kinds:
            offered("messages", self.revision, "choice of message types")
        query = (
            *(("id", one) for one in ids),
            *(("interaction_id", one) for one in interaction_ids),
            *(("message_type", kind) for kind in kinds),
            *(() if limit is None else (("limit", str(limit)),)),
        )
        pages = self._pages(
            user,
            MessagePage,
            lambda token: self._requests.messages(conversation_id, token, query),
        )
        said = [one async for page in pages for one in page.messages]
        return sorted(said, key=Message.time)
