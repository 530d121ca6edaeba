"""Our own voice on its way back: later, quieter, through a hybrid or a loudspeaker that is driven too hard."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.lines.sound import Floats, level_of, samples

_DRIVE = 0.3
"""Share of the loudest sample at which an overdriven loudspeaker stops."""
_ROOM_MS = 12
_ROOM_DECAY_MS = 2.5


@dataclass(frozen=True, slots=True, kw_only=True)
class EchoSpec:
    """One way back."""

    return_db: float
    """Level of the echo against what we play."""
    delay_ms: int
    clipped: bool = False


def echo_of(agent: Floats, spec: EchoSpec, rng: np.random.Generator) -> Floats:
    """What the caller's line carries of `agent`, on the same clock and as long."""
    sound = agent
    if spec.clipped:
        limit = float(np.abs(agent).max()) * _DRIVE
        sound = np.clip(agent, -limit, limit)
    taps = samples(_ROOM_MS)
    room = rng.standard_normal(taps) * np.exp(-np.arange(taps) / samples(_ROOM_DECAY_MS)) * 0.3
    room[0] = 1.0
    returned = np.convolve(sound, room)[: agent.size]
    late = samples(spec.delay_ms)
    returned = np.concatenate([np.zeros(late), returned])[: agent.size]
    gain = level_of(agent) + spec.return_db - level_of(returned)
    return returned * float(10 ** (gain / 20))
