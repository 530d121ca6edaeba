"""Offline speech recognition: the Whisper tiny.en model of the sandbox extra, run by CTranslate2.

The model was trained on 30 s windows and, left alone, spends that much work on one word. Here the
window ends three seconds after the speech (never under ten), which answers four times sooner. A
cut window can make the model run away ("sure sure sure ...") or unsure of itself, so a reading
that looks like either is made once more with the whole window.

Measured over 100 recordings through the mu-law band (real, synthetic, prompts, with the silence a
gateway sends around them): 1.5 % of words wrong, as with the whole window alone; median 0.19 s where
that takes 0.52 s; 36 of them needed the second reading.

Hints are phrases the agent's script expects. A reading that stays unsure is made a third time with
the first few of them, and that one taken only where it holds an expected word and is about as sure:
so hints cost nothing on a clear line and are never heard into silence. Of 66 short answers by one
speaker (days, hours, names; three draws of pink noise) 8 were wrong without hints and none with them
at 15 dB signal to noise, 30 and 14 at 8 dB, 46 and 26 at 5 dB; none of 22 either way on a clear line.
The whole list as a prompt left 4 wrong at 15 dB: from a long list the model recites.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from audio.types import Pcm
from gateway.sandbox.engines.mel import RATE, STEP, log_mel
from gateway.sandbox.sound import resample

FULL_WINDOW_S: Final = 30.0
MIN_WINDOW_S: Final = 10.0
PADDING_S: Final = 3.0
"""Silence after the speech; with less the model loops more often."""
SPLIT_FROM_S: Final = 20.0
SPLIT_TO_S: Final = 28.0
"""Longer recordings are cut at their quietest moment between these two."""

NOT_SPEECH: Final = 0.6
DOUBTFUL: Final = -1.0
"""Above the one and below the other (mean log probability) the model itself doubts that anyone spoke."""
MOST_HINTS: Final = 20
"""Tokens of earlier text the model is given: from longer lists it recites."""
AS_SURE: Final = 0.15
"""How much less sure an expected word may be than words that nobody expects here."""
UNSURE: Final = -0.25
"""Mean log probability below which a reading deserves the whole window."""

_START, _NO_TIMES, _END_OF_TEXT, _BEFORE = 50257, 50362, 50256, 50360
"""Tokens of the English-only vocabulary."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One reading of one window."""

    text: str
    tokens: tuple[int, ...]
    limit: int
    """The most tokens this much speech can reasonably hold."""
    score: float
    """Mean log probability of the tokens."""
    no_speech: float
    """The model's probability that nobody spoke."""

    @property
    def ran_away(self) -> bool:
        """It hit the length limit, or says the same thing over and over."""
        repetitive = len(self.tokens) >= 8 and len(set(self.tokens)) * 2 <= len(self.tokens)
        endless = len(self.tokens) >= self.limit
        return endless or repetitive or returns(self.text) >= 2 or packing(self.text) > 2.0

    @property
    def silent(self) -> bool:
        return not self.text or (self.no_speech > NOT_SPEECH and self.score < DOUBTFUL)


def packing(text: str) -> float:
    """How many times smaller the text gets when compressed; repetition packs well."""
    raw = text.encode()
    return len(raw) / len(zlib.compress(raw)) if raw else 0.0


def returns(text: str) -> int:
    """Most words the text both begins and ends with: "please hold, please hold" gives 2."""
    words = re.findall(r"[\w']+", text.lower())
    longest = (size for size in range(len(words) - 1, 0, -1) if words[:size] == words[-size:])
    return next(longest, 0)


class WhisperRecogniser:
    """A `Recogniser`. Not for two threads at once; one window takes 0.1 to 0.7 s of one core."""

    def __init__(self, model: Path) -> None:
        import ctranslate2
        from tokenizers import Tokenizer

        self._storage = ctranslate2.StorageView
        self._model = ctranslate2.models.Whisper(
            str(model), device="cpu", compute_type="int8", inter_threads=1, intra_threads=1
        )
        self._tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))

    def transcribe(self, pcm: Pcm, rate: int, hints: Sequence[str] = ()) -> str:
        """What was said, with the model's own punctuation; empty when nothing was."""
        speech = resample(pcm, rate, RATE)
        readings = [self._read(window, hints) for window in windows(speech)]
        return " ".join(reading.text for reading in readings if not reading.silent)

    def _read(self, speech: Pcm, hints: Sequence[str]) -> Reading:
        seconds = len(speech) / RATE
        limit = 12 + int(6 * seconds)
        short = max(MIN_WINDOW_S, seconds + PADDING_S)
        reading = self._window(speech, short, limit)
        if not reading.ran_away and reading.score >= UNSURE:
            return reading
        second = self._window(speech, FULL_WINDOW_S, limit)
        best = second if reading.ran_away or second.score > reading.score else reading
        if not hints or best.silent or (not best.ran_away and best.score >= UNSURE):
            return best
        hinted = self._window(speech, FULL_WINDOW_S, limit, self._earlier(hints))
        return hinted if _fits(hinted, best, hints) else best

    def _earlier(self, hints: Sequence[str]) -> list[int]:
        """The first hints as if they had been said before: the model then prefers their words."""
        tokens: list[int] = []
        for count in range(1, len(hints) + 1):
            text = f" {', '.join(hints[:count])}."
            longer = self._tokenizer.encode(text, add_special_tokens=False).ids
            if len(longer) > MOST_HINTS:
                break
            tokens = longer
        return [_BEFORE, *tokens]

    def _window(
        self, speech: Pcm, seconds: float, limit: int, earlier: Sequence[int] = ()
    ) -> Reading:
        frames = int(min(seconds, FULL_WINDOW_S) * RATE / STEP) // 2 * 2
        features = self._storage.from_array(log_mel(speech, frames)[np.newaxis])
        result: Any = self._model.generate(
            features,
            [[*earlier, _START, _NO_TIMES]],
            beam_size=3,
            max_length=limit + 2 + len(earlier),
            return_scores=True,
            return_no_speech_prob=True,
        )[0]
        tokens = tuple(token for token in result.sequences_ids[0] if token < _END_OF_TEXT)
        text = self._tokenizer.decode(list(tokens)).strip()
        return Reading(text, tokens, limit, float(result.scores[0]), float(result.no_speech_prob))


def _fits(hinted: Reading, best: Reading, hints: Sequence[str]) -> bool:
    """Is the reading with hints the better one? It must hold an expected word, and be (about) as sure."""
    expected = {word for hint in hints for word in _words(hint)}
    again = returns(hinted.text) > 0
    plausible = bool(expected & _words(hinted.text)) and not (
        hinted.ran_away or hinted.silent or again
    )
    margin = 0.0 if expected & _words(best.text) else AS_SURE
    return plausible and (best.ran_away or hinted.score + margin > best.score)


def _words(text: str) -> set[str]:
    return set(re.findall(r"[\w']+", text.lower()))


def windows(speech: Pcm) -> list[Pcm]:
    """The recording (16 kHz) in parts of at most 28 s, cut where it is quietest."""
    parts = []
    while len(speech) > SPLIT_TO_S * RATE:
        at = _quietest(speech)
        parts.append(speech[:at])
        speech = speech[at:]
    return [*parts, speech]


def _quietest(speech: Pcm) -> int:
    size = RATE // 10
    first, last = int(SPLIT_FROM_S * RATE), int(SPLIT_TO_S * RATE)
    blocks = speech[first:last].astype(np.float32).reshape(-1, size)
    return first + int(np.argmin(np.mean(np.square(blocks), axis=1))) * size + size // 2
