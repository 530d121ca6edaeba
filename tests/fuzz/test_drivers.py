"""The drivers find what is planted, and say so; what `docs/fuzzing.md` tells to type works."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import strategies as st

from tests.fuzz import __main__ as driver
from tests.fuzz.fewest import fewest
from tests.fuzz.leaks import growth
from tests.fuzz.targets import NAMES, Target, opened

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "fuzzing.md").read_text()
COMMANDS = re.findall(r"^make (?:fuzz\S*).*$", PAGE, re.MULTILINE)
guided = pytest.mark.skipif(find_spec("atheris") is None, reason="atheris has no wheel here")

BROKEN = """
import sys
from pathlib import Path
from tests.fuzz.guided import main
from tests.fuzz.targets import twiml

def run(data):
    assert not data.startswith(b"</Say>"), "planted"

twiml.run = run
main("twiml", Path(sys.argv[1]), sys.argv[2:])
"""


def _run(*command: object, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*map(str, command)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **more},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@guided
@pytest.mark.parametrize("command", COMMANDS)
def test_what_the_page_says_can_be_typed(command: str) -> None:
    """A thousandth of the page's runs, of one target, as `make` would start it."""
    short = re.sub(r"RUNS=\d+", "RUNS=200", command.partition("#")[0]).strip()
    short = re.sub(r'ONLY=(".*?"|\S+)', "ONLY=twiml", short)
    extra = [word for word in ("RUNS=200", "ONLY=twiml") if word.split("=")[0] not in short]
    planned = _run(*shlex.split(short), *extra, "--dry-run").stdout
    (line,) = (line for line in planned.splitlines() if " -m tests.fuzz" in line)
    arguments = shlex.split(line)[1:]

    done = _run(sys.executable, *arguments)

    assert done.returncode == 0, done.stderr
    assert re.search(r"^twiml +\d{3}\b.* ok$", done.stdout, re.MULTILINE), done.stdout


def test_the_page_names_every_target_and_its_commands() -> None:
    assert COMMANDS
    assert set(NAMES) <= set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE))


@guided
def test_a_planted_fault_is_found_and_its_input_kept(tmp_path: Path) -> None:
    found = tmp_path / "found"
    found.mkdir()

    done = _run(
        *(sys.executable, "-c", BROKEN, tmp_path / "words", found),
        *("-runs=20000", f"-artifact_prefix={tmp_path}/"),
        TMPDIR=str(tmp_path),
    )

    assert done.returncode != 0
    assert "planted" in done.stderr + done.stdout
    (crash,) = tmp_path.glob("crash-*")
    assert crash.read_bytes().startswith(b"</Say>")


def test_where_atheris_is_not_it_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(driver, "find_spec", lambda _: None)

    assert driver.main(["--runs", "100"]) == 1
    assert "make fuzz needs atheris" in capsys.readouterr().err


def test_an_unknown_target_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        driver.main(["teletext"])

    assert "no such target: teletext" in capsys.readouterr().err


def test_a_million_inputs_are_spread_so_that_all_get_some() -> None:
    shares = dict(driver.spread(1_000_000, NAMES))

    assert set(shares) == set(NAMES)
    assert sum(shares.values()) >= 1_000_000
    assert driver.spread(1, ("twiml",)) == [("twiml", driver.LEAST)]


def test_a_leak_of_one_object_an_input_is_seen() -> None:
    lost: list[list[bytes]] = []
    target = Target("leaks", lambda data: lost.append([data]), st.binary, (b"x",), 64)

    found = growth(target, 3000)

    assert found.leaks
    # one for each input, less what the rest of this process let go of meanwhile
    assert found.after.objects - found.before.objects >= 2900


def test_the_fewest_inputs_go_where_all_go() -> None:
    with opened("store_url") as target:
        known = [b"", b"x", b"y", b"sqlite:///a.db", b"redis://h:1/0", b"redis://h:2/0"]
        chosen = fewest(target, known, 60)
        few = fewest(target, known, 2)

    assert {b"sqlite:///a.db", b"redis://h:1/0"} <= set(chosen)
    assert set(few) == {b"sqlite:///a.db", b"redis://h:1/0"}
