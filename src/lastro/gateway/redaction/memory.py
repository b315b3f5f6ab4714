"""What was looked at is not looked at again: a conversation is sent anew, whole, with every call.

What always holds: bounded, by entries and by bytes; the oldest half goes first. Where a long text was clean only its digest stays.
"""

from __future__ import annotations

from typing import Final, Generic, TypeVar

Value = TypeVar("Value")

ENTRIES: Final = 16_384
BYTES: Final = 4 * 1024 * 1024


class Memory(Generic[Value]):
    """Two generations: what is used in the young one stays, the old one is dropped as a whole when the young one is full."""

    def __init__(self, *, entries: int = ENTRIES, size: int = BYTES) -> None:
        self._entries = entries
        self._size = size
        self._young: dict[bytes, Value] = {}
        self._old: dict[bytes, Value] = {}
        self._weight = 0

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def get(self, mark: bytes) -> Value | None:
        """What is remembered of ``mark``; ``None`` if nothing is."""
        value = self._young.get(mark)
        if value is None:
            value = self._old.get(mark)
            if value is not None:
                self.put(mark, value, len(mark))
        return value

    def put(self, mark: bytes, value: Value, weight: int) -> None:
        """Remember ``value``, which takes about ``weight`` bytes."""
        if len(self._young) >= self._entries or (self._weight + weight > self._size and self._young):
            self._old, self._young, self._weight = self._young, {}, 0
        self._young[mark] = value
        self._weight += weight

    def forget(self) -> None:
        """Forget everything."""
        self._young, self._old, self._weight = {}, {}, 0
