"""The gateway's shipped phrases: format, level, and that the list, the texts and the files agree."""

from __future__ import annotations

import re
import wave
from pathlib import Path

import numpy as np
import pytest

from gateway.sandbox.engines import load_engines
from tests.sandbox.words import word_errors
from tools.make_phrases import PHRASES, levels, speech_level

SOUNDS = Path(__file__).parents[2] / "gateway" / "bridge" / "sounds"
EACH = pytest.mark.parametrize("name", sorted(PHRASES))


def _samples(name: str) -> np.ndarray:
    with wave.open(str(SOUNDS / f"{name}.wav")) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (8000, 1, 2)
        return np.frombuffer(file.readframes(file.getnframes()), dtype=np.int16)


def test_every_phrase_has_a_file_and_every_file_a_phrase():
    assert {path.stem for path in SOUNDS.glob("*.wav")} == set(PHRASES)


def test_the_readme_tells_the_texts():
    told = dict(re.findall(r"\| `([a-z-]+)\.wav` \| (.+) \|", (SOUNDS / "README.md").read_text()))

    assert told == PHRASES


@EACH
def test_a_phrase_is_at_speech_level_and_does_not_clip(name):
    pcm = _samples(name)

    assert abs(speech_level(pcm) + 20.0) < 1.0
    assert np.abs(pcm).max() < 32000


@EACH
def test_a_phrase_begins_and_ends_close_to_its_words(name):
    sounding = np.flatnonzero(levels(_samples(name)) > -45.0)

    assert sounding[0] <= 3
    assert len(levels(_samples(name))) - sounding[-1] <= 4


@pytest.mark.speech
def test_the_phrases_can_be_understood():
    recogniser = load_engines("speech").recogniser
    errors = [
        word_errors(text, recogniser.transcribe(_samples(name), 8000))
        for name, text in PHRASES.items()
    ]

    assert sum(wrong for wrong, _ in errors) / sum(words for _, words in errors) < 0.1
