"""What the conversation API says of a call: states behind its turns, recordings, feedback, a replay."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Container, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from gateway.amigo.client import AmigoClient
from gateway.errors import AmigoError, AmigoNotOffered
from gateway.ids import ConversationId, UserId
from gateway.rca.rules import Record

OPEN_STATES: Final = ("open", "finishing")
T = TypeVar("T")


@dataclass(slots=True)
class Inquiry:
    """The answers, as plain JSON values; `why` says of each part that is missing what stood in the way."""

    interactions: list[dict[str, object]] = field(default_factory=list)
    recommended: list[str] = field(default_factory=list)
    feedback: list[dict[str, object]] = field(default_factory=list)
    simulated: dict[str, object] | None = None
    why: dict[str, str] = field(default_factory=dict)


async def inquire(client: AmigoClient, record: Record, simulate: str | None = None) -> Inquiry:
    """Ask, part by part; a part that cannot be had costs no other. Raises nothing of the API's."""
    found = Inquiry()
    user = UserId(str(record.get("user_id") or ""))
    conversation = record.get("conversation_id")
    if not user or not conversation:
        found.why["api"] = "the call has no conversation"
        return found
    spoken = {one.get("message_id") for one in record.get("transcript") or [] if one.get("voice")}
    asking = _Asking(client, user, ConversationId(str(conversation)), found, spoken)
    try:
        await client.sign_in(user)
    except AmigoError as error:
        found.why["api"] = str(error)
        return found
    turns = [turn for turn in record.get("turns") or [] if turn.get("interaction_id")]
    for turn in turns:
        found.interactions.append(await asking.interaction(turn))
    await asking.feedback()
    if record.get("conversation_state") not in OPEN_STATES:
        found.why["recommended"] = "only for the latest interaction of an open conversation"
    elif turns:
        await asking.recommended(str(turns[-1]["interaction_id"]))
    if simulate is not None:
        await asking.simulated(simulate)
    return found


class _Asking:
    def __init__(
        self,
        client: AmigoClient,
        user: UserId,
        conversation: ConversationId,
        found: Inquiry,
        spoken: Container[object],
    ) -> None:
        self._client = client
        self._user = user
        self._conversation = conversation
        self._found = found
        self._spoken = spoken
        """Messages that began as sound: only of these there is a recording."""

    async def interaction(self, turn: Mapping[str, Any]) -> dict[str, object]:
        interaction = str(turn["interaction_id"])
        told: dict[str, object] = {"turn": turn.get("index"), "interaction_id": interaction}
        insights = await self._part(
            "insights", lambda: self._client.insights(self._user, self._conversation, interaction)
        )
        if insights is not None:
            told["state"] = insights.state
            told["objective"] = insights.objective
            told["transitions"] = [
                {"from": one.previous, "to": one.next, "reason": one.reason}
                for one in insights.transitions
            ]
        told["sources"] = [
            source
            for name in ("user_message_id", "agent_message_id")
            if turn.get(name) in self._spoken
            for source in await self._source(name, str(turn[name]))
        ]
        return told

    async def _source(self, name: str, message: str) -> list[dict[str, object]]:
        source = await self._part(
            "sources",
            lambda: self._client.message_source(self._user, self._conversation, message),
            none=(400, 404),
        )
        if source is None:
            return []
        return [
            {
                "of": "caller" if name == "user_message_id" else "agent",
                "message_id": message,
                "url": source.url,
                "content_type": source.content_type,
                "expires_at": source.expires_at,
            }
        ]

    async def feedback(self) -> None:
        for kind in ("conversation", "interaction"):
            given = await self._part(
                "feedback",
                lambda kind=kind: self._client.feedbacks(  # type: ignore[misc]
                    self._user, kind, conversation_ids=(self._conversation,)
                ),
            )
            self._found.feedback.extend(
                {
                    "kind": kind,
                    "at": one.created_at,
                    "comment": one.content.comment,
                    "interaction_id": one.content.interaction_id or None,
                }
                for one in given or ()
            )

    async def recommended(self, interaction: str) -> None:
        said = await self._part(
            "recommended",
            lambda: self._client.recommend_responses(self._user, self._conversation, interaction),
        )
        self._found.recommended.extend(said or ())

    async def simulated(self, interaction: str) -> None:
        reply = await self._part(
            "simulated",
            lambda: self._client.simulate(self._user, self._conversation, interaction),
        )
        if reply is not None:
            self._found.simulated = {
                "interaction_id": interaction,
                "agent_message": reply.agent_message,
                "conversation_ended": reply.conversation_ended,
            }

    async def _part(
        self, name: str, ask: Callable[[], Awaitable[T]], none: tuple[int, ...] = ()
    ) -> T | None:
        """One request; the first that fails speaks for its part, and no more is asked of that.

        A status in `none` only says that there is nothing here (a message that was not spoken).
        """
        if name in self._found.why:
            return None
        try:
            return await ask()
        except AmigoNotOffered:
            self._found.why[name] = f"the API has none in revision {self._client.revision.name}"
        except AmigoError as error:
            if error.status not in none:
                self._found.why[name] = str(error)
        return None
