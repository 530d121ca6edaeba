"""Turn detection: when a caller begins to speak, has really spoken, and has stopped.

An engine (`audio.vad`) judges each frame; the endpointer weighs its verdicts with how loud the frame
is against the line's noise, against the caller's own loudness and against our own echo. Levels,
positions and counts only: no clock, so a recording and a live call give the same result.
"""

from __future__ import annotations

from audio.endpoint.endpointer import Endpointer
from audio.endpoint.signals import (
    EndpointOptions,
    LineReport,
    Offset,
    Onset,
    Paused,
    Resumed,
    Signal,
    Voiced,
)
from audio.endpoint.turn_model import TurnModel

__all__ = [
    "EndpointOptions",
    "Endpointer",
    "LineReport",
    "Offset",
    "Onset",
    "Paused",
    "Resumed",
    "Signal",
    "TurnModel",
    "Voiced",
]
