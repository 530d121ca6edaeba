"""The conversations of the organization and the rules about who may do what with them, and when.

Two rules carry the rest: a user has at most one unfinished conversation per service, and while a
create, interact or finish is running, every other call on that conversation is refused.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, Self

from gateway.clock import Clock
from gateway.sandbox.agent import DeskState
from gateway.sandbox.errors import Refusal
from gateway.sandbox.options import SandboxOptions
from gateway.sandbox.tokens import Identity

MessageKind = Literal["user-message", "agent-message", "external-event"]


def new_id() -> str:
    """24 hex digits, like every identifier of the service."""
    return secrets.token_hex(12)


@dataclass(frozen=True, slots=True)
class Message:
    """One stored message; `text` is the transcript when it was spoken."""

    id: str
    interaction_id: str
    created_at: float
    kind: MessageKind
    text: str
    voice: bool


@dataclass(slots=True)
class Conversation:
    """One conversation and everything stored of it."""

    id: str
    user_id: str
    service_id: str
    version_set: str
    created_at: float
    tags: Mapping[str, str | None] = field(default_factory=dict)
    desk: DeskState = field(default_factory=DeskState)
    messages: list[Message] = field(default_factory=list)
    interactions: int = 0
    finished: bool = False
    finish_owed: bool = False
    """Post-processing failed after the end: one more finish is allowed, to repeat it."""
    running: str = ""
    """The operation whose connection is open, or empty."""


class Turn:
    """The right to work on one conversation; a context that always gives it back.

    What is not committed was never said: leaving without `commit` rolls the interaction back.
    """

    def __init__(self, house: Conversations, conversation: Conversation, operation: str) -> None:
        self._house = house
        self.conversation = conversation
        self.interaction_id = new_id()
        self.committed = False
        conversation.running = operation

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.conversation.running = ""
        self._house.settle(self)

    def message(
        self, kind: MessageKind, text: str, *, voice: bool, message_id: str = ""
    ) -> Message:
        """A message of this interaction, dated now; not stored until it is committed."""
        stamp = self._house.clock.wall()
        return Message(message_id or new_id(), self.interaction_id, stamp, kind, text, voice)

    def commit(self, desk: DeskState, messages: list[Message], *, finished: bool) -> None:
        """Store the interaction."""
        self.conversation.messages.extend(messages)
        self.conversation.desk = desk
        self.conversation.interactions += 1
        self.conversation.finished = finished
        self.committed = True


class Conversations:
    """All conversations, newest last."""

    def __init__(self, clock: Clock, options: SandboxOptions) -> None:
        self.clock = clock
        self._options = options
        self._all: dict[str, Conversation] = {}

    def __iter__(self) -> Iterator[Conversation]:
        return iter(self._all.values())

    def start(
        self, who: Identity, service_id: str, version_set: str, tags: Mapping[str, str | None]
    ) -> Turn:
        """Open a conversation; 409 while a related call runs, 400 while another is unfinished."""
        related = [
            other for other in self if other.user_id == who.user and other.service_id == service_id
        ]
        if any(other.running for other in related):
            raise Refusal(409, "a related operation is in progress", rule="9")
        if any(not other.finished for other in related):
            raise Refusal(400, "the user has an unfinished conversation in this service", rule="8")
        conversation = Conversation(
            new_id(), who.user, service_id, version_set, self.clock.wall(), tags
        )
        self._all[conversation.id] = conversation
        return Turn(self, conversation, "create")

    def resume(self, who: Identity, conversation_id: str) -> Turn:
        """Begin an interaction: 404 unknown, 403 somebody else's, 409 finished or busy."""
        conversation = self.find(who, conversation_id, rule="14")
        if conversation.finished:
            raise Refusal(409, "the conversation is already finished", rule="14")
        if conversation.running:
            raise Refusal(409, "a related operation is in progress", rule="14")
        return Turn(self, conversation, "interact")

    def closing(self, who: Identity, conversation_id: str) -> Turn:
        """Begin to finish: like `resume`, but a conversation owed a finish may be finished."""
        conversation = self.find(who, conversation_id, rule="31")
        if conversation.finished and not conversation.finish_owed:
            raise Refusal(409, "the conversation is already finished", rule="31")
        if conversation.running:
            raise Refusal(409, "a related operation is in progress", rule="31")
        return Turn(self, conversation, "finish")

    def finish(self, turn: Turn) -> None:
        """Finish for good. A conversation without messages is deleted, or refused with 400."""
        conversation = turn.conversation
        turn.committed = True
        if not conversation.messages:
            if self._options.empty_finish == "refuse":
                raise Refusal(400, "the conversation has no interactions", rule="32")
            del self._all[conversation.id]
            return
        conversation.finished = True
        conversation.finish_owed = False

    def find(self, who: Identity, conversation_id: str, *, rule: str) -> Conversation:
        conversation = self._all.get(conversation_id)
        if conversation is None:
            raise Refusal(404, "conversation not found", rule=rule)
        if not self.may_see(who, conversation):
            raise Refusal(403, "this conversation belongs to another user", rule="5")
        return conversation

    def may_see(self, who: Identity, conversation: Conversation) -> bool:
        return (
            self._options.share_conversations
            or conversation.user_id == who.user
            or who.user in self._options.credentials.admins
        )

    def settle(self, turn: Turn) -> None:
        """Take a conversation back whose first interaction was rolled back."""
        conversation = turn.conversation
        born_dead = not turn.committed and conversation.interactions == 0
        if born_dead and self._options.failed_create == "remove":
            self._all.pop(conversation.id, None)
