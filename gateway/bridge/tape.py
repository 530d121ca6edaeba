"""The recording of one call: two raw tracks while it runs, one stereo WAV at its end.

Raw mu-law needs no header, so a crash loses nothing: `mend` makes WAVs of tracks left behind.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from pathlib import Path

from audio.recording import mix_stereo
from audio.types import SAMPLE_RATE, ULAW_SILENCE
from gateway.log import fact

_log = logging.getLogger(__name__)

_FLUSH_BYTES = 2 * SAMPLE_RATE
"""Two seconds are written at a time."""
_SILENCE = bytes([ULAW_SILENCE])


class Tape:
    """Caller left as received, agent right as played: what was cleared unheard is not on it."""

    def __init__(self, directory: Path, name: str) -> None:
        self._stem = directory / name
        self._caller = bytearray()
        self._agent = bytearray()
        self._sent: deque[tuple[float, bytes]] = deque()
        self._started: float | None = None
        self._written = [0, 0]
        self._lock = asyncio.Lock()

    @property
    def path(self) -> Path:
        """Where the finished recording lies."""
        return self._stem.with_suffix(".wav")

    def caller(self, ulaw: bytes, now: float) -> None:
        if self._started is None:
            self._started = now - len(ulaw) / SAMPLE_RATE
        self._caller += ulaw

    def agent(self, ulaw: bytes, begins: float) -> None:
        if self._started is None:
            self._started = begins
        self._sent.append((begins, ulaw))

    def cleared(self, now: float) -> None:
        """What would have begun to play after `now` was never heard."""
        kept: deque[tuple[float, bytes]] = deque()
        for begins, ulaw in self._sent:
            heard = round((now - begins) * SAMPLE_RATE)
            if heard > 0:
                kept.append((begins, ulaw[:heard]))
        self._sent = kept

    @property
    def due(self) -> bool:
        """Enough has gathered to be written, and nothing is being written."""
        return len(self._caller) >= _FLUSH_BYTES and not self._lock.locked()

    async def flush(self, now: float, *, final: bool = False) -> None:
        """Write what is settled: all of the caller, the agent's sound that has been played."""
        async with self._lock:
            self._place_agent(float("inf") if final else now)
            caller, agent = bytes(self._caller), bytes(self._agent)
            self._caller.clear()
            self._agent.clear()
            await asyncio.to_thread(self._append, caller, agent)

    async def finish(self, now: float) -> Path | None:
        """Write the rest and mix the stereo WAV; None when nothing was heard at all."""
        await self.flush(now, final=True)
        if self._started is None:
            return None
        await asyncio.to_thread(_mix, self._stem)
        return self.path

    def _place_agent(self, until: float) -> None:
        origin = self._started or 0.0
        while self._sent and self._sent[0][0] + len(self._sent[0][1]) / SAMPLE_RATE <= until:
            begins, ulaw = self._sent.popleft()
            at = round((begins - origin) * SAMPLE_RATE)
            gap = at - self._written[1] - len(self._agent)
            if gap > 0:
                self._agent += _SILENCE * gap
            self._agent += ulaw[max(0, -gap) :] if gap < 0 else ulaw

    def _append(self, caller: bytes, agent: bytes) -> None:
        self._stem.parent.mkdir(parents=True, exist_ok=True)
        for index, (suffix, data) in enumerate(((".caller.ulaw", caller), (".agent.ulaw", agent))):
            with self._stem.with_suffix(suffix).open("ab") as track:
                track.write(data)
            self._written[index] += len(data)


def mend(directory: Path) -> list[Path]:
    """Make stereo WAVs of raw tracks that a crash left behind; returns the recordings made."""
    mended = []
    for track in sorted(directory.glob("*.caller.ulaw")):
        stem = track.with_name(track.name.removesuffix(".caller.ulaw"))
        try:
            _mix(stem)
        except (OSError, ValueError) as error:
            fact(
                _log,
                "recording.mend-failed",
                level=logging.WARNING,
                file=track.name,
                error=str(error),
            )
            continue
        mended.append(stem.with_suffix(".wav"))
    return mended


def _mix(stem: Path) -> None:
    tracks = [stem.with_suffix(".caller.ulaw"), stem.with_suffix(".agent.ulaw")]
    caller, agent = (track.read_bytes() if track.exists() else b"" for track in tracks)
    mix_stereo(caller, agent, stem.with_suffix(".wav"))
    for track in tracks:
        track.unlink(missing_ok=True)
