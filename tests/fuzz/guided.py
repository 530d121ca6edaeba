"""One target under atheris; never returns: `python -m tests.fuzz.guided TARGET WORDS [libFuzzer options, folders]`.

WORDS is the file for the dictionary; the first folder begins with inputs of the target's own strategy.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import atheris

from tests.fuzz.words import dictionary

with atheris.instrument_imports(include=["gateway", "audio"]):
    from tests.fuzz.seeds import seeds
    from tests.fuzz.targets import opened

SEEDS = 200


def main(name: str, words: Path, options: list[str]) -> None:
    warnings.simplefilter("error")
    # the parts of the web targets that have no promise about it leave sockets to the collector
    warnings.simplefilter("ignore", ResourceWarning)
    with atheris.instrument_imports(include=["gateway", "audio"]), opened(name) as target:
        words.write_text(dictionary(target.words))
        found = next(Path(one) for one in options if not one.startswith("-"))
        for number, data in enumerate(seeds(target, SEEDS)):
            (found / f"seed-{number}").write_bytes(data)
        limits = (f"-max_len={target.longest}", f"-dict={words}")
        atheris.Setup([sys.argv[0], *options, *limits], target.run)
        atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
