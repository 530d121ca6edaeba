"""The recording of a call, on a disk that takes its time."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from gateway.bridge.tape import Tape

FRAME = b"\xff" * 160


async def test_a_slow_disk_is_not_asked_again_while_it_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, append = threading.Event(), Tape._append

    def append_late(tape: Tape, caller: bytes, agent: bytes) -> None:
        gate.wait()
        append(tape, caller, agent)

    monkeypatch.setattr(Tape, "_append", append_late)
    tape, flushes = Tape(tmp_path, "CA1"), []
    for number in range(500):
        tape.caller(FRAME, number * 0.02)
        if tape.due:
            flushes.append(asyncio.create_task(tape.flush(number * 0.02)))
            await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(*flushes)

    assert len(flushes) == 1
    assert tape.due, "what came meanwhile waits for the next one"
    await tape.flush(10.0, final=True)
    assert (tmp_path / "CA1.caller.ulaw").read_bytes() == FRAME * 500
