"""The judge's rules of conduct: what may come when."""

from __future__ import annotations

import pytest

from gateway.simulator.judge import Judge
from gateway.simulator.wire import Clear, Mark, Media, Message, Wrong

SOUND = Media(b"\x55" * 160)


class Court:
    """A judge with a stream going on, told of one thing after the other."""

    def __init__(self) -> None:
        self.judge = Judge(clear_within_ms=1000)
        self.judge.started()

    def hear(self, message: Message, at_ms: int = 0, *, playing: bool = True, queued_ms: int = 0):
        return self.judge.hear(message, at_ms, playing=playing, queued_ms=queued_ms)

    def pass_time(self, from_ms: int, until_ms: int, *, voiced: bool, playing: bool) -> None:
        for at_ms in range(from_ms, until_ms, 20):
            self.judge.tick(at_ms, caller_voiced=voiced, playing=playing)

    @property
    def broken(self) -> list[str]:
        return [violation.rule for violation in self.judge.violations]


@pytest.fixture
def court() -> Court:
    return Court()


def test_an_orderly_gateway_breaks_nothing(court):
    court.hear(SOUND)
    court.hear(Mark("a"))
    court.pass_time(0, 1000, voiced=False, playing=True)
    court.judge.caller_begins(1000, interrupting=True)
    court.pass_time(1000, 1500, voiced=True, playing=True)
    court.hear(Clear(), 1500)
    court.pass_time(1520, 2000, voiced=True, playing=False)
    court.pass_time(2000, 2800, voiced=False, playing=False)
    court.hear(SOUND, 2800, playing=False)

    assert court.broken == []


def test_a_wrong_message_is_noted_and_not_obeyed(court):
    assert not court.hear(Wrong("S4", "extra key"))
    assert court.broken == ["S4"]
    assert court.judge.violations[0].code == 31951


def test_a_kind_of_fault_is_named_once_and_counted(court):
    for at_ms in (100, 200, 300):
        court.hear(Wrong("S4", f"at {at_ms}"), at_ms)

    (violation,) = court.judge.violations
    assert (violation.at_ms, violation.count, violation.what) == (100, 3, "at 100")
    assert str(violation) == "S4 (31951) at 0.10 s, 3 times: at 100"


def test_nothing_may_come_before_start():
    judge = Judge(clear_within_ms=1000)
    judge.hear(SOUND, 0, playing=False, queued_ms=0)

    assert [violation.rule for violation in judge.violations] == ["S6"]


def test_only_what_crossed_it_on_the_way_may_come_after_stop(court):
    court.judge.stopped(1000)
    court.hear(SOUND, 1200)
    assert court.broken == []

    court.hear(SOUND, 1201)
    assert court.broken == ["S6"]


def test_a_mark_name_is_used_once_in_a_call_even_on_a_new_stream(court):
    court.hear(Mark("a"))
    court.judge.ended()
    court.judge.started()
    court.hear(Mark("a"))

    assert court.broken == ["S9"]


@pytest.mark.parametrize(
    ("payload", "rule"),
    [(b"RIFF" + b"\x55" * 156, "S8"), (b"\x55" * 100 + bytes(60), "S15")],
)
def test_sound_that_is_no_sound_is_noted(court, payload, rule):
    assert court.hear(Media(payload)), "the carrier would play it nevertheless"
    assert court.broken == [rule]


def test_zeros_are_found_across_messages(court):
    court.hear(Media(b"\x55" * 100 + bytes(25)))
    assert court.broken == []

    court.hear(Media(bytes(25) + b"\x55" * 100))
    assert court.broken == ["S15"]


def test_more_than_five_seconds_ahead_is_too_much(court):
    court.hear(SOUND, queued_ms=4980)
    assert court.broken == []

    assert court.hear(SOUND, queued_ms=5000)
    assert court.broken == ["S10"]


def test_the_carrier_discards_beyond_ten_minutes(court):
    assert not court.hear(SOUND, queued_ms=600_000)
    assert court.judge.violations[0].code == 31931


def test_an_interruption_without_clear_is_noted(court):
    court.judge.caller_begins(0, interrupting=True)
    court.pass_time(0, 1000, voiced=True, playing=True)
    assert court.broken == []

    court.pass_time(1000, 1200, voiced=False, playing=True)
    assert court.broken == ["S17"]


