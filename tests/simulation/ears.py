"""Ears that cost next to nothing: a voice is known by its first sample, the rest is counting.

It stands at the port `gateway.bridge.ears.Detector` and says what the real endpointer says, in the
same order and with the same rules for words, pauses and patience.
"""

from __future__ import annotations

from audio.endpoint import EndpointOptions, LineReport, Offset, Onset, Signal, Voiced
from audio.endpoint.words import Words
from audio.types import FRAME_MS, FRAME_SAMPLES, Pcm
from tests.simulation.sound import VOICED

_NOTHING: tuple[Signal, ...] = ()
_LINE = LineReport(noise_floor_dbfs=-60.0, echo_return_db=None, echo_delay_ms=None)


class CheapDetector:
    """Hears sound made by `tests.simulation.sound`."""

    def __init__(self, options: EndpointOptions) -> None:
        self._options = options
        self._patience = options.end_silence_ms // FRAME_MS
        self._onset = max(1, options.onset_ms // FRAME_MS)
        self._position = 0
        self._run = 0
        self._started: int | None = None
        self._voiced_ms = 0
        self._silent = 0
        self._milestones = 0
        self._words = Words(options, 0)

    @property
    def line(self) -> LineReport:
        return _LINE

    @property
    def quiet_ms(self) -> int:
        return 0 if self._started is None else self._silent * FRAME_MS

    def set_patience(self, ms: int | None) -> None:
        chosen = self._options.end_silence_ms if ms is None else ms
        self._patience = max(1, chosen // FRAME_MS)

    def push(self, pcm: Pcm, agent: Pcm | None = None) -> tuple[Signal, ...]:
        self._position += FRAME_SAMPLES
        voiced = pcm[0] == VOICED
        if self._started is None:
            return self._wait(voiced=voiced)
        return self._follow(voiced=voiced)

    def _wait(self, *, voiced: bool) -> tuple[Signal, ...]:
        if not voiced:
            self._run = 0
            return _NOTHING
        self._run += 1
        if self._run < self._onset:
            return _NOTHING
        self._started = self._position - self._run * FRAME_SAMPLES
        self._voiced_ms = self._run * FRAME_MS
        self._words = Words(self._options, self._run)
        self._silent = self._milestones = self._run = 0
        return Onset(at=self._started, decided_at=self._position), *self._passed()

    def _follow(self, *, voiced: bool) -> tuple[Signal, ...]:
        if voiced:
            self._silent = 0
            self._voiced_ms += FRAME_MS
        else:
            self._silent += 1
        passed = self._passed()
        words = self._words.hear(firm=voiced, at=self._position)
        if words:
            passed = *passed, *words
        if self._silent < self._patience:
            return passed
        started, self._started = self._started, None
        assert started is not None
        end = self._position - self._silent * FRAME_SAMPLES
        return *passed, Offset(started_at=started, speech_end=end, at=self._position)

    def _passed(self) -> tuple[Signal, ...]:
        goals = self._options.milestones_ms
        if self._milestones == len(goals) or self._voiced_ms < goals[self._milestones]:
            return _NOTHING
        reached = [ms for ms in goals[self._milestones :] if self._voiced_ms >= ms]
        self._milestones += len(reached)
        return tuple(Voiced(ms=ms, at=self._position) for ms in reached)
