"""Is somebody really talking, or was it one short word? Firm speech counted in runs of words.

What interrupts the agent must be talk, not a cough, an "mm-hmm" or the engine's lingering after
either: only frames that are loud for this speaker and sure for the engine count, and a gap ends the run.
"""

from __future__ import annotations

from typing import Final

from audio.endpoint.signals import EndpointOptions, Paused, Resumed, Signal, Voiced
from audio.types import FRAME_MS

_NOTHING: Final[tuple[Signal, ...]] = ()
_BACK_FRAMES: Final = 2
"""Firm frames in a row that end a pause: one alone may be a click."""


class Words:
    """Counts one stretch's firm speech until `confirm_ms` of one run is reached."""

    def __init__(self, options: EndpointOptions, frames: int) -> None:
        self._confirm = max(1, options.confirm_ms // FRAME_MS)
        self._pause = max(1, options.pause_ms // FRAME_MS)
        self._gap = max(1, options.word_gap_ms // FRAME_MS)
        self._confirm_ms = options.confirm_ms
        self._firm = frames
        self._absent = 0
        self._back = 0
        self._paused = False
        self._confirmed = False

    def hear(self, *, firm: bool, at: int) -> tuple[Signal, ...]:
        """Take a frame that ends at sample `at`."""
        if self._confirmed:
            return _NOTHING
        if not firm:
            return self._missing(at)
        if self._absent >= self._gap:
            self._firm = 0
        self._absent = 0
        self._firm += 1
        self._back += 1
        signals = _NOTHING
        if self._paused and self._back >= _BACK_FRAMES:
            self._paused = False
            signals = (Resumed(at),)
        if self._firm >= self._confirm:
            self._confirmed = True
            signals = (*signals, Voiced(self._confirm_ms, at))
        return signals

    def _missing(self, at: int) -> tuple[Signal, ...]:
        self._absent += 1
        self._back = 0
        if self._absent == self._pause and not self._paused:
            self._paused = True
            return (Paused(self._firm * FRAME_MS, at),)
        return _NOTHING
