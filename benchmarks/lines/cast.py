"""Who speaks, and what: turns of every kind drawn from a set of recordings.

Kinds: `short` (a word of at most 0.9 s), `phrase`, `stretched` (a sentence whose own pause is
lengthened to 250 to 900 ms), `joined` (two or three sentences 200 to 900 ms apart), `digits`
(four to seven words, 80 to 400 ms apart) and `dictated` (words in two to four groups, 400 to 1000 ms
apart, as numbers are given to be written down).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from benchmarks.lines.sound import Span
from benchmarks.lines.voices import PAUSE_MS, SHORT_MS, Clip, Spoken, joined, parts, without_pauses

_LONGEST_GAP_MS = 900
"""A recording with a longer gap would be two turns to anybody."""
_COMMA_MS, _SIDE_MS = 90, 250
"""A gap this long with this much on either side can be lengthened as a pause between words."""
_AGENT_GAP_MS = 120
"""The agent speaks on with no pause in which its echo could be told from a caller's turn."""


class Cast:
    """Recordings by speaker, and chance that hands them out evenly: deterministic for a seed."""

    def __init__(self, clips: Sequence[Clip], rng: np.random.Generator) -> None:
        self._rng = rng
        usable = [clip for clip in clips if not any(b - a > _LONGEST_GAP_MS for a, b in clip.gaps)]
        self._shorts = [clip for clip in usable if 180 <= clip.ms <= SHORT_MS]
        self._phrases = [clip for clip in usable if SHORT_MS < clip.ms <= 9000]
        self._decks: dict[str, list[Clip]] = {}
        self._kinds: dict[str, Callable[[], Spoken]] = {
            "short": lambda: self._single("short", self._shorts),
            "phrase": lambda: self._single("phrase", self._phrases),
            "stretched": self._stretched,
            "joined": self._joined,
            "digits": self._digits,
            "dictated": self._dictated,
        }

    def turn(self, kind: str) -> Spoken:
        return self._kinds[kind]()

    def agent(self, ms: int) -> Clip:
        """At least `ms` of one voice without a pause over 150 ms."""
        first = self._draw("agent", self._phrases)
        same = [clip for clip in self._phrases if clip.speaker == first.speaker]
        said = [without_pauses(first, _AGENT_GAP_MS)]
        while sum(clip.ms for clip in said) < ms:
            clip = self._draw(f"agent {first.speaker}", same)
            said.append(without_pauses(clip, _AGENT_GAP_MS))
        return joined(said, [_AGENT_GAP_MS] * (len(said) - 1))

    def crowd(self, ms: int) -> Clip:
        """At least `ms` of anybody, sentence after sentence: one voice of a babble."""
        said: list[Clip] = []
        while sum(clip.ms for clip in said) < ms:
            said.append(self._draw("crowd", self._phrases))
        return joined(said, [80] * (len(said) - 1))

    def _draw(self, deck: str, clips: Sequence[Clip]) -> Clip:
        """Every clip comes once before any comes again."""
        if not self._decks.get(deck):
            self._decks[deck] = [clips[index] for index in self._rng.permutation(len(clips))]
        return self._decks[deck].pop()

    def _single(self, kind: str, clips: Sequence[Clip]) -> Spoken:
        clip = self._draw(kind, clips)
        return Spoken(kind, (clip.source,), clip)

    def _stretched(self) -> Spoken:
        clip = self._draw("stretched", [clip for clip in self._phrases if _commas(clip)])
        widest = max(_commas(clip), key=lambda gap: gap[1] - gap[0])
        return Spoken("stretched", (clip.source,), joined(parts(clip, widest), (self._ms(250),)))

    def _joined(self) -> Spoken:
        first = self._draw("joined", [clip for clip in self._phrases if clip.ms < 4000])
        same = [clip for clip in self._phrases if clip.speaker == first.speaker and clip.ms < 4000]
        said = [
            first,
            *(self._draw(f"joined {first.speaker}", same) for _ in range(self._few(1, 2))),
        ]
        gaps = [self._ms(PAUSE_MS) for _ in said[1:]]
        return Spoken("joined", tuple(clip.source for clip in said), joined(said, gaps))

    def _digits(self) -> Spoken:
        first = self._draw("digits", self._shorts)
        same = [clip for clip in self._shorts if clip.speaker == first.speaker]
        said = [
            first,
            *(self._draw(f"digits {first.speaker}", same) for _ in range(self._few(3, 6))),
        ]
        gaps = [int(self._rng.integers(80, 401)) for _ in said[1:]]
        return Spoken("digits", tuple(clip.source for clip in said), joined(said, gaps))

    def _dictated(self) -> Spoken:
        first = self._draw("dictated", self._shorts)
        same = [clip for clip in self._shorts if clip.speaker == first.speaker]
        said, gaps = [first], list[int]()
        for group in range(self._few(2, 4)):
            for word in range(self._few(2, 4)):
                between = group > 0 and word == 0
                low, high = (400, 1001) if between else (80, 301)
                gaps.append(int(self._rng.integers(low, high)))
                said.append(self._draw(f"dictated {first.speaker}", same))
        return Spoken("dictated", tuple(clip.source for clip in said), joined(said, gaps))

    def _ms(self, least: int) -> int:
        return int(self._rng.integers(least, _LONGEST_GAP_MS + 1))

    def _few(self, least: int, most: int) -> int:
        return int(self._rng.integers(least, most + 1))


def _commas(clip: Clip) -> list[Span]:
    """Gaps with something said on both sides."""
    begin, end = clip.islands[0][0], clip.islands[-1][1]
    return [
        (a, b)
        for a, b in clip.gaps
        if b - a >= _COMMA_MS and a - begin >= _SIDE_MS and end - b >= _SIDE_MS
    ]
