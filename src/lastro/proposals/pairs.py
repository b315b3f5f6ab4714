"""Pairs that were read a moment ago: a page asks for the same proposal several times, and its files one by one.

What always holds: snapshot records never change, and a pair follows from two of them and the target alone, so a pair that is kept is the
one that would be read again. How much is kept is bounded by what it holds, not by how many.
"""

from __future__ import annotations

import threading
from typing import Final

from lastro.proposals.pair import Pair, read_pair
from lastro.store.repository import Repository

MOST_CHANGES: Final = 4_000
"""Changed paths of all pairs that are kept, about a kilobyte each; a pair with more is read whenever it is asked for."""


class Pairs:
    """Of one repository. Safe to use from several threads."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._lock = threading.Lock()
        self._kept: dict[tuple[int, int, str], Pair] = {}

    def read(self, *, before: int, after: int, target: str) -> Pair:
        """See ``read_pair``.

        Raises:
            NotFoundError: see there.
            DamagedError: see there.
        """
        key = before, after, target
        with self._lock:
            pair = self._kept.pop(key, None)
            if pair is not None:
                self._kept[key] = pair  # the one asked for last stands last
                return pair
        pair = read_pair(self._repository, before=before, after=after, target=target)
        if _weight(pair) > MOST_CHANGES:
            return pair
        with self._lock:
            self._kept[key] = pair
            held = sum(map(_weight, self._kept.values()))
            for oldest in list(self._kept):
                if held <= MOST_CHANGES:
                    break
                held -= _weight(self._kept.pop(oldest))
        return pair


def _weight(pair: Pair) -> int:
    return len(pair.changes.changes) + 1
