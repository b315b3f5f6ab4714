"""Differences between two states of a tree, pure. ``diff(before, after)`` is what a human reviews and what ``apply`` carries out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum
from functools import cached_property
from typing import Final

import msgspec
from blake3 import blake3
from msgspec import Struct

from lastro.domain.entry import Entry, EntryType, all_compared, differing
from lastro.domain.ids import Digest
from lastro.domain.paths import to_bytes, tree_order


class ChangeKind(StrEnum):
    """What happened to a path."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


class Change(Struct, frozen=True, kw_only=True):
    """One path that differs. ``before`` is ``None`` for what was added, ``after`` for what was removed; never both."""

    path: str
    before: Entry | None
    after: Entry | None

    @property
    def kind(self) -> ChangeKind:
        """Added, removed or changed."""
        if self.before is None:
            return ChangeKind.ADDED
        return ChangeKind.REMOVED if self.after is None else ChangeKind.CHANGED

    @property
    def fields(self) -> tuple[str, ...]:
        """The compared fields that differ; empty for what was added or removed."""
        return differing(self.before, self.after) if self.before and self.after else ()

    @property
    def written(self) -> int:
        """Bytes of content that carrying it out writes."""
        before, after = self.before, self.after
        if after is None or after.type is not EntryType.FILE:
            return 0
        return after.size if before is None or before.digest != after.digest else 0

    @property
    def inverse(self) -> Change:
        """The change that takes this one back."""
        return Change(path=self.path, before=self.after, after=self.before)


class ChangeSet(Struct, frozen=True, dict=True):
    """All differences between two states, in tree order (a directory before what it holds)."""

    changes: tuple[Change, ...] = ()

    @property
    def inverse(self) -> ChangeSet:
        """The change set that takes this one back."""
        return ChangeSet(tuple(change.inverse for change in self.changes))

    @property
    def written(self) -> int:
        """Bytes of content that carrying it out writes."""
        return sum(change.written for change in self.changes)

    @cached_property
    def digest(self) -> Digest:
        """Plain BLAKE3-256 over the compared fields of both sides of every change: what an approval signs."""
        canonical = [
            [to_bytes(change.path), _compared(change.before), _compared(change.after)]
            for change in self.changes
        ]
        return Digest(blake3(_DIGEST_CONTEXT + msgspec.msgpack.encode(canonical)).digest())


_DIGEST_CONTEXT: Final = b"lastro-change-set-0"


def _compared(entry: Entry | None) -> list[object] | None:
    return None if entry is None else [_plain(value) for value in all_compared(entry)]


def _plain(value: object) -> object:
    """``value`` in bytes, integers and lists, so that msgpack has one way to write it."""
    if value is None or isinstance(value, int | bytes):
        return value
    if isinstance(value, str):
        return to_bytes(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Struct):
        return [_plain(getattr(value, name)) for name in value.__struct_fields__]
    return value


def diff(before: Iterable[Entry], after: Iterable[Entry]) -> Iterator[Change]:
    """The differences between two complete listings, each in tree order. Entries equal in every compared field make no change."""
    old_entries, new_entries = iter(before), iter(after)
    old, new = next(old_entries, None), next(new_entries, None)
    while old is not None and new is not None:
        old_order, new_order = tree_order(old.path), tree_order(new.path)
        if old_order < new_order:
            yield Change(path=old.path, before=old, after=None)
            old = next(old_entries, None)
        elif new_order < old_order:
            yield Change(path=new.path, before=None, after=new)
            new = next(new_entries, None)
        else:
            if differing(old, new):
                yield Change(path=new.path, before=old, after=new)
            old, new = next(old_entries, None), next(new_entries, None)
    while old is not None:
        yield Change(path=old.path, before=old, after=None)
        old = next(old_entries, None)
    while new is not None:
        yield Change(path=new.path, before=None, after=new)
        new = next(new_entries, None)
