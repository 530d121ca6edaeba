"""An echo as loud as a loudspeaker telephone's comes back after any number of samples, even or odd."""

from __future__ import annotations

from typing import Final

import numpy as np
import pytest

from audio import mulaw
from audio.endpoint import Endpointer, Onset, Signal
from audio.types import FRAME_SAMPLES
from audio.vad import make_vad
from tests.support.human import chapter, line_noise

AGENT: Final = chapter()[: 3000 * 8]
BEFORE_MS: Final = 1000
GAIN: Final = 0.35
"""hotato's echo bleed: 9 dB softer than what we play, and so above the guard of a line yet unknown."""


@pytest.mark.parametrize("delay", [898, 899, 920, 921, 943, 944, 960, 965])
def test_our_echo_is_no_caller_whatever_its_delay_in_samples(delay: int) -> None:
    signals, detector = heard(delay)

    assert [one for one in signals if isinstance(one, Onset)] == []
    assert detector.line.echo_delay_ms == pytest.approx(delay / 8, abs=1)


def heard(delay: int) -> tuple[list[Signal], Endpointer]:
    """What the detector makes of a silent caller's line while we speak for three seconds."""
    detector = Endpointer(make_vad("webrtc"))
    agent = np.concatenate((np.zeros(BEFORE_MS * 8, np.int16), mulaw.decode(AGENT)))
    echo = np.concatenate((np.zeros(delay), agent * GAIN))[: agent.size]
    noise = mulaw.decode(line_noise(agent.size // 8))
    line = mulaw.decode(mulaw.encode(np.rint(noise + echo).astype(np.int16)))
    signals: list[Signal] = []
    for at in range(0, agent.size, FRAME_SAMPLES):
        ours = agent[at : at + FRAME_SAMPLES] if at >= BEFORE_MS * 8 else None
        signals += detector.push(line[at : at + FRAME_SAMPLES], ours)
    return signals, detector
