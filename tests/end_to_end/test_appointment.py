"""A talk in earnest: an appointment is booked by voice, half of it by a human one in noise.

Everything is real: the recogniser and the voice of the sandbox, the gateway, the telephone line. Name,
day and hour are drawn by a seed; the caller corrects the day by interrupting the agent, keys in a
number once, and says goodbye.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from audio import mulaw
from audio.types import SAMPLE_RATE, Pcm
from audio.wav import read_wav
from gateway.sandbox.engines import Engines, load_engines
from gateway.sandbox.options import SandboxOptions
from gateway.simulator import CallPlan, Habits, Item, Keys, Utterance
from gateway.simulator.sound import from_pcm
from gateway.simulator.speech import recordings
from tests.support.stack import run_stack

ANSWERS = Path(__file__).parent / "answers"
NAMES = ("charlie", "juliet", "mike", "oscar", "romeo", "victor")
DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
HOURS = {
    "eight": "08:00", "nine": "09:00", "ten": "10:00", "eleven": "11:00", "twelve": "12:00",
    "one": "13:00", "two": "14:00", "three": "15:00", "four": "16:00",
}  # fmt: skip
"""Words of an hour within opening hours, and what is to stand in the book."""
NUMBER = "5550142"
SNR_DB = 15.0
MARGIN_MS = 300
"""Noise alone before and after the words."""


@dataclass(frozen=True)
class Wish:
    """What the caller wants, by a seed."""

    name: str
    first_day: str
    day: str
    hour: str

    @classmethod
    def drawn(cls, seed: int) -> Wish:
        chance = random.Random(seed)
        first, second = chance.sample(DAYS, 2)
        return cls(chance.choice(NAMES), first, second, chance.choice(sorted(HOURS)))


class Speaker:
    """The caller's two voices: a human one, recorded, in noise; and the sandbox's."""

    def __init__(self, engines: Engines, seed: int) -> None:
        self._voice = engines.voice
        self._chance = np.random.default_rng(seed)

    def human(self, text: str, *words: str) -> Utterance:
        pcm = np.concatenate([_answer(word) for word in words])
        return Utterance(mulaw.encode(in_noise(pcm, self._chance)), text=text)

    def says(self, text: str, *, interrupts: bool = False) -> Utterance:
        sound = from_pcm(self._voice.speak(text), self._voice.rate)
        return Utterance(sound, text=text, interrupts=interrupts)


def _answer(word: str) -> Pcm:
    if word == "goodbye":
        return mulaw.decode(recordings()["goodbye"].sound())
    pcm, rate = read_wav((ANSWERS / f"{word}.wav").read_bytes())
    assert rate == SAMPLE_RATE
    return pcm


def in_noise(speech: Pcm, chance: np.random.Generator) -> Pcm:
    """Speech in pink noise, 15 dB under its mean level where it is loud."""
    margin = SAMPLE_RATE * MARGIN_MS // 1000
    padded = np.pad(speech.astype(float), margin)
    loud = speech[np.abs(speech) > np.abs(speech).max() * 0.05].astype(float)
    noise = pink(len(padded), chance)
    noise *= np.sqrt(np.mean(loud**2) / np.mean(noise**2)) * 10 ** (-SNR_DB / 20)
    return np.asarray(np.clip(padded + noise, -32_000, 32_000), dtype=np.int16)


def pink(samples: int, chance: np.random.Generator) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Noise whose power falls with the frequency, from 100 Hz on."""
    spectrum = np.fft.rfft(chance.standard_normal(samples))
    hz = np.fft.rfftfreq(samples, 1 / SAMPLE_RATE)
    return np.asarray(np.fft.irfft(spectrum / np.sqrt(np.maximum(hz, 100.0)), samples))


def script(wish: Wish, speaker: Speaker) -> Iterator[Item]:
    yield speaker.says("I would like to book an appointment, please.")
    yield speaker.human(wish.name, wish.name)
    yield speaker.human(wish.first_day, wish.first_day)
    yield speaker.human(f"{wish.hour} o'clock", wish.hour, "oclock")
    yield Keys(f"{NUMBER}#")
    yield speaker.says(f"No, on {wish.day.title()} instead, please.", interrupts=True)
    yield speaker.says("Yes, that is right.")
    yield speaker.human("goodbye", "goodbye")


@pytest.fixture(scope="module")
def engines() -> Engines:
    return load_engines("speech")


@pytest.mark.speech
@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_an_appointment_is_booked_by_voice(
    tmp_path: Path, seed: int, engines: Engines
) -> None:
    wish = Wish.drawn(seed)
    items = tuple(script(wish, Speaker(engines, seed)))
    # A busy machine leaves gaps in the synthetic voice: a caller who takes them for its end interrupts.
    habits = Habits(quiet_ms=1500, linger_seconds=10.0)
    plan = CallPlan(items=items, habits=habits, max_seconds=150.0)
    revision = ("2025-06", "2026-04")[seed % 2]
    options = SandboxOptions(revision=revision)  # type: ignore[arg-type]
    async with run_stack(tmp_path, options, engines.recogniser, engines.voice) as stack:
        result = await stack.call(plan)
        record = await stack.until(
            result.call_sid, lambda record: record["transcript_state"] == "fetched"
        )
        log = await stack.log()

    assert result.problems == (), result.problems
    assert result.violations == ()
    [conversation] = log["conversations"]
    slots = conversation["slots"]
    assert slots["name"] == [wish.name.title()]
    assert slots["day"] == [wish.day.title()]
    assert slots["time"] == [HOURS[wish.hour]]
    assert slots["number"] == [NUMBER]
    assert slots["booked"]
    assert (conversation["state"], conversation["finished"]) == ("done", True)

    turns = record["turns"]
    kinds = [turn["kind"] for turn in turns]
    assert kinds == ["greeting", "voice", "voice", "voice", "voice", "dtmf", *["voice"] * 3]
    assert [turn["index"] for turn in turns if turn["interrupted"]] == [5]
    assert record["end_reason"] == "agent-ended"
    heard = [line["text"] for line in record["transcript"] if line["kind"] == "user-message"]
    for said, understood in zip(
        (wish.name, wish.first_day, wish.hour, NUMBER, wish.day, "yes", "goodbye"),
        heard[1:],
        strict=True,
    ):
        assert said in understood.lower().replace("-", "").replace(" ", "").replace(
            "good bye", "goodbye"
        ), heard
    assert log["violations"] == []
    finishes = [one for one in log["requests"] if one["operation"] == "finish"]
    assert [one["status"] for one in finishes if one["status"] == 204] == []
