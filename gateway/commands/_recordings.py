"""The recordings `segment` is asked to hear: every file is read and found fit before the first is heard."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from audio.errors import UnsupportedAudio
from audio.scoring import score
from audio.track import Track, read_track
from audio.types import FRAME_MS, FRAME_SAMPLES
from gateway.errors import BadSetting, ConfigError

_HEADERLESS: Final = ".ulaw"
_SUFFIXES: Final = (_HEADERLESS, ".wav")
_AGENT: Final = ".agent"
"""`X.agent.ulaw` is what was played while `X.ulaw` (or `X.caller.ulaw`) was heard."""


@dataclass(frozen=True, slots=True)
class Recording:
    """One call to hear."""

    id: str
    """The file's name without `.wav` or `.ulaw`: what a corpus calls its track."""
    track: Track
    agent: str | None
    """Where the agent's voice was found, to be told; None: there is none."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    file: Path
    agent: Path | None
    """The agent's voice in a file of its own."""

    @property
    def id(self) -> str:
        return _stem(self.file)


def read_recordings(files: Sequence[Path], agent: Path | None) -> list[Recording]:
    """Read caller tracks; `agent` is that of the only one, others are looked for beside their callers.

    `ConfigError` names every file that cannot be used.
    """
    # a folder's *.ulaw holds both voices of its calls
    agents = {_beside(one) for one in files}
    return _read(_Wanted(one, agent or _beside(one)) for one in files if one not in agents)


def read_labelled(manifest: dict[str, Any], folder: Path) -> list[Recording]:
    """Read every track of a manifest; `ConfigError` names every file that cannot be used."""
    return _read(
        _Wanted(folder / one["file"], folder / one["agent_file"] if one.get("agent_file") else None)
        for one in manifest["tracks"]
    )


def read_manifest(path: Path) -> dict[str, Any]:
    """Read the labels of a corpus; `ConfigError` where the file holds none."""
    try:
        return _labels(path.read_bytes())
    except OSError as error:
        raise _refused(path, _unreadable(error)) from None
    except (ValueError, TypeError, AttributeError, LookupError) as error:
        problem = f"is no manifest of labelled tracks ({type(error).__name__}: {error})"
        raise _refused(path, problem) from None


def _labels(data: bytes) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads(data)
    # cheaper than a second description of the format: whatever can be scored is a manifest
    score(manifest, {"tracks": {one["id"]: [] for one in manifest["tracks"]}})
    if not all(isinstance(one["file"], str) for one in manifest["tracks"]):
        raise TypeError("a track's file is not text")
    return manifest


def _read(wanted: Iterable[_Wanted]) -> list[Recording]:
    found, problems = [], []
    for one in wanted:
        try:
            found.append(_recording(one))
        except ConfigError as error:
            problems += error.problems
    twins = [name for name, times in Counter(one.id for one in found).items() if times > 1]
    problems += [BadSetting(name, "is the name of more than one FILE") for name in twins]
    if problems:
        raise ConfigError(list(dict.fromkeys(problems)))
    return found


def _recording(wanted: _Wanted) -> Recording:
    track = _track(wanted.file)
    if wanted.agent is not None:
        ours = _track(wanted.agent)
        # of a whole call only its agent is meant
        voice = ours.caller if ours.agent is None else ours.agent
        return Recording(wanted.id, Track(track.caller, voice), wanted.agent.name)
    return Recording(wanted.id, track, None if track.agent is None else "right channel")


def _track(path: Path) -> Track:
    try:
        track = read_track(path.read_bytes(), headerless=path.suffix.lower() == _HEADERLESS)
    except OSError as error:
        raise _refused(path, _unreadable(error)) from None
    except UnsupportedAudio as error:
        raise _refused(path, f"cannot be heard: {error}") from None
    if len(track.caller) < FRAME_SAMPLES:
        raise _refused(path, f"is empty: it holds less than one frame ({FRAME_MS} ms) of sound")
    return track


def _beside(caller: Path) -> Path | None:
    """The agent's track that lies beside this one, as corpora and the gateway name them."""
    agent = caller.parent / f"{_stem(caller).removesuffix('.caller')}{_AGENT}{caller.suffix}"
    return agent if agent.is_file() else None


def _stem(path: Path) -> str:
    return path.stem if path.suffix.lower() in _SUFFIXES else path.name


def _refused(path: Path, problem: str) -> ConfigError:
    return ConfigError([BadSetting(str(path), problem)])


def _unreadable(error: OSError) -> str:
    return f"cannot be read: {error.strerror or error}"
