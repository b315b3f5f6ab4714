"""What attempts used."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastro.gateway.dialects.neutral import Used
from lastro.gateway.exchange import AttemptOutcome
from lastro.gateway.reckoning import MOST_TOKENS, total_used, used_by

FIGURE = st.none() | st.integers(0, 10**6)
USES = st.builds(Used, input=FIGURE, output=FIGURE, cache_read=FIGURE, cache_write=FIGURE, reasoning=FIGURE)


def used(said, outcome, *, status=200, output=()):
    return used_by(said, status=status, outcome=outcome, output=output, input_tokens=100, estimate_tokens=len)


@given(uses=st.lists(st.none() | USES))
def test_sums_hold_what_anybody_said_and_nothing_that_nobody_did(uses):
    total = total_used(uses)
    for name in Used.__struct_fields__:
        said = [getattr(one, name) for one in uses if one is not None and getattr(one, name) is not None]
        assert getattr(total, name) == (sum(said) if said else None)


def test_what_a_provider_says_of_a_whole_answer_holds():
    said = Used(input=1, output=2)
    assert used(said, AttemptOutcome.ANSWERED, output=["x" * 50]) == (said, False)


def test_what_it_said_at_the_beginning_of_a_broken_one_does_not():
    assert used(Used(input=1, output=1), AttemptOutcome.TRUNCATED, output=["x" * 50]) == (
        Used(input=1, output=50),
        True,
    )
    assert used(Used(input=1, output=90), AttemptOutcome.TRUNCATED, output=["x" * 50]) == (
        Used(input=1, output=90),
        False,
    )


@pytest.mark.parametrize(
    "outcome", [AttemptOutcome.CONNECT, AttemptOutcome.UNEXPRESSED, AttemptOutcome.REJECTED]
)
def test_who_never_began_used_nothing(outcome):
    assert used(None, outcome, status=0) == (None, False)


@pytest.mark.parametrize(
    "outcome", [AttemptOutcome.ABANDONED, AttemptOutcome.FIRST_BYTE, AttemptOutcome.TOTAL]
)
def test_who_may_have_begun_used_what_it_read(outcome):
    assert used(None, outcome, status=0) == (Used(input=100, output=0), True)


def test_an_error_status_costs_nothing():
    assert used(None, AttemptOutcome.SERVER_ERROR, status=500) == (None, False)


ODD = st.none() | st.integers(-(10**30), 10**30)


@given(
    said=st.builds(Used, input=ODD, output=ODD, cache_read=ODD, cache_write=ODD, reasoning=ODD),
    outcome=st.sampled_from(AttemptOutcome),
    status=st.sampled_from((0, 200, 500)),
)
def test_figures_that_cannot_be_are_not_believed(said, outcome, status):
    counted, _ = used(said, outcome, status=status, output=["x" * 50])
    for name in Used.__struct_fields__:
        figure = getattr(counted, name)
        assert figure is None or 0 <= figure <= MOST_TOKENS
    if status == 200:
        assert counted.input is not None and counted.output is not None


def test_a_provider_that_counts_below_zero_gives_no_budget_back():
    assert used(Used(input=-5, output=10**25), AttemptOutcome.ANSWERED, output=["x" * 50]) == (
        Used(input=100, output=50),
        True,
    )
