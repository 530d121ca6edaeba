"""What `segment` has heard, in words and columns for the one who asked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from audio.scoring import Figures
from gateway.commands._listening import Heard, Listener
from gateway.commands._recordings import Recording


def line(listener: Listener) -> dict[str, object]:
    """What was learned of one line."""
    return {
        "duration_ms": listener.duration_ms,
        "speech_pct": round(100 * _speech_ms(listener) / listener.duration_ms, 1),
        **asdict(listener.detector.line),
    }


def _speech_ms(listener: Listener) -> int:
    return sum(one.speech_end_ms - one.speech_start_ms for one in listener.utterances)


def text(recording: Recording, listener: Listener, engine: str, needed_ms: int) -> Iterator[str]:
    """One recording: a line for each utterance; less accepted speech than `needed_ms` is never sent."""
    agent = "" if recording.agent is None else f", agent: {recording.agent}"
    yield f"{recording.id}: {listener.duration_ms / 1000:.1f} s, {engine}{agent}"
    if listener.utterances:
        yield "    #           speech    length  accepted     start       end"
    for number, one in enumerate(listener.utterances, 1):
        yield f"  {number:>3}  {_utterance(one)}  {_remark(one, needed_ms)}".rstrip()
    yield f"  {_summary(listener)}"
    yield ""


def _utterance(one: Heard) -> str:
    begins, ends = one.speech_start_ms / 1000, one.speech_end_ms / 1000
    end = "-" if one.end_decided_ms is None else f"{one.end_decided_ms / 1000:.2f}"
    return (
        f"{begins:>7.2f}..{ends:<7.2f} {ends - begins:>7.2f}  {one.accepted_ms / 1000:>8.2f}"
        f"  {one.start_decided_ms / 1000:>8.2f}  {end:>8}"
    )


def _remark(one: Heard, needed_ms: int) -> str:
    if one.ended_by == "length":
        return "split: max_utterance_ms"
    if one.accepted_ms < needed_ms:
        return "too little to be sent"
    return "still open" if one.ended_by == "recording" else ""


def _summary(listener: Listener) -> str:
    learned, count = line(listener), len(listener.utterances)
    if learned["echo_delay_ms"] is None:
        echo = "no echo found"
    else:
        echo = f"echo after {learned['echo_delay_ms']:g} ms at {learned['echo_return_db']:+g} dB"
    return (
        f"{count} utterance{'' if count == 1 else 's'}, speech {learned['speech_pct']:g} %,"
        f" noise floor {learned['noise_floor_dbfs']:g} dBFS, {echo}"
    )


def scored(figures: Figures) -> Iterator[str]:
    """What the labels say."""
    yield f"against the labels of {figures.turns} turns:"
    rows = {
        "missed %": figures.missed_pct,
        "short ones missed %": figures.short_missed_pct,
        "cut %": figures.cut_pct,
        "tail lost %": figures.tail_lost_pct,
        "stuck %": figures.stuck_pct,
        "end delay p50, p95 ms": _pair(figures.end_delay_ms),
        "with stuck turns as 3 s": _pair(figures.end_delay_with_stuck_ms),
        "start delay p50, p95 ms": _pair(figures.start_delay_ms),
        "onset clipped %": figures.onset_clipped_pct,
        "barge-in missed %": figures.barge_in["missed_pct"],
        "barge-in p50, p95 ms": f"{_figure(figures.barge_in['p50_ms'])}, {_figure(figures.barge_in['p95_ms'])}",
        "back-channels caught %": figures.backchannels_caught_pct,
        "false starts an hour": figures.false_starts_per_hour,
        "  by cause": _listed(figures.false_by_cause),
        "cut pauses % by ms": _listed(figures.cut_pauses_pct),
    }
    for name, value in rows.items():
        yield f"  {name:<24} {value if isinstance(value, str) else _figure(value)}"


def _pair(delays: dict[str, float | None]) -> str:
    return f"{_figure(delays['p50'])}, {_figure(delays['p95'])}"


def _listed(counted: dict[str, Any]) -> str:
    return ", ".join(f"{name} {_figure(value)}" for name, value in counted.items()) or "-"


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:g}"
