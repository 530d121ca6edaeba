"""How well turns are found, beside what must hold and what is aimed at.

    python -m benchmarks.endpointing [CORPUS_DIR] [--engine webrtc|silero|hybrid] [--by-noise] [--json]
        [--seed N]

Without a folder the built-in corpus is judged (`benchmarks.corpus`), and with another seed the same
people say other things at other moments, which tells luck from skill. A folder has a `manifest.json`
like the one that corpus writes. `audio.scoring` says what each figure means. 1 if a must fails.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from audio.scoring import Figures, Report, score
from audio.vad import ENGINES, best_engine
from benchmarks import corpus
from benchmarks._listen import CALLS, cpu_percent, listen, read
from benchmarks.lines.track import Track


@dataclass(frozen=True, slots=True)
class Row:
    """One figure; `must` and `goal` are the most it may be, None where nothing is promised."""

    figure: str
    measured: float
    unit: str
    must: float | None = None
    goal: float | None = None

    @property
    def verdict(self) -> str:
        if self.must is None or self.goal is None:
            return ""
        if self.measured <= self.goal:
            return "goal"
        return "ok" if self.measured <= self.must else "FAILS"


BUILT_IN_END_MS = 720.0
"""Two turns in three of the built-in set are in noise, where 660 ms of patience may get 200 more."""


def hearing_rows(found: Figures, end_ms: float = 700.0) -> list[Row]:
    """What the judge found; a figure there is nothing to count for is 0."""
    ends, interruptions = found.end_delay_with_stuck_ms, found.barge_in
    measured: tuple[tuple[str, float | None, str, float, float], ...] = (
        ("turns missed", found.missed_pct, "%", 3, 1),
        ("short answers missed", found.short_missed_pct, "%", 8, 3),
        ("turns cut", found.cut_pct, "%", 11, 6),
        ("end delay p50", ends["p50"], "ms", end_ms, 550),
        ("end delay p95", ends["p95"], "ms", 2000, 1300),
        ("turns stuck", found.stuck_pct, "%", 4, 1.5),
        ("false starts per hour", found.false_starts_per_hour, "", 60, 30),
        ("starts on echo", found.false_by_cause.get("echo", 0), "", 2, 0),
        ("barge-in missed", interruptions["missed_pct"], "%", 0, 0),
        ("barge-in start delay p95", interruptions["p95_ms"], "ms", 350, 200),
        ("onset clipped at the pre-roll", found.onset_clipped_pct, "%", 4, 0.5),
    )
    return [Row(name, value or 0.0, unit, must, goal) for name, value, unit, must, goal in measured]


def cost_rows(engine: str) -> list[Row]:
    """What the ears take of a core."""
    return [
        Row(f"CPU per call, {CALLS} at once", cpu_percent(engine, CALLS), "%", 0.4, 0.15),
        Row("CPU of one call alone", cpu_percent(engine, 1, 60), "%"),
    ]


def measure(tracks: Sequence[Track], engine: str) -> Report:
    """The judge's report on all tracks."""
    heard = {track.label["id"]: listen(track, engine) for track in tracks}
    return score({"tracks": [track.label for track in tracks]}, {"tracks": heard})


def faint_row(engine: str, seed: int) -> Row:
    """Callers 20 dB under us: how many could not interrupt."""
    found = measure(tuple(corpus.faint_tracks(seed)), engine).total
    missed = found.barge_in["missed_pct"] or 0.0
    return Row(f"barge-in missed at {corpus.FAINT_DB:.0f} dB", missed, "%")


def unechoed_rows(engine: str, seed: int) -> list[Row]:
    """Callers as soft as one may be on lines without an echo, where nothing tells how loud one would be."""
    found = measure(tuple(corpus.unechoed_tracks(seed)), engine).total.barge_in
    what = f"at {corpus.SOFTER_DB:.0f} dB without echo"
    return [
        Row(f"missed {what}", found["missed_pct"] or 0.0, "%", 0, 0),
        Row(f"start p95 {what}", found["p95_ms"] or 0.0, "ms"),
    ]


def show(rows: Sequence[Row]) -> None:
    print(f"{'figure':32} {'measured':>11} {'must':>7} {'goal':>7}  verdict")
    for row in rows:
        measured = f"{row.measured:.4g} {row.unit}".strip()
        must, goal = ("" if bound is None else f"{bound:g}" for bound in (row.must, row.goal))
        print(f"{row.figure:32} {measured:>11} {must:>7} {goal:>7}  {row.verdict}".rstrip())


def show_noises(by_noise: dict[str, Figures]) -> None:
    print(
        f"\n{'noise':10} {'turns':>5} {'missed':>7} {'cut':>7} {'stuck':>7} {'p50 ms':>7} {'p95 ms':>7} {'false':>6}"
    )
    for noise, found in sorted(by_noise.items()):
        ends = found.end_delay_with_stuck_ms
        print(
            f"{noise:10} {found.turns:5} {found.missed_pct or 0:6.1f}% {found.cut_pct or 0:6.1f}%"
            f" {found.stuck_pct or 0:6.1f}% {ends['p50'] or 0:7.0f} {ends['p95'] or 0:7.0f}"
            f" {found.false_starts:6}"
        )


def main(arguments: Sequence[str] = ()) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.endpointing")
    parser.add_argument("corpus", nargs="?", type=Path, help="folder with a manifest.json")
    parser.add_argument("--engine", choices=ENGINES, default=best_engine())
    parser.add_argument("--by-noise", action="store_true", help="a line for each noise, too")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument("--seed", type=int, default=corpus.SEED, help="of the built-in corpus")
    chosen = parser.parse_args(arguments)
    engine: str = chosen.engine
    if chosen.corpus is not None and not (chosen.corpus / "manifest.json").is_file():
        parser.error(f"{chosen.corpus} holds no manifest.json")
    made = corpus.tracks(chosen.seed) if chosen.corpus is None else read(chosen.corpus)
    report = measure(made, engine)
    total, by_noise = report.total, report.by_noise
    rows = hearing_rows(total)
    if chosen.corpus is None:
        rows = hearing_rows(total, BUILT_IN_END_MS)
        rows += [*unechoed_rows(engine, chosen.seed), faint_row(engine, chosen.seed)]
    rows += cost_rows(engine)
    if chosen.json:
        noises = {noise: asdict(found) for noise, found in by_noise.items()}
        table = [asdict(row) | {"verdict": row.verdict} for row in rows]
        print(json.dumps({"engine": engine, "figures": table, "by_noise": noises}, indent=1))
    else:
        minutes = sum(track.label["duration_ms"] for track in made) / 60_000
        print(f"{engine}: {len(made)} tracks, {minutes:.1f} min, {total.turns} turns")
        show(rows)
        if chosen.by_noise:
            show_noises(by_noise)
    return int(any(row.verdict == "FAILS" for row in rows))


if __name__ == "__main__":
    import sys

    raise SystemExit(main(sys.argv[1:]))
