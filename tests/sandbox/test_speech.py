"""The offline engines: what they hear through the telephone band, what they take for silence."""

from __future__ import annotations

import random
import socket
import time
import tomllib
from importlib.resources import files

import numpy as np
import pytest

from gateway.sandbox.engines import Engines, load_engines
from gateway.sandbox.engines.mel import BANDS, log_mel
from gateway.sandbox.engines.whisper import Reading, packing, returns, windows
from gateway.sandbox.wav import read_wav
from tests.sandbox.house import noise, open_house
from tests.sandbox.words import through_the_phone, word_errors

speech = pytest.mark.speech

PEOPLE = (
    "The baker",
    "My sister",
    "Doctor Miller",
    "Our neighbour",
    "The night porter",
    "A tall man",
)
DEEDS = ("is bringing", "has lost", "would like to buy", "wants to return", "is waiting for")
THINGS = (
    "the blue umbrella",
    "two train tickets",
    "a box of apples",
    "the broken lamp",
    "seven keys",
)
TIMES = (
    "on Monday morning.",
    "before lunch.",
    "after the meeting.",
    "at half past nine.",
    "tomorrow.",
)


@pytest.fixture(scope="module")
def engines() -> Engines:
    return load_engines("speech")


def _sentences(seed: int, count: int) -> list[str]:
    dice = random.Random(seed)
    return [
        " ".join(dice.choice(part) for part in (PEOPLE, DEEDS, THINGS, TIMES)) for _ in range(count)
    ]


@speech
def test_sentences_from_a_seed_are_recognised_through_the_telephone_band(engines):
    wrong = total = 0
    for sentence in _sentences(20261, 12):
        spoken = np.concatenate(list(engines.voice.speak(sentence)))
        heard = engines.recogniser.transcribe(through_the_phone(spoken, engines.voice.rate), 8000)
        errors, words = word_errors(sentence, heard)
        wrong, total = wrong + errors, total + words

    assert wrong / total < 0.15


@speech
@pytest.mark.parametrize("said", ["Goodbye.", "No.", "Five five five, zero one nine two."])
def test_short_answers_are_recognised(engines, said):
    spoken = np.concatenate(list(engines.voice.speak(said)))
    heard = engines.recogniser.transcribe(through_the_phone(spoken, engines.voice.rate), 8000)

    assert word_errors(said, heard)[0] == 0


@speech
@pytest.mark.parametrize("level", [30, 300, 3000])
def test_noise_is_not_taken_for_words(engines, level):
    assert engines.recogniser.transcribe(noise(2000, level=level), 8000) == ""


@speech
def test_recorded_people_are_recognised(engines):
    home = files("gateway.simulator") / "speech"
    wrong = total = 0
    for told in tomllib.loads((home / "index.toml").read_text("utf-8")).values():
        pcm, rate = read_wav((home / told["file"]).read_bytes())
        errors, words = word_errors(told["text"], engines.recogniser.transcribe(pcm, rate))
        wrong, total = wrong + errors, total + words

    assert wrong / total < 0.1


@speech
def test_a_recording_longer_than_the_window_is_read_to_its_end(engines):
    parts = [np.concatenate(list(engines.voice.speak(text))) for text in _sentences(5, 9)]
    pause = np.zeros(engines.voice.rate // 2, dtype=np.int16)
    long = np.concatenate([part for sentence in parts for part in (sentence, pause)])
    heard = engines.recogniser.transcribe(through_the_phone(long, engines.voice.rate), 8000)
    errors, words = word_errors(" ".join(_sentences(5, 9)), heard)

    assert len(long) / engines.voice.rate > 28
    assert errors / words < 0.2


@speech
def test_the_voice_says_the_same_thing_the_same_way(engines):
    first, second = ([*engines.voice.speak("Is there anything else?")] for _ in range(2))

    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


@speech
def test_the_voice_speaks_sentence_by_sentence_faster_than_real_time(engines):
    began = time.perf_counter()
    spoken = list(
        engines.voice.speak("Thank you for calling. I will pass your message on. Goodbye.")
    )
    took = time.perf_counter() - began

    assert len(spoken) == 3
    assert took < sum(len(part) for part in spoken) / engines.voice.rate


@speech
def test_the_engines_need_no_network(monkeypatch):
    def refuse(*_args: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    loaded = load_engines("speech")

    assert loaded.recogniser.transcribe(noise(1000), 8000) == ""


@speech
async def test_a_spoken_conversation_from_greeting_to_goodbye(engines):
    async with open_house("2026-04", recogniser=engines.recogniser, voice=engines.voice) as house:
        guest = await house.caller()
        greeting = await guest.create("voice")
        told = await guest.speak_aloud(
            greeting.conversation_id, engines.voice, "The garden gate is open again."
        )
        ended = await guest.speak_aloud(
            greeting.conversation_id, engines.voice, "Thank you, goodbye."
        )

        assert word_errors("The garden gate is open again", told.events[0]["user_message"])[0] <= 1
        assert told.events[-1]["full_message"].startswith("I wrote down: ")
        assert ended.events[-1]["conversation_completed"] is True
        heard = engines.recogniser.transcribe(np.frombuffer(ended.sound, dtype="<i2"), 16000)
        assert word_errors("Thank you I will pass your message on goodbye", heard)[0] <= 2


def test_the_spectrum_of_a_tone_has_its_peak_in_its_band():
    seconds = np.arange(16000) / 16000
    tone = (8000 * np.sin(2 * np.pi * 1000 * seconds)).astype(np.int16)
    spectrum = log_mel(tone, 200)

    assert spectrum.shape == (BANDS, 200)
    # 1000 Hz is 15 mel of 45.245; 81 steps lie between the outer edges.
    assert abs(int(np.argmax(spectrum[:, 50])) - (15.0 / 45.2456 * 81 - 1)) <= 1
    assert spectrum.max() - spectrum.min() <= 2.0001


def test_a_long_recording_is_cut_where_it_is_quiet():
    loud = noise(60_000, 16000)
    loud[16000 * 24 : 16000 * 24 + 8000] = 0
    parts = windows(loud)

    assert sum(len(part) for part in parts) == len(loud)
    assert 24.0 <= len(parts[0]) / 16000 <= 24.5
    assert all(len(part) <= 16000 * 28 for part in parts)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("please hold, please hold", 2),
        ("Thank you. Thank you. Thank", 3),
        ("one two three", 0),
        ("", 0),
        ("no no", 1),
    ],
)
def test_a_text_that_returns_to_its_beginning_is_noticed(text, words):
    assert returns(text) == words


def test_runaways_and_silence_are_told_from_speech():
    def reading(
        text: str, tokens: tuple[int, ...], score: float = -0.1, silent: float = 0.0
    ) -> Reading:
        return Reading(text, tokens, 20, score, silent)

    assert reading("sure " * 20, tuple(range(20))).ran_away
    assert reading("a b a b a b a b", (1, 2) * 4).ran_away
    assert not reading("my bicycle is red", (1, 2, 3, 4)).ran_away
    assert reading("you", (1,), score=-1.6, silent=0.9).silent
    assert not reading("you", (1,), score=-0.2, silent=0.9).silent
    assert reading("", ()).silent
    assert packing("sure " * 20) > 2.0 > packing("my bicycle is red")
