"""Content-split lists: long lists in small chunks, so that one change rewrites one piece and the pieces above it.

Directories and the chunk lists of large files share this. What always holds: where a piece ends depends on its own
items alone, never on what follows or on how the list came about; so equal lists are equal chunks, and an edit
rewrites only the pieces it touches (``docs/format.md``, Split lists).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, Generic, TypeVar

from blake3 import blake3

AVERAGE: Final = 32
"""Pieces have this many items on average; a power of two, at most 256."""
MAXIMUM_ITEMS: Final = 512
MAXIMUM_BYTES: Final = 256 << 10
"""A piece ends behind the item that brings it to this size."""

Item = TypeVar("Item")


class Splitter(Generic[Item]):
    """Cuts a list of one level into pieces: ``emit(key of the first item, items)`` each. Level 0 is the list itself."""

    def __init__(self, boundary_key: bytes, level: int, emit: Callable[[bytes, list[Item]], None]) -> None:
        self._boundary_key = boundary_key
        self._level = level
        self._emit = emit
        self._first = b""
        self._items: list[Item] = []
        self._size = 0

    @property
    def at_start(self) -> bool:
        """Whether the next item begins a piece."""
        return not self._items

    def add(self, key: bytes, size: int, item: Item) -> None:
        """Take the next item, ``size`` bytes long."""
        if not self._items:
            self._first = key
        self._items.append(item)
        self._size += size
        if self._is_end(key):
            self.finish()

    def finish(self) -> None:
        """End the piece, if one has begun: the list ends here."""
        if self._items:
            first, items = self._first, self._items
            self._items, self._size = [], 0
            self._emit(first, items)

    def _is_end(self, key: bytes) -> bool:
        if len(self._items) == MAXIMUM_ITEMS or self._size >= MAXIMUM_BYTES:
            return True
        if self._level > 0 and len(self._items) == 1:
            return False  # so that every level is at most half as long as the one below
        return blake3(bytes([self._level]) + key, key=self._boundary_key).digest(1)[0] % AVERAGE == 0


def reduce(
    level: int,
    items: list[tuple[bytes, Item]],
    *,
    boundary_key: bytes,
    write: Callable[[int, list[Item]], Item],
    at_most: int,
) -> tuple[int, list[tuple[bytes, Item]]]:
    """Replace ``(key, item)`` of ``level`` by the pieces that hold them, level by level, until at most ``at_most`` are left.

    ``write(level, items)`` stores a piece of that level. Returns the level of what is left, and what is left, with
    the keys of first items.
    """
    while len(items) > at_most:
        items = _pieces(level, items, boundary_key, write)
        level += 1
    return level, items


def _pieces(
    level: int,
    items: Iterable[tuple[bytes, Item]],
    boundary_key: bytes,
    write: Callable[[int, list[Item]], Item],
) -> list[tuple[bytes, Item]]:
    made: list[tuple[bytes, Item]] = []
    splitter = Splitter[Item](
        boundary_key, level, lambda first, members: made.append((first, write(level, members)))
    )
    for key, item in items:
        splitter.add(key, 0, item)
    splitter.finish()
    return made
