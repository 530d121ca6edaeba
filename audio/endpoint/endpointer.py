"""Where the caller's turns begin and end, from the engine's verdicts and the levels of the line."""

from __future__ import annotations

from typing import Final

from audio.endpoint.background import Background
from audio.endpoint.echo import EchoGuard
from audio.endpoint.hearing import Hearing
from audio.endpoint.onset import OnsetEvidence
from audio.endpoint.signals import (
    EndpointOptions,
    LineReport,
    Offset,
    Onset,
    Signal,
    Voiced,
)
from audio.endpoint.stretch import Stretch
from audio.endpoint.turn_model import ASK_AFTER_MS, TurnJudge, TurnModel
from audio.endpoint.words import Words
from audio.types import FRAME_MS, FRAME_SAMPLES, Pcm
from audio.vad import Vad, Verdict

_NOTHING: Final[tuple[Signal, ...]] = ()
_OVER_FLOOR: Final = 4.0
_OVER_CEILING: Final = 1.0
"""dB above the line's floor and above its background's ceiling that a beginning must have."""
_FAINT_OVER_FLOOR: Final = 3.0
"""dB above the floor from which frames before a beginning may belong to it."""
_LIKELY: Final = 0.4
"""Probability from which the model takes a frame for speech that goes on,"""
_CLEAR: Final = 30.0
"""and dB above the floor at which it is not asked: there the detector errs less."""
_FIRM: Final = 0.2
"""Probability, where there is one, of a frame that may interrupt the agent,"""
_FIRM_UNDER_PEAK: Final = 20.0
"""and dB that it may be softer than the loudest: an ending word rings on below that."""
_HOLD_MORE: Final = 4.0
"""dB that a caller who has begun may sink below the echo guard."""


