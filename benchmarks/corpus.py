"""The built-in labelled corpus: 20 minutes of telephone lines, made from recorded voices when they are needed.

    python -m benchmarks.corpus DIR     write it as .ulaw files with a manifest.json

The same seeds give the same samples. A track is the caller's mu-law, our own where we speak, and
what is true about it; `manifest.json` has the fields that any other corpus for this benchmark has,
so that one judge serves all. Nothing is downloaded: the voices are in the repository.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from functools import cache
from itertools import product
from pathlib import Path
from typing import Final, TypedDict

import numpy as np

from audio.wav import read_wav
from benchmarks.lines.cast import Cast
from benchmarks.lines.echo import EchoSpec
from benchmarks.lines.scenes import AGENT_DBFS, Studio
from benchmarks.lines.sound import Floats
from benchmarks.lines.track import Track, TrackLabel
from benchmarks.lines.voices import Clip, clip_of

ROOT: Final = Path(__file__).parent.parent
SEED: Final = 7
SPEAKERS: Final = {
    "allison": ("gateway/simulator/speech", "tests/end_to_end/answers"),
    "librivox": ("gateway/simulator/speech",),
    "june": ("benchmarks/voices/june",),
    "carlo": ("benchmarks/voices/carlo",),
    "ivrvoice": ("benchmarks/voices/ivrvoice",),
}
_READER: Final = ("leisure", "young-man", "cold-hearted", "amiable")
"""The files of `gateway/simulator/speech` that LibriVox's volunteer reads; Allison has the others."""
RETURNS_DB: Final = (-20.0, -30.0)
DELAYS_MS: Final = (40, 200, 450)
ECHOES: Final = tuple(
    EchoSpec(return_db=level, delay_ms=delay, clipped=clipped)
    for level, clipped, delay in product(RETURNS_DB, (False, True), DELAYS_MS)
)
"""Every way back that is tried: level, linear or overdriven, delay."""
NO_ECHO: Final = EchoSpec(return_db=-100.0, delay_ms=40)
"""The way back that a good line has: none."""
_TALKED_OVER: Final = (ECHOES[0], ECHOES[4], ECHOES[8], ECHOES[11])
"""Those of the dialogues: each level, each delay, linear and overdriven."""
LOUDER_DB, SOFTER_DB, FAINT_DB = -6.0, -14.0, -20.0
"""Callers who interrupt, against our own level. The faint ones are reported, not promised."""


class Manifest(TypedDict):
    """What is true about a folder of tracks."""

    format: int
    set: str
    sample_rate: int
    encoding: str
    frame_ms: int
    tracks: list[TrackLabel]


@cache
def clips() -> tuple[Clip, ...]:
    """Every recording, labelled."""
    found = []
    for speaker, folders in SPEAKERS.items():
        for path in (path for folder in folders for path in sorted((ROOT / folder).glob("*.wav"))):
            if "simulator" in path.parts and (path.stem in _READER) is not (speaker == "librivox"):
                continue
            clip = clip_of(_recording(path), speaker, path.relative_to(ROOT).as_posix())
            if clip is not None:
                found.append(clip)
    return tuple(found)


def _recording(path: Path) -> Floats:
    pcm, _ = read_wav(path.read_bytes())
    return pcm.astype(np.float64)


def studio(seed: int = SEED) -> Studio:
    return Studio(lambda rng: Cast(clips(), rng), seed)


def call_tracks(seed: int = SEED) -> Iterator[Track]:
    """Callers without an agent, over every noise; noises without a caller."""
    make, ms = studio(seed), 50_000
    yield make.talk("clean", ms=ms, level=-20.0, happenings=True)
    yield make.talk("clean-quiet", ms=ms, level=-32.0)
    for noise, snr in (("white", 20), ("white", 10), ("pink", 20), ("pink", 10), ("hum", 15)):
        yield make.talk(f"{noise}-{snr}", ms=ms, level=-22.0, noise=noise, snr_db=snr)
    yield make.talk("street-15", ms=ms, level=-22.0, noise="street", snr_db=15)
    yield make.talk("babble-20", ms=ms, level=-22.0, noise="babble", snr_db=20)
    yield make.events("events", ms=ms)
    yield make.nobody("nobody-street", ms=ms, level=-32.0, noise="street")
    yield make.nobody("nobody-pink", ms=ms, level=-38.0, noise="pink")


