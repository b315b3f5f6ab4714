"""What a node's change feed has said and nobody has taken yet, between the event loop and the thread that asks.

What always holds: a cursor is handed out only together with everything before it; memory is bounded, and what does not fit becomes an
overflow of its roots, as it would on the node.
"""

from __future__ import annotations

import threading
import time
from typing import Final

from lastro.capture.source import ChangedPath, Changes
from lastro.errors import UnreachableError
from lastro.keeper.conversation import Conversation
from lastro.messages import N_
from lastro.protocol.events import FeedChanged, FeedOverflowed

MAXIMUM_REMEMBERED: Final = 65_536
"""Paths that wait here to be taken."""


class FeedBuffer:
    """One subscription of one session. ``add`` is called on the loop, the rest by the one thread that reads."""

    def __init__(self, conversation: Conversation, *, maximum_remembered: int = MAXIMUM_REMEMBERED) -> None:
        self._conversation = conversation
        self._maximum = maximum_remembered
        self._news = threading.Condition()
        self._paths: dict[tuple[str, str], bool] = {}
        self._lost: dict[str, None] = {}
        self._roots_changed = False
        self._told = False
        self._open_step = False
        self._cursor = 0
        self._taken: int | None = None
        self._ended = False

    @property
    def cursor(self) -> int:
        """Where the reader stands."""
        return self._taken if self._taken is not None else self._cursor

    def continues(self, conversation: Conversation, cursor: int) -> bool:
        """Whether what comes here is what ``conversation`` says after ``cursor``."""
        return self._conversation is conversation and self._taken == cursor

    def start(self, cursor: int) -> None:
        """The subscription stands at ``cursor``; something after it may have been added already."""
        with self._news:
            self._taken = cursor

    def add(self, event: FeedChanged | FeedOverflowed | None) -> None:
        """Take over what the feed said; ``None``: the session has ended."""
        with self._news:
            if event is None:
                self._ended = True
            elif isinstance(event, FeedOverflowed):
                self._told, self._cursor = True, event.cursor
                self._lose(event.roots)
            else:
                self._told, self._open_step, self._cursor = True, event.more, event.cursor
                self._roots_changed = self._roots_changed or event.roots_changed
                for each in event.paths:
                    key = (each.root, each.path)
                    self._paths[key] = self._paths.get(key, False) or each.recursive
                if len(self._paths) > self._maximum:
                    self._lose(tuple({root for root, _ in self._paths}))
            self._news.notify_all()

    def take(self, timeout_s: float) -> Changes:
        """Everything that was said and not taken yet, waiting up to ``timeout_s`` seconds for it.

        Raises:
            UnreachableError: the session has ended, and there is nothing left to take.
        """
        deadline = time.monotonic() + timeout_s
        with self._news:
            while not self._told or self._open_step:
                if self._ended:
                    raise UnreachableError(
                        N_("The connection to the node is gone, and with it its change feed.")
                    )
                left = deadline - time.monotonic()
                if left <= 0:
                    return Changes(cursor=self.cursor)
                self._news.wait(left)
            changes = Changes(
                cursor=self._cursor,
                paths=tuple(
                    ChangedPath(root=root, path=path, recursive=recursive)
                    for (root, path), recursive in self._paths.items()
                    if root not in self._lost
                ),
                overflow=tuple(self._lost),
                roots_changed=self._roots_changed,
            )
            self._paths, self._lost = {}, {}
            self._roots_changed = self._told = False
            self._taken = self._cursor
            return changes

    def _lose(self, roots: tuple[str, ...]) -> None:
        lost = dict.fromkeys(roots)
        self._lost |= lost
        self._paths = {key: recursive for key, recursive in self._paths.items() if key[0] not in lost}
