"""`voice-gateway sandbox` as a process: what it prints, how it ends, how it complains."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import urllib.request

import pytest

from gateway.errors import ConfigError
from gateway.sandbox import engines

COMMAND = [sys.executable, "-m", "gateway", "sandbox"]


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def test_env_prints_the_export_lines_and_exits():
    done = _run("--env", "--port", "8123")

    assert done.returncode == 0
    assert done.stdout.splitlines()[0] == "export AMIGO_BASE_URL=http://127.0.0.1:8123"
    assert len(done.stdout.splitlines()) == 7
    assert done.stdout.splitlines()[-1] == "export AMIGO_ADMIN_USER_ID=sandbox-admin"


def test_wrong_faults_are_each_named_with_exit_status_2():
    done = _run("--fault", "stal-think=1", "--fault", "error-mid=7")

    assert done.returncode == 2
    assert "did you mean 'stall-think'" in done.stderr
    assert "rate must be between 0 and 1" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("--port", "99999"),
        ("--port", "-1"),
        ("--token-seconds", "0"),
        ("--token-seconds", "-5"),
        ("--token-seconds", "nan"),
        ("--token-seconds", "1e300"),
        ("--think-ms", "-1"),
        ("--think-ms", "99999999999"),
        ("--fault", "late-eof=1@99999999999"),
        ("--host", "x" * 300),
    ],
)
def test_a_number_nothing_can_be_done_with_is_one_line_and_exit_status_2(arguments):
    done = _run("--engine", "tones", *arguments)

    assert (done.returncode, done.stdout) == (2, "")
    assert [line.partition(":")[0] for line in done.stderr.splitlines()] == [arguments[0]]


def test_it_serves_on_a_free_port_and_stops_at_sigterm():
    process = subprocess.Popen(
        [*COMMAND, "--engine", "tones", "--port", "0", "--revision", "2026-04"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        assert process.stdout is not None
        base = re.fullmatch(
            r"export AMIGO_BASE_URL=(http://127.0.0.1:\d+)\n", process.stdout.readline()
        )
        assert base is not None
        with urllib.request.urlopen(f"{base[1]}/v1/openapi.json", timeout=10) as answer:
            assert b"request_audio_config" in answer.read()
        port_taken = _run("--engine", "tones", "--port", base[1].rpartition(":")[2])
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=20)
    finally:
        process.kill()
        process.communicate()

    assert process.returncode == 0
    assert "openapi 200" in log
    assert port_taken.returncode == 2
    assert "cannot listen on" in port_taken.stderr


def test_missing_engines_are_explained(monkeypatch):
    monkeypatch.setattr(engines, "EXTRA_MODULES", ("hibari", "no_such_module"))
    with pytest.raises(ConfigError, match=r"no_such_module missing\): pip install"):
        engines.load_engines("speech")


def test_the_tones_need_no_extra(monkeypatch):
    monkeypatch.setattr(engines, "EXTRA_MODULES", ("no_such_module",))

    assert engines.load_engines("tones").voice.rate == 16000
