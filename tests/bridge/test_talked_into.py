"""The caller talks into our voice: core, ears and mouth together, in virtual time, so exact."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import product
from typing import Final

import pytest

from audio.endpoint import Endpointer
from gateway.call import commands as cmd
from gateway.call import events as ev
from gateway.compose import detector_factory
from gateway.settings import load_settings
from tests.support.duplex import Heard, talk_into
from tests.support.human import chapter, human, word

GREETING: Final = chapter()[: 5000 * 8]
ONSETS: Final = (2000, 2020, 2040, 2060, 2080)
"""Milliseconds into our voice: every place in the 100 ms of one message."""
FEW_ONSETS: Final = (2000, 2020, 2060)
WORD_MS: Final = (200, 280, 360, 440)
GAP_MS: Final = 200
"""The longest silence that a word which does not interrupt may make in our voice."""
FEEDING_MS: Final = 60
"""So long after the frame that shows the onset the sender may still feed the carrier."""

every_word = pytest.mark.parametrize("name", ["mike", "ten", "four", "three", "two", "goodbye"])
every_sentence = pytest.mark.parametrize(
    "name", ["weasels", "something-wrong", "all-busy", "callback-number"]
)


def fresh_detector() -> Endpointer:
    """A live call's, with the settings it has by itself."""
    return _factory()()


@cache
def _factory() -> Callable[[], Endpointer]:
    return detector_factory(load_settings(environ={}, dotenv=None))


def interrupted(name: str, at_ms: int, **options: int) -> Heard:
    sentence = human(name)[: 2000 * 8]
    return talk_into(GREETING, sentence, at_ms=at_ms, detector=fresh_detector(), **options)


def remarked(name: str, word_ms: int, at_ms: int, **options: int) -> Heard:
    said = word(name, word_ms)
    return talk_into(GREETING, said, at_ms=at_ms, detector=fresh_detector(), **options)


@every_word
def test_a_short_word_costs_no_sample_and_little_silence(name: str) -> None:
    for word_ms, at_ms in product(WORD_MS, FEW_ONSETS):
        heard = remarked(name, word_ms, at_ms)

        where = (word_ms, at_ms, heard.gaps_ms)
        assert heard.line.played() == GREETING, where
        assert heard.when(cmd.ClearSpeech) == []
        assert heard.when(cmd.HoldSpeech), "our voice did hesitate, or this shows nothing"
        assert sum(heard.gaps_ms) <= GAP_MS, where
        assert heard.gaps_ms == expected_gaps(heard), where


def expected_gaps(heard: Heard) -> list[int]:
    """From the last of what the carrier had been sent to the order to go on, where that came later."""
    [held], [resumed] = heard.when(cmd.HoldSpeech), heard.when(cmd.ResumeSpeech)
    ran_out = heard.end_of_what_was_sent_by(held)
    gap = round((resumed - ran_out) * 1000)
    return [gap] if gap > 0 else []


@every_word
def test_while_the_look_ahead_lasts_nothing_is_noticed_of_a_word(name: str) -> None:
    for word_ms in WORD_MS:
        heard = remarked(name, word_ms, 2020, lookahead_ms=700)

        assert heard.when(cmd.HoldSpeech)
        assert heard.gaps_ms == []
        assert heard.line.played() == GREETING


@pytest.mark.xfail(
    strict=True,
    reason="the onset shows after 80 ms and firm speech stays away for 160 ms only 600 ms after it began: "
    "our voice goes on 220 ms after the look-ahead (300 ms of it, at worst) has run out",
)
@pytest.mark.parametrize("name", ["eleven", "friday", "oclock", "oscar"])
def test_the_longest_word_shown_soonest_makes_no_longer_gap(name: str) -> None:
    heard = remarked(name, 440, 2020)

    assert heard.line.played() == GREETING
    assert sum(heard.gaps_ms) <= GAP_MS


@pytest.mark.xfail(
    strict=True,
    reason="confirm_ms is counted in whole frames, rounded down: 440 ms of firm speech interrupt, not 450",
)
@pytest.mark.parametrize("name", ["juliet", "monday", "romeo", "saturday", "wednesday"])
def test_less_speech_than_interrupts_does_not_interrupt(name: str) -> None:
    heard = remarked(name, 440, 2000)

    assert heard.when(cmd.ClearSpeech) == []
    assert heard.line.played() == GREETING


@every_sentence
def test_the_sender_stops_at_the_onset_and_one_clear_follows(name: str) -> None:
    for at_ms in ONSETS:
        heard = interrupted(name, at_ms)

        [shown] = heard.when(ev.SpeechStarted)[:1]
        fed = [at for at in heard.sent_at if at <= shown + FEEDING_MS / 1000]
        assert heard.sent_at == fed, "what came later was never sent"
        assert len(heard.when(cmd.ClearSpeech)) == 1
        assert len(heard.line.events("clear")) == 1


@every_sentence
def test_an_interrupted_voice_is_silent_within_half_a_second(
    name: str, record_property: Callable[[str, object], None]
) -> None:
    silent = []
    for at_ms in ONSETS:
        heard = interrupted(name, at_ms)
        silent.append(round((heard.silent_at - heard.onset_at) * 1000))
        assert heard.line.played() == GREETING[: len(heard.line.played())]

    record_property("ms_to_silence", silent)
    print(name, "silent after", silent, "ms")
    assert max(silent) <= 500
