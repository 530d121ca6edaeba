"""The voice activity engines behind their protocol."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from audio.types import Pcm
from audio.vad import Verdict, make_vad
from audio.vad.silero import SileroModel, SileroVad
from tests.audio.sounds import frames, quiet, speech, tone


def verdicts(pcm: Pcm, engine: str = "webrtc") -> Counter[Verdict]:
    vad = make_vad(engine)
    return Counter(vad.judge(frame, in_turn=False) for frame in frames(pcm))


@pytest.mark.parametrize(
    ("engine", "share"), [("webrtc", 0.85), ("hybrid", 0.85), ("silero", 0.75)]
)
def test_speech_is_speech(engine: str, share: float):
    heard = verdicts(speech("weasels"), engine)

    assert heard[Verdict.SPEECH] > share * heard.total()


@pytest.mark.parametrize("engine", ["silero", "hybrid"])
def test_the_model_tells_voices_from_keys(engine: str):
    vad = make_vad(engine)
    highest = []
    for sound in (speech("young-man"), tone(770, 1336, ms=1500)):
        probabilities = []
        for frame in frames(sound):
            vad.judge(frame, in_turn=False)
            probabilities.append(vad.probability or 0.0)
        highest.append(float(np.median(probabilities)))

    assert highest[0] > 0.8
    assert highest[1] < 0.3


def test_the_model_that_was_long_in_silence_hears_as_a_fresh_one_does():
    used = SileroVad(SileroModel())
    for frame in frames(quiet(20_000)):
        used.judge(frame, in_turn=False)
    fresh = SileroVad(SileroModel())

    for frame in frames(quiet(2000)):
        fresh.judge(frame, in_turn=False)
    both = []
    for vad in (used, fresh):
        found = []
        for frame in frames(speech("goodbye")):
            vad.judge(frame, in_turn=False)
            found.append(vad.probability)
        both.append(max(found))
    assert both[0] > 0.9
    assert both[1] > 0.9


def test_the_memory_is_never_wiped_inside_a_turn():
    vad = SileroVad(SileroModel())
    for frame in frames(np.concatenate([speech("goodbye"), quiet(6000)])):
        vad.judge(frame, in_turn=True)

    assert np.abs(vad.state).max() > 0


@pytest.mark.parametrize("pcm", [quiet(2000), np.zeros(16000, np.int16)], ids=["room", "digital"])
def test_a_quiet_line_is_noise(pcm: Pcm):
    vad = make_vad("webrtc")

    order = [vad.judge(frame, in_turn=False) for frame in frames(pcm)]

    # It takes the engine a moment to know a new line.
    assert set(order[10:]) == {Verdict.NOISE}


def test_doubt_lingers_after_a_word():
    vad = make_vad("webrtc")
    line = np.concatenate([speech("goodbye"), quiet(600)])

    order = [vad.judge(frame, in_turn=False) for frame in frames(line)]

    last_sure = max(at for at, verdict in enumerate(order) if verdict is Verdict.SPEECH)
    assert order[last_sure + 1] is Verdict.DOUBT
    assert order[-1] is Verdict.NOISE


def test_each_engine_remembers_its_own_line():
    fresh, used = make_vad("webrtc"), make_vad("webrtc")
    for frame in frames(speech("weasels")):
        used.judge(frame, in_turn=False)

    silence = np.zeros(160, np.int16)
    assert used.judge(silence, in_turn=False) is not Verdict.NOISE
    assert fresh.judge(silence, in_turn=False) is Verdict.NOISE


def test_an_unknown_engine_is_named_with_those_there_are():
    with pytest.raises(ValueError, match="'psychic'; there are 'webrtc', 'silero', 'hybrid'"):
        make_vad("psychic")


@pytest.mark.parametrize("turn_ends", range(130, 138))
def test_the_model_hears_a_line_alone_as_it_does_in_company(turn_ends: int) -> None:
    sound = np.concatenate((quiet(2800), speech("young-man")))
    company = SileroModel()
    lines = [SileroVad(SileroModel()), *(SileroVad(company) for _ in range(3))]
    heard: list[list[float]] = [[] for _ in lines]

    for index, frame in enumerate(frames(sound)):
        for line, probabilities in zip(lines, heard, strict=True):
            line.judge(frame, in_turn=index < turn_ends)
            probabilities.append(line.probability)

    for probabilities in heard[1:]:
        assert probabilities == pytest.approx(heard[0], abs=1e-5)
