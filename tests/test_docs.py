"""The documentation says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway.call.phases import NEXT, Phase
from gateway.cli import COMMANDS
from tools.settings_table import rows

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
HOW = (ROOT / "docs" / "how-it-works.md").read_text()


def test_the_readme_lists_every_setting_as_it_is() -> None:
    missing = [row for row in rows() if row not in README]

    assert [] == missing, "run: python tools/settings_table.py"


def test_the_readme_lists_no_setting_that_does_not_exist() -> None:
    known = set(re.findall(r"`([A-Z_]+)`", "\n".join(rows())))
    shown = set(re.findall(r"^\| `([A-Z_]+)` \|", README, re.MULTILINE))

    assert shown == known


def test_the_phase_table_is_the_one_the_core_obeys() -> None:
    documented = dict(re.findall(r"^\| `(\w+)` \| [^|]+ \| ([^|]*) \|$", HOW, re.MULTILINE))
    expected = {
        phase.value: ", ".join(f"`{after.value}`" for after in Phase if after in NEXT[phase])
        for phase in Phase
    }

    assert expected == documented


@pytest.mark.parametrize("text", [README, HOW], ids=["README", "how-it-works"])
def test_every_file_named_exists(text: str) -> None:
    for name in re.findall(r"`((?:gateway|audio|tests|tools|docs)/[\w/.-]+)`", text):
        assert (ROOT / name).exists(), name


def test_every_command_named_exists() -> None:
    named = set(re.findall(r"voice-gateway ([a-z]+)", README))

    assert named <= set(COMMANDS)
