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
_RETURN_FRAMES: Final = LONGEST_MS // FRAME_MS + _TAIL_FRAMES
"""So long after we fell silent something of us may still return."""

_Floats = NDArray[np.float32]


class EchoGuard:
    """Follows what we play and what of it returns.

    While nothing is known of the echo's path, whatever is far enough below our loudest recent frame
    may be echo. Once the path is known, its echo is taken out of the frame, and only what the filter
    may leave of it is held against a caller: one who speaks far more softly can then interrupt.
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

    def hear(self, line: _Floats, level: float, agent: Pcm | None, *, learn: bool) -> None:
        """Take 160 samples of the line, their level in dBFS, and what we play meanwhile.

        `learn`: the caller is not taken to be speaking, so what returns may be learned from.
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
            self.guard = self._loudest - self._guard_db

    def is_echo(self) -> bool:
        """Whether the last 200 ms, which look like a start, are what we played: asked before it is believed."""
        if self.quiet or self._path.search() < _PROOF or not self._path.known:
            return False
        left = self._path.left_over_db()
        return left < -_LEFT_OVER

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
