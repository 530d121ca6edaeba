"""Inputs that know the grammar, for drivers that do not: the target's own strategy, always the same ones."""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, given, settings

from tests.fuzz.targets import Target


def seeds(target: Target, count: int) -> list[bytes]:
    found: dict[bytes, None] = {}

    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(target.inputs())
    def take(data: bytes) -> None:
        found[data[: target.longest]] = None

    take()
    return list(found)
