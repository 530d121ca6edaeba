"""Recorded human speech that ships with the package; README.md here names voices and licences."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

from gateway.simulator.sound import from_file

INDEX: Final = "index.toml"


@dataclass(frozen=True, slots=True)
class Recording:
    """One recording, as `index.toml` describes it."""

    name: str
    file: str
    text: str
    """The words spoken."""
    speaker: str
    licence: str
    source: str

    def sound(self) -> bytes:
        """Mu-law at 8 kHz."""
        return from_file(self.wav())

    def wav(self) -> bytes:
        """The WAV file as shipped: 8 kHz, mono, 16 bit."""
        return files(__name__).joinpath(self.file).read_bytes()


@cache
def recordings() -> dict[str, Recording]:
    """All recordings by name."""
    index = tomllib.loads(files(__name__).joinpath(INDEX).read_text(encoding="utf-8"))
    return {name: Recording(name=name, **entry) for name, entry in index.items()}


def recording(name: str) -> Recording:
    """One recording; raises `KeyError` for a name that is not in the index."""
    return recordings()[name]
