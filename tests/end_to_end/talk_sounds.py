"""What is said and heard in talk tests: the caller's recordings, the agent's beeps, tracks compared."""

from __future__ import annotations

import wave
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from audio import mulaw
from audio.types import Pcm
from gateway.bridge.phrases import Phrases
from gateway.call.commands import Phrase
from gateway.sandbox.engines.tones import TonesRecogniser
from gateway.simulator import Keys, Utterance
from gateway.simulator.sound import frames, is_voiced, noise_frame
from tests.support.stack import spoken

AUDIBLE = 300
"""Samples above this are no line noise."""


GAP_MS = 30
"""Silence after each word of the agent."""


# ---------------------------------------------------------------- what the caller does


def says(name: str, *, interrupts: bool = False) -> Utterance:
    """A recording that ships with the simulator, without the silence around it."""
    recording = spoken(name, interrupts=interrupts)
    return replace(recording, sound=voiced(recording.sound))


def presses(digits: str, *, interrupts: bool = False) -> Keys:
    return Keys(digits, interrupts)


def says_and_adds(first: str, pause_ms: int, second: str) -> Utterance:
    """Two recordings with a silence of the caller's between them."""
    sound = says(first).sound + quiet_line(pause_ms) + says(second).sound
    return Utterance(sound, name=f"{first} … {second}")


def makes_a_short_noise(ms: int = 200) -> Utterance:
    """The beginning of a word, over before it means anything; made over the agent's voice."""
    return Utterance(says("weasels").sound[: ms * 8], name="a noise", interrupts=True)


def quiet_line(ms: int) -> bytes:
    """The line's own noise."""
    return b"".join(noise_frame(number) for number in range(ms // 20))


def voiced(sound: bytes) -> bytes:
    """A recording without the silence around it, in whole frames."""
    cut = frames(sound)
    loud = [number for number, frame in enumerate(cut) if is_voiced(frame)]
    return b"".join(cut[loud[0] : loud[-1] + 1])


# ---------------------------------------------------------------- the agent's engines


class AttentiveEars(TonesRecogniser):
    """Hears what it is told to, and keeps the sound of every turn."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[Pcm] = []

    def transcribe(self, pcm: Pcm, rate: int, hints: Sequence[str] = ()) -> str:
        self.heard.append(pcm)
        return super().transcribe(pcm, rate, hints)


@dataclass(frozen=True)
class BriskVoice:
    """Beeps once a word; `ms` for each character."""

    ms: int = 12
    rate: int = 16_000

    def speak(self, text: str) -> Iterator[Pcm]:
        for word in text.split():
            time = np.arange(self.rate * self.ms * len(word) // 1000) / self.rate
            beep = np.sin(2 * np.pi * (300 + 1200 / (1 + len(word))) * time) * 4500
            yield np.concatenate([beep, np.zeros(self.rate * GAP_MS // 1000)]).astype(np.int16)

    def beeps_ms(self, text: str) -> int:
        """How much sound it takes, gaps not counted."""
        return sum(self.ms * len(word) for word in text.split())

    def length_ms(self, text: str) -> int:
        """How long it takes to say something, the gap behind the last word not counted."""
        words = text.split()
        return sum(self.ms * len(word) + GAP_MS for word in words) - GAP_MS


def chirp(number: int) -> bytes:
    """A phrase of 400 ms like no other."""
    time = np.arange(3200) / 8000
    return mulaw.encode(
        (5000 * np.sin(2 * np.pi * (350 + 90 * number + 500 * time) * time)).astype(np.int16)
    )


CHIRPS: Phrases = {
    phrase: chirp(number) for number, phrase in enumerate(Phrase) if phrase is not Phrase.COMFORT
}


# ---------------------------------------------------------------- what was heard


def share_heard(sound: Pcm, track: Pcm) -> float:
    """How much of a sound is found on a track, in pieces of 20 ms that are not silent."""
    pieces = [sound[at : at + 160] for at in range(0, len(sound) - 159, 160)]
    loud = [piece.tobytes() for piece in pieces if np.abs(piece).max() > AUDIBLE]
    return sum(piece in track.tobytes() for piece in loud) / max(1, len(loud))


def loud_ms(track: Pcm) -> int:
    """How much of a track is not silent."""
    whole = track[: len(track) // 160 * 160].reshape(-1, 160)
    return int((np.abs(whole).max(axis=1) > AUDIBLE).sum()) * 20


def read_stereo(path: Path) -> tuple[Pcm, Pcm]:
    """Both channels of a recording."""
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getframerate(), file.getsampwidth()) == (2, 8000, 2)
        both = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)
    return both[:, 0].copy(), both[:, 1].copy()
