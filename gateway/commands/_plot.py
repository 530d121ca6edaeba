"""A recording and what the ears made of it as a picture. Only home of matplotlib (the extra `plot`)."""

from __future__ import annotations

from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Final

from audio.types import FRAME_MS
from gateway.commands._listening import Listener
from gateway.errors import BadSetting, ConfigError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ROW_SECONDS: Final = 30.0
_MOST_ROWS: Final = 40
"""Longer recordings get longer rows, not more: a picture must stay one that can be opened."""
_LOWEST: Final = -80.0
_HIGHEST: Final = 0.0
_FRAME: Final = FRAME_MS / 1000
_NAN: Final = float("nan")

_CALLER = "#1f4e79"
_AGENT = "#d08700"
_FLOOR = "#808080"
_HEARD = "#8fc6a4"
_START = "#1a7f37"
_END = "#c62828"
_MODEL = "#6a3d9a"


def need_matplotlib() -> None:
    """Raise `ConfigError` where there is nothing to draw with."""
    try:
        import matplotlib as mpl  # noqa: F401 - whether it is there is all we ask
    except ImportError:
        problem = "needs matplotlib: install voice-gateway[plot]"
        raise ConfigError([BadSetting("--plot", problem)]) from None


def draw(name: str, listener: Listener, path: Path) -> None:
    """Write one PNG; `ConfigError` where it cannot be written. The listener must have kept a trace."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    seconds = listener.duration_ms / 1000
    rows = min(ceil(seconds / _ROW_SECONDS), _MOST_ROWS)
    row_seconds = ceil(seconds / rows)
    with_model = any(moment.probability is not None for moment in listener.moments)
    heights = [3.0, 1.0] if with_model else [3.0]
    figure = Figure(figsize=(16, 0.9 + 2.6 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(f"{name}: {_said(listener)}", fontsize=12, x=0.01, ha="left")
    for row, part in enumerate(figure.subfigures(rows, 1, squeeze=False).flat):
        panels = part.subplots(len(heights), 1, sharex=True, height_ratios=heights, squeeze=False)
        begins = row * row_seconds
        _levels(panels[0, 0], listener)
        if with_model:
            _model(panels[1, 0], listener)
        for panel in panels.flat:
            _frame(panel, listener, begins, begins + row_seconds)
        panels[-1, 0].set_xlabel("seconds" if row == rows - 1 else "")
        if row == 0:
            panels[0, 0].legend(
                loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=7, fontsize=8, frameon=False
            )
    try:
        figure.savefig(path, format="png", dpi=100)
    except OSError as error:
        problem = f"{str(path)!r} cannot be written: {error.strerror or error}"
        raise ConfigError([BadSetting("--plot", problem)]) from None


def _said(listener: Listener) -> str:
    count = len(listener.utterances)
    text = f"{count} utterance{'' if count == 1 else 's'}"
    line = listener.detector.line
    delay, level = line.echo_delay_ms, line.echo_return_db
    if delay is not None and level is not None:
        text += f", our echo after {delay:.0f} ms at {level:+.0f} dB"
    return text


def _levels(panel: Axes, listener: Listener) -> None:
    moments = listener.moments
    times = [index * _FRAME for index in range(len(moments))]
    if any(moment.agent is not None for moment in moments):
        agent = [_NAN if moment.agent is None else moment.agent for moment in moments]
        panel.plot(times, agent, color=_AGENT, linewidth=0.8, label="agent")
    caller = [moment.level for moment in moments]
    panel.plot(times, caller, color=_CALLER, linewidth=0.8, label="caller")
    floor = [moment.floor for moment in moments]
    panel.plot(times, floor, color=_FLOOR, linewidth=1.0, linestyle="--", label="noise floor")
    panel.set_ylim(_LOWEST, _HIGHEST)
    panel.set_yticks([-80.0, -60.0, -40.0, -20.0, 0.0])
    panel.set_ylabel("dBFS")


def _model(panel: Axes, listener: Listener) -> None:
    times = [index * _FRAME for index in range(len(listener.moments))]
    probability = [
        _NAN if moment.probability is None else moment.probability for moment in listener.moments
    ]
    panel.fill_between(times, probability, color=_MODEL, alpha=0.35, linewidth=0)
    panel.plot(times, probability, color=_MODEL, linewidth=0.6)
    panel.set_ylim(0.0, 1.05)
    panel.set_yticks([0.0, 0.5, 1.0])
    panel.set_ylabel("model")


def _frame(panel: Axes, listener: Listener, begins: float, ends: float) -> None:
    """The utterances behind the curves, and the window of this row."""
    labels = {"speech": "heard as speech", "start": "start declared"}
    labels |= {"wait": "waited through", "end": "end declared"}
    for one in listener.utterances:
        first, last = one.speech_start_ms / 1000, one.speech_end_ms / 1000
        panel.axvspan(
            first, last, color=_HEARD, alpha=0.35, linewidth=0, label=labels.pop("speech", None)
        )
        started = one.start_decided_ms / 1000
        panel.axvline(started, color=_START, linewidth=1.2, label=labels.pop("start", None))
        if one.end_decided_ms is not None:
            ended = one.end_decided_ms / 1000
            panel.axvline(ended, color=_END, linewidth=1.2, label=labels.pop("end", None))
            panel.axvspan(
                last, ended, color=_HEARD, alpha=0.15, linewidth=0, label=labels.pop("wait", None)
            )
    panel.set_xlim(begins, ends)
    panel.grid(visible=True, axis="both", linewidth=0.3, alpha=0.6)
    panel.tick_params(labelsize=8)
    for side in ("top", "right"):
        panel.spines[side].set_visible(False)
