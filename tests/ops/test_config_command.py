"""`voice-gateway config`: every setting, its source, no secret."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.cli import main
from gateway.settings import OPTIONS

from .conftest import SetEnvironment


def test_every_setting_is_listed_with_value_and_source(
    tmp_path: Path, set_environment: SetEnvironment, capsys: pytest.CaptureFixture[str]
) -> None:
    set_environment({"GATEWAY_MAX_CALLS": "7"})
    Path(tmp_path / ".env").write_text("AMIGO_API_KEY=hush-hush\n")
    Path(tmp_path / "a.toml").write_text("[silence]\nprompts = 1\n")

    assert main(["config", "--config", "a.toml", "--json"]) == 0
    output = capsys.readouterr().out
    listed = {entry["variable"]: entry for entry in json.loads(output)["settings"]}

    assert list(listed) == [option.variable for option in OPTIONS]
    assert (listed["GATEWAY_MAX_CALLS"]["value"], listed["GATEWAY_MAX_CALLS"]["source"]) == (
        7,
        "env",
    )
    assert listed["AMIGO_API_KEY"]["source"] == ".env"
    assert listed["GATEWAY_SILENCE__PROMPTS"]["source"] == "file"
    assert all(entry["description"] for entry in listed.values())
    assert "hush" not in output


def test_a_variable_that_means_nothing_is_told_beside_the_table(
    set_environment: SetEnvironment, capsys: pytest.CaptureFixture[str]
) -> None:
    set_environment({"AMIGO_FLAVOUR": "hush"})

    assert main(["config", "--json"]) == 0
    printed = capsys.readouterr()

    assert printed.err == "warning: AMIGO_FLAVOUR: is not a setting and has no effect\n"
    assert "AMIGO_FLAVOUR" not in printed.out


def test_the_table_has_a_line_for_each_setting(
    set_environment: SetEnvironment, capsys: pytest.CaptureFixture[str]
) -> None:
    set_environment(
        {"TWILIO_AUTH_TOKEN": "hush", "AMIGO_USER_POOL": ",".join(f"user-{n}" for n in range(99))}
    )

    assert main(["config"]) == 0
    lines = capsys.readouterr().out.splitlines()

    assert [line.split()[0] for line in lines] == [option.variable for option in OPTIONS]
    assert max(map(len, lines)) < 120
    row = next(line for line in lines if line.startswith("TWILIO_AUTH_TOKEN"))
    assert row.split() == ["TWILIO_AUTH_TOKEN", "********", "env"]


def test_wrong_settings_exit_with_2_and_one_line_each(
    set_environment: SetEnvironment, capsys: pytest.CaptureFixture[str]
) -> None:
    set_environment({"GATEWAY_PORT": "x", "GATEWAY_MAXCALLS": "1"})

    assert main(["config"]) == 2

    captured = capsys.readouterr()
    assert captured.out == ""
    assert [line.split(":")[0] for line in captured.err.splitlines()] == [
        "GATEWAY_MAXCALLS",
        "GATEWAY_PORT",
    ]
