"""Two clocks that meet: what we played when a counted sample was taken."""

from __future__ import annotations

import itertools
import random

import pytest

from gateway.bridge.timeline import Played, SampleClock

SOUND = random.Random(3).randbytes(1600)


def test_jitter_of_arrival_does_not_move_the_samples() -> None:
    clock, chance = SampleClock(), random.Random(1)
    due = [
        clock.received(160 * (n + 1), 5.0 + n * 0.02 + chance.random() * 0.08) for n in range(500)
    ]

    steps = [later - before for before, later in itertools.pairwise(due[100:])]
    assert max(abs(step - 0.02) for step in steps) < 0.002


def test_a_stall_is_caught_up() -> None:
    clock = SampleClock()
    for n in range(100):
        clock.received(160 * (n + 1), 5.0 + n * 0.02)
    for n in range(100, 150):
        due = clock.received(160 * (n + 1), 8.0)

    assert due == pytest.approx(5.0 + 149 * 0.02, abs=0.01)


def test_lost_sound_is_noticed_after_two_seconds() -> None:
    clock = SampleClock()
    for n in range(100):
        clock.received(160 * (n + 1), 5.0 + n * 0.02)
    for n in range(100, 250):
        due = clock.received(160 * (n + 1), 9.0 + n * 0.02)

    assert due == pytest.approx(9.0 + 249 * 0.02, abs=0.01)


def test_sound_that_was_skipped_counts_at_once() -> None:
    clock = SampleClock()
    clock.received(160, 5.0)
    clock.skipped(2.0)

    assert clock.received(320, 7.02) == pytest.approx(7.02)


def played(*pieces: tuple[bytes, float]) -> Played:
    line = Played()
    for ulaw, begins in pieces:
        line.add(ulaw, begins)
    return line


def test_what_plays_is_found_to_the_sample() -> None:
    line = played((SOUND[:800], 1.0), (SOUND[800:], 1.1))

    assert line.frame(1.0) == SOUND[:160]
    assert line.frame(1.09) == SOUND[720:880]
    assert line.frame(1.18) == SOUND[1440:1600]


def test_nothing_plays_before_and_after() -> None:
    line = played((SOUND, 1.0))

    assert line.frame(0.9) is None
    assert line.frame(1.2) is None


def test_edges_are_filled_with_silence() -> None:
    line = played((SOUND[:320], 1.0))

    assert line.frame(1.03) == SOUND[240:320] + b"\xff" * 80
    assert line.frame(0.99) == b"\xff" * 80 + SOUND[:80]


def test_a_gap_between_pieces_is_silence() -> None:
    line = played((SOUND[:80], 1.0), (SOUND[80:240], 1.02))

    assert line.frame(1.0) == SOUND[:80] + b"\xff" * 80
    assert line.frame(1.01) == b"\xff" * 80 + SOUND[80:160]


def test_what_was_cut_does_not_play() -> None:
    line = played((SOUND, 1.0))
    line.cut(1.05)

    assert line.frame(1.02) == SOUND[160:320]
    assert line.frame(1.04) == SOUND[320:400] + b"\xff" * 80
    assert line.frame(1.06) is None


def test_what_is_said_after_a_cut_begins_when_it_begins() -> None:
    line = played((SOUND, 1.0))
    line.cut(1.05)
    line.add(SOUND[:160], 1.5)

    assert line.frame(1.5) == SOUND[:160]
    assert line.frame(1.2) is None


def test_only_the_last_seconds_are_kept() -> None:
    line = Played()
    for n in range(1000):
        line.add(SOUND[:160], n * 0.02)
        line.frame(n * 0.02)

    assert len(line._pieces) < 110
