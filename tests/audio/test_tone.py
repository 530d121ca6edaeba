"""Sounds of generators are told from voices."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from audio import mulaw
from audio.endpoint.tone import is_tone
from audio.types import Pcm
from tests.audio.sounds import frames, mixed, noise, speech, tone

LOW, HIGH = (697, 770, 852, 941), (1209, 1336, 1477, 1633)


def share_of_tones(pcm: Pcm, *, steady: bool = False) -> float:
    heard = [is_tone(frame.astype(np.float32), steady=steady) for frame in frames(pcm)]
    return sum(heard) / len(heard)


def coded(pcm: Pcm) -> Pcm:
    return mulaw.decode(mulaw.encode(pcm))


@pytest.mark.parametrize(("low", "high"), list(itertools.product(LOW, HIGH)))
def test_every_key_is_a_tone_even_in_noise(low: int, high: int) -> None:
    key = mixed(tone(low, high, ms=400, dbfs=-20.0), noise(400, -40.0))

    assert share_of_tones(coded(key)) > 0.9


@pytest.mark.parametrize("pitches", [(425,), (440, 480), (350, 440), (480, 620), (1000,), (2100,)])
def test_call_tones_are_tones_though_they_beat(pitches: tuple[int, ...]) -> None:
    assert share_of_tones(coded(tone(*pitches, ms=1000))) > 0.9


@pytest.mark.parametrize("name", ["weasels", "young-man", "goodbye", "leisure"])
def test_a_voice_is_no_tone(name: str) -> None:
    assert share_of_tones(coded(speech(name))) < 0.03
    assert share_of_tones(coded(speech(name)), steady=True) < 0.08


def test_noise_is_no_tone() -> None:
    assert share_of_tones(noise(2000, -30.0)) == 0.0
