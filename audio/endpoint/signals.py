"""What an endpointer is told and what it tells: options in, signals out.

All positions are samples since the first frame, so that a late engine changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointOptions:
    """Patience and gates. The defaults were chosen on half an hour of labelled telephone speech and checked on another."""

    end_silence_ms: int = 660
    """Silence that ends a turn on a quiet line. The one knob: the other silences keep their distance to it."""
    noisy_extra_ms: int = 200
    """Added where only the noise on the line tells us so: soft word endings drown in it."""
    unlikely_extra_ms: int = 140
    """Added where only the speech model says so: its probability sinks early in soft endings."""
    faded_extra_ms: int = 540
    """Added where a voice in the background goes on and the caller's own level has just fallen away."""
    milestones_ms: tuple[int, ...] = (240,)
    """Lengths of accepted speech that are reported, ascending; the engine's lingering counts."""
    confirm_ms: int = 450
    """Length of firm speech in one run of words that is reported as well: what interrupts the agent."""
    pause_ms: int = 160
    """Firm speech that stays away so long is reported as a pause, until `confirm_ms` was reached."""
    word_gap_ms: int = 400
    """After a gap of this length the next words are a run of their own."""
    onset_ms: int = 80
    """Speech needed before a turn begins; clicks and knocks are shorter."""
    echo_guard_db: float = 14.0
    """While the agent plays, a caller must be at most this far under the agent's level to begin."""
    echo_memory_ms: int = 460
    """How long the agent's level is remembered: the longest way there and back of an echo."""


@dataclass(frozen=True, slots=True)
class Onset:
    """Somebody began to speak."""

    at: int
    """First sample of the first voiced frame, at most a second before `decided_at`; pre-roll counts back from here."""
    decided_at: int
    """Last sample that was needed to be sure."""


@dataclass(frozen=True, slots=True)
class Voiced:
    """The stretch holds this much accepted (or, for `confirm_ms`, firm) speech; reported once each."""

    ms: int
    at: int


@dataclass(frozen=True, slots=True)
class Paused:
    """No firm speech for `pause_ms`, and too little of it so far to be sure of anything."""

    ms: int
    """Firm speech in this run of words."""
    at: int


@dataclass(frozen=True, slots=True)
class Resumed:
    """Firm speech is back after a `Paused`."""

    at: int


@dataclass(frozen=True, slots=True)
class Offset:
    """The speaker stopped."""

    started_at: int
    """The onset's `at`."""
    speech_end: int
    """Last sample taken for speech; everything up to `at` was waiting."""
    at: int


@dataclass(frozen=True, slots=True)
class LineReport:
    """What is known of the line by now; it gets better as the call goes on."""

    noise_floor_dbfs: float
    echo_return_db: float | None
    """Level of our echo against what we play, negative; None while none was found."""
    echo_delay_ms: float | None
    """From our playing to the echo's return."""


Signal = Onset | Voiced | Paused | Resumed | Offset
