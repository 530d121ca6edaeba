"""The README's three terminals, run as they are written (on free ports)."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def blocks() -> list[str]:
    by_hand = README.partition("## Try it by hand")[2].partition("## Connect")[0]
    return re.findall(r"```sh\n(.*?)```", by_hand, re.DOTALL)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def terminal(script: str, cwd: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A shell of its own, without any of this machine's settings; ended as Ctrl-C would."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AMIGO_", "TWILIO_", "GATEWAY_", "LOG_"))
    }
    with (cwd / "log").open("ab") as log:
        shell = subprocess.Popen(
            ["bash", "-euc", script],
            cwd=cwd,
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            yield shell
        finally:
            if shell.poll() is None:
                os.killpg(shell.pid, signal.SIGTERM)
            try:
                shell.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(shell.pid, signal.SIGKILL)
                shell.wait()


def wait_for(url: str, shell: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(600):
        assert shell.poll() is None, log.read_text()
        try:
            with urlopen(url, timeout=5) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"{url} never answered: {log.read_text()}")


@pytest.mark.speech
@pytest.mark.timeout(300)
def test_the_three_terminals_work_as_written(tmp_path: Path) -> None:
    sandbox, serve, call = blocks()
    ports = {"8090": free_port(), "8091": free_port(), "8080": free_port()}

    def here(script: str) -> str:
        script = script.replace(".venv/bin", str(ROOT / ".venv" / "bin"))
        script = script.replace("gateway/simulator", str(ROOT / "gateway" / "simulator"))
        for documented, free in ports.items():
            script = script.replace(f":{documented}", f":{free}")
        script = script.replace("--port 8080", f"--port {ports['8080']}")
        script = script.replace("sandbox --env", f"sandbox --env --port {ports['8090']}")
        # as typed at a prompt: the shell gives way to what it started
        return re.sub(
            r"^(\S*voice-gateway (?:serve|sandbox)\b(?! --env).*)$",
            r"exec \1",
            script,
            flags=re.MULTILINE,
        )

    log = tmp_path / "log"
    sandbox = here(sandbox).replace("sandbox", f"sandbox --port {ports['8090']}")
    with terminal(sandbox, tmp_path) as first:
        wait_for(f"http://127.0.0.1:{ports['8090']}/v1/openapi.json", first, log)
        with terminal(here(serve), tmp_path) as second:
            wait_for(f"http://127.0.0.1:{ports['8080']}/readyz", second, log)
            done = subprocess.run(
                ["bash", "-euc", here(call)],
                cwd=tmp_path,
                capture_output=True,
                text=True,
                check=False,
            )

    assert done.returncode == 0, done.stdout + done.stderr + log.read_text()
    assert "plumber" in done.stdout.lower()
    assert second.returncode == 0, log.read_text()
