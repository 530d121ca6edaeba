"""How loud the line is when nobody speaks into it: a floor and a ceiling, both in dBFS.

The floor follows the quietest frames and tells hiss from speech. The ceiling is the level that nine
of ten background frames stay under and tells speech from a passing lorry or a talking office.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

_LOWEST_FLOOR: Final = -64.0
"""dBFS; an idle line codes noise at about -70, which says nothing about how the caller is heard."""
_HIGHEST_START: Final = -40.0
"""dBFS; a call may begin in the middle of a word, which must not become the floor."""
_NO_LINE: Final = -85.0
"""dBFS; digital silence is no room of anybody's: lost sound and silence suppression have it between words,"""
_BRIEF_FRAMES: Final = 20
"""and for so long (400 ms) it teaches nothing; what goes on longer is how this line sounds when all are quiet."""
_SINK: Final = 0.3
_CEILING_SINK: Final = 0.08
"""dB per frame (15 and 4 a second) that what louder sounds have taught is forgotten then,"""
_SILENT_FLOOR: Final = -50.0
_SILENT_CEILING: Final = -40.0
"""dBFS, down to these: a soft caller stands out of them, and less of a room that comes back does."""
_FALL: Final = 0.2
"""Share of the way down that the floor takes in one frame."""
_RISE: Final = 0.06
"""dB per frame (3 dB a second) that the floor takes upwards, slow enough to outlast a sentence."""
_UP: Final = 0.45
_DOWN: Final = 0.05
"""dB per frame; up and down are 9 to 1, so the ceiling settles where 9 of 10 frames are below it."""
_EAGER_FRAMES: Final = 50
"""For its first second the ceiling learns faster: nothing is known yet."""
_EAGER: Final = 4.0
_WIDEST: Final = 15.0
"""dB from floor to ceiling at most: speech heard by mistake must not teach it."""


class Background:
    """Learns the floor from every frame and the ceiling from those that belong to nobody."""

    def __init__(self) -> None:
        self.floor = _LOWEST_FLOOR
        self.ceiling = _LOWEST_FLOOR
        self._known = False
        self._learned = 0
        self._silent = 0

    def hear(self, level: float, is_tone: Callable[[], bool]) -> None:
        """Take the level of the next frame, whoever it belongs to.

        `is_tone`: whether it is a key or a call tone, which no line begins with being as loud as.
        """
        if level <= _NO_LINE:
            self._sink()
            return
        self._silent = 0
        if not self._known and not is_tone():
            self._known = True
            self.floor = self.ceiling = min(max(level, _LOWEST_FLOOR), _HIGHEST_START)
        elif level < self.floor:
            self.floor = max(_LOWEST_FLOOR, self.floor + (level - self.floor) * _FALL)
        else:
            self.floor = min(level, self.floor + _RISE)

    def _sink(self) -> None:
        """Digital silence: nobody says anything, and no room is heard."""
        self._silent += 1
        if self._silent > _BRIEF_FRAMES:
            self.floor = max(min(self.floor, _SILENT_FLOOR), self.floor - _SINK)
            ceiling = min(self.ceiling, self.floor + _WIDEST)
            self.ceiling = max(min(ceiling, _SILENT_CEILING), ceiling - _CEILING_SINK)

    def learn(self, level: float) -> None:
        """Take a frame in which neither the caller nor the agent speaks."""
        if level <= _NO_LINE:
            return
        if level > self.ceiling:
            step = _UP * _EAGER if self._learned < _EAGER_FRAMES else _UP
            self.ceiling = min(self.ceiling + step, self.floor + _WIDEST)
        else:
            self.ceiling = max(self.floor, self.ceiling - _DOWN)
        self._learned += 1
