"""The project's endpointer over labelled tracks, and what its ears cost in many calls at once."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from itertools import cycle
from pathlib import Path
from typing import TypeAlias

import numpy as np

from audio import mulaw
from audio.endpoint import Endpointer, EndpointOptions, Offset, Onset
from audio.types import FRAME_MS, FRAME_SAMPLES, ULAW_SILENCE
from audio.vad import make_vad
from benchmarks.corpus import clips
from benchmarks.lines.cast import Cast
from benchmarks.lines.echo import EchoSpec
from benchmarks.lines.scenes import AGENT_DBFS
from benchmarks.lines.track import Sheet, Track, TrackLabel, frames_of
from gateway.bridge.ears import Ears

Segment: TypeAlias = dict[str, float | None]
"""One turn as the detector saw it, as `audio.scoring` reads it."""
PRE_ROLL_MS = 400
CALLS = 50
_CYCLE_MS, _SPOKEN_MS = 10_000, 4_000
"""We speak for 40 % of a call, as in a conversation of equals less its pauses."""
_ROUNDS = 3
_SILENCE = bytes([ULAW_SILENCE]) * FRAME_SAMPLES


def read(folder: Path) -> tuple[Track, ...]:
    """A corpus on disk: `manifest.json` and what it names."""
    labels: list[TrackLabel] = json.loads((folder / "manifest.json").read_text("utf-8"))["tracks"]
    return tuple(
        Track(
            label,
            (folder / label["file"]).read_bytes(),
            (folder / label["agent_file"]).read_bytes() if label.get("agent_file") else None,
        )
        for label in labels
    )


def listen(track: Track, engine: str, options: EndpointOptions | None = None) -> list[Segment]:
    """Every turn that the endpointer sees."""
    endpointer = Endpointer(make_vad(engine), options)
    segments: list[Segment] = []
    for caller, agent in zip(frames_of(track.caller), _ours(track), strict=True):
        if len(caller) < FRAME_SAMPLES:
            break
        ours = None if agent is None else mulaw.decode(agent)
        for signal in endpointer.push(mulaw.decode(caller), ours):
            match signal:
                case Onset(at=at, decided_at=decided):
                    segments.append(
                        {
                            "start_decided_ms": decided / 8,
                            "end_decided_ms": None,
                            "audio_start_ms": max(0.0, at / 8 - PRE_ROLL_MS),
                        }
                    )
                case Offset(at=at):
                    segments[-1]["end_decided_ms"] = at / 8
                case _:
                    pass
    return segments


def _ours(track: Track) -> list[bytes | None]:
    """What we play, frame by frame; None where we are silent."""
    if track.agent is None:
        return [None] * len(frames_of(track.caller))
    padded = track.agent.ljust(len(track.caller), bytes([ULAW_SILENCE]))[: len(track.caller)]
    return [
        None if len(frame) < FRAME_SAMPLES or frame == _SILENCE else frame
        for frame in frames_of(padded)
    ]


# ---------------------------------------------------------------- cost


def conversation(cycles: int) -> Track:
    """Ten seconds, again and again: we speak for four of them, our echo returns, the caller answers."""
    rng = np.random.default_rng(11)
    cast = Cast(clips(), rng)
    sheet = Sheet("conversation", cycles * _CYCLE_MS, -24.0, "echo", rng)
    for index in range(cycles):
        at = index * _CYCLE_MS
        sheet.play(cast.agent(_SPOKEN_MS), at, AGENT_DBFS, until_ms=at + _SPOKEN_MS)
        sheet.say(cast.turn(("phrase", "short")[index % 2]), at + _SPOKEN_MS + 900)
    sheet.return_echo(EchoSpec(return_db=-26.0, delay_ms=180))
    return sheet.finish()


def cpu_percent(engine: str, calls: int, seconds: int = 10) -> float:
    """Per cent of a core that one call's ears take when `calls` go on at once, frame by frame in turn.

    Process time of the best of three rounds: mu-law decoding, detection, pre-roll and events. The
    calls are at different places in the conversation, so that not all of us speak together.
    """
    track = conversation(3)
    caller, ours = frames_of(track.caller), _ours(track)
    return min(_round(engine, calls, seconds, caller, ours) for _ in range(_ROUNDS))


def _round(
    engine: str, calls: int, seconds: int, caller: list[bytes], ours: list[bytes | None]
) -> float:
    frames = seconds * 1000 // FRAME_MS
    ears = [_ears(engine, ours, offset=line * len(ours) // calls) for line in range(calls)]
    inputs = [cycle(caller[start:] + caller[:start]) for _, start in ears]
    lines = [(one.hear, sound) for (one, _), sound in zip(ears, inputs, strict=True)]
    _turns(lines, 0, 50)  # what is loaded and allocated once is no cost of a frame
    began = time.process_time()
    _turns(lines, 50, frames)
    return (time.process_time() - began) / (calls * seconds) * 100


def _turns(
    lines: Sequence[tuple[Callable[[bytes, int | None, float], None], cycle[bytes]]],
    first: int,
    count: int,
) -> None:
    for index in range(first, first + count):
        now = (index + 1) * FRAME_MS / 1000
        for hear, sound in lines:
            hear(next(sound), index * FRAME_MS, now)


def _ears(engine: str, ours: list[bytes | None], *, offset: int) -> tuple[Ears, int]:
    def reference(at: float) -> bytes | None:
        return ours[(round(at * 1000 / FRAME_MS) + offset) % len(ours)]

    detector = Endpointer(make_vad(engine))
    return Ears(detector, lambda _: None, reference, pre_roll_ms=PRE_ROLL_MS), offset
