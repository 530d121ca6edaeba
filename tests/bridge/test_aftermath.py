"""Transcripts and ratings of settled calls: with patience, and never in anybody's way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from gateway.amigo.models import Message
from gateway.bridge.aftermath import AT_ONCE, Aftermath
from gateway.errors import (
    AmigoForbidden,
    AmigoNotFound,
    AmigoNotOffered,
    AmigoRateLimited,
    AmigoUnavailable,
    StoreError,
)
from gateway.ids import CallSid, ConversationId, UserId
from tests.support.virtual_time import LoopClock, run_virtual

SID, USER, CID = CallSid("CA1"), UserId("u1"), ConversationId("a" * 24)
SAID = Message(
    id="m1", interaction_id="i1", created_at="2026-01-31T09:30:00Z", sender="Caller",
    message="hello", format="voice", message_type="user-message",
)  # fmt: skip


class Shelf:
    """The one call of a store, as far as the aftermath looks at it."""

    def __init__(self) -> None:
        self.record: dict[str, Any] = {
            "call_sid": SID,
            "rating": None,
            "end_reason": "caller-hangup",
            "transcript": [],
        }
        self.down = False

    async def get(self, _sid: CallSid) -> Any:
        if self.down:
            raise StoreError("down")
        return type(
            "Call", (), {"call_sid": SID, "record": self.record, "status": "completed", "conversation_id": CID,
                         "conversation_state": "finished", "ended": True, "replica": "here"},
        )()  # fmt: skip

    async def save(self, _sid: CallSid, **values: Any) -> None:
        facts = (values["status"], values["conversation_state"], values["replica"])
        assert facts == ("completed", "finished", "here")
        self.record = dict(values["record"])


class Library:
    """Answers requests for messages in turn, the last answer again and again; takes ratings."""

    def __init__(
        self, *answers: list[Message] | Exception, feedback: str | Exception = "f1"
    ) -> None:
        self.answers = list(answers)
        self.feedback = feedback
        self.told: list[str] = []
        self.asked: list[float] = []
        self.reading = self.most = 0

    async def messages(self, _user: UserId, _conversation: ConversationId) -> list[Message]:
        self.asked.append(asyncio.get_running_loop().time())
        self.reading += 1
        self.most = max(self.most, self.reading)
        await asyncio.sleep(0.1)
        self.reading -= 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def create_conversation_feedback(
        self, _user: UserId, _conversation: ConversationId, comment: str
    ) -> str:
        self.told.append(comment)
        if isinstance(self.feedback, Exception):
            raise self.feedback
        return self.feedback

    async def modify_tags(
        self,
        _user: UserId,
        _conversation: ConversationId,
        updates: Mapping[str, str | None],
        _deletes: Sequence[str] = (),
    ) -> None:
        self.told.append(str(dict(updates)))


def fetch(library: Library, shelf: Shelf, calls: int = 1) -> dict[str, Any]:
    async def work() -> None:
        async with Aftermath(shelf, LoopClock()) as aftermath:  # type: ignore[arg-type]
            for _ in range(calls):
                aftermath.take(library, SID, USER, CID)
            await aftermath.wait_done(500)

    run_virtual(work())
    return shelf.record


def test_what_was_said_stands_in_the_record():
    record = fetch(Library([SAID]), Shelf())

    assert record["transcript_state"] == "fetched"
    assert record["end_reason"] == "caller-hangup"
    assert record["transcript"] == [
        {
            "at": "2026-01-31T09:30:00Z",
            "kind": "user-message",
            "sender": "Caller",
            "text": "hello",
            "voice": True,
            "message_id": "m1",
            "interaction_id": "i1",
        }
    ]


def test_a_limit_is_waited_out():
    library = Library(
        AmigoRateLimited("messages", status=429, retry_after=30.0, retryable=True), [SAID]
    )
    record = fetch(library, Shelf())

    assert record["transcript_state"] == "fetched"
    assert library.asked[1] - library.asked[0] >= 30.0


def test_a_service_that_stays_down_is_given_up():
    library = Library(AmigoUnavailable("messages", status=503, retryable=True))
    record = fetch(library, Shelf())

    assert (record["transcript_state"], record["transcript"]) == ("failed", [])
    assert 3 <= len(library.asked) <= 20
    assert library.asked[-1] - library.asked[0] <= 90.0


def test_a_refusal_is_not_repeated():
    library = Library(AmigoForbidden("messages", status=403))

    assert fetch(library, Shelf())["transcript_state"] == "failed"
    assert len(library.asked) == 1


def test_the_end_of_many_calls_reads_few_at_a_time():
    library = Library([SAID])
    fetch(library, Shelf(), calls=20)

    assert (len(library.asked), library.most) == (20, AT_ONCE)


@pytest.mark.parametrize("prepare", [lambda shelf: setattr(shelf, "down", True)])
def test_a_store_that_is_down_costs_the_transcript_only(prepare: Callable[[Shelf], None]):
    shelf = Shelf()
    prepare(shelf)

    assert fetch(Library([SAID]), shelf)["transcript"] == []


def test_leaving_stops_what_is_under_way():
    async def work() -> int:
        library = Library([SAID])
        async with Aftermath(Shelf(), LoopClock()) as aftermath:  # type: ignore[arg-type]
            aftermath.take(library, SID, USER, CID)
            await asyncio.sleep(0.01)
        aftermath.take(library, SID, USER, CID)
        return len(asyncio.all_tasks())

    assert run_virtual(work()) == 1


def test_a_conversation_that_is_gone_said_nothing():
    record = fetch(Library(AmigoNotFound("messages", status=404)), Shelf())

    assert (record["transcript_state"], record["transcript"]) == ("none", [])


# ---------------------------------------------------------------- ratings


def rated() -> Shelf:
    shelf = Shelf()
    shelf.record["rating"] = {"value": 4, "sent_as": None, "feedback_id": None}
    return shelf


def test_a_rating_becomes_feedback_on_the_conversation():
    library = Library([SAID])
    record = fetch(library, rated())

    assert record["rating"] == {"value": 4, "sent_as": "feedback", "feedback_id": "f1"}
    assert library.told == ["Rating by keypad: 4 of 5"]
    assert record["transcript_state"] == "fetched"


def test_where_there_is_no_feedback_it_becomes_a_tag():
    library = Library([SAID], feedback=AmigoNotOffered("create-feedback", asked=False))
    record = fetch(library, rated())

    assert record["rating"] == {"value": 4, "sent_as": "tag", "feedback_id": None}
    assert library.told[-1] == "{'rating': '4'}"


@pytest.mark.parametrize("status", [403, 503])
def test_a_rating_that_nobody_takes_stays_in_the_record(status: int):
    trouble = AmigoUnavailable("create-feedback", status=status, retryable=status == 503)
    record = fetch(Library([SAID], feedback=trouble), rated())

    assert record["rating"] == {"value": 4, "sent_as": None, "feedback_id": None}
    assert record["transcript_state"] == "fetched"


def test_a_call_without_a_rating_sends_none():
    library = Library([SAID])
    fetch(library, Shelf())

    assert library.told == []
