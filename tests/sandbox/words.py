"""Word errors between what was said and what was heard, and the telephone's band."""

from __future__ import annotations

import re

import numpy as np

from audio.types import Pcm
from gateway.sandbox.agent.words import DIGITS
from gateway.sandbox.sound import resample


def plain(text: str) -> list[str]:
    """Lower-case words, digits spelled out one by one."""
    words = re.findall(r"[a-z']+|\d", text.lower().replace("-", " "))
    return [DIGITS[int(word)] if word.isdigit() else word for word in words]


def word_errors(said: str, heard: str) -> tuple[int, int]:
    """Substitutions, insertions and deletions, and the number of words said."""
    told, got = plain(said), plain(heard)
    row = list(range(len(got) + 1))
    for at, word in enumerate(told, 1):
        before, row[0] = row[0], at
        for to, other in enumerate(got, 1):
            before, row[to] = row[to], min(row[to] + 1, row[to - 1] + 1, before + (word != other))
    return row[-1], len(told)


def through_the_phone(pcm: Pcm, rate: int) -> Pcm:
    """The sound at 8 kHz, squeezed through 8-bit mu-law companding and back."""
    narrow = resample(pcm, rate, 8000).astype(float) / 32768.0
    squeezed = np.sign(narrow) * np.log1p(255.0 * np.abs(narrow)) / np.log(256.0)
    steps = np.round(squeezed * 127.0) / 127.0
    opened = np.sign(steps) * (256.0 ** np.abs(steps) - 1.0) / 255.0
    return np.asarray(opened * 32767.0, dtype=np.int16)
