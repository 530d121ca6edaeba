"""The targets: a module for each parser that reads what others wrote.

A module has `run(data)`, which returns when the parser kept its promise and raises when it did not;
`inputs()`, a hypothesis strategy that knows the grammar; `WORDS`, what the grammar is made of, for
drivers that do not; `LONGEST`, how many bytes an input may have. One that holds something open has `close()`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

from hypothesis.strategies import SearchStrategy

FOLDER = Path(__file__).parent.parent
CORPUS, CRASHES = FOLDER / "corpus", FOLDER / "crashes"
NAMES = tuple(sorted(found.name for found in iter_modules(__path__)))


@dataclass(frozen=True, slots=True)
class Target:
    name: str
    run: Callable[[bytes], None]
    inputs: Callable[[], SearchStrategy[bytes]]
    words: tuple[bytes, ...]
    longest: int


def kept(folder: Path, name: str) -> list[Path]:
    """The inputs kept for a target, in a fixed order."""
    place = folder / name
    return sorted(place.iterdir()) if place.is_dir() else []


@contextmanager
def opened(name: str) -> Iterator[Target]:
    module = import_module(f"{__name__}.{name}")
    try:
        yield Target(name, module.run, module.inputs, module.WORDS, module.LONGEST)
    finally:
        if hasattr(module, "close"):
            module.close()
