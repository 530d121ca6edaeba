"""How well turns were found on labelled recordings: what an endpointer said against what was so.

Two documents go in, both as JSON has them. The *manifest* says what is on each track: turns (true
bounds, pauses inside them), sounds that are no speech, stretches in which the agent talks. The
*detections* say what an endpointer made of it: for each track its segments, each with the moment at
which its start was declared, the moment at which its end was (null: it never was) and, where known,
from where sound was handed on. A moment is when the last sound that the decision needed had arrived.
All times are milliseconds since the track's first sample.

The rules:

- A segment belongs to a turn when it was declared within the turn or close to it (100 ms early, 300 ms
  late), or was open before and lasts 100 ms into it. A turn nobody belongs to was *missed*.
- A segment declared near no turn is a *false start*: the fault of the sound it falls on, of the
  agent's echo while the agent talks, else of the track's kind of noise.
- A turn was *cut* when the end of one of its segments was declared inside it; its *tail* was *lost*
  when no segment lasted to its end.
- The *end delay* runs from the true end to the first end declared from then on. A turn whose first
  such end comes only after the next turn has begun, or never, was *stuck* and has none;
  `end_delay_with_stuck` counts it as 3 s, and nothing as more.
- The *start delay* runs from the true start to the declaration of the earliest segment.
- Back-channels ("hmm") may be heard or not: they are counted apart and nowhere else.

Shares are in percent, of the turns that were caught unless a field says otherwise.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any, Final

_EARLY_MS: Final = 100
_LATE_MS: Final = 300
_FOOTHOLD_MS: Final = 100
"""An open segment must reach this far into a turn to belong to it."""
_RINGING_MS: Final = 300
_ECHO_RINGING_MS: Final = 350
"""How long after a sound, and after the agent, a start is still laid at their door."""
_SHORT_MS: Final = 900
_CLIPPED_MS: Final = 20
_STUCK_MS: Final = 3000
_PAUSES: Final = ((200, 400), (400, 600), (600, inf))
_BABBLE: Final = "babble"
"""Voices in the background: a start on them is no clear mistake, so rates are given without them too."""
_MS_PER_HOUR: Final = 3_600_000


@dataclass(frozen=True, slots=True)
class Segment:
    """One turn of the caller as an endpointer saw it, in ms."""

    start: float
    end: float
    """`inf` while it is open."""
    audio: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Turn:
    """What became of one labelled turn."""

    backchannel: bool
    short: bool
    barge_in: bool
    caught: bool = False
    start_delay: float = 0.0
    clipped: bool | None = None
    """None: the segment does not say from where its sound was handed on."""
    cut: bool = False
    pauses: tuple[tuple[float, bool], ...] = ()
    """Length of each pause, and whether an end was declared in it."""
    end_delay: float | None = None
    stuck: bool = False


@dataclass(frozen=True, slots=True)
class _Track:
    noise: str
    outside_ms: float
    """Length without the turns."""
    turns: tuple[_Turn, ...]
    false_starts: tuple[str, ...]
    """The cause of each."""
    events: tuple[tuple[str, bool], ...]
    """Kind of each labelled sound, and whether a start was declared on it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """The result for some tracks. None: nothing to count."""

    turns: int
    missed_pct: float | None
    """Of all turns."""
    short_missed_pct: float | None
    """Of turns of at most 900 ms."""
    cut_pct: float | None
    tail_lost_pct: float | None
    stuck_pct: float | None
    cut_pauses_pct: dict[str, float | None]
    """By length in ms: how many of the pauses inside turns were taken for an end."""
    end_delay_ms: dict[str, float | None]
    end_delay_with_stuck_ms: dict[str, float | None]
    start_delay_ms: dict[str, float | None]
    onset_clipped_pct: float | None
    """Turns whose sound begins more than 20 ms late, of those where it is known."""
    barge_in: dict[str, float | None]
    backchannels_caught_pct: float | None
    false_starts: int
    false_starts_per_hour: float | None
    """Of sound outside turns, as in the next fields."""
    false_starts_per_hour_no_babble: float | None
    false_by_cause: dict[str, int]
    false_per_hour_by_noise: dict[str, float]
    events_triggering_pct: dict[str, float | None]
    hours_outside_turns: float


