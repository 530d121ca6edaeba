"""Every target, in seconds: by grammar, by chance, on all that is kept, on long inputs, for leaks.

`FUZZ_EXAMPLES` says how many inputs hypothesis makes up for each target (default 60). `make fuzz` looks further.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.leaks import growth
from tests.fuzz.seeds import seeds
from tests.fuzz.targets import CORPUS, CRASHES, NAMES, Target, kept, opened

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "60"))
KEPT = [(path.parent.name, path) for name in NAMES for path in kept(CRASHES, name)]
LARGEST_CORPUS = 100
LARGEST_INPUT = 8192
LONG = 64 * 1024
"""Bytes; what a phone or the API could send in a moment."""
LONG_FOR_AN_OPERATOR = 4 * 1024
"""Bytes of settings. Who writes them wants to be told of every wrong name what it was meant to be: 7 ms each."""
HANG_SECONDS = 20.0
"""Ten times what the slowest target takes for that much on a busy machine."""


@pytest.fixture(scope="module", params=NAMES)
def target(request: pytest.FixtureRequest) -> Iterator[Target]:
    with opened(request.param) as found:
        yield found


def test_what_the_grammar_makes_keeps_the_promise(target: Target) -> None:
    @settings(max_examples=EXAMPLES, database=None, suppress_health_check=list(HealthCheck))
    @given(target.inputs() | st.binary(max_size=200))
    def attack(data: bytes) -> None:
        target.run(data)

    attack()


def test_what_was_kept_keeps_the_promise(target: Target) -> None:
    inputs = kept(CORPUS, target.name)
    for path in inputs:
        target.run(path.read_bytes())

    assert 1 <= len(inputs) <= LARGEST_CORPUS
    assert all(path.stat().st_size <= LARGEST_INPUT for path in inputs)


@pytest.mark.parametrize(("name", "path"), KEPT, ids=lambda one: getattr(one, "name", one))
def test_what_once_broke_a_target_does_so_no_more(name: str, path: Path) -> None:
    with opened(name) as target:
        target.run(path.read_bytes())


def test_a_long_input_does_not_hang(target: Target) -> None:
    """Whatever is repeated: time must not grow with the square of the length."""
    inputs = [path.read_bytes() for path in kept(CORPUS, target.name)] + seeds(target, 20)
    length = LONG_FOR_AN_OPERATOR if target.name == "settings" else LONG
    slow = {}
    for data in sorted(inputs, key=len)[-6:]:
        # the first byte chooses; what follows it is repeated, from its start and from its middle
        for tail in (data[1:], data[len(data) // 2 :], data[-9:]):
            began = time.process_time()
            target.run(data + tail * (length // max(1, len(tail))))
            if (seconds := time.process_time() - began) > HANG_SECONDS:
                slow[data] = seconds

    assert slow == {}


def test_nothing_is_kept(
    target: Target, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A leak of one object an input shows in hundreds; `make fuzz-leaks` looks with a hundred thousand."""
    monkeypatch.setattr(type(caplog.handler), "emit", lambda *_: None)  # it keeps every line

    def kept_an_input() -> float:
        found = growth(target, 150)
        return (found.after.objects - found.before.objects) / found.runs

    # what is made once, or not collected yet, does not come up every time
    assert any(kept_an_input() < 0.5 for _ in range(4))


def test_every_input_kept_has_a_target() -> None:
    folders = {
        path.name for place in (CORPUS, CRASHES) for path in place.iterdir() if path.is_dir()
    }

    assert folders <= set(NAMES)
