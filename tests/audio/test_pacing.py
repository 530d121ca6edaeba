"""The playout clock: what is out there, what may be sent, what was heard."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audio.pacing import Playout
from audio.types import FRAME_SAMPLES


def test_an_empty_buffer_takes_the_whole_look_ahead() -> None:
    assert Playout(400).room(10.0) == 3200


def test_what_was_sent_takes_room_until_it_has_played() -> None:
    playout = Playout(400)
    playout.send(2400, 10.0)

    assert playout.room(10.0) == 800
    assert playout.buffered(10.1) == pytest.approx(0.2)
    assert playout.time_of_room(1600) == pytest.approx(10.1)
    assert playout.heard(10.1) == 800


def test_sound_sent_after_a_pause_begins_at_once() -> None:
    playout = Playout(400)
    assert playout.send(800, 10.0) == 10.0
    assert playout.send(800, 10.05) == pytest.approx(10.1)
    assert playout.send(800, 20.0) == 20.0


def test_a_late_mark_measures_the_way_and_heard_lags_by_it() -> None:
    playout = Playout(400)
    playout.send(800, 10.0)
    playout.mark("a")
    playout.send(1600, 10.0)

    assert playout.reached("a", 10.25) == 800
    assert playout.heard(10.25) == 800
    assert playout.buffered(10.25) == pytest.approx(0.05)


def test_a_mark_that_comes_too_early_changes_nothing() -> None:
    playout = Playout(400)
    playout.send(800, 10.0)
    playout.mark("a")
    playout.reached("a", 10.0)

    assert playout.heard(10.0) == 0


def test_unknown_and_cleared_marks_mean_nothing() -> None:
    playout = Playout(400)
    playout.send(800, 10.0)
    playout.mark("a")
    playout.clear(10.05)

    assert playout.reached("a", 10.06) is None
    assert playout.reached("b", 10.06) is None
    assert playout.room(10.05) == 3200


@given(st.lists(st.tuples(st.integers(1, 30), st.floats(0, 0.5)), max_size=60))
def test_heard_never_runs_back_nor_ahead(steps: list[tuple[int, float]]) -> None:
    playout, now, heard = Playout(400), 5.0, 0
    for frames, pause in steps:
        if playout.room(now) >= frames * FRAME_SAMPLES:
            playout.send(frames * FRAME_SAMPLES, now)
        now += pause
        assert heard <= playout.heard(now) <= playout.position
        heard = playout.heard(now)
        assert playout.buffered(now) <= 0.4001
