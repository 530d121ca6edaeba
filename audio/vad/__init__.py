"""Which frames hold speech: the engines and what they have in common.

An engine judges one frame at a time and decides nothing about turns; `audio.endpoint` consumes its
verdicts together with levels. Engines are imported when they are made, so that one which is not
installed costs nothing.
"""

from __future__ import annotations

from enum import Enum
from functools import cache
from importlib import import_module
from typing import Final, Protocol

from audio.types import Pcm


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

    @property
    def probability(self) -> float | None:
        """Of a voice in the newest sound, from 0 to 1, where a speech model was asked."""
        ...

    def judge(self, pcm: Pcm, *, in_turn: bool) -> Verdict:
        """Judge the next 20 ms: 160 samples at 8 kHz, in order, none left out.

        `in_turn`: the caller is taken to be speaking; an engine may forget only between turns.
        """
        ...


ENGINES: Final = ("webrtc", "silero", "hybrid")


@cache
def model_installed() -> bool:
    """Whether the speech model's runtime is there and can be loaded: the `silero` extra brings it."""
    try:
        import_module("onnxruntime")
    except ImportError:
        return False
    return True


def best_engine() -> str:
    """The engine for a line nobody has an opinion on: both together, where the model can run."""
    return "hybrid" if model_installed() else "webrtc"


def make_vad(name: str) -> Vad:
    """A new engine for one call; `ValueError` names the engines there are.

    `ImportError` where the speech model's runtime is not installed.
    """
    match name:
        case "webrtc":
            from audio.vad.webrtc import WebrtcVad

            return WebrtcVad()
        case "silero":
            from audio.vad.silero import SileroVad

            return SileroVad()
        case "hybrid":
            from audio.vad.hybrid import HybridVad

            return HybridVad()
        case _:
            known = ", ".join(repr(engine) for engine in ENGINES)
            raise ValueError(f"no voice activity engine {name!r}; there are {known}")