def echo_only(spec: EchoSpec, *, ms: int = 40_000, seed: int = SEED) -> Track:
    """We speak, the caller is silent."""
    return studio(seed).echo_only(echo_only_name(spec), spec, ms=ms)


def barge_in(
    spec: EchoSpec, caller_db: float, *, ms: int = 45_000, seed: int = SEED, share: float = 0.6
) -> Track:
    """A dialogue in which the caller, `caller_db` against our level, answers and interrupts."""
    return studio(seed).dialogue(
        f"barge{caller_db:+.0f}-{_name(spec)}",
        spec,
        ms=ms,
        level=AGENT_DBFS + caller_db,
        barge_share=share,
    )


def agent_tracks(seed: int = SEED) -> Iterator[Track]:
    """Echo alone over every way back; dialogues over four of them, loud and soft in turn."""
    for spec in ECHOES:
        yield echo_only(spec, seed=seed)
    for spec, caller_db in zip(_TALKED_OVER, (LOUDER_DB, SOFTER_DB) * 2, strict=True):
        yield barge_in(spec, caller_db, seed=seed)


def unechoed_tracks(seed: int = SEED) -> Iterator[Track]:
    """Dialogues on lines without an echo, the caller as soft as one may be; no part of `tracks`."""
    for part in range(3):
        yield barge_in(NO_ECHO, SOFTER_DB, seed=seed + part, share=1.0)


def faint_tracks(seed: int = SEED) -> Iterator[Track]:
    """Dialogues with callers who are hardly louder than our echo; no part of `tracks`."""
    for spec in _TALKED_OVER:
        yield barge_in(spec, FAINT_DB, seed=seed)


@cache
def tracks(seed: int = SEED) -> tuple[Track, ...]:
    """The whole corpus: a few seconds of work, done once."""
    return (*call_tracks(seed), *agent_tracks(seed))


def manifest(made: tuple[Track, ...]) -> Manifest:
    return Manifest(
        format=1,
        set="built-in",
        sample_rate=8000,
        encoding="mulaw",
        frame_ms=20,
        tracks=[track.label for track in made],
    )


def write(folder: Path) -> Manifest:
    """All tracks and the manifest, as files."""
    folder.mkdir(parents=True, exist_ok=True)
    made = tracks()
    for track in made:
        track.label["sha256"] = hashlib.sha256(track.caller).hexdigest()
        (folder / track.label["file"]).write_bytes(track.caller)
        if track.agent is not None:
            (folder / track.label["agent_file"]).write_bytes(track.agent)
    written = manifest(made)
    (folder / "manifest.json").write_text(json.dumps(written, indent=1), encoding="utf-8")
    return written


def echo_only_name(spec: EchoSpec) -> str:
    """Identifier of the track without a caller."""
    return f"echo-only-{_name(spec)}"


def _name(spec: EchoSpec) -> str:
    kind = "clipped" if spec.clipped else "linear"
    return f"{spec.return_db:+.0f}-{kind}-{spec.delay_ms}"


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print("usage: python -m benchmarks.corpus DIR", file=sys.stderr)
        return 2
    written = write(Path(arguments[0]))
    seconds = sum(track["duration_ms"] for track in written["tracks"]) / 1000
    turns = sum(len(track["turns"]) for track in written["tracks"])
    print(f"{len(written['tracks'])} tracks, {seconds / 60:.1f} min, {turns} turns")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
