"""The scorer on small tracks whose every figure can be checked by hand."""

from __future__ import annotations

from typing import Any

import pytest

from audio.scoring import Figures, percentile, score

Segment = tuple[int, int | None]


def turn(start: int, end: int, **more: Any) -> dict[str, Any]:
    return {"start_ms": start, "end_ms": end, "kind": "phrase", "barge_in": False, **more}


def track(*turns: dict[str, Any], name: str = "a", **more: Any) -> dict[str, Any]:
    return {
        "id": name,
        "duration_ms": 60_000,
        "noise": "clean",
        "agent_segments": [],
        "turns": list(turns),
        "events": [],
        **more,
    }


def segments(*declared: Segment, audio: int | None = None) -> list[dict[str, Any]]:
    known = {} if audio is None else {"audio_start_ms": audio}
    return [{"start_decided_ms": s, "end_decided_ms": e, **known} for s, e in declared]


def judged(labelled: dict[str, Any], *declared: Segment, audio: int | None = None) -> Figures:
    found = {"tracks": {"a": segments(*declared, audio=audio)}}
    return score({"tracks": [labelled]}, found).total


def test_a_turn_found_as_it_was_has_delays_and_no_faults() -> None:
    figures = judged(track(turn(2000, 5000)), (2120, 5660), audio=1700)

    assert (figures.turns, figures.missed_pct, figures.cut_pct) == (1, 0.0, 0.0)
    assert (figures.stuck_pct, figures.tail_lost_pct) == (0.0, 0.0)
    assert figures.start_delay_ms["p50"] == 120
    assert figures.end_delay_ms == {"p50": 660, "p95": 660}
    assert (figures.false_starts, figures.onset_clipped_pct) == (0, 0.0)


@pytest.mark.parametrize(
    ("declared", "missed", "false_starts"),
    [
        ((1900, 6000), 0.0, 0),
        ((5300, 6000), 0.0, 0),
        ((1899, 2100), 100.0, 1),
        ((1899, 2101), 0.0, 1),
        ((5301, 6000), 100.0, 1),
        ((500, None), 0.0, 1),
    ],
)
def test_what_belongs_to_a_turn(declared: Segment, missed: float, false_starts: int) -> None:
    figures = judged(track(turn(2000, 5000)), declared)

    assert (figures.missed_pct, figures.false_starts) == (missed, false_starts)


def test_only_short_turns_count_as_short() -> None:
    figures = judged(track(turn(2000, 2900), turn(9000, 9901)), (9100, 10_500))

    assert (figures.missed_pct, figures.short_missed_pct) == (50.0, 100.0)


def test_a_turn_whose_end_is_declared_inside_is_cut_and_the_pause_is_named() -> None:
    labelled = track(turn(2000, 8000, pauses=[[3000, 3300], [5000, 5650]]))

    figures = judged(labelled, (2100, 5650), (5800, 8700))

    assert figures.cut_pct == 100.0
    assert figures.cut_pauses_pct == {"200-400": 0.0, "600+": 100.0}
    assert (figures.tail_lost_pct, figures.end_delay_ms["p50"]) == (0.0, 700)


def test_a_cut_turn_that_nobody_takes_up_has_lost_its_tail() -> None:
    figures = judged(track(turn(2000, 8000)), (2100, 5000))

    assert (figures.cut_pct, figures.tail_lost_pct, figures.stuck_pct) == (100.0, 100.0, 0.0)
    assert figures.end_delay_ms["p50"] is None


@pytest.mark.parametrize("end", [None, 9000])
def test_a_segment_that_runs_into_the_next_turn_is_stuck(end: int | None) -> None:
    figures = judged(track(turn(2000, 5000), turn(9000, 9500)), (2100, end), (9100, 10_000))

    assert figures.stuck_pct == 50.0
    assert figures.end_delay_with_stuck_ms == {"p50": 1750, "p95": 2875}
    assert figures.end_delay_ms["p50"] == 500


def test_a_false_start_is_charged_to_what_it_falls_on() -> None:
    labelled = track(
        events=[{"start_ms": 1000, "end_ms": 1200, "kind": "cough"}],
        agent_segments=[[1000, 4000]],
        noise="street",
    )

    figures = judged(labelled, (1500, 1600), (1501, 1700), (4350, 4400), (4351, 4400))

    assert figures.false_by_cause == {"cough": 1, "echo": 2, "street": 1}
    assert figures.false_starts_per_hour == 240.0
    assert figures.false_per_hour_by_noise == {"street": 60.0}
    assert figures.events_triggering_pct == {"cough": 100.0}


def test_babble_is_left_out_of_one_rate() -> None:
    manifest = {"tracks": [track(name="a"), track(name="b", noise="babble")]}
    found = {"tracks": {"a": segments((500, 900)), "b": segments((500, 900), (2000, 2500))}}

    report = score(manifest, found)

    assert report.total.false_starts_per_hour == 90.0
    assert report.total.false_starts_per_hour_no_babble == 60.0
    assert report.by_noise["babble"].false_starts == report.by_track["b"].false_starts == 2


def test_back_channels_are_counted_apart() -> None:
    figures = judged(track(turn(2000, 2400, kind="backchannel")), (2100, 2900))

    assert (figures.turns, figures.missed_pct, figures.false_starts) == (0, None, 0)
    assert figures.backchannels_caught_pct == 100.0


def test_interrupting_turns_and_clipped_onsets() -> None:
    figures = judged(track(turn(2000, 5000, barge_in=True)), (2300, 5600), audio=2021)

    assert figures.barge_in == {"turns": 1, "missed_pct": 0.0, "p50_ms": 300, "p95_ms": 300}
    assert figures.onset_clipped_pct == 100.0


def test_tracks_without_detections_are_skipped_and_named() -> None:
    report = score({"tracks": [track(name="a"), track(name="b")]}, {"tracks": {"b": []}})

    assert (report.skipped, list(report.by_track)) == (("a",), ["b"])


def test_percentiles_lie_between_the_nearest_values() -> None:
    assert percentile([], 50) is None
    assert percentile([4, 1], 50) == 2.5
    assert percentile([0, 10, 20], 95) == 19.0
