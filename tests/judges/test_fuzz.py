"""Requests made up from the sandbox's own description: whatever they hold, the answer is never a 5xx.

`FUZZ_EXAMPLES` says how many requests are made up for each operation (default 12).
"""

from __future__ import annotations

import os
from collections import Counter
from typing import Any, Literal

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.core.result import Ok

from tests.judges.fuzzing import Known, sandbox

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "12"))
POSITIVE, NEGATIVE = schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("revision", ["2025-06", "2026-04"])
def test_no_made_up_request_gets_a_5xx(revision: Literal["2025-06", "2026-04"]) -> None:
    answers: Counter[tuple[str, int]] = Counter()
    broken: list[str] = []
    with sandbox(revision) as base:
        known = Known(base)
        schema = schemathesis.openapi.from_url(f"{base}/v1/openapi.json")
        for found in schema.get_all_operations():
            assert isinstance(found, Ok), found
            _attack(found.ok(), base, known, answers, broken)
    operations = {name for name, _ in answers}

    assert not broken, broken[:5]
    assert len(operations) >= 18
    # Some of it was good enough to be carried out: the fuzzer gets past the front door.
    assert len({name for name, status in answers if status < 300}) >= 8


def _attack(
    operation: Any, base: str, known: Known, answers: Counter[tuple[str, int]], broken: list[str]
) -> None:
    good = operation.as_strategy(generation_mode=POSITIVE)
    bad = operation.as_strategy(generation_mode=NEGATIVE)

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=st.one_of(good, bad), real=st.sampled_from([True, True, False]))
    def ask(case: Any, *, real: bool) -> None:
        if real and case.path_parameters:
            case.path_parameters = {
                name: known.places.get(name, value) for name, value in case.path_parameters.items()
            }
        try:
            answer = case.call(base_url=base, headers=dict(known.headers), timeout=10)
        except (requests.exceptions.RequestException, ValueError):
            return  # what cannot be sent at all is no request
        answers[operation.label, answer.status_code] += 1
        if answer.status_code >= 500:
            broken.append(f"{operation.label}: {answer.status_code} {answer.text[:200]}")

    ask()
