"""Putting staged units in place, one step each, looking at what came out.

What always holds: nobody's version is overwritten unseen. A unit goes in by an exchange, by a rename to where nothing is, or the old one
is moved aside; what came out is compared with what was expected, and put back if it is something else. Each step can be interrupted and
asked for again: where a unit stands is read from the disk.

=========  ========================================  ==========================================================
kind       nothing happened yet                      it happened
=========  ========================================  ==========================================================
CREATE     the new version is at ``staged``          ``staged`` is gone (or is a second name of what is in place)
REPLACE    the new version is at ``staged``          the old one is at ``staged``; or at ``aside`` (no exchange)
DELETE     nothing is at ``aside``                   the old one is at ``aside``
WRITE      the new version is at ``staged``          the new version is at ``writing``
=========  ========================================  ==========================================================
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from msgspec import structs

from lastro.apply.attributes import LOCKS, lock_again
from lastro.apply.destination import Conflict
from lastro.apply.in_place import is_written, may_be_half_written, write_into
from lastro.apply.plan import Index, Unit, UnitKind, kept_name, location
from lastro.apply.reading import NOTHING_THERE, blocker, equal, is_as
from lastro.apply.site import UNSUPPORTED, Site
from lastro.apply.staging import new_place
from lastro.domain.entry import Entry, EntryType, StatKey
from lastro.domain.paths import parent_of

_ATTEMPTS: Final = 100


@dataclass(slots=True, kw_only=True)
class Placer:
    """Puts the units of one apply in place. ``index`` has what was really found as the changes' befores."""

    site: Site
    index: Index
    staged_inodes: dict[str, int] = field(default_factory=dict)
    """Inode numbers of the new versions by the unit's path, known to who staged them; after a crash the content has to tell."""
    checked: dict[str, dict[str, StatKey]] = field(default_factory=dict)
    """What came out and was found to be as expected: where it is now → stat keys by path, to see whether somebody wrote to it since."""

    def has_happened(self, unit: Unit) -> bool:
        """Whether the step of ``unit`` was done, by the table above. Where its directory is gone, it was not."""
        staged, aside = unit.staged(self.site.apply_id), unit.aside(self.site.apply_id)
        if unit.kind is UnitKind.WRITE:
            return self.site.status(unit.writing(self.site.apply_id)) is not None
        if unit.kind is UnitKind.DELETE:
            return self.site.status(aside) is not None
        if unit.kind is UnitKind.CREATE:
            if self.site.status(staged) is not None:
                return self.has_same_inode(staged, unit.path)
            return (
                self.site.status(unit.path) is not None and self.site.status(parent_of(unit.path)) is not None
            )
        return self.site.status(aside) is not None or (
            self.site.status(staged) is not None and not self.is_new(unit)
        )

    def place(self, unit: Unit) -> list[Conflict]:
        """Do the step of ``unit``, or finish it. Returns what was in the way; then the unit is as others left it.

        Raises:
            OSError: it could not be done, and nothing of this unit was.
        """
        steps: dict[UnitKind, Callable[[Unit], list[Conflict]]] = {
            UnitKind.CREATE: self._create,
            UnitKind.REPLACE: self._replace,
            UnitKind.DELETE: self._delete,
            UnitKind.WRITE: self._write,
        }
        try:
            return steps[unit.kind](unit)
        except OSError as error:
            if error.errno in NOTHING_THERE:  # its place is gone, or something else leads there now
                return [self._conflict(unit.path, self.site.read(unit.path) or self._blocker(unit.path))]
            raise

    def expected(self, unit: Unit) -> dict[str, Entry]:
        """What is to come out of a unit's place."""
        return {
            change.path: change.before for change in self.index.within(unit.path) if change.before is not None
        }

    def compare(self, unit: Unit, place: str) -> list[Conflict]:
        """The differences between what is at ``place`` and what was expected to come out of ``unit``; locks do not count, we move them."""
        expected = self.expected(unit)
        found = self.site.read_tree(place, known_as=unit.path)
        if is_as(_without_locks(expected), _without_locks(found)):
            self.checked[place] = {path: self._key(entry) for path, entry in found.items()}
            return []
        paths = [path for path in {**expected, **found} if not equal(expected.get(path), found.get(path))]
        return [self._conflict(path, found.get(path)) for path in paths]

    def is_untouched(self, place: str, unit: Unit) -> bool:
        """Whether what came out and is at ``place`` is still what it was when it was compared."""
        known = self.checked.get(place)
        if known is None:
            return not self.compare(unit, place)
        for path, key in known.items():
            status = self.site.status(location(path, unit, place))
            if status is None or (
                (
                    status.size if status.type is EntryType.FILE else 0,
                    status.mtime_ns,
                    status.inode,
                    status.dev,
                )
                != (key.size, key.mtime_ns, key.inode, key.dev)
            ):
                return not self.compare(unit, place)
        return True

    def keep(self, place: str, path: str) -> str | None:
        """Give what is at ``place``, somebody's version of ``path``, a visible name beside it; returns that name."""
        if self.site.status(place) is None:
            return None
        for attempt in range(_ATTEMPTS):
            kept = kept_name(path, self.site.apply_id, attempt)
            try:
                self.site.put(place, kept)
            except FileExistsError:
                continue
            return kept
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), kept)

    # the four steps

    def _create(self, unit: Unit) -> list[Conflict]:
        staged = unit.staged(self.site.apply_id)
        if self.has_happened(unit):
            self.site.remove(staged)
            return []
        try:
            self.site.put(staged, unit.path)
        except FileExistsError:
            return [self._conflict(unit.path, self.site.read(unit.path))]
        return []

    def _replace(self, unit: Unit) -> list[Conflict]:
        staged, aside = unit.staged(self.site.apply_id), unit.aside(self.site.apply_id)
        if self.site.status(aside) is not None:
            return self._replace_without_exchange(unit)
        locks = self._locks(unit)
        if self.is_new(unit):
            unlocked = self.site.unlock(unit.path) if locks else 0
            try:
                self.site.exchange(unit.path, staged)
            except OSError as error:
                self._lock_again(unit.path, unlocked)
                if error.errno in UNSUPPORTED:
                    return self._replace_without_exchange(unit)
                raise
            self._lock_again(staged, unlocked)
        conflicts = self.compare(unit, staged)
        if conflicts:
            self.site.unlock(staged)
            self._give_back(unit, staged)
            self._lock_again(unit.path, locks)
            if self.site.status(staged) is not None and not self.is_new(unit):
                # somebody was there between the two exchanges as well: theirs is newer, both stay
                conflicts[0] = structs.replace(conflicts[0], kept_as=self.keep(staged, unit.path))
        return conflicts

    def _give_back(self, unit: Unit, place: str) -> None:
        """Put what came out of a unit's place back, whatever happens there meanwhile."""
        for _ in range(_ATTEMPTS):
            try:
                self.site.exchange(unit.path, place)
            except FileNotFoundError:
                try:
                    self.site.put(place, unit.path)
                except FileExistsError:
                    continue
            return

    def _replace_without_exchange(self, unit: Unit) -> list[Conflict]:
        """For file systems that cannot exchange: for an instant nothing is in place, but no version is ever overwritten."""
        staged = unit.staged(self.site.apply_id)
        conflicts = self._move_aside(unit)
        if not conflicts and self.site.status(staged) is not None:
            try:
                self.site.put(staged, unit.path)
            except FileExistsError:
                if self.has_same_inode(staged, unit.path):
                    self.site.remove(staged)
                else:
                    return [self._conflict(unit.path, self.site.read(unit.path))]
        return conflicts

    def _delete(self, unit: Unit) -> list[Conflict]:
        return self._move_aside(unit)

    def _move_aside(self, unit: Unit) -> list[Conflict]:
        """Move the old version to ``aside``, unless it is there; put it back if it is not what was expected."""
        aside, locks = unit.aside(self.site.apply_id), self._locks(unit)
        if self.site.status(aside) is None:
            unlocked = self.site.unlock(unit.path) if locks else 0
            try:
                self.site.take(unit.path, aside)
            except OSError:
                self._lock_again(unit.path, unlocked)
                raise
            self._lock_again(aside, unlocked)
        conflicts = self.compare(unit, aside)
        if conflicts:
            self.site.unlock(aside)
            try:
                self.site.put(aside, unit.path)
                self._lock_again(unit.path, locks)
            except FileExistsError:
                conflicts[0] = structs.replace(conflicts[0], kept_as=self.keep(aside, unit.path))
        return conflicts

    def _write(self, unit: Unit) -> list[Conflict]:
        staged, writing = unit.staged(self.site.apply_id), unit.writing(self.site.apply_id)
        aside, after = unit.aside(self.site.apply_id), self.index.changes[unit.path].after
        live = self.site.read(unit.path)
        if after is None or live is None or live.type is not EntryType.FILE:
            return [self._conflict(unit.path, live)]
        if is_written(live, after):
            return []
        if self.site.status(writing) is not None:
            if not may_be_half_written(self.site, unit.path, old=aside, new=writing):
                return [self._conflict(unit.path, live)]
        else:
            conflicts = self.compare(unit, unit.path)
            if conflicts:
                return conflicts
            self.site.put(staged, writing)
            self.site.sync(parent_of(writing))
        write_into(self.site, unit.path, writing, expected=live)
        return []

    # what is where

    def has_same_inode(self, path: str, other: str) -> bool:
        """Whether two paths are names of one file."""
        first, second = self.site.status(path), self.site.status(other)
        return (
            first is not None
            and second is not None
            and (first.dev, first.inode) == (second.dev, second.inode)
        )

    def is_new(self, unit: Unit) -> bool:
        """Whether ``staged`` holds the new version of a replaced unit."""
        staged = unit.staged(self.site.apply_id)
        if unit.path in self.staged_inodes:
            status = self.site.status(staged)
            return status is not None and status.inode == self.staged_inodes[unit.path]
        found, after = self.site.read(staged), self.index.changes[unit.path].after
        if found is None or after is None:
            return False
        if after.type is EntryType.HARDLINK:
            return self.has_same_inode(staged, self._where_new(after.link_target or ""))
        fields = ["type", "size", "link_target", "rdev"]
        if (
            found.type is not EntryType.FILE or found.digest is not None
        ):  # one that may not be read is told by the rest
            fields.append("digest")
        return all(getattr(found, name) == getattr(after, name) for name in fields)

    def _where_new(self, path: str) -> str:
        """Where the new inode of ``path`` is now."""
        unit, staged = self.index.unit_of(path), new_place(self.site, self.index, path)
        return path if unit is None or staged is None or self.has_happened(unit) else staged

    def _locks(self, unit: Unit) -> int:
        change = self.index.changes.get(unit.path)
        return change.before.flags & LOCKS if change is not None and change.before is not None else 0

    def _lock_again(self, path: str, flags: int) -> None:
        if flags:
            with self.site.parent(path) as (directory, name):
                lock_again(self.site.system, directory, name, flags)

    def _blocker(self, path: str) -> Entry | None:
        return blocker(self.site.root, path, owners=self.site.owners)

    def _conflict(self, path: str, found: Entry | None) -> Conflict:
        change = self.index.changes.get(path)
        return Conflict(path=path, expected=change.before if change is not None else None, found=found)

    @staticmethod
    def _key(entry: Entry) -> StatKey:
        return StatKey(entry.size, entry.mtime_ns, entry.ctime_ns, entry.inode, entry.dev)


def _without_locks(entries: Mapping[str, Entry]) -> dict[str, Entry]:
    return {path: structs.replace(entry, flags=entry.flags & ~LOCKS) for path, entry in entries.items()}
