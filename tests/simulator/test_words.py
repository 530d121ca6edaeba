"""Counting word errors."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.simulator.words import WordErrors, total, word_errors, words


@pytest.mark.parametrize(
    ("said", "recognised", "errors"),
    [
        ("weasels have eaten our phone system", "Weasels have eaten our phone system.", 0),
        ("five five five zero one four two", "555-0142", 0),
        ("five five five zero one four two", "5 5 5, oh one 42.", 0),
        ("one moment please", "One moment, please!", 0),
        ("goodbye", "Good bye.", 0),
        ("he was not an ill disposed young man", "He was not an ill-disposed young man.", 0),
        ("don't worry", "Don\u2019t worry", 0),
        ("one moment please", "moment please", 1),
        ("one moment please", "one more moment please", 1),
        ("one moment please", "", 3),
        ("", "thank you", 2),
    ],
)
def test_word_errors_are_counted_as_a_listener_would(said, recognised, errors):
    assert word_errors(said, recognised).errors == errors


def test_a_rate_is_over_the_words_really_said():
    assert word_errors("a b c d", "a b x d").rate == 0.25
    assert word_errors("", "x").rate == 1.0
    assert word_errors("", "").rate == 0.0
    assert total([WordErrors(1, 4), WordErrors(0, 6)]).rate == 0.1


TEXTS = st.lists(st.sampled_from(["a", "b", "one", "two"]), max_size=8).map(" ".join)


@given(TEXTS, TEXTS)
def test_errors_are_a_distance(one, other):
    errors = word_errors(one, other).errors

    assert errors == word_errors(other, one).errors
    assert (errors == 0) == (words(one) == words(other))
    assert errors <= max(len(words(one)), len(words(other)))
