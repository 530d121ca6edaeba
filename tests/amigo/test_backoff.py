"""The schedule of repeated tries."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.amigo import Backoff

JITTER = st.floats(0, 1, exclude_max=True)
TRIES = st.integers(1, 10_000)


def test_pauses_grow_up_to_the_longest() -> None:
    schedule = Backoff(first_seconds=1, longest_seconds=8, total_seconds=1000)

    pauses = [schedule.pause(tries, elapsed=0, jitter=0) for tries in range(1, 7)]

    assert pauses == [1, 2, 4, 8, 8, 8]


def test_jitter_takes_up_to_half_of_a_pause() -> None:
    schedule = Backoff(first_seconds=1)

    assert schedule.pause(2, elapsed=0, jitter=0.5) == 1.5


def test_what_the_service_asks_for_wins() -> None:
    schedule = Backoff(first_seconds=0.5, longest_seconds=2)

    assert schedule.pause(1, elapsed=0, jitter=0.5, retry_after=20) == 20.25


def test_a_pause_that_would_miss_the_deadline_is_not_begun() -> None:
    schedule = Backoff(first_seconds=4, total_seconds=10)

    assert schedule.pause(1, elapsed=6, jitter=0) == 4
    assert schedule.pause(1, elapsed=6.1, jitter=0) is None
    assert schedule.pause(1, elapsed=0, jitter=0, retry_after=11) is None


@given(TRIES, st.floats(0, 120), JITTER, st.none() | st.floats(0, 1e9))
def test_no_pause_is_negative_too_long_or_too_early(
    tries: int, elapsed: float, jitter: float, retry_after: float | None
) -> None:
    schedule = Backoff()

    pause = schedule.pause(tries, elapsed=elapsed, jitter=jitter, retry_after=retry_after)

    if pause is not None:
        assert pause >= (retry_after or 0.0)
        assert elapsed + pause <= schedule.total_seconds


@given(JITTER)
def test_a_life_of_failures_ends_within_the_deadline(jitter: float) -> None:
    schedule = Backoff()
    elapsed, tries = 0.0, 0
    while (pause := schedule.pause(tries + 1, elapsed=elapsed, jitter=jitter)) is not None:
        elapsed, tries = elapsed + pause, tries + 1

    assert elapsed <= schedule.total_seconds
    assert 4 <= tries <= 20
