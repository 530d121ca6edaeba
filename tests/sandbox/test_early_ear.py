"""Reading in the pauses of an upload: ready sooner, and never other words than without it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import numpy as np
import pytest

from audio.types import Pcm
from gateway.sandbox.wav import wav_header
from tests.sandbox.house import noise, open_house

REVISIONS = pytest.mark.parametrize("revision", ["2025-06", "2026-04"])
PAUSE = np.zeros(8 * 500, dtype=np.int16)


class Counting:
    """A recogniser that tells how much it was given, each time."""

    def __init__(self) -> None:
        self.given: list[int] = []

    def transcribe(self, pcm: Pcm, rate: int, hints: Sequence[str] = ()) -> str:
        self.given.append(len(pcm) * 1000 // rate)
        return f"reading {len(self.given)}"


async def _live(*parts: Pcm) -> AsyncIterator[bytes]:
    """A recording sent in 20 ms chunks, some way faster than real time."""
    yield wav_header(8000)
    data = np.concatenate(parts).astype("<i2").tobytes()
    for at in range(0, len(data), 320):
        yield data[at : at + 320]
        await asyncio.sleep(0.001)


@REVISIONS
async def test_a_pause_before_the_end_is_used(revision):
    ears = Counting()
    async with open_house(revision, recogniser=ears, early_hearing=True) as house:
        guest = await house.caller()
        answer = await guest.speak(await guest.begin(), _live(noise(600), PAUSE))

        assert answer.events[0]["user_message"] == "reading 1"
        assert len(ears.given) == 1
        assert 800 <= ears.given[0] <= 1100


@REVISIONS
async def test_words_after_the_pause_are_not_lost(revision):
    ears = Counting()
    async with open_house(revision, recogniser=ears, early_hearing=True) as house:
        guest = await house.caller()
        answer = await guest.speak(await guest.begin(), _live(noise(600), PAUSE, noise(600)))

        assert answer.events[0]["user_message"] == "reading 2"
        assert ears.given[-1] == 1700


async def test_each_pause_is_read_once():
    ears = Counting()
    async with open_house(recogniser=ears, early_hearing=True) as house:
        guest = await house.caller()
        sound = _live(noise(600), PAUSE, noise(600), PAUSE, PAUSE)
        answer = await guest.speak(await guest.begin(), sound)

        assert answer.events[0]["user_message"] == "reading 2"
        assert len(ears.given) == 2


async def test_without_a_pause_the_whole_is_read_at_the_end():
    ears = Counting()
    async with open_house(recogniser=ears, early_hearing=True) as house:
        guest = await house.caller()
        await guest.speak(await guest.begin(), _live(noise(600)))

        assert ears.given == [600]


async def test_it_is_off_unless_asked_for():
    ears = Counting()
    async with open_house(recogniser=ears) as house:
        guest = await house.caller()
        await guest.speak(await guest.begin(), _live(noise(600), PAUSE))

        assert ears.given == [1100]


async def test_silence_is_never_read():
    ears = Counting()
    async with open_house(recogniser=ears, early_hearing=True) as house:
        guest = await house.caller()
        answer = await guest.speak(await guest.begin(), _live(noise(600, level=20), PAUSE))

        assert answer.status == 400
        assert ears.given == []
