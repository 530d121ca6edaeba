"""The way our voice takes back to us: found, followed, taken out."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest

from audio import mulaw
from audio.endpoint import Endpointer, Onset, Voiced
from audio.endpoint.echo import EchoGuard
from audio.mulaw import level_dbfs
from audio.types import Pcm
from audio.vad import make_vad
from tests.audio.sounds import frames, listen, mixed, noise, quiet, scaled, speech

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
        guard.hear(frame.astype(np.float32), level_dbfs(frame), ours, room=-50.0, learn=learn)
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


SOFT_DB = -14.0
BEFORE_MS = 3600


def active_dbfs(pcm: Pcm) -> float:
    """Level of the louder half of a sound: what a listener calls its loudness."""
    powers = sorted(10 ** (level_dbfs(frame) / 10) for frame in frames(pcm))
    return float(10 * np.log10(np.mean(powers[len(powers) // 2 :])))


@pytest.mark.parametrize("engine", ["webrtc", "hybrid"])
@pytest.mark.parametrize("name", ["young-man", "amiable", "cold-hearted"])
@pytest.mark.parametrize("room", [None, -50.0])
def test_a_soft_caller_interrupts_where_there_is_no_echo(
    name: str, room: float | None, engine: str
) -> None:
    agent = np.concatenate([speech("leisure"), speech("all-busy")])
    words = speech(name)
    caller = scaled(words, -20.0 + active_dbfs(agent) - active_dbfs(words) + SOFT_DB)
    line = np.zeros(agent.size, np.int16) if room is None else noise(agent.size // 8, room)
    spoken = np.concatenate([np.zeros(BEFORE_MS * 8, np.int16), caller])[: agent.size]
    detector = Endpointer(make_vad(engine))

    said = listen(detector, mixed(line[: agent.size], spoken), agent)

    onsets = [one.decided_at / 8 - BEFORE_MS for one in said if isinstance(one, Onset)]
    firm = [one.at / 8 - BEFORE_MS for one in said if isinstance(one, Voiced) and one.ms == 450]
    assert 0 < onsets[0] < 520
    assert firm[0] < 1300


@pytest.mark.parametrize("delay_ms", [40, 200, 450])
def test_an_echo_that_begins_late_is_nobody(delay_ms: int) -> None:
    agent = np.tile(np.concatenate([speech("leisure"), speech("young-man")]), 3)
    line = returned(agent, delay_ms, -20.0).copy()
    line[: line.size // 2] = quiet(line.size // 8)[: line.size // 2]

    assert not listen(Endpointer(make_vad("webrtc")), line, agent)
