"""The fewest inputs that go everywhere a larger set of them goes; steps in our own code are what counts.

`python -m tests.fuzz.fewest TARGET FOLDER` makes the corpus of a target anew, out of itself and the folder.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable
from pathlib import Path
from types import FrameType
from typing import Any

from tests.fuzz.targets import CORPUS, Target, kept, opened

ROOT = Path(__file__).parent.parent.parent
OURS = tuple(f"{ROOT / name}/" for name in ("gateway", "audio"))

MOST = 60
"""Inputs a corpus may have."""
TIMES = 4
"""Inputs for each step, where there are as many: what is to be changed by chance should differ."""

Step = tuple[str, int, int]
"""File, line, and the line before it in the same frame."""


def fewest(target: Target, known: Iterable[bytes], most: int) -> list[bytes]:
    """At most `most` of the known inputs, those that add most first; the shorter of two that add the same."""
    inputs = sorted(set(known), key=lambda data: (len(data), data))
    if inputs:
        target.run(inputs[0])  # what happens only once belongs to no input
    reached = {data: steps(target, data) for data in inputs}
    chosen: list[bytes] = []
    for _ in range(TIMES):
        left = set().union(*reached.values())
        while left and len(chosen) < most:
            best = max(reached, key=lambda data: len(reached[data] & left))
            left -= reached.pop(best)
            chosen.append(best)
    return chosen


def steps(target: Target, data: bytes) -> set[Step]:
    """Where the target goes with this input, in this thread."""
    found: set[Step] = set()

    def enter(frame: FrameType, event: str, _: Any) -> Any:
        file = frame.f_code.co_filename
        if not file.startswith(OURS):
            return None
        before = 0

        def line(frame: FrameType, event: str, _: Any) -> Any:
            nonlocal before
            if event == "line":
                found.add((file, frame.f_lineno, before))
                before = frame.f_lineno
            return line

        return line

    previous = sys.gettrace()
    sys.settrace(enter)
    try:
        target.run(data)
    finally:
        sys.settrace(previous)
    return found


def main(name: str, folder: Path) -> None:
    old = kept(CORPUS, name)
    known = [path.read_bytes() for path in (*old, *sorted(folder.iterdir()))]
    with opened(name) as target:
        chosen = fewest(target, known, MOST)
    for path in old:
        path.unlink()
    for data in chosen:
        digest = hashlib.sha256(data).hexdigest()[:12]
        (CORPUS / name / digest).write_bytes(data)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
