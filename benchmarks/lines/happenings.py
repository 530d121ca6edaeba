"""Sounds that are no speech and pass: clicks, keys, call tones, knocks, breaths. Loudness in dBFS."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from audio.types import SAMPLE_RATE
from benchmarks.lines.sound import Floats, faded, samples, scaled, shaped

_KEYS = {
    "1": (697, 1209), "2": (697, 1336), "3": (697, 1477), "4": (770, 1209), "5": (770, 1336),
    "6": (770, 1477), "7": (852, 1209), "8": (852, 1336), "9": (852, 1477), "0": (941, 1336),
}  # fmt: skip
"""Hz, ITU-T Q.23."""
_RINGS = ((440.0, 480.0), (425.0,))
"""Hz of the North American and the European ringback."""

Happening = Callable[[np.random.Generator], Floats]


def click(rng: np.random.Generator) -> Floats:
    """A switch, or a lost packet: 5 to 30 ms."""
    sound = rng.standard_normal(samples(int(rng.integers(5, 31))))
    decay = np.exp(-np.linspace(0, 5, sound.size))
    return scaled(sound * decay, float(rng.uniform(-24, -12)))


def dtmf(rng: np.random.Generator) -> Floats:
    """Two to four keys, pressed one after the other."""
    keys = rng.choice(list(_KEYS), size=int(rng.integers(2, 5)))
    gap = np.zeros(samples(80))
    pressed = [tone(_KEYS[key], int(rng.integers(80, 160)), -14.0) for key in keys]
    return np.concatenate([part for sound in pressed for part in (sound, gap)][:-1])


def ringback(rng: np.random.Generator) -> Floats:
    return tone(_RINGS[int(rng.integers(0, 2))], int(rng.integers(900, 2000)), -20.0)


def knock(rng: np.random.Generator) -> Floats:
    """Two or three raps on the table under the telephone."""
    at = np.arange(samples(70)) / SAMPLE_RATE
    pitch = rng.uniform(110, 240)
    body = np.sin(2 * np.pi * pitch * at) + 0.5 * np.sin(2 * np.pi * 2.7 * pitch * at)
    rap = (body + 0.4 * rng.standard_normal(at.size)) * np.exp(-at / 0.014)
    gap = np.zeros(samples(int(rng.integers(120, 220))))
    raps = [rap, gap] * int(rng.integers(2, 4))
    return scaled(np.concatenate(raps[:-1]), float(rng.uniform(-30, -22)))


def breath(rng: np.random.Generator) -> Floats:
    """Air into the microphone, half a second."""
    length = int(rng.integers(250, 600))
    air = rng.standard_normal(samples(length))
    air = shaped(air, ((0, 0), (300, 0.5), (700, 1), (1600, 0.8), (3400, 0.3), (4000, 0)))
    return scaled(air * np.hanning(air.size), float(rng.uniform(-42, -32)))


def tone(pitches: tuple[float, ...], ms: int, level: float) -> Floats:
    at = np.arange(samples(ms)) / SAMPLE_RATE
    mix = np.sum([np.sin(2 * np.pi * pitch * at) for pitch in pitches], axis=0)
    return faded(scaled(mix, level), 3)


HAPPENINGS: dict[str, Happening] = {
    "click": click,
    "dtmf": dtmf,
    "tone": ringback,
    "knock": knock,
    "breath": breath,
}
"""By the kind that a manifest calls them."""
