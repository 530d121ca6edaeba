"""The agent's voice on its way back through the caller's telephone."""

from __future__ import annotations

import numpy as np
import pytest

from audio.mulaw import decode, encode
from audio.types import Pcm
from gateway.simulator.echo import EchoPath
from gateway.simulator.plan import Echo
from tests.simulator.switchboard import tone

AGENT = tone(200)
SILENCE = bytes([0xFF]) * 160


def heard_back(echo: Echo, says: bytes = SILENCE, ms: int = 600) -> Pcm:
    """What the line carries while the agent's 200 ms are played and after."""
    path = EchoPath(echo)
    line = [path.mix(says, AGENT[at : at + 160] or None) for at in range(0, ms * 8, 160)]
    return decode(b"".join(line))


@pytest.mark.parametrize("delay_ms", [0, 7, 20, 120, 250])
def test_the_echo_comes_back_late_to_the_sample_and_softer(delay_ms: int) -> None:
    line = heard_back(Echo(gain=0.35, delay_ms=delay_ms))

    late = np.concatenate((np.zeros(delay_ms * 8), decode(AGENT) * 0.35, np.zeros(8000)))
    coded = decode(encode(np.rint(late[: line.size]).astype(np.int16)))
    assert np.array_equal(line, coded)


def test_an_overdriven_loudspeaker_clips_before_it_is_heard_from_afar() -> None:
    line = heard_back(Echo(gain=0.5, delay_ms=0, clip_dbfs=-20.0))

    assert 0.95 * 1638 < np.abs(line).max() < 1.05 * 1638


def test_the_caller_is_heard_over_it() -> None:
    line = heard_back(Echo(gain=0.1, delay_ms=0), says=encode(np.full(160, 4000, np.int16)))

    assert abs(float(line[:1600].mean()) - 4000) < 200
    assert np.array_equal(line[1600:], np.full(line.size - 1600, line[-1]))


def test_where_nothing_returns_the_line_is_as_it_was() -> None:
    says = bytes(range(160))

    assert EchoPath(Echo(gain=0.35)).mix(says, None) is says


def test_both_together_are_no_louder_than_the_line_allows() -> None:
    loud = encode(np.full(160, 32000, np.int16))
    mixed = decode(EchoPath(Echo(gain=1.0, delay_ms=0)).mix(loud, loud))

    assert mixed.min() > 30_000, "it did not wrap around"


@pytest.mark.parametrize(("gain", "delay_ms"), [(-0.1, 0), (0.3, -1), (0.3, 5001)])
def test_an_echo_of_no_telephone_is_refused(gain: float, delay_ms: int) -> None:
    with pytest.raises(ValueError, match="echo"):
        Echo(gain=gain, delay_ms=delay_ms)
