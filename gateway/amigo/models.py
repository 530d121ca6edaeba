"""Values of the client's seams: its options, what it is handed, and the answers it hands back."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Literal, Protocol, TypeAlias, TypeVar

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from gateway.errors import AmigoError
from gateway.ids import ConversationId

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway.amigo.revisions import Query

RevisionSetting: TypeAlias = Literal["auto", "2025-06", "2026-04"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AmigoOptions:
    """How to reach the conversation API, and as whom."""

    base_url: str
    """`https://host[/prefix]`, without `/v1`; a slash at its end does not matter."""
    organization: str
    api_key: str = field(repr=False)
    api_key_id: str = field(repr=False)
    revision: RevisionSetting = "auto"
    """`auto` begins as 2025-06 and may be told better by the service's own document."""
    cluster_name: str | None = None
    """Sent as `x-mongo-cluster-name` with every request; only dedicated clusters need it."""
    extra_query: Query = ()
    """Parameters added to create and interact; one of ours with the same name gives way."""
    connect_seconds: float = 5.0
    """Bound on name look-up, TCP and TLS together, for every request."""
    call_seconds: float = 10.0
    """Bound on a whole request that is not a stream (sign-in, finish, lists)."""
    keep_alive_seconds: float = 4.0
    """Idle connections are dropped after this: sooner than common servers (5 s) drop theirs, so a
    request that must not be sent twice never meets a connection about to close."""


class VoiceBody(Protocol):
    """A recording to upload; it must outlive the request, because the request may be repeated."""

    @property
    def sample_rate(self) -> int:
        """Hz of the mono PCM16 samples in the WAV."""
        ...

    def chunks(self) -> AsyncIterator[bytes]:
        """The whole WAV from its header, as it comes to be; a fresh iterator at each call.

        Its end ends the request's body, which the service takes for "the caller has finished".
        It is cancelled when the upload is abandoned; what it raises reaches the reader of the
        interaction and cuts the upload.
        """
        ...


class FinishResult(Enum):
    """Why a conversation needs no further `finish`."""

    FINISHED = "finished"
    """By this request."""
    ALREADY_FINISHED = "already-finished"
    """Before it: by an earlier try or by the agent."""
    GONE = "gone"
    """Unknown to the service, or without any interaction: there is nothing to finish."""


Text = Annotated[str, BeforeValidator(lambda value: "" if value is None else value)]
"""Text that may come as null."""

Flag = Annotated[bool, BeforeValidator(lambda value: False if value is None else value)]
"""A yes or no that may come as null, which is no."""

Names = Annotated[
    tuple[str, ...], BeforeValidator(lambda value: tuple(value) if isinstance(value, dict) else ())
]
"""Keys of an object; none for anything else."""

_EARLIEST = datetime.min.replace(tzinfo=UTC)


class Answer(BaseModel):
    """What the service answers: unknown fields are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


class SignInAnswer(Answer):
    """Answer of `signin_with_api_key`."""

    id_token: str = Field(min_length=1, repr=False)
    expires_at: str | None = None
    """ISO 8601; kept as text because a date we cannot read must not cost the token."""


class ConversationInfo(Answer):
    """One conversation of a list; fields a build does not send stay neutral."""

    id: ConversationId
    user_id: Text = ""
    service_id: Text = ""
    is_finished: Flag = False
    created_at: Text = ""
    num_messages: int | None = None


class Message(Answer):
    """One stored message of a conversation; `text` is the transcript of a spoken one."""

    id: Text = ""
    interaction_id: Text = ""
    created_at: Text = Field("", validation_alias=AliasChoices("created_at", "timestamp"))
    sender: Text = ""
    text: Text = Field("", validation_alias=AliasChoices("message", "text"), repr=False)
    format: Text = ""
    kind: Text = Field("", validation_alias=AliasChoices("message_type", "kind"))
    """`user-message`, `agent-message`, `external-event`; an open set."""

    def time(self) -> datetime:
        """When it was said; the earliest time there is if the service's date cannot be read."""
        try:
            said = datetime.fromisoformat(self.created_at)
        except ValueError:
            return _EARLIEST
        return said if said.tzinfo is not None else said.replace(tzinfo=UTC)


class Page(Answer):
    """What every list answers beside its items."""

    has_more: Flag = False
    continuation_token: int | None = None


class ConversationPage(Page):
    """Answer of "get conversations"."""

    conversations: tuple[ConversationInfo, ...]


class MessagePage(Page):
    """Answer of "get conversation messages"."""

    messages: tuple[Message, ...]


class ServiceInfo(Answer):
    """One service of a list."""

    id: str
    name: Text = ""
    is_active: Flag = True
    version_sets: Names = ()
    """Names of the sets a conversation can be created with; empty where the service does not tell."""


class ServicePage(Page):
    """Answer of "get services"."""

    services: tuple[ServiceInfo, ...]


AnswerT = TypeVar("AnswerT", bound=Answer)


def read_answer(model: type[AnswerT], operation: str, status: int, body: bytes) -> AnswerT:
    """The JSON body as `model`; raises `AmigoError` for anything else."""
    try:
        return model.model_validate_json(body)
    except ValidationError as problem:
        # Names of fields only: the values may be what a caller said.
        fields = {".".join(map(str, error["loc"])) or error["type"] for error in problem.errors()}
        detail = f"unexpected answer: {', '.join(sorted(fields))}"[:300]
        raise AmigoError(operation, status=status, detail=detail) from None
