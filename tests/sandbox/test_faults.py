"""How faults are written, and their dice."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sandbox.faults import KINDS, OPERATIONS, FaultRule, Faults, parse_fault


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("error-before=0.5", ("error-before", None, 0.5, None, 0)),
        ("stall-think=1:3@8000", ("stall-think", None, 1.0, 3, 8000)),
        ("create-stall-think=1", ("stall-think", "create", 1.0, None, 20_000)),
        ("interact-429=0.3", ("429", "interact", 0.3, None, 1000)),
        ("sign-in-503=1:2", ("503", "sign-in", 1.0, 2, 1000)),
        ("status-401=0", ("401", None, 0.0, None, 1000)),
        ("cut-create=1", ("cut-create", None, 1.0, None, 0)),
        ("late-create=1@5", ("late-create", None, 1.0, None, 5)),
    ],
)
def test_a_fault_is_name_rate_count_and_time(text, rule):
    assert parse_fault(text) == FaultRule(text, *rule)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("error-before", "not of the form"),
        ("error-before=2", "between 0 and 1"),
        ("error-before=.", "between 0 and 1"),
        ("eror-before=1", "did you mean 'error-before'"),
        ("interact-200=1", "unknown fault"),
        ("finish-error-before=1", "unknown fault"),
        ("interact-late-create=1", "unknown fault"),
    ],
)
def test_a_wrong_fault_is_explained(text, complaint):
    with pytest.raises(ValueError, match=complaint):
        parse_fault(text)


@given(st.text(max_size=30))
def test_any_text_is_a_fault_or_a_value_error(text):
    try:
        parse_fault(text)
    except ValueError:
        pass


def _rolls(rule: str, seed: int, times: int = 400) -> list[bool]:
    faults = Faults([parse_fault(rule)], seed)
    return [faults.strike("error-before", "interact") is not None for _ in range(times)]


def test_the_same_seed_strikes_at_the_same_moments():
    assert _rolls("error-before=0.3", 5) == _rolls("error-before=0.3", 5)
    assert _rolls("error-before=0.3", 5) != _rolls("error-before=0.3", 6)


def test_the_rate_is_about_kept():
    assert 80 < sum(_rolls("error-before=0.3", 5)) < 160
    assert sum(_rolls("error-before=0", 5)) == 0
    assert sum(_rolls("error-before=1", 5)) == 400


def test_the_count_bounds_the_strikes():
    assert sum(_rolls("error-before=0.5:3", 5)) == 3


def test_rules_do_not_disturb_each_other():
    both = Faults([parse_fault("error-after=0.5"), parse_fault("error-before=0.3")], 5)
    rolls = []
    for _ in range(400):
        both.strike("error-after", "interact")
        rolls.append(both.strike("error-before", "interact") is not None)

    assert rolls == _rolls("error-before=0.3", 5)


def test_a_rule_for_one_operation_leaves_the_others_alone():
    faults = Faults([parse_fault("create-error-before=1")], 1)

    assert faults.strike("error-before", "interact") is None
    assert faults.strike("error-before", "create") is not None


def test_every_kind_can_be_written():
    for name, kind in KINDS.items():
        assert parse_fault(f"{name}=1").kind == name
        assert set(kind.operations) <= set(OPERATIONS)
