"""What `voice-gateway segment` finds in the recording of a call is what the call's own ears found."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from audio import mulaw
from audio.endpoint import Endpointer, LineReport, Offset, Onset, Signal
from audio.recording import mix_stereo
from audio.types import FRAME_MS, FRAME_SAMPLES, SAMPLE_RATE, Pcm
from gateway import compose
from gateway.cli import main
from gateway.settings import Settings
from gateway.settings.model import TurnTaking
from gateway.simulator import Utterance
from gateway.simulator.sound import frames
from tests.end_to_end.talking import a_house
from tests.support.human import chapter, line_noise
from tests.support.stack import spoken

UNADAPTED: Final[dict[str, Any]] = {
    "GATEWAY_TURN_TAKING__END_SILENCE_MS": str(TurnTaking().end_silence_ms),
    "GATEWAY_TURN_TAKING__DICTATION_EXTRA_MS": "0",
    "GATEWAY_TURN_TAKING__YES_NO_LESS_MS": "0",
    "GATEWAY_TURN_TAKING__HABIT_EXTRA_MS": "0",
}
"""`segment` knows no conversation; a call's patience follows it, so it is told to stay as it is."""


class OneGreeting:
    """Greets for a second, and after that answers with a frame of silence: the caller has the line."""

    rate = SAMPLE_RATE

    def __init__(self) -> None:
        self._greeted = False

    def speak(self, text: str) -> Iterator[Pcm]:
        del text  # it is the recording that is heard
        greeting, self._greeted = not self._greeted, True
        yield mulaw.decode(chapter()[:8000]) if greeting else np.zeros(FRAME_SAMPLES, np.int16)


class Witness:
    """A call's detector, and a note of all it said."""

    def __init__(self, detector: Endpointer, noted: list[Signal]) -> None:
        self._detector = detector
        self._noted = noted

    def push(self, pcm: Pcm, agent: Pcm | None = None) -> tuple[Signal, ...]:
        signals = self._detector.push(pcm, agent)
        self._noted += signals
        return signals

    def set_patience(self, ms: int | None) -> None:
        self._detector.set_patience(ms)

    @property
    def line(self) -> LineReport:
        return self._detector.line

    @property
    def quiet_ms(self) -> int:
        return self._detector.quiet_ms


@contextmanager
def noting() -> Iterator[list[Signal]]:
    """What the detectors of all calls say meanwhile."""
    signals: list[Signal] = []
    make_factory = compose.detector_factory

    def witnessed(settings: Settings) -> Callable[[], Witness]:
        make = make_factory(settings)
        return lambda: Witness(make(), signals)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compose, "detector_factory", witnessed)
        yield signals


@pytest.fixture
def no_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`segment` hears with the settings it has by itself."""
    for name in os.environ:
        if name.startswith(("AMIGO_", "TWILIO_", "GATEWAY_", "LOG_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def talk() -> bytes:
    """Fifteen seconds: sentences with their own pauses, longer ones between, and a noisy stretch."""
    hiss = np.random.default_rng(4).normal(0.0, 150.0, 4 * SAMPLE_RATE)
    noisy = np.zeros(4 * SAMPLE_RATE)
    word = mulaw.decode(spoken("young-man").sound)
    noisy[SAMPLE_RATE // 2 :][: word.size] = word
    return b"".join(
        (
            spoken("weasels").sound,
            line_noise(900),
            spoken("something-wrong").sound,
            line_noise(1000),
            spoken("goodbye").sound,
            line_noise(1200),
            mulaw.encode(np.clip(noisy + hiss, -32768, 32767).astype(np.int16)),
            line_noise(1600),
        )
    )


@pytest.mark.slow
@pytest.mark.usefixtures("no_settings")
async def test_a_live_call_and_its_recording_have_the_same_bounds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sentence = Utterance(b"".join(frames(talk())), name="a long talk")
    long_enough = 2.0 + len(sentence.sound) / SAMPLE_RATE
    with noting() as live:
        async with a_house(tmp_path, reader=OneGreeting(), **UNADAPTED) as house:
            call = await house.call(sentence, hang_up_after=long_enough)

    assert mulaw.decode(sentence.sound).tobytes() in call.said.tobytes(), "all of it was said"
    onsets = [one for one in live if isinstance(one, Onset)]
    offsets = [one for one in live if isinstance(one, Offset)]
    found = segmented(call.said, call.heard, tmp_path / "call.wav", capsys)
    over = [one for one in found if one["ended_by"] == "silence"]
    assert len(onsets) >= 4, "several utterances, or this shows nothing"
    assert within_a_frame([one.decided_at for one in onsets], found, "start_decided_ms")
    assert within_a_frame([one.at for one in onsets], found, "speech_start_ms")
    assert within_a_frame([one.at for one in offsets], over, "end_decided_ms")
    assert within_a_frame([one.speech_end for one in offsets], over, "speech_end_ms")


def segmented(
    said: Pcm, heard: Pcm, path: Path, capsys: pytest.CaptureFixture[str]
) -> list[dict[str, Any]]:
    """The utterances that the command finds in both tracks of a call."""
    # what comes before the first whole frame is the time before the stream
    first = said.size % FRAME_SAMPLES
    mix_stereo(mulaw.encode(said[first:]), mulaw.encode(heard[first:]), path)
    capsys.readouterr()
    assert main(["segment", str(path), "--json"]) == 0
    [track] = json.loads(capsys.readouterr().out)["tracks"].values()
    return list(track)


def within_a_frame(live: list[int], found: list[dict[str, Any]], bound: str) -> bool:
    """Whether both put this bound, in samples and in milliseconds, to within 20 ms of each other."""
    live_ms = [sample * 1000 // SAMPLE_RATE for sample in live]
    found_ms = [one[bound] for one in found]
    print(bound, "live", live_ms, "recording", found_ms)
    assert len(live_ms) == len(found_ms)
    return all(abs(one - other) <= FRAME_MS for one, other in zip(live_ms, found_ms, strict=True))
