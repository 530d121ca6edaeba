"""What a line carries besides speech: noises that last, each as long as asked for, at RMS 1."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from audio.types import SAMPLE_RATE
from benchmarks.lines.cast import Cast
from benchmarks.lines.sound import Floats, samples, shaped

Noise = Callable[[int, np.random.Generator, Cast], Floats]
"""Length in ms, chance, and whose voices a crowd has."""

_VOICES = 6
"""People in a babble: fewer are understood, more are a hiss."""


def white(ms: int, rng: np.random.Generator, cast: Cast) -> Floats:  # noqa: ARG001
    return rng.standard_normal(samples(ms))


def pink(ms: int, rng: np.random.Generator, cast: Cast) -> Floats:
    """3 dB less with each octave, from 50 Hz up."""
    pitches = np.geomspace(50, 4000, 40)
    gains = [(0.0, 0.0), *((float(pitch), float((50 / pitch) ** 0.5)) for pitch in pitches)]
    return _even(shaped(white(ms, rng, cast), gains))


def hum(ms: int, rng: np.random.Generator, cast: Cast) -> Floats:  # noqa: ARG001
    """Mains: 50 Hz and what a cheap power supply makes of it."""
    at = np.arange(samples(ms)) / SAMPLE_RATE
    orders = (1, 2, 3, 5, 6, 7, 9, 11, 13, 18, 24)
    phases = rng.uniform(0, 2 * np.pi, len(orders))
    tones = [
        np.sin(2 * np.pi * 50 * order * at + phase) / order**0.8
        for order, phase in zip(orders, phases, strict=True)
    ]
    mixed: Floats = np.sum(tones, axis=0)
    return _even(mixed)


def babble(ms: int, rng: np.random.Generator, cast: Cast) -> Floats:
    """People talking, none of them into the telephone."""
    crowd = np.zeros(samples(ms))
    for _ in range(_VOICES):
        voice = cast.crowd(ms + 4000).sound
        begin = int(rng.integers(0, samples(3000)))
        crowd += voice[begin : begin + crowd.size] * float(10 ** (rng.uniform(-4, 4) / 20))
    # A room takes the edge off those who are not near.
    return _even(shaped(crowd, ((0, 1.0), (1000, 1.0), (3500, 0.35), (4000, 0.2))))


def street(ms: int, rng: np.random.Generator, cast: Cast) -> Floats:
    """A rumble that never stops, and vehicles that come, pass and go."""
    rumble = shaped(
        white(ms, rng, cast), ((0, 0), (40, 1.0), (250, 0.5), (1000, 0.06), (4000, 0.01))
    )
    passing = np.zeros(samples(ms))
    at = int(rng.integers(0, 3000))
    while at < ms:
        length = int(rng.integers(2500, 7000))
        middle = float(rng.uniform(300, 900))
        tyres = shaped(
            white(length, rng, cast),
            ((0, 0), (120, 0.7), (middle, 1.0), (2.5 * middle, 0.3), (4000, 0.05)),
        )
        vehicle = _even(tyres) * np.hanning(tyres.size) ** 2 * rng.uniform(0.6, 1.6)
        end = min(passing.size, samples(at) + vehicle.size)
        passing[samples(at) : end] += vehicle[: end - samples(at)]
        at += int(rng.integers(2500, 8000))
    return _even(_even(rumble) * 0.7 + passing)


NOISES: dict[str, Noise] = {
    "white": white,
    "pink": pink,
    "hum": hum,
    "babble": babble,
    "street": street,
}


def _even(sound: Floats) -> Floats:
    """At RMS 1."""
    return sound / float(np.sqrt(np.mean(sound**2)))
