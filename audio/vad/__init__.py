"""Which frames hold speech: the engines and what they have in common.

An engine judges one frame at a time and decides nothing about turns; `audio.endpoint` consumes its
verdicts together with levels. Engines are imported when they are made, so that one which is not
installed costs nothing.
"""

from __future__ import annotations

from enum import Enum
from typing import Protocol


class Verdict(Enum):
    """What an engine makes of one frame, in ascending certainty."""

    NOISE = 0
    """Nothing that sounds like a voice: counts as silence."""
    DOUBT = 1
    """Too little to say that somebody began, enough not to say that somebody stopped."""
    SPEECH = 2
    """A voice."""


class Vad(Protocol):
    """A voice activity engine with the memory of one line."""

    def judge(self, frame: bytes) -> Verdict:
        """Judge the next 20 ms: 320 bytes of 16-bit samples at 8 kHz, in order, none left out."""
        ...


def make_vad(name: str) -> Vad:
    """A new engine for one call; `ValueError` names the engines there are."""
    match name:
        case "webrtc":
            from audio.vad.webrtc import WebrtcVad

            return WebrtcVad()
        case _:
            raise ValueError(f"no voice activity engine {name!r}; there is 'webrtc'")
