"""What a create or a turn can be asked besides the usual: formats, opening message, tags, events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

from gateway.amigo.limits import Limits
from gateway.amigo.revisions import R2026_04, Revision
from gateway.errors import AmigoNotOffered

ReplyFormat: TypeAlias = Literal["voice", "text"]
"""How the agent answers."""
MessageKind: TypeAlias = Literal["user-message", "external-event", "skip"]
_NO_TAGS: Mapping[str, str | None] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class ExternalEvent:
    """Something that happened in the conversation and is not the caller's words (2026-04)."""

    content: str = field(repr=False)
    at: float
    """Wall time (seconds): in the past, and since the conversation began."""

    @property
    def stamp(self) -> str:
        return datetime.fromtimestamp(self.at, UTC).isoformat(timespec="milliseconds")


Events: TypeAlias = tuple[ExternalEvent, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """How a conversation begins; the plain one lets the agent speak first."""

    response: ReplyFormat = "voice"
    message: str | None = field(default=None, repr=False)
    """Said or told first, in place of waiting for the agent (2026-04)."""
    message_kind: Literal["user-message", "external-event"] = "user-message"
    tags: Mapping[str, str | None] = field(default_factory=lambda: _NO_TAGS)
    """At most 20 (2026-04)."""
    is_test: bool = False
    """Marks traffic of a test harness: no post-processing (2026-04)."""

    def body(self, revision: Revision) -> dict[str, Any]:
        """Members of the request's body; `AmigoNotOffered` where the revision has none of them."""
        limits = Limits("create")
        limits.tags(self.tags, created=True)
        if self.message is not None:
            limits.filled(message=self.message)
        wanted: dict[str, Any] = {}
        if self.message is not None:
            wanted |= {"initial_message": self.message, "initial_message_type": self.message_kind}
        if self.tags:
            wanted["tags"] = dict(self.tags)
        if self.is_test:
            wanted["is_test"] = True
        if wanted:
            offered("create", revision, ", ".join(wanted))
        return wanted


def check_events(operation: str, revision: Revision, events: Events) -> None:
    """Events exist in 2026-04 only, in the order of time, none empty."""
    if not events:
        return
    offered(operation, revision, "external events")
    limits = Limits(operation)
    for event in events:
        limits.filled(events=event.content)
    if list(events) != sorted(events, key=lambda event: event.at):
        raise limits.refuse("events", "must be in the order of time")


def offered(operation: str, revision: Revision, what: str) -> None:
    """Raise unless the revision is the later one."""
    if revision.name != R2026_04.name:
        detail = f"revision {revision.name} of the API has no {what}"
        raise AmigoNotOffered(operation, detail=detail, asked=False)
