"""Make the gateway's own phrases: `gateway/bridge/sounds/NAME.wav`, 8 kHz mono 16-bit.

    .venv/bin/python tools/make_phrases.py [DIRECTORY]

Needs the `sandbox` extra. The voice is deterministic, so running it again changes nothing unless a
text or a version of the voice changed.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from audio.types import SAMPLE_RATE, Pcm
from gateway.sandbox.engines import load_engines
from gateway.sandbox.sound import FULL_SCALE, resample
from gateway.sandbox.wav import wav_file

PHRASES = {
    "apology": "I am sorry, something went wrong on our side. Please call again later. Goodbye.",
    "busy": "I am sorry, all our lines are busy right now. Please call again in a few minutes.",
    "still-there": "Are you still there?",
    "silence-goodbye": "I cannot hear you, so I will end the call now. Goodbye.",
    "closing": "I am sorry, we are closing now. Please call again later. Goodbye.",
    "time-up": "We have reached the longest time a call can last. Thank you for calling. Goodbye.",
    "one-moment": "One moment, please.",
    "lost-answer": "Sorry, let me say that again.",
    "rate": "Please rate this call from one to five on your keypad.",
    "thanks": "Thank you. Goodbye.",
    "reconnected": "Sorry, we were cut off. I am here again.",
    "transfer": "One moment, I am connecting you.",
}
SPEECH_DBFS = -20.0
"""Level of the frames that hold speech; quieter ones do not count."""
PEAK_DBFS = -3.0
FRAME = SAMPLE_RATE // 50
QUIET_DBFS = -45.0
MARGIN_FRAMES = 2
"""Frames kept before the first and after the last sound, so nothing is clipped."""


def levels(pcm: Pcm) -> NDArray[np.float64]:
    """Level of every 20 ms frame in dB of full scale."""
    frames = pcm[: len(pcm) // FRAME * FRAME].reshape(-1, FRAME).astype(float) / FULL_SCALE
    return np.asarray(10.0 * np.log10(np.mean(np.square(frames), axis=1) + 1e-10))


def trimmed(pcm: Pcm) -> Pcm:
    """Without the silence before and after."""
    sounding = np.flatnonzero(levels(pcm) > QUIET_DBFS)
    first = max(0, sounding[0] - MARGIN_FRAMES)
    return pcm[first * FRAME : (sounding[-1] + 1 + MARGIN_FRAMES) * FRAME]


def speech_level(pcm: Pcm) -> float:
    """Mean level over the frames within 20 dB of the loudest."""
    told = levels(pcm)
    speech = told[told > told.max() - 20.0]
    return float(10.0 * np.log10(np.mean(10.0 ** (speech / 10.0))))


def levelled(pcm: Pcm) -> Pcm:
    """At the speech level; the rare peak above the ceiling is bent, not clipped."""
    gain = 10.0 ** ((SPEECH_DBFS - speech_level(pcm)) / 20.0)
    ceiling = 10.0 ** (PEAK_DBFS / 20.0)
    wave = pcm.astype(float) / FULL_SCALE * gain
    return np.asarray(np.tanh(wave / ceiling) * ceiling * (FULL_SCALE - 1), dtype=np.int16)


def main() -> None:
    home = Path(__file__).resolve().parent.parent / "gateway" / "bridge" / "sounds"
    directory = Path(sys.argv[1]) if len(sys.argv) > 1 else home
    directory.mkdir(parents=True, exist_ok=True)
    engines = load_engines("speech")
    for name, text in PHRASES.items():
        spoken = np.concatenate(list(engines.voice.speak(text)))
        pcm = levelled(trimmed(resample(spoken, engines.voice.rate, SAMPLE_RATE)))
        (directory / f"{name}.wav").write_bytes(wav_file(pcm, SAMPLE_RATE))
        heard = engines.recogniser.transcribe(pcm, SAMPLE_RATE)
        print(f"{name:16} {len(pcm) / SAMPLE_RATE:5.2f} s {speech_level(pcm):6.1f} dBFS  {heard}")


if __name__ == "__main__":
    main()
