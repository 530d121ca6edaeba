"""Microseconds per 20 ms frame of each thing done to sound, as ratios to a floor, in one run.

    python -m benchmarks.bench_audio

The floor is one numpy copy of the frame: less than that no frame can cost. Every step runs over the
same 12 s of real speech and silence, in order, so that whatever learns has something to learn from.
The rounds of all steps alternate and the best of each counts, so that a busy machine slows all alike.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from importlib.resources import files
from math import inf
from typing import NamedTuple

import numpy as np

from audio import mulaw
from audio.decode import VoiceDecoder
from audio.endpoint import Endpointer
from audio.resample import Resampler
from audio.types import FRAME_MS, FRAME_SAMPLES, Pcm
from audio.vad import make_vad
from audio.wav import read_wav

ROUNDS = 9
AGENT_RATE = 24000
PIECE_FRAMES = 10
"""An agent's piece is about 200 ms of sound."""


class Step(NamedTuple):
    """One thing to measure: `prepare` makes the fresh state of a round, `frames` is how many it takes at once."""

    name: str
    prepare: Callable[[], Callable[[int], object]]
    frames: int = 1


def line() -> Pcm:
    """Speech with pauses, as 8 kHz samples in whole frames."""
    folder = files("gateway.simulator.speech")
    pause = np.random.default_rng(1).normal(0, 25, 8000).astype(np.int16)
    parts = [pause]
    for name in ("young-man", "goodbye", "leisure"):
        pcm, _ = read_wav((folder / f"{name}.wav").read_bytes())
        parts += [pcm, pause]
    whole = np.concatenate(parts)
    return whole[: whole.size - whole.size % FRAME_SAMPLES]


def steps(pcm: Pcm) -> list[Step]:
    """Everything that is done to a frame in a call, the floor first."""
    frames = list(pcm.reshape(-1, FRAME_SAMPLES))
    ulaw = [mulaw.encode(frame) for frame in frames]
    agent = Resampler(8000, AGENT_RATE).push(pcm)
    size = AGENT_RATE * FRAME_MS // 1000
    pieces = [agent[at : at + size] for at in range(0, agent.size, size)]
    joined = [
        agent[at : at + size * PIECE_FRAMES] for at in range(0, agent.size, size * PIECE_FRAMES)
    ]
    sent = [piece.tobytes() for piece in joined]

    def vad(engine: str) -> Callable[[], Callable[[int], object]]:
        def prepare() -> Callable[[int], object]:
            judge = make_vad(engine).judge
            return lambda index: judge(frames[index], in_turn=False)

        return prepare

    def ears(engine: str, lines: int = 1) -> Callable[[], Callable[[int], object]]:
        """As many calls side by side; a step is one frame of one of them."""

        def prepare() -> Callable[[int], object]:
            pushes = [Endpointer(make_vad(engine)).push for _ in range(lines)]
            return lambda index: pushes[index % lines](frames[index // lines])

        return prepare

    def down() -> Callable[[int], object]:
        push = Resampler(AGENT_RATE, 8000).push
        return lambda index: push(pieces[index]) if index < len(pieces) else None

    def voice() -> Callable[[int], object]:
        push = VoiceDecoder("pcm16", AGENT_RATE).push
        return lambda index: push(sent[index]) if index < len(sent) else None

    return [
        Step("floor: one copy", lambda: lambda index: frames[index].copy()),
        Step("mu-law decode", lambda: lambda index: mulaw.decode(ulaw[index])),
        Step("mu-law encode", lambda: lambda index: mulaw.encode(frames[index])),
        Step("mu-law level", lambda: lambda index: mulaw.ulaw_level_dbfs(ulaw[index])),
        Step("vad webrtc", vad("webrtc")),
        Step("vad silero", vad("silero")),
        Step("endpointer, webrtc", ears("webrtc")),
        Step("endpointer, hybrid", ears("hybrid")),
        Step("endpointer, hybrid, 50 calls", ears("hybrid", 50)),
        Step("resample 24k to 8k, 20 ms", down),
        Step("agent voice 24k, 200 ms", voice, PIECE_FRAMES),
    ]


def best(measured: Sequence[Step], count: int) -> list[float]:
    """Microseconds per frame of each step, the best of all rounds."""
    times = [inf] * len(measured)
    for _ in range(ROUNDS):
        for at, step in enumerate(measured):
            work = step.prepare()
            calls = range(count // step.frames)
            began = time.perf_counter()
            for index in calls:
                work(index)
            spent = time.perf_counter() - began
            times[at] = min(times[at], spent / (len(calls) * step.frames) * 1e6)
    return times


def main() -> int:
    """Print one line for each step."""
    pcm = line()
    measured = steps(pcm)
    times = best(measured, pcm.size // FRAME_SAMPLES)
    print(f"{'per 20 ms frame':26} {'':>9} {'x floor':>8}")
    for step, spent in zip(measured, times, strict=True):
        print(f"{step.name:26} {spent:6.2f} us {spent / times[0]:8.1f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
