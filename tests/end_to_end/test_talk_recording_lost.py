"""A disk that cannot take the recording costs the recording, not the call."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.errors import ConfigError
from gateway.sandbox.options import SandboxOptions
from gateway.simulator import CallPlan
from tests.support.stack import run_stack, spoken


async def test_a_call_goes_on_when_its_recording_cannot_be_written(tmp_path: Path) -> None:
    directory = tmp_path / "recordings"
    options = SandboxOptions(think_ms=50)
    async with run_stack(tmp_path, options, GATEWAY_RECORDINGS_DIR=str(directory)) as stack:
        directory.rmdir()
        directory.write_text("no longer a directory")
        result = await stack.call(CallPlan(items=(spoken("one-moment-please"),)))
        record = await stack.settled(result.call_sid)

    assert result.ok, result.problems
    assert record["end_reason"] == "caller-hangup"
    assert record["conversation_state"] == "finished"
    assert "broken" not in [event["type"] for event in record["events"]]


async def test_a_directory_that_cannot_be_written_is_refused_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(ConfigError, match="GATEWAY_RECORDINGS_DIR"):
        async with run_stack(tmp_path, GATEWAY_RECORDINGS_DIR=str(tmp_path / "file" / "here")):
            pass
