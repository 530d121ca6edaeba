"""The commands in the documentation of turn-taking, run as they are written."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from audio import mulaw
from audio.recording import mix_stereo
from tests.audio.sounds import quiet, speech

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "turn-taking.md").read_text()
BLOCKS = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_works_as_written(block: str, tmp_path: Path) -> None:
    caller = np.concatenate((quiet(2500), speech("goodbye"), quiet(1500)))
    agent = speech("young-man")[:16_000]
    mix_stereo(mulaw.encode(caller), mulaw.encode(agent), tmp_path / "call.wav")
    script = block.replace(".venv/bin", str(ROOT / ".venv" / "bin"))
    script = script.replace("gateway/simulator", str(ROOT / "gateway" / "simulator"))
    ours = ("AMIGO_", "TWILIO_", "GATEWAY_", "LOG_")

    done = subprocess.run(
        ["bash", "-euc", script],
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if not name.startswith(ours)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "utterance" in done.stdout
    assert ("--plot" in block) == (tmp_path / "call.png").exists()


def test_every_file_named_exists() -> None:
    for name in re.findall(r"`((?:gateway|audio|tests|tools|docs)/[\w/.-]+)`", PAGE):
        assert (ROOT / name).exists(), name
