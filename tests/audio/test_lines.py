"""Whole telephone lines: turns, noises and our own echo, against the figures that must hold.

The tracks are those of `benchmarks.corpus`, rendered when they are needed. The bounds are the musts of
`benchmarks.endpointing`, for the detector with the speech model (hybrid) and without it (webrtc).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest

from audio import mulaw
from audio.scoring import Figures, score
from audio.types import ULAW_SILENCE
from benchmarks import corpus
from benchmarks._listen import Segment, cpu_percent, listen
from benchmarks.endpointing import BUILT_IN_END_MS, hearing_rows, measure
from benchmarks.lines.echo import EchoSpec
from benchmarks.lines.sound import frame_levels, samples
from benchmarks.lines.track import Track, frames_of

ENGINES = ("webrtc", "hybrid")
FIGURES = [row.figure for row in hearing_rows(score({"tracks": []}, {"tracks": {}}).total)]
DIALOGUE_MS = 32_000


def spec_name(spec: EchoSpec) -> str:
    kind = "clipped" if spec.clipped else "linear"
    return f"{spec.return_db:.0f} dB {kind} {spec.delay_ms} ms"


@cache
def heard(engine: str, name: str) -> list[Segment]:
    [track] = [track for track in corpus.tracks() if track.label["id"] == name]
    return listen(track, engine)


@cache
def built_in(engine: str) -> Figures:
    labels = [track.label for track in corpus.tracks()]
    heard_all = {label["id"]: heard(engine, label["id"]) for label in labels}
    return score({"tracks": labels}, {"tracks": heard_all}).total


def dialogue(engine: str, spec: EchoSpec, caller_db: float) -> dict[str, float | None]:
    """`barge_in` figures of one track in which every turn is an interruption."""
    track = corpus.barge_in(spec, caller_db, ms=DIALOGUE_MS, share=1.0)
    return measure([track], engine).total.barge_in


# ---------------------------------------------------------------- the figures that must hold


@pytest.mark.slow
@pytest.mark.parametrize("figure", FIGURES)
@pytest.mark.parametrize("engine", ENGINES)
def test_the_built_in_lines_keep_what_must_hold(engine: str, figure: str):
    rows = hearing_rows(built_in(engine), BUILT_IN_END_MS)
    [row] = [row for row in rows if row.figure == figure]

    assert row.must is not None
    assert row.measured <= row.must


@pytest.mark.parametrize("spec", corpus.ECHOES, ids=spec_name)
@pytest.mark.parametrize("engine", ENGINES)
def test_our_echo_never_begins_a_turn(engine: str, spec: EchoSpec):
    assert [] == heard(engine, corpus.echo_only_name(spec))


@pytest.mark.parametrize("caller_db", [corpus.LOUDER_DB, corpus.SOFTER_DB])
@pytest.mark.parametrize("spec", corpus.ECHOES, ids=spec_name)
@pytest.mark.parametrize("engine", ENGINES)
def test_a_caller_over_our_echo_always_interrupts(engine: str, spec: EchoSpec, caller_db: float):
    found = dialogue(engine, spec, caller_db)

    assert (found["turns"] or 0) >= 2
    assert 0 == found["missed_pct"]


@pytest.mark.parametrize("spec", corpus.ECHOES, ids=spec_name)
@pytest.mark.parametrize("engine", ENGINES)
def test_how_many_faint_callers_interrupt_is_told(
    engine: str, spec: EchoSpec, record_property: Callable[[str, object], None]
):
    found = dialogue(engine, spec, corpus.FAINT_DB)

    record_property("missed %", found["missed_pct"])
    print(f"{engine}, echo {spec_name(spec)}, {corpus.FAINT_DB} dB: {found['missed_pct']} % missed")
    assert (found["turns"] or 0) >= 2


# ---------------------------------------------------------------- the lines themselves


def test_every_recording_can_be_labelled():
    assert set(corpus.SPEAKERS) == {clip.speaker for clip in corpus.clips()}
    assert 33 + 3 * 18 == len(corpus.clips())


def test_the_ears_cost_something_and_not_a_core():
    assert 0 < cpu_percent("webrtc", 2, 1) < 20


def test_the_same_seed_gives_the_same_lines():
    again = corpus.echo_only(corpus.ECHOES[0])
    other = corpus.echo_only(corpus.ECHOES[0], seed=corpus.SEED + 1)
    [first] = [track for track in corpus.tracks() if track.label["id"] == again.label["id"]]

    assert first == again
    assert first.caller != other.caller


def test_labels_leave_room_to_tell_a_turn_that_never_ends():
    for label, caller in ((track.label, track.caller) for track in corpus.tracks()):
        bounds = [(turn["start_ms"], turn["end_ms"]) for turn in label["turns"]]
        room = [later[0] - before[1] for before, later in itertools.pairwise(bounds)]
        room += [label["duration_ms"] - bounds[-1][1]] if bounds else []

        assert label["duration_ms"] * 8 == len(caller)
        assert min(room, default=9000) >= (1500 if label["agent_segments"] else 3300), label["id"]


def test_the_lines_hold_every_kind_of_turn_and_several_voices():
    turns = [turn for track in corpus.tracks() for turn in track.label["turns"]]

    assert {"short", "phrase", "stretched", "joined", "digits"} == {turn["kind"] for turn in turns}
    assert set(corpus.SPEAKERS) == {turn["speaker"] for turn in turns}
    assert sum(len(turn["pauses"]) for turn in turns) >= 40


def test_we_speak_without_pauses_and_are_silent_elsewhere():
    for track in corpus.tracks():
        if track.agent is None:
            continue
        for start, end in track.label["agent_segments"]:
            assert longest_silence(track.agent[samples(start) : samples(end)]) <= 150
        assert 0 == sum(1 for frame in silent_frames(track) if frame.strip(bytes([ULAW_SILENCE])))


def longest_silence(ulaw: bytes) -> int:
    """Milliseconds, in steps of ten, in which we are 30 dB under our usual level or quieter."""
    levels = frame_levels(mulaw.decode(ulaw).astype(np.float64))
    return max(
        (10 * len(list(run)) for silent, run in itertools.groupby(levels < -48.0) if silent),
        default=0,
    )


def silent_frames(track: Track) -> list[bytes]:
    assert track.agent is not None
    spoken = track.label["agent_segments"]
    return [
        frame
        for index, frame in enumerate(frames_of(track.agent))
        if not any(start <= index * 20 < end for start, end in spoken)
    ]
