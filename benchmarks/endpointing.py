"""How well turns are found, beside what must hold and what is aimed at.

    python -m benchmarks.endpointing [CORPUS_DIR] [--engine webrtc|silero|hybrid] [--by-noise] [--json]
        [--seed N]

Without a folder the built-in corpus is judged (`benchmarks.corpus`), and with another seed the same
people say other things at other moments, which tells luck from skill. A folder has a `manifest.json`
like the one that corpus writes. `benchmarks._judge` says what each figure means. 1 if a must fails.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from audio.vad import ENGINES, best_engine
from benchmarks import corpus
from benchmarks._judge import Tally, judge
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


def hearing_rows(tally: Tally) -> list[Row]:
    """What the judge found."""
    return [
        Row("turns missed", tally.missed_percent, "%", 3, 1),
        Row("short answers missed", tally.short_missed_percent, "%", 8, 3),
        Row("turns cut", tally.cut_percent, "%", 11, 6),
        Row("end delay p50", tally.end_delay(50), "ms", 700, 550),
        Row("end delay p95", tally.end_delay(95), "ms", 2000, 1300),
        Row("turns stuck", tally.stuck_percent, "%", 4, 1.5),
        Row("false starts per hour", tally.false_starts_per_hour, "", 60, 30),
        Row("starts on echo", tally.echo_starts, "", 2, 0),
        Row("barge-in missed", tally.interruptions_missed, "", 0, 0),
        Row("barge-in start delay p95", tally.interruption_delay(95), "ms", 350, 200),
        Row("onset clipped at the pre-roll", tally.bitten_percent, "%", 4, 0.5),
    ]


def cost_rows(engine: str) -> list[Row]:
    """What the ears take of a core."""
    return [
        Row(f"CPU per call, {CALLS} at once", cpu_percent(engine, CALLS), "%", 0.4, 0.15),
        Row("CPU of one call alone", cpu_percent(engine, 1, 60), "%"),
    ]


def measure(tracks: Sequence[Track], engine: str) -> tuple[Tally, dict[str, Tally]]:
    """The judge's tally over all tracks, and by noise."""
    heard = {track.label["id"]: listen(track, engine) for track in tracks}
    return judge([track.label for track in tracks], heard)


def faint_row(engine: str, seed: int) -> Row:
    """Callers 20 dB under us: how many could not interrupt."""
    tally, _ = measure(tuple(corpus.faint_tracks(seed)), engine)
    missed = 100 * tally.interruptions_missed / tally.interruptions
    return Row(f"barge-in missed at {corpus.FAINT_DB:.0f} dB", missed, "%")


def show(rows: Sequence[Row]) -> None:
    print(f"{'figure':32} {'measured':>11} {'must':>7} {'goal':>7}  verdict")
    for row in rows:
        measured = f"{row.measured:.4g} {row.unit}".strip()
        must, goal = ("" if bound is None else f"{bound:g}" for bound in (row.must, row.goal))
        print(f"{row.figure:32} {measured:>11} {must:>7} {goal:>7}  {row.verdict}".rstrip())


def show_noises(by_noise: dict[str, Tally]) -> None:
    print(
        f"\n{'noise':10} {'turns':>5} {'missed':>7} {'cut':>7} {'stuck':>7} {'p50 ms':>7} {'p95 ms':>7} {'false':>6}"
    )
    for noise, tally in sorted(by_noise.items()):
        print(
            f"{noise:10} {tally.turns:5} {tally.missed_percent:6.1f}% {tally.cut_percent:6.1f}%"
            f" {tally.stuck_percent:6.1f}% {tally.end_delay(50):7.0f} {tally.end_delay(95):7.0f}"
            f" {tally.false_starts.total():6}"
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
    made = corpus.tracks(chosen.seed) if chosen.corpus is None else read(chosen.corpus)
    total, by_noise = measure(made, engine)
    rows = hearing_rows(total)
    if chosen.corpus is None:
        rows.append(faint_row(engine, chosen.seed))
    rows += cost_rows(engine)
    if chosen.json:
        noises = {noise: asdict(tally) for noise, tally in by_noise.items()}
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
