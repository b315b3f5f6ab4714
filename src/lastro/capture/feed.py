"""The change feed: a bounded, numbered memory of which paths may differ, for any number of readers with a cursor of their own.

What always holds: a reader that is told nothing of a path may believe what it listed; memory is bounded, and what does not fit becomes an
``overflow`` of its root for exactly those readers that had not seen it; the same path twice is kept once, with its newest number. A cursor
that this feed never gave (of an earlier process, or from the future) is answered with an overflow of every root.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

from lastro.capture.source import ChangedPath, Changes
from lastro.domain.paths import tree_order

MAXIMUM_REMEMBERED: Final = 16_384
"""Paths kept for readers."""


class ChangeFeed:
    """Written by one watcher, read by many. All methods are safe to call from any thread.

    ``first_cursor`` must be beyond every cursor of an earlier feed over the same roots; microseconds since 1970 will do (and fit a JSON
    number). ``maximum_remembered`` bounds the paths in memory.
    """

    def __init__(self, *, first_cursor: int, maximum_remembered: int = MAXIMUM_REMEMBERED) -> None:
        self._first = self._last = first_cursor
        self._maximum = maximum_remembered
        self._news = threading.Condition()
        self._paths: OrderedDict[tuple[str, str], tuple[int, bool]] = OrderedDict()
        self._lost: dict[str, int] = {}
        self._roots: tuple[str, ...] = ()
        self._roots_changed = first_cursor
        self._closed = False

    def set_roots(self, roots: Iterable[str]) -> None:
        """Report on these roots from now on. Readers are told, and one that is new is to be listed."""
        with self._news:
            before, self._roots = self._roots, tuple(roots)
            if set(before) == set(self._roots):
                return
            self._last += 1
            self._roots_changed = self._last
            gone = set(before) - set(self._roots)
            for key in [key for key in self._paths if key[0] in gone]:
                del self._paths[key]
            kept = {root: seq for root, seq in self._lost.items() if root not in gone}
            self._lost = kept | {root: self._last for root in self._roots if root not in before}
            self._news.notify_all()

    def add(self, changed: Iterable[ChangedPath]) -> None:
        """These paths may differ now."""
        with self._news:
            for each in changed:
                self._last += 1
                key = (each.root, each.path)
                _, recursive = self._paths.pop(key, (0, False))
                self._paths[key] = (self._last, recursive or each.recursive)
            while len(self._paths) > self._maximum:
                (root, _), (seq, _) = self._paths.popitem(last=False)
                self._lost[root] = max(seq, self._lost.get(root, 0))
            self._news.notify_all()

    def overflow(self, roots: Iterable[str]) -> None:
        """Anything may differ below these roots now: what is remembered of them is no longer needed."""
        lost = set(roots)
        with self._news:
            self._last += 1
            for key in [key for key in self._paths if key[0] in lost]:
                del self._paths[key]
            self._lost |= dict.fromkeys(lost, self._last)
            self._news.notify_all()

    def overflow_all(self) -> None:
        """Anything may differ anywhere."""
        with self._news:
            roots = self._roots
        self.overflow(roots)

    def close(self) -> None:
        """Wake every waiting reader; from now on nobody waits."""
        with self._news:
            self._closed = True
            self._news.notify_all()

    def changes(self, cursor: int | None, timeout_s: float) -> Changes:
        """As ``Source.changes``; ``cursor`` ``None`` returns at once. Paths are in tree order, root by root."""
        deadline = time.monotonic() + timeout_s
        with self._news:
            if cursor is None:
                return Changes(cursor=self._last)
            if not self._first <= cursor <= self._last:
                return Changes(cursor=self._last, overflow=self._roots, roots_changed=True)
            while self._last == cursor and not self._closed:
                left = deadline - time.monotonic()
                if left <= 0:
                    break
                self._news.wait(left)
            return self._since(cursor)

    def _since(self, cursor: int) -> Changes:
        overflow = tuple(root for root in self._roots if self._lost.get(root, 0) > cursor)
        paths = []
        for (root, path), (seq, recursive) in reversed(self._paths.items()):
            if seq <= cursor:
                break
            if root not in overflow:
                paths.append(ChangedPath(root=root, path=path, recursive=recursive))
        paths.sort(key=_order)
        changed = self._roots_changed > cursor
        return Changes(cursor=self._last, paths=tuple(paths), overflow=overflow, roots_changed=changed)


def _order(changed: ChangedPath) -> tuple[str, tuple[bytes, ...]]:
    return changed.root, tree_order(changed.path)
