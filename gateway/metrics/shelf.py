"""A folder where the workers of one machine keep their numbers, so that any of them can tell all.

It is the multi-process mode of the Prometheus client with one difference: files belong to a worker's
place (its number), not to its process. A worker that is started again goes on with the counters of the
one before it: nothing is counted twice, nothing goes back, and files do not pile up.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, Metric, ProcessCollector, values
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"
"""Where the client looks for the folder."""


@dataclass(frozen=True, slots=True)
class Shelf:
    """The folder, and the place of one worker in it."""

    directory: Path
    place: int
    """1, 2, ...: two processes never have the same one at the same time."""

    def take(self) -> None:
        """Keep the instruments that are made from now on here; say that this process has the place."""
        os.environ[VARIABLE] = str(self.directory)
        make = values.MultiProcessValue
        values.ValueClass = make(process_identifier=lambda: self.place)  # type: ignore[no-untyped-call]
        self._pid_file.write_text(str(os.getpid()))

    def leave(self) -> None:
        """The process is gone: what it held (gauges) is no more, what it counted stays.

        Called by whoever has seen its end, before another gets the place.
        """
        mark_process_dead(self.place, str(self.directory))  # type: ignore[no-untyped-call]
        self._pid_file.unlink(missing_ok=True)

    def registry(self) -> CollectorRegistry:
        """All workers' series: sums, and `process_*` of each living one."""
        registry = CollectorRegistry()
        MultiProcessCollector(registry, str(self.directory))  # type: ignore[no-untyped-call]
        registry.register(_Processes(self.directory))
        return registry

    @property
    def _pid_file(self) -> Path:
        return self.directory / f"{self.place}.pid"


class _Processes:
    """`process_*` of every living worker, told apart by the label `worker`.

    They are not summed: memory may, but start times cannot, and a sum of CPU seconds would go back
    when a worker is started again.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def collect(self) -> Iterator[Metric]:
        families: dict[str, Metric] = {}
        for place, pid in sorted(self._living()):
            for family in _process(pid):
                kept = families.setdefault(
                    family.name, Metric(family.name, family.documentation, family.type)
                )
                for sample in family.samples:
                    labels = {**sample.labels, "worker": str(place)}
                    kept.add_sample(sample.name, labels, sample.value)
        yield from families.values()

    def _living(self) -> Iterator[tuple[int, int]]:
        for file in self._directory.glob("*.pid"):
            try:
                yield int(file.stem), int(file.read_text())
            except (OSError, ValueError):
                continue  # left in this moment, or not written yet


def _process(pid: int) -> Iterable[Metric]:
    collector = ProcessCollector(pid=lambda: pid, registry=None)
    return collector.collect()
