"""A call whose process was lost: taken up by another, and let go of by one that was only slow."""

from __future__ import annotations

import pytest

from gateway.call import commands as cmd
from gateway.call import events as ev
from gateway.call.phases import Phase
from gateway.call.policy import Policy
from gateway.call.record import CallRecord, TurnRecord
from gateway.call.session import CallSession
from gateway.ids import StreamSid
from tests.call.test_session_scenes import CID, Stage
from tests.support.world import make_record

AGAIN = ev.StreamOpened(StreamSid("MZ2"))


class Second(Stage):
    """The session of the replica that takes the call up."""

    def __init__(self, record: CallRecord, **policy: object) -> None:
        self.now = 100.0
        self.session = CallSession(record, Policy(**policy))  # type: ignore[arg-type]
        self.asked = self.session.resume(self.now)


def left(**facts: object) -> CallRecord:
    """What the first process wrote, with a greeting and one turn."""
    record = make_record()
    record.started_at, record.answered_at = 40.0, 41.0
    record.conversation_id, record.conversation_state = CID, "open"
    record.status = "thinking"
    record.turns += [TurnRecord(0, "greeting"), TurnRecord(1, "voice")]
    for name, value in facts.items():
        setattr(record, name, value)
    return record


def test_the_conversation_goes_on_with_the_callers_turn() -> None:
    stage = Second(left())
    assert [cmd.Save()] == stage.asked
    assert stage.session.record.status == "ringing"

    stage.tell(AGAIN)
    assert [cmd.Phrase.RECONNECTED] == stage.phrases()
    assert stage.session.phase is Phase.LISTENING
    assert (stage.session.record.reconnects, stage.session.record.answered_at) == (1, 41.0)
    stage.spoken(0)
    assert cmd.StartTurn(2, (0,)) in stage.asked
    assert cmd.OpenConversation() not in stage.asked


def test_a_caller_who_does_not_come_is_lost_with_the_replica() -> None:
    stage = Second(left(), token_seconds=60.0)
    stage.wait(60.1)

    assert stage.finishes() == 1
    stage.tell(ev.ConversationSettled("finished"))
    record = stage.session.record
    assert (record.end_reason, record.status) == ("replica-lost", "failed")


def test_the_longest_call_counts_from_its_beginning() -> None:
    stage = Second(left(), max_call_seconds=90.0)
    stage.tell(AGAIN)
    stage.wait(29.0)
    assert cmd.Phrase.TIME_UP not in stage.phrases()

    stage.wait(1.5)
    assert stage.phrases()[-1] is cmd.Phrase.TIME_UP


def test_without_a_conversation_it_begins_anew_and_the_left_over_is_ours() -> None:
    record = left(conversation_id=None, conversation_state="none")
    del record.turns[1:]
    stage = Second(record)
    assert cmd.OpenConversation() in stage.asked

    stage.tell(ev.TurnClosed(0, ev.Failure(ev.FailureKind.REFUSED, 400)))
    assert cmd.FreeUser(maybe_created=True) in stage.asked
    stage.tell(ev.UserFreed(freed=True, held=False))
    stage.wait(0.6)
    stage.tell(ev.ConversationOpened(CID))
    stage.tell(AGAIN)
    assert stage.said(stage.tell(ev.ReplyAudio(0))) == 0
    assert stage.phrases() == [], "a greeting says it all"
    assert [(turn.index, turn.kind) for turn in stage.session.record.turns] == [(0, "greeting")]


def test_a_create_that_may_have_been_is_finished_when_nobody_comes() -> None:
    stage = Second(left(conversation_id=None, conversation_state="none"))
    stage.tell(ev.TurnClosed(0, ev.Failure(ev.FailureKind.REFUSED, 503, 600.0)), ev.CallerGone())

    assert stage.finishes() == 1


@pytest.mark.parametrize(
    ("reason", "phrase"),
    [
        ("silence", cmd.Phrase.SILENCE_GOODBYE),
        ("agent-ended", cmd.Phrase.THANKS),
        ("drain", cmd.Phrase.CLOSING),
    ],
)
def test_a_call_that_was_ending_ends(reason: str, phrase: cmd.Phrase) -> None:
    stage = Second(left(end_reason=reason))
    [said] = [one for one in stage.tell(AGAIN) if isinstance(one, cmd.SayPhrase)]

    assert said.phrase is phrase
    assert cmd.HangUp() in stage.tell(ev.PlaybackDrained(said.item, 900))
    stage.tell(ev.LineClosed())
    assert stage.finishes() == 1
    assert stage.session.record.end_reason == reason


def test_a_transfer_under_way_is_carried_out() -> None:
    stage = Second(left(end_reason="transfer", transfer_to="+15550003333"))
    [said] = [one for one in stage.tell(AGAIN) if isinstance(one, cmd.SayPhrase)]

    assert said.phrase is cmd.Phrase.TRANSFER
    assert cmd.ReleaseLine() in stage.tell(ev.PlaybackDrained(said.item, 900))


def test_an_interaction_that_died_with_the_replica_is_waited_out() -> None:
    stage = Second(left(), patience_seconds=45.0)
    stage.tell(AGAIN)
    stage.spoken(0)
    busy = ev.TurnClosed(2, ev.Failure(ev.FailureKind.REFUSED, 409))
    until = stage.now + 40.0
    while stage.now < until:
        stage.tell(busy)
        stage.wait(2.0)

    assert stage.session.record.status == "thinking"
    assert cmd.Phrase.APOLOGY not in stage.phrases()
    stage.tell(ev.ReplyAudio(2))
    assert stage.session.record.status == "speaking"


@pytest.mark.parametrize(
    "phase", ["ringing", "listening", "uploading", "speaking", "away", "ending", "settling"]
)
def test_a_call_that_another_replica_has_is_let_go_of(phase: str) -> None:
    stage = Stage()
    if phase != "ringing":
        stage.greeted()
    if phase in {"uploading", "settling"}:
        stage.tell(ev.SpeechStarted(0), ev.SpeechAccepted(0, 240))
    if phase == "speaking":
        stage.spoken().replying()
    if phase == "away":
        stage.tell(ev.LineLost())
    if phase == "ending":
        stage.tell(ev.EndRequested("drain"))
    if phase == "settling":
        stage.tell(ev.CallerGone())
    assert stage.session.phase.value == phase
    status, reason = stage.session.record.status, stage.session.record.end_reason

    gone = stage.session.handle(ev.TakenOver(), stage.now)

    assert stage.session.disowned
    assert stage.session.phase is Phase.ENDED
    assert {type(one) for one in gone} <= {
        cmd.CloseLine,
        cmd.CloseTurn,
        cmd.ClearSpeech,
        cmd.DropUtterance,
        cmd.CountTurn,
    }
    assert (cmd.CloseTurn(1) in gone) == (phase in {"uploading", "speaking", "settling"})
    assert (stage.session.record.status, stage.session.record.end_reason) == (status, reason)
    assert stage.session.deadline is None
    assert stage.tell(AGAIN, ev.TurnClosed(1), ev.CallerGone()) == []
    assert stage.finishes() == 0
