"""The same recordings under one patience after another: who is cut, who waits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from audio.scoring import Figures, percentile
from gateway.commands._listening import Heard, Listener, hear_together
from gateway.commands._recordings import Recording
from gateway.compose import detector_factory
from gateway.settings import Settings

WENT_ON_MS: Final = 1000
"""A caller who speaks again this soon after a declared end had probably not finished."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trade:
    """What one patience makes of all recordings."""

    end_silence_ms: int
    heard: dict[str, Listener]
    utterances: int
    median_length_ms: float | None
    split: int
    """Utterances of the base run that are more than one here."""
    joined: int
    """Utterances of the base run that are one here with the next."""
    went_on: int
    """Ends after which the caller spoke again within a second."""
    wait_p50_ms: float | None
    wait_p95_ms: float | None
    """From the last speech to the declared end."""

    def row(self) -> dict[str, object]:
        """Everything but the utterances themselves, for JSON."""
        return {
            "end_silence_ms": self.end_silence_ms,
            "utterances": self.utterances,
            "median_length_ms": self.median_length_ms,
            "split": self.split,
            "joined": self.joined,
            "went_on": self.went_on,
            "wait_ms": {"p50": self.wait_p50_ms, "p95": self.wait_p95_ms},
        }


def sweep(
    tried: Mapping[int, Settings],
    base: int,
    recordings: Sequence[Recording],
    progress: Callable[[float], None],
) -> list[Trade]:
    """Hear all recordings with each of these settings, by patience; `base` is one of them."""
    runs: dict[int, dict[str, Listener]] = {}
    for patience, settings in sorted(tried.items()):
        make = detector_factory(settings)
        runs[patience] = {one.id: Listener(one.track, settings, make) for one in recordings}
    hear_together([one for run in runs.values() for one in run.values()], progress)
    return [_trade(patience, run, runs[base]) for patience, run in runs.items()]


def _trade(patience: int, run: dict[str, Listener], base: dict[str, Listener]) -> Trade:
    everything = [one for listener in run.values() for one in listener.utterances]
    waits = [
        one.end_decided_ms - one.speech_end_ms
        for one in everything
        if one.ended_by == "silence" and one.end_decided_ms is not None
    ]
    pairs = [(listener.utterances, base[name].utterances) for name, listener in run.items()]
    return Trade(
        end_silence_ms=patience,
        heard=run,
        utterances=len(everything),
        median_length_ms=percentile(
            [one.speech_end_ms - one.speech_start_ms for one in everything], 50
        ),
        split=sum(_touching(old, new) > 1 for new, base_ in pairs for old in base_),
        joined=sum(max(0, _touching(one, base_) - 1) for new, base_ in pairs for one in new),
        went_on=sum(_went_on(one, after) for new, _ in pairs for one, after in pairwise(new)),
        wait_p50_ms=percentile(waits, 50),
        wait_p95_ms=percentile(waits, 95),
    )


def _touching(one: Heard, others: Sequence[Heard]) -> int:
    return sum(
        other.speech_start_ms < one.speech_end_ms and one.speech_start_ms < other.speech_end_ms
        for other in others
    )


def _went_on(one: Heard, after: Heard) -> bool:
    if one.ended_by != "silence" or one.end_decided_ms is None:
        return False
    return after.speech_start_ms - one.end_decided_ms <= WENT_ON_MS


def table(
    trades: Sequence[Trade], base: int, labelled: Mapping[int, Figures] | None
) -> Iterator[str]:
    """The trade-off for reading: as far as sound alone shows it, or against labels."""
    if labelled is None:
        yield "end_silence_ms  utterances  median s  split  joined  went on  wait p50  wait p95"
    else:
        yield (
            "end_silence_ms  missed %  short %   cut %  tail %  stuck %  end p50  end p95"
            "  with stuck  false/h"
        )
    for trade in trades:
        patience = trade.end_silence_ms
        cells = _cells(trade) if labelled is None else _labelled_cells(labelled[patience])
        mark = "  <- in effect" if patience == base else ""
        yield f"{patience:>14}{cells}{mark}"
    yield ""
    if labelled is None:
        yield "split, joined: utterances of the run in effect that fall apart, or run into the next one"
        yield f"went on: ends after which the caller spoke again within {WENT_ON_MS / 1000:g} s"
        yield "wait: from the last speech to the declared end, in ms"
    else:
        yield "cut: an end was declared inside of a turn; stuck: no end before the next turn"
        yield "end p50, p95: from the true end to the declared one, in ms; with stuck: p95, a stuck turn as 3000"


def _cells(trade: Trade) -> str:
    median = None if trade.median_length_ms is None else trade.median_length_ms / 1000
    return (
        f"{trade.utterances:>12}{_cell(median, 10, '.2f')}{trade.split:>7}{trade.joined:>8}"
        f"{trade.went_on:>9}{_cell(trade.wait_p50_ms, 10)}{_cell(trade.wait_p95_ms, 10)}"
    )


def _labelled_cells(figures: Figures) -> str:
    ends, with_stuck = figures.end_delay_ms, figures.end_delay_with_stuck_ms["p95"]
    shares = (
        (figures.missed_pct, 10),
        (figures.short_missed_pct, 9),
        (figures.cut_pct, 8),
        (figures.tail_lost_pct, 8),
        (figures.stuck_pct, 9),
    )
    return (
        "".join(_cell(share, width, ".1f") for share, width in shares)
        + _cell(ends["p50"], 9)
        + _cell(ends["p95"], 9)
        + _cell(with_stuck, 12)
        + _cell(figures.false_starts_per_hour, 9, ".1f")
    )


def _cell(value: float | None, width: int, form: str = ".0f") -> str:
    text = "-" if value is None else format(value, form)
    return f"{text:>{width}}"
