"""The gateway's own phrases as telephone sound; shipped, and replaceable one by one."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType

from audio import mulaw, tones, wav
from audio.resample import Resampler
from audio.types import SAMPLE_RATE
from gateway.call.commands import Phrase
from gateway.errors import BadSetting, ConfigError

COMFORT_MS = 1600

Phrases = Mapping[Phrase, bytes]
"""Mu-law sound of every phrase."""


def load_phrases(directory: Path | None = None) -> Phrases:
    """The shipped sounds; `NAME.wav` in `directory` takes the place of the shipped one.

    Raises ConfigError naming the file when a replacement is not a WAV we can read, or stands for
    no phrase.
    """
    sounds: dict[Phrase, bytes] = {Phrase.COMFORT: tones.comfort_sound(COMFORT_MS)}
    shipped = files("gateway.bridge") / "sounds"
    for phrase in Phrase:
        if phrase is not Phrase.COMFORT:
            sounds[phrase] = _ulaw((shipped / f"{phrase.value}.wav").read_bytes())
    if directory is not None:
        sounds |= _replacements(directory)
    return MappingProxyType(sounds)


def _replacements(directory: Path) -> dict[Phrase, bytes]:
    if not directory.is_dir():
        raise ConfigError([BadSetting("playback.phrases_dir", f"{directory} is not a directory")])
    sounds: dict[Phrase, bytes] = {}
    problems: list[BadSetting] = []
    names = {phrase.value: phrase for phrase in Phrase}
    for path in sorted(directory.glob("*.wav")):
        phrase = names.get(path.stem)
        if phrase is None:
            known = ", ".join(sorted(names))
            problems.append(
                BadSetting("playback.phrases_dir", f"{path.name} is no phrase; known: {known}")
            )
            continue
        try:
            sounds[phrase] = _ulaw(path.read_bytes())
        except ValueError as error:
            problems.append(BadSetting("playback.phrases_dir", f"{path.name}: {error}"))
    if problems:
        raise ConfigError(problems)
    return sounds


def _ulaw(data: bytes) -> bytes:
    pcm, rate = wav.read_wav(data)
    if rate != SAMPLE_RATE:
        resampler = Resampler(rate, SAMPLE_RATE)
        return mulaw.encode(resampler.push(pcm)) + mulaw.encode(resampler.flush())
    return mulaw.encode(pcm)