class Endpointer:
    """The ears' judgement over one call: push every frame, act on what comes back.

    It never limits how long a turn may last; whoever keeps the sound does that. Frames must be
    pushed in order and without gaps: positions are counted, not measured.
    """

    def __init__(
        self,
        vad: Vad,
        options: EndpointOptions | None = None,
        turn_model: TurnModel | None = None,
    ) -> None:
        self._vad = vad
        self._options = options or EndpointOptions()
        self._patience = 0
        self.set_patience(None)
        self._judge = None if turn_model is None else TurnJudge(turn_model)
        self._judged: int | None = None
        """Patience for the silence at hand, where the model has judged it."""
        self._hearing = Hearing()
        self._background = Background()
        self._echo = EchoGuard(self._options.echo_memory_ms, self._options.echo_guard_db)
        self._onset = OnsetEvidence(self._options.onset_ms)
        self._stretch: Stretch | None = None
        self._newest: Stretch | None = None
        self._words: Words | None = None
        self._milestones = 0
        self._position = 0

    @property
    def in_speech(self) -> bool:
        """Whether an onset was reported and its offset was not yet."""
        return self._stretch is not None

    @property
    def quiet_ms(self) -> int:
        """Length of the silence at hand in an open turn; 0 while somebody speaks, or nobody did."""
        return 0 if self._stretch is None else self._stretch.quiet_frames * FRAME_MS

    @property
    def probability(self) -> float | None:
        """The speech model's newest, where there is a model."""
        return self._vad.probability

    @property
    def noise_floor_dbfs(self) -> float:
        """Level of the quietest frames on this line."""
        return self._background.floor

    @property
    def line(self) -> LineReport:
        """What was measured on this line so far."""
        returned, delay = self._echo.return_db, self._echo.delay_ms
        return LineReport(
            noise_floor_dbfs=round(self._background.floor, 1),
            echo_return_db=None if returned is None else round(returned, 1),
            echo_delay_ms=None if delay is None else round(delay, 1),
        )

    @property
    def accepted_ms(self) -> int:
        """Accepted speech of the newest stretch, whether it is over or not."""
        return 0 if self._newest is None else self._newest.voiced_ms

    def set_patience(self, ms: int | None) -> None:
        """End turns after this much silence from now on; None restores the options' value.

        Longer while the agent has just asked for a number. Takes effect within an open turn.
        """
        chosen = self._options.end_silence_ms if ms is None else ms
        self._patience = max(1, chosen // FRAME_MS)

    def push(self, pcm: Pcm, agent: Pcm | None = None) -> tuple[Signal, ...]:
        """Hear 160 samples of the caller while we play 160 of `agent`, or nothing; what follows from them.

        Nearly always nothing, which is one shared empty tuple. `ValueError` for any other size.
        """
        if pcm.size != FRAME_SAMPLES:
            raise ValueError(f"frames have {FRAME_SAMPLES} samples, got {pcm.size}")
        self._position += FRAME_SAMPLES
        verdict = self._vad.judge(pcm, in_turn=self._stretch is not None)
        level = self._hearing.hear(pcm)
        if self._judge is not None:
            self._judge.hear(pcm)
        idle = self._stretch is None and not self._onset.frames
        self._echo.hear(self._hearing.samples, level, agent, room=self._room, learn=idle)
        self._background.hear(level, self._hearing.is_tone)
        if self._stretch is not None:
            return self._follow(self._stretch, verdict, level)
        return self._wait(verdict, level)

    @property
    def _room(self) -> float:
        """DBFS that a beginning must have to stand out of the line's noise."""
        background = self._background
        return max(background.floor + _OVER_FLOOR, background.ceiling + _OVER_CEILING)

    def _wait(self, verdict: Verdict, level: float) -> tuple[Signal, ...]:
        background, echo = self._background, self._echo
        guard = echo.guard
        sure = self._onset.hear(
            verdict,
            self._vad.probability,
            self._hearing,
            level=echo.level,
            gate=max(self._room, guard),
            faint=max(background.floor + _FAINT_OVER_FLOOR, guard),
        )
        if echo.quiet:
            background.learn(level)
        if not sure:
            return _NOTHING
        if echo.is_echo():
            self._onset.clear()
            return _NOTHING
        frames = self._onset.frames
        started_at = self._position - self._onset.reach * FRAME_SAMPLES
        self._onset.clear()
        self._stretch = self._newest = Stretch(
            self._options, started_at=started_at, voiced_frames=frames, level=level
        )
        self._words = Words(self._options, frames)
        self._milestones = 0
        onset = Onset(at=started_at, decided_at=self._position)
        return onset, *self._passed(self._stretch)

    def _follow(self, stretch: Stretch, verdict: Verdict, level: float) -> tuple[Signal, ...]:
        guard, level = self._echo.guard - _HOLD_MORE, self._echo.level
        background, probability = self._background, self._vad.probability
        over = stretch.hear(
            level,
            voice=verdict is not Verdict.NOISE and level > guard,
            likely=probability is None
            or probability >= _LIKELY
            or level > background.floor + _CLEAR,
            floor=background.floor,
            ceiling=background.ceiling,
            patience=self._patience if self._judged is None else self._judged,
        )
        if self._judge is not None:
            self._ask(self._judge, stretch)
        passed = self._passed(stretch)
        if self._words is not None:
            firm = (
                verdict is Verdict.SPEECH
                and level > max(guard + _HOLD_MORE, stretch.peak - _FIRM_UNDER_PEAK)
                and (probability is None or probability >= _FIRM)
            )
            passed = *passed, *self._words.hear(firm=firm, at=self._position)
        if not over:
            return passed
        self._stretch = self._words = self._judged = None
        offset = Offset(
            started_at=stretch.started_at,
            speech_end=self._position - stretch.silent_frames * FRAME_SAMPLES,
            at=self._position,
        )
        return *passed, offset

    def _ask(self, judge: TurnJudge, stretch: Stretch) -> None:
        """Let the model judge a silence that has just grown long enough."""
        if stretch.quiet_frames == ASK_AFTER_MS // FRAME_MS:
            self._judged = judge.patience(self._patience)
        elif stretch.quiet_frames == 0:
            self._judged = None

    def _passed(self, stretch: Stretch) -> tuple[Signal, ...]:
        """Milestones reached since the last frame."""
        goals = self._options.milestones_ms
        if self._milestones == len(goals) or stretch.voiced_ms < goals[self._milestones]:
            return _NOTHING
        reached = [ms for ms in goals[self._milestones :] if stretch.voiced_ms >= ms]
        self._milestones += len(reached)
        return tuple(Voiced(ms=ms, at=self._position) for ms in reached)
