"""The judge of turn detection: what is caught, cut, stuck and false, on one small line."""

from __future__ import annotations

from math import inf

import pytest

from benchmarks._judge import Segment, Tally, judge
from benchmarks._listen import cpu_percent
from benchmarks.corpus import SPEAKERS, clips
from benchmarks.lines.track import EventLabel, TrackLabel, TurnLabel


def turn(start_ms: int, end_ms: int, *, kind: str = "phrase", barge_in: bool = False) -> TurnLabel:
    return TurnLabel(
        start_ms=start_ms,
        end_ms=end_ms,
        kind=kind,
        speaker="somebody",
        sources=[],
        segments=[[start_ms, end_ms]],
        pauses=[],
        barge_in=barge_in,
    )


LINE = TrackLabel(
    id="line",
    file="line.ulaw",
    duration_ms=20_000,
    noise="hum",
    snr_db=20,
    level_dbfs=-20.0,
    noise_source="synth",
    agent_segments=[[12_000, 14_000]],
    turns=[turn(1000, 3000), turn(7000, 7500, kind="short", barge_in=True)],
    events=[EventLabel(start_ms=10_000, end_ms=10_050, kind="click", source="synth")],
)
BOTH = (Segment(1100, 3700, 700), Segment(7090, 8200, 6700))


def tally(*segments: Segment) -> Tally:
    total, by_noise = judge([LINE], {"line": segments})
    assert total == by_noise["hum"]
    return total


def test_two_turns_heard_well():
    good = tally(*BOTH)

    assert (2, 0, 1, 0) == (good.turns, good.missed, good.short, good.short_missed)
    assert (0, 0, 0) == (good.cut, good.stuck, good.bitten)
    assert [700, 700] == good.end_delays
    assert (1, 0, [90]) == (good.interruptions, good.interruptions_missed, good.interruption_delays)
    assert 17_500 == good.outside_ms
    assert 0 == good.false_starts_per_hour


def test_silence_misses_everything():
    deaf = tally()

    assert (100, 100, 1) == (
        deaf.missed_percent,
        deaf.short_missed_percent,
        deaf.interruptions_missed,
    )
    assert (0, 0, 0) == (deaf.cut_percent, deaf.end_delay(50), deaf.interruption_delay(95))


@pytest.mark.parametrize(
    ("declared_ms", "caught"), [(899, False), (900, True), (3300, True), (3301, False)]
)
def test_a_turn_may_be_declared_a_little_early_or_late(declared_ms: int, caught: bool):
    heard = tally(Segment(declared_ms, declared_ms + 100), BOTH[1])

    assert (0 if caught else 1) == heard.missed
    assert heard.missed == heard.false_starts.total()


def test_a_segment_that_was_already_open_catches_a_turn_if_it_goes_on():
    assert 0 == tally(Segment(500, 3700), BOTH[1]).missed
    assert 1 == tally(Segment(500, 1100), BOTH[1]).missed


def test_an_end_inside_a_turn_cuts_it_and_the_rest_still_has_an_end():
    cut = tally(Segment(1100, 2000), Segment(2400, 3600), BOTH[1])

    assert 50 == cut.cut_percent
    assert [600, 700] == cut.end_delays


@pytest.mark.parametrize("end_ms", [7000.0, inf])
def test_a_turn_that_runs_into_the_next_is_stuck_and_counts_as_three_seconds(end_ms: float):
    stuck = tally(Segment(1100, end_ms), BOTH[1])

    assert (1, [3000, 700]) == (stuck.stuck, stuck.end_delays)


def test_a_late_pre_roll_bites_the_first_sound():
    assert 0 == tally(Segment(1100, 3700, 1020), BOTH[1]).bitten
    assert 1 == tally(Segment(1100, 3700, 1021), BOTH[1]).bitten


@pytest.mark.parametrize(
    ("at_ms", "cause"), [(10_350, "click"), (10_351, "hum"), (14_350, "echo"), (14_351, "hum")]
)
def test_a_false_start_is_laid_to_what_is_nearest(at_ms: int, cause: str):
    wrong = tally(*BOTH, Segment(at_ms, at_ms + 800))

    assert {cause: 1} == wrong.false_starts
    assert pytest.approx(3600 / 17.5) == wrong.false_starts_per_hour


def test_a_back_channel_may_be_heard_or_not():
    line = LINE | {"turns": [*LINE["turns"], turn(16_000, 16_300, kind="backchannel")]}

    for segments in (BOTH, (*BOTH, Segment(16_100, 17_000))):
        total, _ = judge([line], {"line": segments})
        assert (2, 0, 0) == (total.turns, total.missed, total.false_starts.total())


def test_the_ears_cost_something_and_not_a_core():
    assert 0 < cpu_percent("webrtc", 2, 1) < 20


def test_every_recording_can_be_labelled():
    voices = {clip.speaker for clip in clips()}

    assert set(SPEAKERS) == voices
    assert 33 + 3 * 18 == len(clips())