def test_an_agent_that_holds_its_breath_and_goes_on_has_not_stopped(court):
    court.judge.caller_begins(0, interrupting=True)
    court.pass_time(0, 400, voiced=True, playing=True)
    court.pass_time(400, 800, voiced=True, playing=False)
    court.pass_time(800, 1200, voiced=True, playing=True)

    assert court.broken == ["S17"]


def test_an_agent_that_had_just_finished_needs_no_clear(court):
    court.judge.caller_begins(0, interrupting=True)
    court.pass_time(0, 200, voiced=True, playing=True)
    court.pass_time(200, 600, voiced=True, playing=False)
    court.pass_time(600, 900, voiced=False, playing=False)
    court.pass_time(900, 1500, voiced=False, playing=True)

    assert court.broken == []


def test_old_sound_after_clear_is_noted(court):
    court.judge.caller_begins(0, interrupting=True)
    court.pass_time(0, 400, voiced=True, playing=True)
    court.hear(Clear(), 400)
    court.hear(SOUND, 410, playing=False)

    assert court.broken == ["S17"]


def test_the_next_reply_after_clear_is_welcome_once_the_caller_is_silent(court):
    court.judge.caller_begins(0, interrupting=True)
    court.pass_time(0, 400, voiced=True, playing=True)
    court.hear(Clear(), 400)
    court.pass_time(420, 800, voiced=False, playing=False)
    court.hear(SOUND, 800, playing=False)

    assert court.broken == []


def test_a_clear_with_nothing_playing_is_noted_unless_it_crossed_the_end(court):
    court.pass_time(0, 100, voiced=False, playing=True)
    court.hear(Clear(), 280, playing=False)
    assert court.broken == []

    court.hear(Clear(), 290 + 20, playing=False)
    assert court.broken == ["S18"]


def test_a_clear_that_settles_an_interruption_may_find_nothing_left_to_clear(court):
    court.pass_time(0, 1000, voiced=False, playing=True)  # a phrase that fills the wait
    court.pass_time(1000, 2400, voiced=False, playing=False)
    court.judge.caller_begins(2400, interrupting=False)
    court.pass_time(2400, 2900, voiced=True, playing=False)
    court.hear(Clear(), 2900, playing=False)

    assert court.broken == []


def test_only_one_clear_settles_it(court):
    court.pass_time(0, 1000, voiced=False, playing=True)
    court.judge.caller_begins(1400, interrupting=False)
    court.pass_time(1400, 1900, voiced=True, playing=False)
    court.hear(Clear(), 1900, playing=False)
    court.hear(Clear(), 1940, playing=False)

    assert court.broken == ["S18"]


@pytest.mark.parametrize(
    ("speaks_from", "cleared_at"),
    [(None, 2000), (1200, 2600), (4100, 4600)],
    ids=["nobody speaks", "the caller has long stopped", "we have long been silent"],
)
def test_an_idle_clear_that_settles_nothing_is_noted(court, speaks_from, cleared_at):
    court.pass_time(0, 1000, voiced=False, playing=True)
    if speaks_from is not None:
        court.judge.caller_begins(speaks_from, interrupting=False)
        court.pass_time(speaks_from, speaks_from + 200, voiced=True, playing=False)
        court.pass_time(speaks_from + 200, cleared_at, voiced=False, playing=False)
    court.hear(Clear(), cleared_at, playing=False)

    assert court.broken == ["S18"]


def test_one_interruption_is_answered_by_one_clear(court):
    court.judge.caller_begins(0, interrupting=True)
    court.pass_time(0, 400, voiced=True, playing=True)
    court.hear(Clear(), 400)
    court.hear(Clear(), 420)

    assert court.broken == ["S18"]


def test_the_next_interruption_may_be_answered_again(court):
    for begin in (0, 3000):
        court.judge.caller_begins(begin, interrupting=True)
        court.pass_time(begin, begin + 400, voiced=True, playing=True)
        court.hear(Clear(), begin + 400)
        court.pass_time(begin + 420, begin + 1000, voiced=False, playing=False)

    assert court.broken == []


def test_a_sound_that_ends_inside_a_frame_is_noted(court):
    court.judge.short_frame(500)

    assert court.broken == ["S15"]
