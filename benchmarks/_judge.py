"""What a detector did to labelled calls, in figures.

A turn counts as caught if speech was declared from 100 ms before its first sound to 300 ms after its
last, or earlier by a segment that goes on for 100 ms of it. A segment that begins anywhere else is a
false start: laid to the labelled sound it falls on (to 300 ms after), else to our echo (to 350 ms
after we fall silent), else to the track's noise. An end between a turn's first and last sound cuts
it; the first end from then on is the turn's end, and if the next turn or the end of the track comes
first, the turn is stuck and counts as 3000 ms late. Back-channels ("hmm") may be heard or not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf

import numpy as np

from benchmarks.lines.track import TrackLabel, TurnLabel
from benchmarks.lines.voices import SHORT_MS

_EARLY_MS, _LATE_MS = 100, 300
_HEARD_MS = 100
_EVENT_MS, _ECHO_MS = 300, 350
_STUCK_MS = 3000.0
_BITTEN_MS = 20
"""A pre-roll may begin this much after the first sound before something is lost."""
_HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class Segment:
    """One turn as the detector saw it, in ms of the track; declared when its last sound was there."""

    start_decided_ms: float
    end_decided_ms: float = inf
    audio_start_ms: float | None = None
    """First sound handed on, pre-roll included."""


@dataclass(slots=True)
class Tally:
    """Counts over the tracks that were given to `add`."""

    turns: int = 0
    missed: int = 0
    short: int = 0
    short_missed: int = 0
    cut: int = 0
    stuck: int = 0
    bitten: int = 0
    with_audio: int = 0
    interruptions: int = 0
    interruptions_missed: int = 0
    interruption_delays: list[float] = field(default_factory=list)
    end_delays: list[float] = field(default_factory=list)
    """With stuck turns as 3000 ms, and none longer."""
    false_starts: Counter[str] = field(default_factory=Counter)
    outside_ms: int = 0

    @property
    def missed_percent(self) -> float:
        return _percent(self.missed, self.turns)

    @property
    def short_missed_percent(self) -> float:
        return _percent(self.short_missed, self.short)

    @property
    def cut_percent(self) -> float:
        return _percent(self.cut, self.turns - self.missed)

    @property
    def stuck_percent(self) -> float:
        return _percent(self.stuck, self.turns - self.missed)

    @property
    def bitten_percent(self) -> float:
        return _percent(self.bitten, self.with_audio)

    @property
    def false_starts_per_hour(self) -> float:
        """Of sound in which nobody speaks to us."""
        return self.false_starts.total() * _HOUR_MS / self.outside_ms if self.outside_ms else 0.0

    @property
    def echo_starts(self) -> int:
        return self.false_starts["echo"]

    def end_delay(self, percentile: float) -> float:
        return _percentile(self.end_delays, percentile)

    def interruption_delay(self, percentile: float) -> float:
        return _percentile(self.interruption_delays, percentile)

    def add(self, label: TrackLabel, segments: Iterable[Segment]) -> None:
        heard = sorted(segments, key=lambda segment: segment.start_decided_ms)
        turns = sorted(label["turns"], key=lambda turn: turn["start_ms"])
        nexts = [turn["start_ms"] for turn in turns[1:]] + [label["duration_ms"]]
        for turn, next_ms in zip(turns, nexts, strict=False):  # no turn, no next
            if turn["kind"] != "backchannel":
                self._turn(turn, [one for one in heard if _covers(one, turn)], next_ms)
        self.outside_ms += label["duration_ms"]
        self.outside_ms -= sum(turn["end_ms"] - turn["start_ms"] for turn in turns)
        for segment in heard:
            if not any(_begins_in(segment, turn) for turn in turns):
                self.false_starts[_cause(segment.start_decided_ms, label)] += 1

    def _turn(self, turn: TurnLabel, covering: Sequence[Segment], next_ms: int) -> None:
        start, end = turn["start_ms"], turn["end_ms"]
        is_short = end - start <= SHORT_MS
        self.turns += 1
        self.short += is_short
        self.interruptions += turn["barge_in"]
        if not covering:
            self.missed += 1
            self.short_missed += is_short
            self.interruptions_missed += turn["barge_in"]
            return
        first = covering[0]
        if turn["barge_in"]:
            self.interruption_delays.append(max(0.0, first.start_decided_ms - start))
        if first.audio_start_ms is not None:
            self.with_audio += 1
            self.bitten += first.audio_start_ms > start + _BITTEN_MS
        self.cut += any(start < segment.end_decided_ms < end for segment in covering)
        ends = [one.end_decided_ms for one in covering if one.end_decided_ms >= end]
        if not ends:  # the rest of a cut turn, which nobody took up
            return
        if min(ends) >= next_ms:
            self.stuck += 1
            self.end_delays.append(_STUCK_MS)
        else:
            self.end_delays.append(min(_STUCK_MS, min(ends) - end))


def judge(
    labels: Iterable[TrackLabel], heard: Mapping[str, Sequence[Segment]]
) -> tuple[Tally, dict[str, Tally]]:
    """All tracks together, and by their noise."""
    total, by_noise = Tally(), dict[str, Tally]()
    for label in labels:
        for tally in (total, by_noise.setdefault(label["noise"], Tally())):
            tally.add(label, heard[label["id"]])
    return total, by_noise


def _begins_in(segment: Segment, turn: TurnLabel) -> bool:
    earliest, latest = turn["start_ms"] - _EARLY_MS, turn["end_ms"] + _LATE_MS
    return earliest <= segment.start_decided_ms <= latest


def _covers(segment: Segment, turn: TurnLabel) -> bool:
    if _begins_in(segment, turn):
        return True
    before = segment.start_decided_ms < turn["start_ms"] - _EARLY_MS
    return before and segment.end_decided_ms > min(turn["start_ms"] + _HEARD_MS, turn["end_ms"])


def _cause(at: float, label: TrackLabel) -> str:
    for event in label.get("events", []):
        if event["start_ms"] <= at <= event["end_ms"] + _EVENT_MS:
            return event["kind"]
    if any(start <= at <= end + _ECHO_MS for start, end in label.get("agent_segments", [])):
        return "echo"
    return label["noise"]


def _percent(part: int, whole: int) -> float:
    return 100.0 * part / whole if whole else 0.0


def _percentile(values: Sequence[float], percentile: float) -> float:
    return float(np.percentile(values, percentile)) if values else 0.0
