"""Recorded people: where in each recording they speak, and turns of a call put together from them.

Bounds are found on the clean, band-limited recording: speech is where 10 ms are within 27 dB of the
recording's own level and clear of its noise. Everything mixed in later leaves them as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.lines.sound import Floats, Span, faded, frame_levels, samples, telephone

_WITHIN = 27.0
"""dB under a recording's speech level that still count as speech."""
_CLEAR = 8.0
"""dB over a recording's own noise that speech must have."""
_QUIETEST = 24.0
"""A recording whose noise is nearer to its speech than this many dB cannot be labelled."""
_JOIN_MS = 50
"""Gaps up to this are inside a word."""
_SMACK_MS, _SMACK_GAP_MS = 80, 150
"""At either end a sound this short, this far from the next, is no speech."""
_LEAD_MS, _TAIL_MS = 30, 60
"""Kept around the speech, so that nothing is bitten off."""
SHORT_MS = 900
"""Longest word that counts as a short answer."""
PAUSE_MS = 200
"""Shortest gap that is called a pause."""


@dataclass(frozen=True, slots=True)
class Clip:
    """Some seconds of one person; the RMS of what is spoken is 1."""

    speaker: str
    source: str
    sound: Floats
    islands: tuple[Span, ...]
    """Where there is speech, in ms from the start of `sound`."""

    @property
    def ms(self) -> int:
        """From the first to the last spoken sound."""
        return self.islands[-1][1] - self.islands[0][0]

    @property
    def gaps(self) -> tuple[Span, ...]:
        return tuple(
            (before[1], after[0])
            for before, after in zip(self.islands, self.islands[1:], strict=False)
        )


@dataclass(frozen=True, slots=True)
class Spoken:
    """What a caller says in one turn."""

    kind: str
    sources: tuple[str, ...]
    clip: Clip


def clip_of(recording: Floats, speaker: str, source: str) -> Clip | None:
    """The recording as on a telephone, labelled; None if it is too noisy for that."""
    sound = telephone(recording)
    levels = frame_levels(sound)
    if not levels.size or levels.max() < -60.0:
        return None
    loud = levels[levels > np.percentile(levels, 95) - 20.0]
    active = 10.0 * np.log10(np.mean(10.0 ** (loud / 10.0)))
    noise = min(float(np.percentile(levels, 3)), active - 35.0)
    if np.percentile(levels, 3) > active - _QUIETEST:
        return None
    islands = _islands(levels > max(active - _WITHIN, noise + _CLEAR))
    if not islands:
        return None
    first = max(0, islands[0][0] - _LEAD_MS)
    last = islands[-1][1] + _TAIL_MS
    cut = faded(sound[samples(first) : samples(last)], 10)
    moved = tuple((start - first, end - first) for start, end in islands)
    spoken = np.concatenate([cut[samples(start) : samples(end)] for start, end in moved])
    return Clip(speaker, source, cut / np.sqrt(np.mean(spoken**2)), moved)


def _islands(speech: Iterable[np.bool_]) -> list[Span]:
    found: list[Span] = []
    for index, is_speech in enumerate(speech):
        if not is_speech:
            continue
        start, end = index * 10, index * 10 + 10
        if found and start - found[-1][1] <= _JOIN_MS:
            found[-1] = (found[-1][0], end)
        else:
            found.append((start, end))
    return _without_smacks([span for span in found if span[1] - span[0] >= 30])


def _without_smacks(spans: list[Span]) -> list[Span]:
    """Without what is too short and too far from the rest to be speech: lips, a breath, the desk."""
    first, last = 0, len(spans)
    while last - first > 1 and _apart(spans[first], spans[first][1], spans[first + 1][0]):
        first += 1
    while last - first > 1 and _apart(spans[last - 1], spans[last - 2][1], spans[last - 1][0]):
        last -= 1
    return spans[first:last]


def _apart(span: Span, before: int, after: int) -> bool:
    return span[1] - span[0] < _SMACK_MS and after - before >= _SMACK_GAP_MS


def joined(clips: Sequence[Clip], gaps: Sequence[int]) -> Clip:
    """One after the other, the given ms from the last sound of each to the first of the next."""
    starts, at = [], 0
    for clip, gap in zip(clips, (*gaps, 0), strict=True):
        starts.append(at - clip.islands[0][0])
        at += clip.ms + gap
    shift = -min(starts)
    length = max(
        samples(start + shift) + clip.sound.size for start, clip in zip(starts, clips, strict=True)
    )
    sound = np.zeros(length)
    islands: list[Span] = []
    for start, clip in zip(starts, clips, strict=True):
        first = samples(start + shift)
        sound[first : first + clip.sound.size] += clip.sound
        islands += [(a + start + shift, b + start + shift) for a, b in clip.islands]
    return Clip(clips[0].speaker, "", sound, tuple(islands))


def parts(clip: Clip, gap: Span) -> tuple[Clip, Clip]:
    """The clip in two, cut in the middle of one of its gaps."""
    middle = (gap[0] + gap[1]) // 2
    before = tuple(span for span in clip.islands if span[1] <= middle)
    after = tuple((a - middle, b - middle) for a, b in clip.islands if a >= middle)
    edge = samples(middle)
    head, tail = faded(clip.sound[:edge], 10), faded(clip.sound[edge:], 10)
    return (
        Clip(clip.speaker, clip.source, head, before),
        Clip(clip.speaker, clip.source, tail, after),
    )


def without_pauses(clip: Clip, longest_ms: int) -> Clip:
    """The clip with every gap shortened to at most `longest_ms`."""
    long = next((gap for gap in clip.gaps if gap[1] - gap[0] > longest_ms), None)
    if long is None:
        return clip
    head, tail = parts(clip, long)
    return joined((head, without_pauses(tail, longest_ms)), (longest_ms,))
