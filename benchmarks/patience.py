"""What each reason for another patience is worth: the agent's question, and the caller's habit.

    python -m benchmarks.patience

The first table hears recorded voices: words given to be written down, and single words, each with the
patience of every turn and with the one the agent's question sets. The second lets callers who pause
each in their own way take turns with `gateway.call.patience`, and looks for the fixed patience that
cuts as many turns: what habit saves is the wait between the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from audio.endpoint import EndpointOptions
from audio.scoring import Figures, score
from audio.vad import best_engine
from benchmarks._listen import listen
from benchmarks.corpus import clips
from benchmarks.lines.cast import Cast
from benchmarks.lines.track import Sheet, Track
from gateway.call.patience import Patience, PatiencePolicy

_TURNS = 10
_APART_MS = 3600
"""From the end of a turn to the next: more than any patience here."""
_TRACKS = 4
CALLERS, CALLERS_TURNS = 400, 12
"""A call of twelve turns is a long one: habits that take longer to learn are worth nothing."""


@dataclass(frozen=True, slots=True)
class Tried:
    """One kind of turn under one patience."""

    kind: str
    patience_ms: int
    cut: float
    """Per cent of turns."""
    wait_ms: float
    """Median from the turn's last sound to its declared end."""


# ---------------------------------------------------------------- what the agent asked


def _tracks(kind: str) -> list[Track]:
    """Turns of one kind on quiet lines."""
    made = []
    for seed in range(_TRACKS):
        rng = np.random.default_rng(100 + seed)
        cast = Cast(clips(), rng)
        turns = [cast.turn(kind) for _ in range(_TURNS)]
        length = 2000 + sum(turn.clip.ms + _APART_MS for turn in turns)
        sheet = Sheet(f"{kind}-{seed}", length, -22.0, "clean", rng)
        at = 1500
        for turn in turns:
            sheet.say(turn, at)
            at += turn.clip.ms + _APART_MS
        made.append(sheet.finish())
    return made


def asked(kind: str, patiences: Sequence[int]) -> list[Tried]:
    """Turns of one kind under each patience."""
    tracks, engine = _tracks(kind), best_engine()
    rows = []
    for patience in patiences:
        options = EndpointOptions(end_silence_ms=patience)
        heard = {track.label["id"]: listen(track, engine, options) for track in tracks}
        found: Figures = score({"tracks": [t.label for t in tracks]}, {"tracks": heard}).total
        wait = found.end_delay_with_stuck_ms["p50"] or 0.0
        rows.append(Tried(kind, patience, found.cut_pct or 0.0, wait))
    return rows


# ---------------------------------------------------------------- how the caller pauses


def _pauses(rng: np.random.Generator, slow: bool) -> list[int]:
    """Pauses (ms) inside one turn: most callers never reach the patience, one in four often does."""
    count = int(rng.integers(0, 3))
    longest = 1000 if slow else 600
    return [int(pause) for pause in rng.integers(150, longest, count)]


def habit(policy: PatiencePolicy, seed: int = 5) -> tuple[float, float]:
    """(per cent of turns cut, mean wait in ms) over all callers."""
    rng = np.random.default_rng(seed)
    cut = waits = turns = 0
    for caller in range(CALLERS):
        patience = Patience(policy)
        for _ in range(CALLERS_TURNS):
            turns += 1
            is_cut = False
            for pause in _pauses(rng, slow=caller % 4 == 0):
                if pause >= patience.ms:
                    is_cut = True
                    patience.cut_short()
            waits += patience.ms
            cut += is_cut
            if not is_cut:
                patience.ended_well()
    return 100 * cut / turns, waits / turns


def as_good_fixed(cut_percent: float) -> tuple[float, float]:
    """The shortest fixed patience that cuts no more than so many turns: (per cent, wait in ms)."""
    for patience in range(500, 1200, 10):
        cut, wait = habit(PatiencePolicy(end_silence_ms=patience, habit_extra_ms=0))
        if cut <= cut_percent:
            return cut, wait
    raise AssertionError("no patience is long enough")


def main(_arguments: Sequence[str] = ()) -> int:
    """Print both tables."""
    policy = PatiencePolicy()
    dictation = policy.end_silence_ms + policy.dictation_extra_ms
    yes_no = policy.end_silence_ms - policy.yes_no_less_ms
    print(f"{'turns':10} {'patience':>9} {'cut':>7} {'wait p50':>9}")
    rows = asked("dictated", (policy.end_silence_ms, dictation))
    rows += asked("short", (policy.end_silence_ms, yes_no))
    for row in rows:
        print(f"{row.kind:10} {row.patience_ms:6} ms {row.cut:6.1f}% {row.wait_ms:6.0f} ms")
    print(f"\n{'callers':44} {'cut':>7} {'wait':>9}")
    plain = habit(PatiencePolicy(habit_extra_ms=0))
    learned = habit(policy)
    for name, (cut, wait) in (
        ("all alike", plain),
        ("habit learned", learned),
        ("all alike, as few turns cut as with habit", as_good_fixed(learned[0])),
    ):
        print(f"{name:44} {cut:6.1f}% {wait:6.0f} ms")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
