"""Human speech for both ends of a call: a volunteer of LibriVox reads for the agent, Allison Smith calls.

The agent's track has no pause over 150 ms: what silence there is in it was then made by the gateway.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Final

import numpy as np

from audio import mulaw
from audio.mulaw import ulaw_level_dbfs
from audio.types import FRAME_SAMPLES, SAMPLE_RATE, Pcm
from gateway.simulator.sound import frames, from_file, noise_frame

QUIET_DB: Final = 22.0
"""A frame this far under the loudest of its track is a pause to a listener (and to hotato)."""

PAUSE_FRAMES: Final = 6
"""Frames (120 ms) of a pause that are left; the rest is cut out."""

CHAPTER: Final = ("leisure", "cold-hearted", "young-man", "amiable")
"""What the agent reads: one voice, some sixteen seconds."""

ANSWERS: Final = Path(__file__).parents[1] / "end_to_end" / "answers"


def human(name: str) -> bytes:
    """A recording of the repository, mu-law 8 kHz, from its first loud frame to its last."""
    shipped = files("gateway.simulator") / "speech" / f"{name}.wav"
    data = shipped.read_bytes() if shipped.is_file() else (ANSWERS / f"{name}.wav").read_bytes()
    return without_pauses(from_file(data))


def without_pauses(sound: bytes) -> bytes:
    """The sound with its pauses cut to 120 ms, and none at its ends."""
    cut = frames(sound)
    levels = [ulaw_level_dbfs(frame) for frame in cut]
    floor = max(levels) - QUIET_DB
    kept: list[bytes] = []
    pause: list[bytes] = []
    for frame, level in zip(cut, levels, strict=True):
        if level < floor:
            pause.append(frame)
            continue
        if kept:
            kept += pause if len(pause) <= PAUSE_FRAMES else _shortened(pause)
        kept.append(frame)
        pause = []
    return b"".join(kept)


def _shortened(pause: list[bytes]) -> list[bytes]:
    """Both its ends: the words around it keep their own decay and onset."""
    half = PAUSE_FRAMES // 2
    return [*pause[:half], *pause[-half:]]


@cache
def chapter() -> bytes:
    """All the agent has to read, at one loudness."""
    return without_pauses(b"".join(human(name) for name in CHAPTER))


def longest_pause_ms(sound: bytes) -> int:
    """The longest run of quiet frames."""
    levels = [ulaw_level_dbfs(frame) for frame in frames(sound)]
    floor = max(levels) - QUIET_DB
    longest = now = 0
    for level in levels:
        now = now + 1 if level < floor else 0
        longest = max(longest, now)
    return longest * 20


def word(name: str, ms: int) -> bytes:
    """The first `ms` of a recorded word, faded out over its last 20 ms where it goes on."""
    pcm = mulaw.decode(human(name)[: ms * 8]).astype(np.float64)
    pcm[-FRAME_SAMPLES:] *= np.linspace(1.0, 0.0, min(FRAME_SAMPLES, pcm.size))
    return mulaw.encode(pcm.astype(np.int16))


class Reader:
    """Reads on from the chapter whatever it is asked to say: so long the first time, so long after that."""

    rate = SAMPLE_RATE

    def __init__(self, first_ms: int, later_ms: int = 2200) -> None:
        self._lengths = [first_ms]
        self._later = later_ms
        self.pages: list[Pcm] = []
        """What was read, in order."""

    def speak(self, text: str) -> Iterator[Pcm]:
        del text  # it is the recording that is heard
        length = self._lengths.pop() if self._lengths else self._later
        page = mulaw.decode(chapter()[: length * 8])
        self.pages.append(page)
        yield page


def line_noise(ms: int) -> bytes:
    """The noise of a line into which nobody speaks."""
    return b"".join(noise_frame(number) for number in range(ms // 20))
