"""The conversations of the organization and the rules about who may do what with them, and when.

Two rules carry the rest: a user has at most one unfinished conversation per service, and while a
create, interact or finish is running, every other call on that conversation is refused. A
conversation lives in memory; what is committed of it is in the records, too.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self

from gateway.clock import Clock
from gateway.sandbox.agent import Agent, AgentState, Outcome, Reply, Transition
from gateway.sandbox.errors import Refusal
from gateway.sandbox.options import SandboxOptions
from gateway.sandbox.records import Records
from gateway.sandbox.tokens import Identity

MessageKind = Literal["user-message", "agent-message", "external-event", "agent-inner-thought"]
TurnKind = Literal["greeting", "user-message", "external-event", "skip"]


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


@dataclass(frozen=True, slots=True)
class Sound:
    """The recording behind a message."""

    message_id: str
    media: str
    """`audio/wav` or `audio/mpeg`."""
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Interaction:
    """What one committed turn was, enough to explain it and to run it again."""

    id: str
    kind: TurnKind
    heard: str
    before: AgentState | None
    """None for the greeting: there was nothing before it."""
    after: AgentState
    transitions: tuple[Transition, ...]
    reflections: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "kind": self.kind,
            "heard": self.heard,
            "before": None if self.before is None else self.before.as_json(),
            "after": self.after.as_json(),
            "transitions": [asdict(step) for step in self.transitions],
            "reflections": list(self.reflections),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Interaction:
        before = data["before"]
        return cls(
            id=data["id"],
            kind=data["kind"],
            heard=data["heard"],
            before=None if before is None else AgentState.from_json(before),
            after=AgentState.from_json(data["after"]),
            transitions=tuple(Transition(**step) for step in data["transitions"]),
            reflections=tuple(data["reflections"]),
        )


@dataclass(slots=True)
class Conversation:
    """One conversation and everything stored of it."""

    id: str
    user_id: str
    service_id: str
    version_set: str
    created_at: float
    state: AgentState
    tags: dict[str, str | None] = field(default_factory=dict)
    number: int = 0
    """Place in the order of creation."""
    messages: list[Message] = field(default_factory=list)
    interactions: list[Interaction] = field(default_factory=list)
    finished: bool = False
    finish_owed: bool = False
    """Post-processing failed after the end: one more finish is allowed, to repeat it."""
    running: str = ""
    """The operation whose connection is open, or empty."""

    def interaction(self, interaction_id: str) -> Interaction:
        """404 where there is none of this id."""
        found = next((one for one in self.interactions if one.id == interaction_id), None)
        if found is None:
            raise Refusal(404, "interaction not found", rule="36")
        return found

    def head(self) -> dict[str, Any]:
        """Everything but what was said, as plain values."""
        return {
            "id": self.id,
            "user_id": self.user_id,
            "service_id": self.service_id,
            "version_set": self.version_set,
            "created_at": self.created_at,
            "state": self.state.as_json(),
            "tags": self.tags,
            "number": self.number,
            "finished": self.finished,
            "finish_owed": self.finish_owed,
        }


class Turn:
    """The right to work on one conversation; a context that always gives it back.

    What is not committed was never said: leaving without `commit` rolls the interaction back.
    """

    def __init__(self, house: Conversations, conversation: Conversation, operation: str) -> None:
        self._house = house
        self.conversation = conversation
        self.interaction_id = new_id()
        self.committed = False
        self.sounds: list[Sound] = []
        """Recordings of the messages of this turn."""
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

    def commit(
        self,
        done: Done,
        messages: list[Message],
        *,
        finished: bool,
        finish_owed: bool = False,
    ) -> None:
        """Store the interaction."""
        conversation = self.conversation
        interaction = Interaction(
            id=self.interaction_id,
            kind=done.kind,
            heard=done.heard,
            before=conversation.state if conversation.interactions else None,
            after=done.outcome.state,
            transitions=done.outcome.transitions,
            reflections=done.outcome.reflections,
        )
        conversation.messages.extend(messages)
        conversation.interactions.append(interaction)
        conversation.state = done.outcome.state
        conversation.finished = finished
        conversation.finish_owed = finish_owed
        self.committed = True
        self._house.keep(conversation, interaction, messages, self.sounds)


@dataclass(frozen=True, slots=True)
class Done:
    """What a turn was about and what the agent made of it."""

    kind: TurnKind
    heard: str
    outcome: Outcome

    @property
    def reply(self) -> Reply:
        return self.outcome.reply


class Conversations:
    """All conversations, newest last."""

    def __init__(
        self, clock: Clock, options: SandboxOptions, agent: Agent, records: Records
    ) -> None:
        self.clock = clock
        self._options = options
        self._agent = agent
        self._records = records
        self._all = {one.id: one for one in _remembered(records)}
        self._count = max((one.number for one in self._all.values()), default=0)

    def __iter__(self) -> Iterator[Conversation]:
        return iter(list(self._all.values()))

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
        self._count += 1
        conversation = Conversation(
            new_id(),
            who.user,
            service_id,
            version_set,
            self.clock.wall(),
            self._agent.greet().state,
            dict(tags),
            self._count,
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
            self._forget(conversation)
            return
        conversation.finished = True
        conversation.finish_owed = False
        self.keep_head(conversation)

    def find(self, who: Identity, conversation_id: str, *, rule: str) -> Conversation:
        conversation = self._all.get(conversation_id)
        if conversation is None:
            raise Refusal(404, "conversation not found", rule=rule)
        if not self.may_see(who, conversation):
            raise Refusal(403, "this conversation belongs to another user", rule="5")
        return conversation

    def may_see(self, who: Identity, conversation: Conversation) -> bool:
        own = conversation.user_id == who.user
        return self._options.share_conversations or own or who.role.everybodys

    def settle(self, turn: Turn) -> None:
        """Take a conversation back whose first interaction was rolled back."""
        conversation = turn.conversation
        born_dead = not turn.committed and not conversation.interactions
        if born_dead and self._options.failed_create == "remove":
            self._forget(conversation)

    # ------------------------------------------------------------ the records

    def keep(
        self,
        conversation: Conversation,
        interaction: Interaction,
        messages: list[Message],
        sounds: list[Sound],
    ) -> None:
        """Write a committed interaction, whole."""
        number = len(conversation.interactions)
        first = len(conversation.messages) - len(messages)
        home = {"conversation_id": conversation.id}
        with self._records.transaction():
            self._records.put(
                "conversations", conversation.id, conversation.number, conversation.head()
            )
            body = {**interaction.as_json(), **home}
            self._records.put("interactions", interaction.id, number, body, **home)
            for place, message in enumerate(messages, first):
                self._records.put(
                    "messages", message.id, place, {**asdict(message), **home}, **home
                )
            for sound in sounds:
                self._records.keep_sound(sound.message_id, sound.media, sound.data)

    def keep_head(self, conversation: Conversation) -> None:
        """Write what changed of a conversation apart from its messages."""
        self._records.put(
            "conversations", conversation.id, conversation.number, conversation.head()
        )

    def _forget(self, conversation: Conversation) -> None:
        self._all.pop(conversation.id, None)
        with self._records.transaction():
            self._records.remove_conversation(conversation.id)


def _remembered(records: Records) -> Iterator[Conversation]:
    """The conversations of an earlier run; what was running when it ended was never said."""
    interactions: dict[str, list[Interaction]] = {}
    for body in records.all("interactions"):
        interactions.setdefault(body["conversation_id"], []).append(Interaction.from_json(body))
    messages: dict[str, list[Message]] = {}
    for body in records.all("messages"):
        messages.setdefault(body.pop("conversation_id"), []).append(Message(**body))
    for body in records.all("conversations"):
        state = AgentState.from_json(body.pop("state"))
        yield Conversation(
            **body,
            state=state,
            messages=messages.get(body["id"], []),
            interactions=interactions.get(body["id"], []),
        )
