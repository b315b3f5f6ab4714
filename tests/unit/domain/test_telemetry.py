"""Samples summed up, when a disk will be full, and after how long a missing capture is told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastro.domain.telemetry import (
    DAY_NS,
    HOUR_NS,
    full_in_ns,
    missing_after_ns,
    summed_up,
)
from tests.protocol_nouns import sample_of

MINUTE = 60 * 10**9


def falling(rate, *, start=10**9, minutes=120):
    return [(minute * MINUTE, start - rate * minute) for minute in range(minutes)]


def test_a_disk_that_fills_evenly_is_full_when_its_line_says():
    points = falling(10**6)
    left = full_in_ns(points)
    assert left == pytest.approx(points[-1][1] / 10**6 * MINUTE, rel=0.01)


def test_one_large_file_that_came_and_went_says_little():
    points = [(time, free - (5 * 10**8 if 40 <= time // MINUTE < 50 else 0)) for time, free in falling(10**6)]
    assert full_in_ns(points) == pytest.approx(full_in_ns(falling(10**6)), rel=0.1)


@pytest.mark.parametrize(
    "points",
    [[], falling(10**6, minutes=2), falling(10**6, minutes=50), falling(0), falling(-(10**6)), falling(1)],
)
def test_nobody_says_when_a_disk_is_full_that_does_not_fill_or_was_hardly_watched(points):
    assert full_in_ns(points) is None


@given(st.lists(st.tuples(st.integers(0, 10**18), st.integers(0, 10**15)), max_size=60))
def test_whatever_was_measured_the_answer_lies_ahead_or_is_none(points):
    left = full_in_ns(sorted(points))
    assert left is None or 0 <= left <= 90 * DAY_NS


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=20))
def test_a_mean_lies_between_the_least_and_the_most(cpus):
    mean = summed_up([sample_of(cpu=cpu, time_ns=position) for position, cpu in enumerate(cpus)])
    assert min(cpus) <= mean.cpu <= max(cpus)
    assert mean.time_ns == len(cpus) - 1


@given(st.lists(st.integers(0, 30 * DAY_NS), max_size=20), st.integers(0, 3 * DAY_NS))
def test_a_missing_capture_is_told_after_an_hour_at_least_unless_configured(pauses, configured):
    after = missing_after_ns(pauses, configured)
    assert after == configured if configured else after >= HOUR_NS
    assert not configured or after == configured


def test_the_rhythm_of_a_server_that_is_off_at_night_is_learned_and_one_outage_is_no_rhythm():
    assert missing_after_ns([16 * HOUR_NS] * 3) == 48 * HOUR_NS
    assert missing_after_ns([16 * HOUR_NS] * 2) == HOUR_NS
    assert missing_after_ns([72 * HOUR_NS]) == HOUR_NS
