"""Feedback of 2025-06: comments on conversations and interactions, as values and as they are kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Literal

from gateway.sandbox.errors import Refusal
from gateway.sandbox.records import Records

FeedbackKind = Literal["conversation", "interaction"]


@dataclass(slots=True, kw_only=True)
class Feedback:
    """One comment."""

    id: str
    number: int
    kind: FeedbackKind
    user_id: str
    conversation_id: str
    interaction_id: str
    """Empty for a comment on the whole conversation."""
    created_at: float
    comment: str
    resolved: bool = False


class Feedbacks:
    """All feedback, oldest first."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._all = {body["id"]: Feedback(**body) for body in records.all("feedbacks")}
        self._count = max((one.number for one in self._all.values()), default=0)

    def __iter__(self) -> Iterator[Feedback]:
        return iter(list(self._all.values()))

    def add(self, feedback: Feedback) -> Feedback:
        self._count += 1
        feedback.number = self._count
        self._all[feedback.id] = feedback
        self.keep(feedback)
        return feedback

    def find(self, feedback_id: str, conversation_id: str, interaction_id: str) -> Feedback:
        """The feedback of this id at this place; 404 where there is none."""
        found = self._all.get(feedback_id)
        place = (conversation_id, interaction_id)
        if found is None or (found.conversation_id, found.interaction_id) != place:
            raise Refusal(404, "feedback not found", rule="feedback")
        return found

    def keep(self, feedback: Feedback) -> None:
        self._records.put("feedbacks", feedback.id, feedback.number, asdict(feedback))

    def remove(self, feedback: Feedback) -> None:
        del self._all[feedback.id]
        self._records.remove("feedbacks", feedback.id)
