"""Rows of a difference in two columns: what was, and what shall be.

What always holds: every line of a hunk stands once, in its own column and in order; what was replaced stands beside what replaces it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import NamedTuple

from lastro.faces.console.differences import ADDED, REMARK, REMOVED, Row


class Pair(NamedTuple):
    """A row of both columns; ``None``: nothing stands there."""

    before: Row | None
    after: Row | None


def pairs_of(rows: Sequence[Row]) -> list[Pair]:
    """The rows of a hunk in two columns."""
    pairs: list[Pair] = []
    old: list[Row] = []
    new: list[Row] = []
    side = old
    for row in rows:
        if row.sign == REMOVED:
            if new:  # the next replacement begins
                pairs += _flushed(old, new)
            side = old
            old.append(row)
        elif row.sign == ADDED:
            side = new
            new.append(row)
        elif row.sign == REMARK and (old or new):
            side.append(row)
        else:
            pairs += _flushed(old, new)
            pairs.append(Pair(row, row))
    return [*pairs, *_flushed(old, new)]


def _flushed(old: list[Row], new: list[Row]) -> list[Pair]:
    pairs = [Pair(*both) for both in zip_longest(old, new)]
    old.clear()
    new.clear()
    return pairs
