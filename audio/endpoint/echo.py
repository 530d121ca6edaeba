"""Our own voice coming back: what of a frame is the caller's, and how loud a caller must be to be one."""

from __future__ import annotations

from collections import deque
from math import inf
from typing import Final

import numpy as np
from numpy.typing import NDArray

from audio.endpoint.echo_path import LONGEST_MS, EchoPath
from audio.mulaw import dbfs, level_dbfs
from audio.types import FRAME_MS, FRAME_SAMPLES, SILENCE_DBFS, Pcm

_INAUDIBLE: Final = -60.0
"""dBFS; what we play more quietly than this leaves no echo worth the name."""
_SEARCH_FRAMES: Final = 10
_CHECK_FRAMES: Final = 50
_EAGER_FRAMES: Final = 200
"""Frames with audible sound of ours between looks for an echo: until one is known, and after; a line
that gave none back for four seconds of it probably has none."""
_PROOF: Final = 0.75
"""Likeness to what we play from which a start is our echo, unless little of it is left without it."""
_LEFT_OVER: Final = 3.0
_HINT: Final = 0.38
"""Likeness that is enough for one so soft that a line yet unknown would not have let it begin."""
_LEAK_START: Final = -4.0
_LEAK_LEAST: Final = -12.0
_LEAK_MOST: Final = 3.0
_LEAK_UP: Final = 0.18
_LEAK_DOWN: Final = 0.02
"""dB that the filter leaves of the echo: learned 9 to 1 per frame, so that it covers 9 of 10."""
_MARGIN: Final = 7.0
"""dB above what the filter may leave of the echo that a caller must have."""
_NO_ECHO: Final = -75.0
"""dBFS of a predicted echo that no line carries."""
_TAIL_FRAMES: Final = 3
"""An echo rings on for this long after the predicted one."""
_BOUND_UP: Final = 1.0
_BOUND_DOWN: Final = 0.2
"""dB per frame: up and down are 5 to 1, so the bound covers all but the loudest sixth, which the margin does,"""
_LEAST_BOUND: Final = -34.0
"""and sinks to this many dB against what we play; softer echoes do not stand out of a line."""
_RETURN_FRAMES: Final = LONGEST_MS // FRAME_MS + _TAIL_FRAMES
"""So long after we fell silent something of us may still return."""

_Floats = NDArray[np.float32]


class EchoGuard:
    """Follows what we play and what of it returns.

    While nothing is known of the echo's path, whatever is far enough below our loudest recent frame
    may be echo; how far, is learned from how loud the line is while we alone speak. Once the path is
    known, its echo is taken out of the frame, and only what the filter may leave of it is held against
    a caller: one who speaks far more softly can then interrupt.
    """

    def __init__(self, memory_ms: int, guard_db: float) -> None:
        self._path = EchoPath()
        self._guard_db = guard_db
        self._recent = deque([SILENCE_DBFS] * (memory_ms // FRAME_MS))
        self._loudest = SILENCE_DBFS
        self._fresh = 0
        self._audible_frames = 0
        self._predicted = deque([SILENCE_DBFS] * _TAIL_FRAMES)
        self._leak = _LEAK_START
        self._bound = self._most = -guard_db - _MARGIN
        """dB against what we play that an echo of a yet unknown path may have, and where that begins."""
        self.level = SILENCE_DBFS
        """Of this frame without our echo, in dBFS."""
        self.guard = -inf
        """dBFS of `level` up to which it may still be our echo."""

    @property
    def quiet(self) -> bool:
        """Whether we have played nothing audible for as long as an echo can take."""
        return self._loudest < _INAUDIBLE

    @property
    def delay_ms(self) -> float | None:
        """From our playing to the echo's return; None while no echo was found."""
        return self._path.delay / 8 if self._path.known and self._path.delay is not None else None

    @property
    def return_db(self) -> float | None:
        """Level of the echo against what we play; None while no echo was found."""
        return self._path.gain_db if self._path.known else None

    def hear(
        self, line: _Floats, level: float, agent: Pcm | None, *, room: float, learn: bool
    ) -> None:
        """Take 160 samples of the line, their level in dBFS, and what we play meanwhile.

        `room`: dBFS up to which the line's own noise reaches; `learn`: the caller is not taken to be
        speaking, so what returns may be learned from.
        """
        self.level = level
        if agent is None and not self._fresh:
            self.guard = -inf
            return
        ours = SILENCE_DBFS if agent is None else level_dbfs(agent)
        if not self._fresh:
            self._path.forget_sound()
        self._fresh = _RETURN_FRAMES if agent is not None else self._fresh - 1
        self._recent.append(ours)
        self._recent.popleft()
        self._loudest = max(self._recent)
        self._path.hear(line, agent)
        if ours > _INAUDIBLE:
            self._audible_frames += 1
            settled = self._path.known or self._audible_frames > _EAGER_FRAMES
            often = _CHECK_FRAMES if settled else _SEARCH_FRAMES
            if learn and self._audible_frames % often == 0:
                self._path.search()
        if self._path.known:
            self._take_out(line, level, learn)
        else:
            if learn and self._recent[0] > _INAUDIBLE:
                self._bind(level if level > room else -inf)
            self.guard = self._loudest + self._bound + _MARGIN

    def _bind(self, level: float) -> None:
        """No echo is louder than the line that carries it: a line that stays quiet while we speak has a soft one, or none."""
        up = level - self._loudest > self._bound
        bound = self._bound + (_BOUND_UP if up else -_BOUND_DOWN)
        self._bound = min(max(bound, _LEAST_BOUND), self._most)

    def is_echo(self) -> bool:
        """Whether the last 200 ms, which look like a start, are what we played: asked before it is believed."""
        if self.quiet:
            return False
        alike = self._path.search()
        if self._path.known:
            return alike >= _PROOF and self._path.left_over_db() < -_LEFT_OVER
        if alike < _HINT or self.level > self._loudest - self._guard_db:
            return False
        # An echo that was not there before, such as that of a loudspeaker just switched on.
        self._bound = self._most
        return True

    def _take_out(self, line: _Floats, level: float, learn: bool) -> None:
        echo = self._path.echo()
        predicted = dbfs(float(echo.dot(echo)) / FRAME_SAMPLES)
        self._predicted.append(predicted)
        self._predicted.popleft()
        rest = line - echo
        self.level = min(level, dbfs(float(rest.dot(rest)) / FRAME_SAMPLES))
        recent = max(self._predicted)
        self.guard = recent + self._leak + _MARGIN if recent > _NO_ECHO else -inf
        if not learn or self._loudest < _INAUDIBLE:
            return
        self._path.learn()
        if recent > _INAUDIBLE:
            up = self.level - recent > self._leak
            leak = self._leak + (_LEAK_UP if up else -_LEAK_DOWN)
            self._leak = min(max(leak, _LEAK_LEAST), _LEAK_MOST)