@dataclass(frozen=True, slots=True)
class Report:
    """Figures of everything, and of its parts."""

    total: Figures
    by_noise: dict[str, Figures]
    by_track: dict[str, Figures]
    skipped: tuple[str, ...] = field(default=())
    """Tracks of the manifest that the detections do not have."""


def score(manifest: Mapping[str, Any], detections: Mapping[str, Any]) -> Report:
    """Judge the detections; `KeyError`, `TypeError` or `ValueError` where a document is not as described."""
    found = detections["tracks"]
    judged, skipped = {}, []
    for track in manifest["tracks"]:
        if track["id"] in found:
            judged[track["id"]] = _judge_track(track, _segments(found[track["id"]]))
        else:
            skipped.append(track["id"])
    kinds = sorted({track.noise for track in judged.values()})
    return Report(
        total=_figures(judged.values()),
        by_noise={
            kind: _figures(track for track in judged.values() if track.noise == kind)
            for kind in kinds
        },
        by_track={name: _figures([track]) for name, track in judged.items()},
        skipped=tuple(skipped),
    )


def _segments(told: Iterable[Mapping[str, Any]]) -> list[Segment]:
    return sorted(
        (
            Segment(
                start=float(one["start_decided_ms"]),
                end=inf if one["end_decided_ms"] is None else float(one["end_decided_ms"]),
                audio=one.get("audio_start_ms"),
            )
            for one in told
        ),
        key=lambda segment: segment.start,
    )


# ---------------------------------------------------------------- one track


def _judge_track(track: Mapping[str, Any], segments: Sequence[Segment]) -> _Track:
    turns = sorted(track["turns"], key=lambda turn: float(turn["start_ms"]))
    limits = [*(turn["start_ms"] for turn in turns[1:]), track["duration_ms"]]
    events = track.get("events", ())
    spoken = sum(turn["end_ms"] - turn["start_ms"] for turn in turns)
    return _Track(
        noise=track["noise"],
        outside_ms=track["duration_ms"] - spoken,
        turns=tuple(
            _judge_turn(turn, limit, segments) for turn, limit in zip(turns, limits, strict=False)
        ),
        false_starts=tuple(
            _cause(segment, track)
            for segment in segments
            if not any(_declared_on(turn, segment) for turn in turns)
        ),
        events=tuple(
            (event["kind"], any(_set_off(event, segment) for segment in segments))
            for event in events
        ),
    )


def _judge_turn(turn: Mapping[str, Any], limit: float, segments: Sequence[Segment]) -> _Turn:
    """`limit` is where the next turn, or the end of the track, is."""
    start, end = turn["start_ms"], turn["end_ms"]
    backchannel = turn["kind"] == "backchannel"
    short, barge_in = end - start <= _SHORT_MS, bool(turn.get("barge_in"))
    own = [one for one in segments if _declared_on(turn, one) or _reaches_into(turn, one)]
    if not own:
        return _Turn(backchannel=backchannel, short=short, barge_in=barge_in)
    first = own[0]
    finish = min((one.end for one in own if one.end >= end), default=None)
    stuck = finish is not None and finish >= limit
    return _Turn(
        backchannel=backchannel,
        short=short,
        barge_in=barge_in,
        caught=True,
        start_delay=max(0.0, first.start - start),
        clipped=None if first.audio is None else first.audio > start + _CLIPPED_MS,
        cut=any(start < one.end < end for one in own),
        pauses=tuple(
            (after - before, any(before < one.end <= after for one in own))
            for before, after in turn.get("pauses", ())
        ),
        end_delay=None if finish is None or stuck else finish - end,
        stuck=stuck,
    )


def _declared_on(turn: Mapping[str, Any], segment: Segment) -> bool:
    earliest, latest = turn["start_ms"] - _EARLY_MS, turn["end_ms"] + _LATE_MS
    return bool(earliest <= segment.start <= latest)


def _reaches_into(turn: Mapping[str, Any], segment: Segment) -> bool:
    foothold = min(turn["start_ms"] + _FOOTHOLD_MS, turn["end_ms"])
    return bool(segment.start < turn["start_ms"] - _EARLY_MS and segment.end > foothold)


def _set_off(event: Mapping[str, Any], segment: Segment) -> bool:
    return bool(event["start_ms"] <= segment.start <= event["end_ms"] + _RINGING_MS)


