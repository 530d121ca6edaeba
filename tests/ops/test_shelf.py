"""Numbers of several workers: summed, kept when one dies, apart where a sum would lie."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from gateway.metrics import Shelf

COUNTS = """
import sys
from pathlib import Path
from gateway.metrics import Metrics, Shelf

metrics = Metrics(Shelf(Path(sys.argv[1]), int(sys.argv[2])))
metrics.frames_total.labels(direction="in").inc(int(sys.argv[3]))
metrics.turn_seconds.labels("speech").observe(0.3)
metrics.calls_active.inc()
if sys.argv[4:] == ["render"]:
    sys.stdout.write(metrics.render().decode())
sys.stdout.flush()
sys.stdin.read()
"""


def worker(directory: Path, place: int, frames: int, *more: str) -> subprocess.Popen[str]:
    """A process that counts, says what it was asked for, and lives until its input is closed."""
    command = [sys.executable, "-c", COUNTS, str(directory), str(place), str(frames), *more]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (one.name, tuple(sorted(one.labels.items()))): one.value
        for family in text_string_to_metric_families(text)
        for one in family.samples
    }


FRAMES = ("voice_gateway_frames_total", (("direction", "in"),))
TURNS = ("voice_gateway_turn_seconds_count", (("part", "speech"),))
ACTIVE = ("voice_gateway_calls_active", ())


def test_counts_outlive_their_process_and_what_it_held_does_not(tmp_path: Path) -> None:
    def told() -> list[float]:
        found = samples(generate_latest(Shelf(tmp_path, 9).registry()).decode())
        return [found[one] for one in (FRAMES, TURNS, ACTIVE)]

    for frames in (3, 4):
        worker(tmp_path, 1, frames).communicate(timeout=60)
        if frames == 3:
            assert [3, 1, 1] == told()
            Shelf(tmp_path, 1).leave()
            worker(tmp_path, 2, 10).communicate(timeout=60)

    assert [17, 3, 2] == told()
    Shelf(tmp_path, 1).leave()
    assert [17, 3, 1] == told()
    # one set of files for each place, however many processes had it
    assert 2 == len(list(tmp_path.glob("counter_*.db")))


def test_a_process_is_told_apart_by_its_worker_for_as_long_as_it_lives(tmp_path: Path) -> None:
    pytest.importorskip("resource")
    first = worker(tmp_path, 1, 1)
    second = worker(tmp_path, 2, 1, "render")
    try:
        assert second.stdout is not None
        text = ""
        for line in second.stdout:
            text += line
            if line.startswith("process_open_fds"):
                break
        memory = {
            labels: value
            for (name, labels), value in samples(text).items()
            if name == "process_resident_memory_bytes"
        }
    finally:
        for one in (first, second):
            one.communicate(timeout=60)

    assert (("worker", "2"),) in memory
    assert all(value > 1e6 for value in memory.values())
    Shelf(tmp_path, 2).leave()
    Shelf(tmp_path, 1).leave()
    left = samples(generate_latest(Shelf(tmp_path, 9).registry()).decode())
    assert not [name for name, _ in left if name.startswith("process_")]


def test_a_gateway_that_is_alone_counts_in_its_own_memory() -> None:
    from gateway.metrics import Metrics

    metrics = Metrics()

    assert metrics.frames_total.labels(direction="in")._value._multiprocess is False
