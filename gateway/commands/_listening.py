"""A recording heard as a live call hears its caller: the same ears and detector, time counted in samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from audio.endpoint import Endpointer, LineReport, Offset, Onset, Signal
from audio.mulaw import level_dbfs
from audio.track import Track
from audio.types import FRAME_MS, FRAME_SAMPLES, SAMPLE_RATE, ULAW_SILENCE, Pcm
from gateway.bridge.ears import Ears
from gateway.bridge.timeline import Played
from gateway.call import events as ev
from gateway.settings import Settings

_SAMPLES_PER_MS: Final = SAMPLE_RATE // 1000
_ZEROS: Final = bytes([ULAW_SILENCE, ULAW_SILENCE ^ 0x80])
"""Mu-law has two codes for a zero sample."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """One utterance; times in ms since the first sample of the recording."""

    start_decided_ms: int
    """When its start was declared: arrival of the last frame that was needed."""
    end_decided_ms: int | None
    """When its end was declared; None: it was open when the recording ended."""
    audio_start_ms: int
    """From where its sound is handed on, pre-roll included."""
    speech_start_ms: int
    speech_end_ms: int
    """First and last sound taken for speech."""
    accepted_ms: int
    """Speech in it that passed every gate."""
    ended_by: Literal["silence", "length", "recording"]
    """`length`: the cap, and the next utterance goes on with the very next sample."""


@dataclass(frozen=True, slots=True)
class Moment:
    """One frame as the ears found it, for drawing."""

    level: float
    floor: float
    """dBFS, like `level`."""
    agent: float | None
    """dBFS of what we play; None: nothing."""
    probability: float | None


class Listener:
    """One recording under one set of settings: step through it, then look at what was heard."""

    def __init__(
        self,
        track: Track,
        settings: Settings,
        make_detector: Callable[[], Endpointer],
        *,
        trace: bool = False,
    ) -> None:
        self._caller = track.caller
        self._at = 0
        self._watched = _Watched(make_detector(), trace=trace)
        played = Played()
        for begins, ulaw in _spoken(track.agent or b""):
            played.add(ulaw, begins)
        self._ears = Ears(
            self._watched,
            self._take,
            played.frame,
            pre_roll_ms=settings.turn_taking.pre_roll_ms,
            max_utterance_ms=settings.turn_taking.max_utterance_ms,
        )
        self._start_decided = self._audio_start = self._speech_start = self._accepted_before = 0
        self.utterances: list[Heard] = []

    @property
    def detector(self) -> Endpointer:
        """What the line was learned to be like is asked of it."""
        return self._watched.detector

    @property
    def moments(self) -> list[Moment]:
        """Empty unless a trace was asked for."""
        return self._watched.moments

    @property
    def duration_ms(self) -> int:
        return len(self._caller) // _SAMPLES_PER_MS

    @property
    def _now_ms(self) -> int:
        return self._ears.frames * FRAME_MS

    def step(self) -> bool:
        """Hear the next frame; False when there is none."""
        frame = self._caller[self._at : self._at + FRAME_SAMPLES]
        if len(frame) < FRAME_SAMPLES:
            if self._ears.open is not None:
                self._ears.close()
                self._note(None, self._now_ms, "recording")
            return False
        self._at += FRAME_SAMPLES
        self._ears.hear(frame, None, self._at / SAMPLE_RATE)
        return True

    def _take(self, event: ev.Event) -> None:
        match event:
            case ev.SpeechStarted() if self._ears.open is not None:
                self._accepted_before = 0
                kept = len(self._ears.open.pcm) // 2 // _SAMPLES_PER_MS
                self._open(self._now_ms - kept, self._watched.onset // _SAMPLES_PER_MS)
            case ev.SpeechEnded():
                ended = self._watched.speech_end // _SAMPLES_PER_MS
                self._note(self._now_ms, ended, "silence")
                self._ears.drop(event.utterance)
            case ev.UtteranceFull():
                self._note(self._now_ms, self._now_ms, "length")
                self._accepted_before = self.detector.accepted_ms
                self._open(self._now_ms, self._now_ms)
                self._ears.drop(event.utterance)
            case _:
                pass  # milestones: the whole of the accepted speech is told at the end

    def _open(self, audio_start: int, speech_start: int) -> None:
        self._start_decided = self._now_ms
        self._audio_start, self._speech_start = audio_start, speech_start

    def _note(
        self, decided: int | None, speech_end: int, by: Literal["silence", "length", "recording"]
    ) -> None:
        heard = Heard(
            start_decided_ms=self._start_decided,
            end_decided_ms=decided,
            audio_start_ms=self._audio_start,
            speech_start_ms=self._speech_start,
            # the cap may fall into the silence that was being waited through
            speech_end_ms=max(speech_end, self._speech_start),
            accepted_ms=self.detector.accepted_ms - self._accepted_before,
            ended_by=by,
        )
        self.utterances.append(heard)


class _Watched:
    """The detector of the ears, with somebody looking over its shoulder."""

    def __init__(self, detector: Endpointer, *, trace: bool) -> None:
        self.detector = detector
        self.moments: list[Moment] = []
        self.onset = self.speech_end = 0
        """Samples, of the newest signals."""
        self._trace = trace

    @property
    def line(self) -> LineReport:
        return self.detector.line

    @property
    def quiet_ms(self) -> int:
        return self.detector.quiet_ms

    def set_patience(self, ms: int | None) -> None:
        self.detector.set_patience(ms)

    def push(self, pcm: Pcm, agent: Pcm | None = None) -> tuple[Signal, ...]:
        signals = self.detector.push(pcm, agent)
        for signal in signals:
            if isinstance(signal, Onset):
                self.onset = signal.at
            elif isinstance(signal, Offset):
                self.speech_end = signal.speech_end
        if self._trace:
            moment = Moment(
                level=level_dbfs(pcm),
                floor=self.detector.noise_floor_dbfs,
                agent=None if agent is None else level_dbfs(agent),
                probability=self.detector.probability,
            )
            self.moments.append(moment)
        return signals


def joined(utterances: Sequence[Heard]) -> list[Heard]:
    """Utterances as the detector saw them: those that the cap split are one, for nobody began anew."""
    whole: list[Heard] = []
    for one in utterances:
        if not whole or whole[-1].ended_by != "length":
            whole.append(one)
            continue
        first = whole[-1]
        whole[-1] = replace(
            one,
            start_decided_ms=first.start_decided_ms,
            audio_start_ms=first.audio_start_ms,
            speech_start_ms=first.speech_start_ms,
            accepted_ms=first.accepted_ms + one.accepted_ms,
        )
    return whole


def hear_together(listeners: Sequence[Listener], progress: Callable[[float], None]) -> None:
    """Let all of them hear their recordings to the end.

    Side by side, not one after the other: the speech model computes lines that wait together in one
    run, as it does for the calls of a gateway. `progress` is told the share that is done, 1 at the end.
    """
    longest = max(listener.duration_ms for listener in listeners)
    hearing, heard_ms = list(listeners), 0
    while hearing:
        hearing = [listener for listener in hearing if listener.step()]
        heard_ms += FRAME_MS
        if heard_ms % 1000 == 0:
            progress(heard_ms / longest)
    progress(1.0)


def _spoken(agent: bytes) -> Iterator[tuple[float, bytes]]:
    """When the agent's pieces begin, in seconds, and their sound.

    Between them a recording holds zeros, where a live call plays nothing at all.
    """
    begins: int | None = None
    for at in range(0, len(agent), FRAME_SAMPLES):
        silent = not agent[at : at + FRAME_SAMPLES].strip(_ZEROS)
        if silent and begins is not None:
            yield begins / SAMPLE_RATE, agent[begins:at]
            begins = None
        elif not silent and begins is None:
            begins = at
    if begins is not None:
        yield begins / SAMPLE_RATE, agent[begins:]