def _cause(segment: Segment, track: Mapping[str, Any]) -> str:
    for event in track.get("events", ()):
        if _set_off(event, segment):
            return str(event["kind"])
    for begins, ends in track.get("agent_segments", ()):
        if begins <= segment.start <= ends + _ECHO_RINGING_MS:
            return "echo"
    return str(track["noise"])


# ---------------------------------------------------------------- many tracks


def _figures(judged: Iterable[_Track]) -> Figures:
    tracks = list(judged)
    everybody = [turn for track in tracks for turn in track.turns]
    turns = [turn for turn in everybody if not turn.backchannel]
    caught = [turn for turn in turns if turn.caught]
    barge_ins = [turn for turn in turns if turn.barge_in]
    delays = [turn.end_delay for turn in caught if turn.end_delay is not None]
    capped = [min(delay, _STUCK_MS) for delay in delays] + [_STUCK_MS for t in caught if t.stuck]
    starts = [turn.start_delay for turn in caught]
    interrupting = [turn.start_delay for turn in barge_ins if turn.caught]
    causes = Counter(cause for track in tracks for cause in track.false_starts)
    outside: defaultdict[str, float] = defaultdict(float)
    for track in tracks:
        outside[track.noise] += track.outside_ms
    silence = sum(outside.values())
    events = [event for track in tracks for event in track.events]
    return Figures(
        turns=len(turns),
        missed_pct=_share(not turn.caught for turn in turns),
        short_missed_pct=_share(not turn.caught for turn in turns if turn.short),
        cut_pct=_share(turn.cut for turn in caught),
        tail_lost_pct=_share(turn.end_delay is None and not turn.stuck for turn in caught),
        stuck_pct=_share(turn.stuck for turn in caught),
        cut_pauses_pct=_cut_pauses(caught),
        end_delay_ms=_percentiles(delays, 50, 95),
        end_delay_with_stuck_ms=_percentiles(capped, 50, 95),
        start_delay_ms=_percentiles(starts, 50, 95, 99) | {"max": max(starts, default=None)},
        onset_clipped_pct=_share(t.clipped for t in caught if t.clipped is not None),
        barge_in={
            "turns": len(barge_ins),
            "missed_pct": _share(not turn.caught for turn in barge_ins),
            "p50_ms": percentile(interrupting, 50),
            "p95_ms": percentile(interrupting, 95),
        },
        backchannels_caught_pct=_share(turn.caught for turn in everybody if turn.backchannel),
        false_starts=causes.total(),
        false_starts_per_hour=_rate(causes.total(), silence),
        false_starts_per_hour_no_babble=_rate(
            causes.total() - causes[_BABBLE], silence - outside.get(_BABBLE, 0.0)
        ),
        false_by_cause=dict(sorted(causes.items())),
        false_per_hour_by_noise={
            noise: rate
            for noise, ms in sorted(outside.items())
            if (rate := _rate(causes[noise], ms)) is not None
        },
        events_triggering_pct={
            kind: _share(hit for other, hit in events if other == kind)
            for kind in sorted({kind for kind, _ in events})
        },
        hours_outside_turns=round(silence / _MS_PER_HOUR, 3),
    )


def _cut_pauses(caught: Iterable[_Turn]) -> dict[str, float | None]:
    pauses = [pause for turn in caught for pause in turn.pauses]
    shares: dict[str, float | None] = {}
    for least, most in _PAUSES:
        cut = [hit for length, hit in pauses if least <= length < most]
        if cut:
            shares[f"{least}+" if most == inf else f"{least}-{most}"] = _share(cut)
    return shares


def percentile(values: Iterable[float], percent: float) -> float | None:
    """Between the two nearest values in proportion, to a tenth; None where there are none."""
    ordered = sorted(values)
    if not ordered:
        return None
    place = (len(ordered) - 1) * percent / 100.0
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return round(ordered[below] + (ordered[above] - ordered[below]) * (place - below), 1)


def _percentiles(values: Sequence[float], *percents: int) -> dict[str, float | None]:
    return {f"p{percent}": percentile(values, percent) for percent in percents}


def _share(hits: Iterable[bool | None]) -> float | None:
    """Percent of the hits that are true."""
    counted = [bool(hit) for hit in hits]
    return round(100.0 * sum(counted) / len(counted), 2) if counted else None


def _rate(count: int, ms: float) -> float | None:
    """Per hour."""
    return round(count / (ms / _MS_PER_HOUR), 1) if ms > 0 else None
