"""The small sounds of our own."""

from __future__ import annotations

import numpy as np
import pytest

from audio import mulaw
from audio.tones import comfort_sound, silence


@pytest.mark.parametrize("ms", [0, 1, 20, 250, 2500, 8000])
def test_comfort_lasts_as_long_as_it_is_asked_to(ms: int):
    assert ms * 8 == len(comfort_sound(ms))


@pytest.mark.parametrize("sound", [comfort_sound(2500), comfort_sound(300)])
def test_a_small_sound_is_soft_and_joins_silence_without_a_click(sound: bytes):
    pcm = mulaw.decode(sound).astype(int)

    assert -45 < mulaw.ulaw_level_dbfs(sound) < -20
    assert np.abs(pcm).max() < 4000
    assert abs(pcm[0]) < 40
    assert abs(pcm[-1]) < 40


def test_silence_is_silent():
    assert silence(10) == b"\xff" * 80
    assert silence(-3) == b""
