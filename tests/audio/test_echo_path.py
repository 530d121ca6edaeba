"""The way our voice takes back to us: found, followed, taken out."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest

from audio import mulaw
from audio.endpoint.echo import EchoGuard
from audio.mulaw import level_dbfs
from audio.types import Pcm
from tests.audio.sounds import frames, mixed, quiet, scaled, speech

AGENT = np.concatenate([speech("weasels"), speech("young-man"), speech("leisure")])[:80_000]


def returned(agent: Pcm, delay_ms: int, db: float) -> Pcm:
    """Our echo, so late and so loud, on a line that codes it."""
    late = np.concatenate([np.zeros(delay_ms * 8, np.int16), agent])[: agent.size]
    echo = (late * 10 ** (db / 20)).astype(np.int16)
    return mulaw.decode(mulaw.encode(mixed(echo, quiet(agent.size // 8))))


def guarded(line: Pcm, agent: Pcm | None, *, learn: bool = True) -> tuple[EchoGuard, list[bool]]:
    """The guard after a stretch of line, and for each frame whether a caller could have been heard."""
    guard = EchoGuard(460, 14.0)
    passed = []
    for index, frame in enumerate(frames(line)):
        ours = None if agent is None else agent[index * 160 : index * 160 + 160]
        guard.hear(frame.astype(np.float32), level_dbfs(frame), ours, learn=learn)
        passed.append(guard.level > guard.guard and level_dbfs(frame) > -55)
    return guard, passed


@pytest.mark.parametrize("delay_ms", [0, 40, 120, 333, 590])
@pytest.mark.parametrize("db", [-12.0, -20.0, -30.0])
def test_delay_and_level_are_found(delay_ms: int, db: float) -> None:
    guard, _ = guarded(returned(AGENT, delay_ms, db), AGENT)

    assert guard.delay_ms is not None
    assert guard.return_db is not None
    assert abs(guard.delay_ms - max(delay_ms, 2.5)) <= 2.5
    assert abs(guard.return_db - db) <= 3.0


def test_a_known_echo_is_nobody() -> None:
    _, passed = guarded(returned(AGENT, 120, -20.0), AGENT)

    assert not any(passed[150:])


def test_a_caller_far_softer_than_we_are_is_heard_over_a_known_echo() -> None:
    line = returned(AGENT, 120, -30.0).copy()
    caller = scaled(speech("goodbye"), level_dbfs(AGENT) - 18.0)
    line[48_000 : 48_000 + caller.size] += caller

    _, passed = guarded(line, AGENT)
    during = passed[300 : 300 + caller.size // 160]
    assert sum(during) > 0.5 * len(during)


def test_a_line_without_echo_has_none() -> None:
    guard, _ = guarded(quiet(10_000), AGENT)

    assert guard.delay_ms is None
    assert guard.return_db is None


def test_while_nothing_is_known_a_caller_must_not_be_much_softer() -> None:
    guard, _ = guarded(AGENT[:16_000], AGENT[:16_000][::-1].copy(), learn=False)

    assert guard.delay_ms is None
    assert guard.guard > -45


def test_silence_of_ours_asks_nothing_of_a_caller() -> None:
    guard, _ = guarded(quiet(1000), None)

    assert guard.quiet
    assert guard.guard == -inf


def test_a_start_that_is_our_own_sound_is_known_before_anything_else_is() -> None:
    guard, _ = guarded(returned(AGENT, 60, -9.0)[:6400], AGENT[:6400], learn=False)

    assert guard.is_echo()


def test_a_start_over_our_sound_that_is_a_caller_is_none_of_ours() -> None:
    caller = scaled(speech("goodbye"), -22.0)[:6400]
    guard, _ = guarded(caller, AGENT[: caller.size], learn=False)

    assert not guard.is_echo()


def test_a_way_back_that_changes_is_found_again() -> None:
    half = AGENT.size // 2
    line = np.concatenate([returned(AGENT, 100, -15.0)[:half], returned(AGENT, 260, -15.0)[half:]])
    guard, _ = guarded(line, AGENT)

    assert guard.delay_ms == pytest.approx(260, abs=3)
