"""Our own voice coming back: how loud it may be at this moment."""

from __future__ import annotations

from collections import deque
from typing import Final

from audio.types import FRAME_MS, SILENCE_DBFS

_INAUDIBLE: Final = -60.0
"""dBFS; what we play more quietly than this leaves no echo worth the name."""


class EchoGuard:
    """Remembers what we played; without an echo canceller, anything far enough below it may be echo."""

    def __init__(self, memory_ms: int) -> None:
        self.loudest = SILENCE_DBFS
        """Loudest frame the agent played within the memory, in dBFS."""
        self._recent = deque([SILENCE_DBFS] * (memory_ms // FRAME_MS))
        self._fresh = 0

    def hear(self, agent_dbfs: float) -> None:
        """Take the level of what we play during the next frame."""
        if agent_dbfs > SILENCE_DBFS:
            self._fresh = len(self._recent)
        elif not self._fresh:
            return
        else:
            self._fresh -= 1
        self._recent.append(agent_dbfs)
        self._recent.popleft()
        self.loudest = max(self._recent)

    @property
    def quiet(self) -> bool:
        """Whether we have played nothing audible for as long as an echo can take."""
        return self.loudest < _INAUDIBLE
