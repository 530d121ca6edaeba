"""Firm speech in runs of words: what confirms, what only pauses."""

from __future__ import annotations

from audio.endpoint import EndpointOptions, Paused, Resumed, Signal, Voiced
from audio.endpoint.words import Words

OPTIONS = EndpointOptions(confirm_ms=400, pause_ms=160, word_gap_ms=400)


def heard(pattern: str, frames: int = 0) -> list[Signal]:
    """What is said of frames told as text: `#` firm, `.` not."""
    words = Words(OPTIONS, frames)
    return [
        signal
        for index, mark in enumerate(pattern)
        for signal in words.hear(firm=mark == "#", at=(index + 1) * 160)
    ]


def test_talk_confirms_once() -> None:
    assert heard("#" * 60) == [Voiced(400, 20 * 160)]


def test_what_was_heard_before_the_onset_was_sure_counts() -> None:
    assert heard("#" * 60, frames=5) == [Voiced(400, 15 * 160)]


def test_small_gaps_inside_words_are_no_pause() -> None:
    assert heard("###.##..####" + "#" * 20)[0] == Voiced(400, 23 * 160)


def test_a_short_word_pauses_and_is_told_once() -> None:
    assert heard("#" * 12 + "." * 60) == [Paused(240, 20 * 160)]


def test_a_word_that_follows_at_once_adds_to_the_first() -> None:
    said = heard("#" * 12 + "." * 10 + "#" * 12)

    assert said == [Paused(240, 20 * 160), Resumed(24 * 160), Voiced(400, 30 * 160)]


def test_a_word_after_a_gap_begins_a_run_of_its_own() -> None:
    said = heard("#" * 12 + "." * 20 + "#" * 12 + "." * 20)

    assert said == [Paused(240, 20 * 160), Resumed(34 * 160), Paused(240, 52 * 160)]


def test_a_click_in_a_pause_does_not_resume() -> None:
    assert Resumed not in {type(signal) for signal in heard("#" * 10 + "." * 12 + "#" + "." * 12)}


def test_nothing_more_is_said_after_the_confirmation() -> None:
    assert len(heard("#" * 20 + "." * 40 + "#" * 40)) == 1
