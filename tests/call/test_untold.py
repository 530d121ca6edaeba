"""What the agent is told of its words that nobody heard."""

from __future__ import annotations

from gateway.call.record import TurnRecord
from gateway.call.untold import untold


def turn(index: int = 1, **facts: object) -> TurnRecord:
    return TurnRecord(index, "voice", agent_message_id="m", agent_text="All of it.", **facts)  # type: ignore[arg-type]


def test_a_reply_heard_to_its_end_is_no_news() -> None:
    assert untold([turn(heard_text="All of it.")]) == []


def test_an_interrupted_reply_is_told_to_the_character() -> None:
    [(index, words)] = untold([turn(3, interrupted=True, heard_text="All o")])

    assert index == 3
    assert '"All o"' in words


def test_a_reply_given_up_before_it_began_was_not_heard() -> None:
    [(_, words)] = untold([turn(abandoned=True)])

    assert "heard nothing" in words


def test_nothing_is_told_twice_or_of_a_reply_that_was_never_stored() -> None:
    unstored = TurnRecord(2, "voice", abandoned=True)

    assert untold([turn(interrupted=True, told=True), unstored]) == []
