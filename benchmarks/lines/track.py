"""One labelled minute of a call: the sheet on which turns, events, noise and echo are put together."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NotRequired, TypedDict

import numpy as np

from audio import mulaw
from audio.types import FRAME_MS, FRAME_SAMPLES, Pcm
from benchmarks.lines.echo import EchoSpec, echo_of
from benchmarks.lines.sound import Floats, amplitude, samples, scaled
from benchmarks.lines.voices import PAUSE_MS, Clip, Spoken

IDLE = -66.0
"""dBFS of the hiss that every line has."""


class TurnLabel(TypedDict):
    """True bounds of one turn, in ms of the track."""

    start_ms: int
    end_ms: int
    kind: str
    speaker: str
    sources: list[str]
    segments: list[list[int]]
    pauses: list[list[int]]
    barge_in: bool


class EventLabel(TypedDict):
    """A sound that must not begin a turn."""

    start_ms: int
    end_ms: int
    kind: str
    source: str


class TrackLabel(TypedDict):
    """What is true about one track."""

    id: str
    file: str
    sha256: NotRequired[str]
    duration_ms: int
    noise: str
    snr_db: float | None
    level_dbfs: float
    noise_source: str
    agent_file: NotRequired[str]
    agent_segments: list[list[int]]
    echo_db: NotRequired[float]
    echo_delay_ms: NotRequired[int]
    echo_clipped: NotRequired[bool]
    barge_db: NotRequired[float]
    """Level of the caller against the agent's, where one interrupts the other."""
    nonspeech_only: NotRequired[bool]
    turns: list[TurnLabel]
    events: list[EventLabel]


@dataclass(frozen=True, slots=True)
class Track:
    """Labels and sound, whole frames of mu-law on one clock."""

    label: TrackLabel
    caller: bytes
    agent: bytes | None
    """What we play; digital silence outside `agent_segments`. None on lines where we never speak."""


@dataclass(slots=True)
class Sheet:
    """A track being written; levels in dBFS, times in ms."""

    name: str
    ms: int
    level: float
    """Of the caller's speech."""
    noise: str
    rng: np.random.Generator
    snr_db: float | None = None
    idle: float | None = IDLE
    """None: digital silence."""
    label: TrackLabel = field(init=False)
    _line: Floats = field(init=False)
    _agent: Floats | None = None

    def __post_init__(self) -> None:
        self._line = np.zeros(samples(self.ms))
        self.label = TrackLabel(
            id=self.name,
            file=f"{self.name}.ulaw",
            duration_ms=self.ms,
            noise=self.noise,
            snr_db=self.snr_db,
            level_dbfs=self.level,
            noise_source="synth",
            agent_segments=[],
            turns=[],
            events=[],
        )

    def say(self, spoken: Spoken, at_ms: int, *, barge_in: bool = False) -> int:
        """The caller's next turn, its first sound at `at_ms`; returns when it ends."""
        clip = spoken.clip
        shift = at_ms - clip.islands[0][0]
        self._mix(clip.sound * amplitude(self.level), shift)
        segments = [[a + shift, b + shift] for a, b in clip.islands]
        gaps = [[a + shift, b + shift] for a, b in clip.gaps]
        self.label["turns"].append(
            TurnLabel(
                start_ms=segments[0][0],
                end_ms=segments[-1][1],
                kind=spoken.kind,
                speaker=clip.speaker,
                sources=list(spoken.sources),
                segments=segments,
                pauses=[gap for gap in gaps if gap[1] - gap[0] >= PAUSE_MS],
                barge_in=barge_in,
            )
        )
        return segments[-1][1]

    def happen(self, kind: str, sound: Floats, at_ms: int, source: str = "synth") -> int:
        """A sound that is no speech, as loud as it comes; returns when it is over."""
        self._mix(sound, at_ms)
        end = at_ms + sound.size * 1000 // 8000
        self.label["events"].append(
            EventLabel(start_ms=at_ms, end_ms=end, kind=kind, source=source)
        )
        return end

    def fill(self, noise: Floats, level: float, source: str = "synth") -> None:
        """A noise under everything."""
        self._mix(scaled(noise, level), 0)
        self.label["noise_source"] = source

    def play(self, clip: Clip, at_ms: int, level: float, *, until_ms: int | None = None) -> int:
        """We speak from `at_ms`, and stop at `until_ms` in the middle of a word; returns when we end.

        Both on the edge of a frame, at or before what is asked for.
        """
        at_ms -= at_ms % FRAME_MS
        if self._agent is None:
            self._agent = np.zeros(samples(self.ms))
        sound = clip.sound * amplitude(level)
        end = min(self.ms, at_ms + sound.size * 1000 // 8000, until_ms or self.ms)
        end -= end % FRAME_MS
        self._agent[samples(at_ms) : samples(end)] += sound[: samples(end - at_ms)]
        self.label["agent_segments"].append([at_ms, end])
        return end

    def return_echo(self, spec: EchoSpec) -> None:
        """Once all of ours is written: its echo on the caller's line."""
        if self._agent is None:
            raise ValueError("nothing was played that could return")
        self._line += echo_of(self._agent, spec, self.rng)
        self.label["echo_db"] = spec.return_db
        self.label["echo_delay_ms"] = spec.delay_ms
        self.label["echo_clipped"] = spec.clipped

    def finish(self) -> Track:
        if self.idle is not None:
            self._line += self.rng.standard_normal(self._line.size) * amplitude(self.idle)
        label = self.label
        if not label["turns"] and self._agent is None:
            label["nonspeech_only"] = True
        if self._agent is None:
            return Track(label, mulaw.encode(_pcm(self._line)), None)
        label["agent_file"] = f"{self.name}.agent.ulaw"
        return Track(label, mulaw.encode(_pcm(self._line)), mulaw.encode(_pcm(self._agent)))

    def _mix(self, sound: Floats, at_ms: int) -> None:
        first = samples(max(0, at_ms))
        skipped = samples(max(0, -at_ms))
        end = min(self._line.size, first + sound.size - skipped)
        self._line[first:end] += sound[skipped : skipped + end - first]


def frames_of(ulaw: bytes) -> list[bytes]:
    return [ulaw[at : at + FRAME_SAMPLES] for at in range(0, len(ulaw), FRAME_SAMPLES)]


def _pcm(sound: Floats) -> Pcm:
    return np.clip(np.rint(sound), -32768, 32767).astype(np.int16)
