"""Times, sizes and money as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastro.gateway.configuration_file import to_micro
from lastro.proposals.values import (
    to_bytes_count,
    to_seconds,
    written_bytes,
    written_money,
    written_seconds,
)

counts = st.integers(1, 2**53)


@given(counts)
def test_what_is_written_is_read_as_the_same(count):
    assert to_seconds(written_seconds(count % 10**9 + 1)) == count % 10**9 + 1
    assert to_bytes_count(written_bytes(count)) == count
    assert to_micro(written_money(count)) == count


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("90s", 90),
        ("30m", 1800),
        ("5min", 300),
        ("1.5h", 5400),
        ("2 d", 172_800),
        ("1w", 604_800),
        ("1h 30m", 5400),
        ("1h30m", 5400),
        (7, 7),
    ],
)
def test_times(written, seconds):
    assert to_seconds(written) == seconds


@pytest.mark.parametrize(
    ("written", "count"),
    [
        ("1", 1),
        ("2GB", 2 * 10**9),
        ("2 GiB", 2**31),
        ("1.5KiB", 1536),
        ("12b", 12),
        ("3mb", 3_000_000),
        (8, 8),
    ],
)
def test_sizes(written, count):
    assert to_bytes_count(written) == count


def refuses(read, written):
    try:
        read(written)
    except ValueError:
        return True
    return False


@pytest.mark.parametrize(
    "written",
    [
        "",
        "m",
        "-1s",
        "1y",
        "1.5s",
        "0m",
        "1e3s",
        "99999999w",
        "1h x",
        "x1h",
        "1h,30m",
        "٣m",
        "5",
        0,
        -3,
        2**60,
    ],
)
def test_what_is_no_time_is_refused(written):
    assert refuses(to_seconds, written)


@pytest.mark.parametrize("written", ["", "GB", "1PB", "0", "-1", "0.5B", "1e9", "1 G B", 0, 2**60])
def test_what_is_no_size_is_refused(written):
    assert refuses(to_bytes_count, written)
