"""The tracks of a corpus: who speaks when, over which noise, against which echo."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count, cycle

import numpy as np

from benchmarks.lines.cast import Cast
from benchmarks.lines.echo import EchoSpec
from benchmarks.lines.happenings import HAPPENINGS
from benchmarks.lines.noises import NOISES
from benchmarks.lines.sound import Floats
from benchmarks.lines.track import Sheet, Track

KINDS = ("short", "stretched", "digits", "phrase", "short", "joined")
AGENT_DBFS = -18.0
_GAP_MS = (3300, 4600)
"""Between turns: long enough that a turn which never ends is known for one."""
_BREATHER_MS = 1700
"""The agent begins again this long after the caller, who must have been heard to stop."""
_STOPS_MS = 560
"""An interrupted agent falls silent this long after the caller began."""


@dataclass(slots=True)
class Studio:
    """Makes tracks from one cast; every track has its own chance, so that tracks can come and go."""

    clips: Callable[[np.random.Generator], Cast]
    seed: int

    def _rng(self, name: str) -> np.random.Generator:
        return np.random.default_rng([self.seed, *name.encode()])

    def talk(
        self,
        name: str,
        *,
        ms: int,
        level: float,
        noise: str = "clean",
        snr_db: float | None = None,
        sound: Floats | None = None,
        happenings: bool = False,
    ) -> Track:
        """A caller over a noise: one of `NOISES`, or `sound` under that name."""
        sheet, cast = self._sheet(name, ms, level, noise, snr_db)
        self._turns(sheet, cast, happenings=happenings)
        if snr_db is not None:
            sheet.fill(self._noise(sheet, cast, sound), level - snr_db)
        return sheet.finish()

    def nobody(
        self, name: str, *, ms: int, level: float, noise: str, sound: Floats | None = None
    ) -> Track:
        """Noise without a caller."""
        sheet, cast = self._sheet(name, ms, level, noise, None)
        sheet.fill(self._noise(sheet, cast, sound), level)
        return sheet.finish()

    def events(self, name: str, *, ms: int, extra: Sequence[tuple[str, str, Floats]] = ()) -> Track:
        """Sounds that are no speech, every kind several times; `extra`: kind, source, sound."""
        sheet, _ = self._sheet(name, ms, -20.0, "events", None)
        kinds = list(HAPPENINGS)
        at, index = 1500, 0
        while at < ms - 3000:
            pick = index % (len(kinds) + len(extra))
            if pick < len(kinds):
                sound = HAPPENINGS[kinds[pick]](sheet.rng)
                end = sheet.happen(kinds[pick], sound, at)
            else:
                kind, source, sound = extra[pick - len(kinds)]
                end = sheet.happen(kind, sound, at, source)
            at = end + int(sheet.rng.integers(1200, 2200))
            index += 1
        return sheet.finish()

    def echo_only(self, name: str, spec: EchoSpec, *, ms: int) -> Track:
        """We speak, nobody answers."""
        sheet, cast = self._sheet(name, ms, -20.0, "echo", None)
        at = 600
        while at < ms - 4000:
            length = int(sheet.rng.integers(5000, 9000))
            end = sheet.play(cast.agent(length), at, AGENT_DBFS, until_ms=at + length)
            at = end + int(sheet.rng.integers(700, 1800))
        sheet.return_echo(spec)
        return sheet.finish()

    def dialogue(
        self,
        name: str,
        spec: EchoSpec,
        *,
        ms: int,
        level: float,
        barge_share: float = 0.5,
        first_after_ms: int = 1500,
    ) -> Track:
        """We speak, the caller answers or interrupts. The first sound of an interruption comes
        `first_after_ms` at the earliest after ours.
        """
        sheet, cast = self._sheet(name, ms, level, "echo", None)
        sheet.label["barge_db"] = level - AGENT_DBFS
        rng, at, index = sheet.rng, 600, 0
        while at < ms - 9000:
            barge_in = rng.random() < barge_share
            length = int(rng.integers(4000, 8000))
            said = cast.turn(KINDS[index % len(KINDS)])
            index += 1
            if barge_in:
                begin = at + int(rng.integers(first_after_ms, 4500))
                sheet.play(cast.agent(8000), at, AGENT_DBFS, until_ms=begin + _STOPS_MS)
            else:
                end = sheet.play(cast.agent(length), at, AGENT_DBFS, until_ms=at + length)
                begin = end + int(rng.integers(700, 1500))
            if begin + said.clip.ms > ms - 2500:
                break  # we are heard out, and the call is over
            over = sheet.say(said, begin, barge_in=barge_in)
            at = over + _BREATHER_MS + int(rng.integers(0, 600))
            at -= at % 20
        sheet.return_echo(spec)
        return sheet.finish()

    def _sheet(
        self, name: str, ms: int, level: float, noise: str, snr_db: float | None
    ) -> tuple[Sheet, Cast]:
        rng = self._rng(name)
        return Sheet(name, ms, level, noise, rng, snr_db), self.clips(rng)

    def _noise(self, sheet: Sheet, cast: Cast, sound: Floats | None) -> Floats:
        return NOISES[sheet.noise](sheet.ms, sheet.rng, cast) if sound is None else sound

    def _turns(self, sheet: Sheet, cast: Cast, *, happenings: bool) -> None:
        """Turns of every kind until the track is full; after every other one, what is no speech."""
        rng, at = sheet.rng, int(sheet.rng.integers(1200, 2400))
        others = cycle(HAPPENINGS.items())
        for index in count():
            said = cast.turn(KINDS[index % len(KINDS)])
            if at + said.clip.ms > sheet.ms - 3300:
                return
            over = sheet.say(said, at)
            at = over + int(rng.integers(*_GAP_MS))
            if happenings and index % 2 == 0:
                kind, make = next(others)
                sheet.happen(kind, make(rng), over + 1800)
                at += 1200
