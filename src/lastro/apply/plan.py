"""What an apply has to do, decided before anything is touched; pure.

A *unit* is what one rename can change in one step: the topmost path that is created, replaced or removed, with everything below it. So a
new directory appears whole, and an old one goes whole. What always holds: units never lie inside one another; every change of the change
set belongs to one unit, or only changes attributes, or is skipped and noted.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from enum import StrEnum
from itertools import pairwise
from typing import Final

from msgspec import Struct

from lastro.apply.destination import Note, NoteKind
from lastro.domain.changes import Change, ChangeSet
from lastro.domain.entry import Entry, EntryType
from lastro.domain.paths import is_within, join, name_of, parent_of, relative_to, tree_order
from lastro.errors import UsageError
from lastro.messages import N_

_CONTENT: Final = ("type", "size", "link_target", "rdev", "digest")


class UnitKind(StrEnum):
    """How a unit gets in place."""

    CREATE = "create"
    """Renamed to where nothing is."""
    REPLACE = "replace"
    """Exchanged with what is there."""
    DELETE = "delete"
    """Moved aside."""
    WRITE = "write"
    """Written into the file that is there, because a rename would break a hard-link group or cannot pass a mount."""


class Unit(Struct, frozen=True, kw_only=True):
    """One step. ``path`` is its topmost path; ``number`` names what is put beside it."""

    number: int
    kind: UnitKind
    path: str

    def staged(self, apply_id: str) -> str:
        """Where the new version waits, and after an exchange the old one."""
        return self._beside(apply_id, 0)

    def aside(self, apply_id: str) -> str:
        """Where the old version is put when it cannot be exchanged, or copied to before its file is written into."""
        return self._beside(apply_id, 1)

    def writing(self, apply_id: str) -> str:
        """What ``staged`` is called once the file in place is being written into."""
        return self._beside(apply_id, 2)

    def leaving(self, apply_id: str) -> str:
        """What an old directory is called while it is being removed; a unit has this or ``writing``, never both."""
        return self._beside(apply_id, 2)

    def _beside(self, apply_id: str, which: int) -> str:
        return join(parent_of(self.path), f".lastro-{apply_id}-{3 * self.number + which}")


class Plan(Struct, frozen=True, kw_only=True):
    """``units`` in tree order, then ``attributes``: paths of which only attributes change. ``notes`` says what is skipped."""

    units: tuple[Unit, ...] = ()
    attributes: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    notes: tuple[Note, ...] = ()


def replaces(before: Entry, after: Entry) -> bool:
    """Whether going from ``before`` to ``after`` needs another inode, or other bytes in it."""
    return any(getattr(before, name) != getattr(after, name) for name in _CONTENT)


def unmakeable(after: Entry) -> str | None:
    """The code of why ``after`` cannot be made at all, or ``None``."""
    if after.type is EntryType.SOCKET:
        return "socket"
    return "content" if after.type is EntryType.FILE and after.digest is None else None


def make_plan(
    changes: ChangeSet,
    *,
    in_place: Collection[str] = (),
    highest_missing: Callable[[str], str] = lambda path: path,
) -> Plan:
    """The plan for ``changes``. ``in_place``: replaced files that must be written into. ``highest_missing(path)``: of a path to be
    created, the highest path at or above it where nothing is; directories between the two that are in no change are made plainly.

    Raises:
        UsageError: the change set contradicts itself: something stays below what is removed, or appears below what is no directory.
    """
    _check_consistency(changes)
    units: list[Unit] = []
    attributes: list[str] = []
    notes: list[Note] = []
    left_alone: str | None = None
    for change in changes.changes:
        kind = _kind_of(change, in_place)
        reason = unmakeable(change.after) if change.after is not None and kind is not None else None
        if left_alone is not None and is_within(change.path, left_alone):
            notes.append(Note(path=change.path, kind=NoteKind.SKIPPED, detail="parent"))
        elif reason is not None:
            notes.append(Note(path=change.path, kind=NoteKind.SKIPPED, detail=reason))
            left_alone = change.path
        elif units and is_within(change.path, units[-1].path):
            continue
        elif kind is None or change.path == "":
            attributes.append(change.path)
        else:
            path = highest_missing(change.path) if kind is UnitKind.CREATE else change.path
            units.append(Unit(number=len(units), kind=kind, path=path))
    _skip_links_to_skipped(changes, notes)
    skipped = {note.path for note in notes}
    return Plan(
        units=tuple(unit for unit in units if unit.path not in skipped),
        attributes=tuple(path for path in attributes if path not in skipped),
        skipped=tuple(sorted(skipped)),
        notes=tuple(notes),
    )


def in_tree_order(changes: ChangeSet) -> ChangeSet:
    """``changes`` sorted, and refused when a path comes twice.

    Raises:
        UsageError: a path comes twice.
    """
    ordered = sorted(changes.changes, key=lambda change: tree_order(change.path))
    for first, second in pairwise(ordered):
        if first.path == second.path:
            raise _contradiction(first.path)
    return ChangeSet(tuple(ordered))


class Index:
    """The changes of a plan, found by path. ``changes`` in tree order."""

    def __init__(self, changes: ChangeSet, plan: Plan) -> None:
        self.changes = {change.path: change for change in changes.changes}
        self._order = [tree_order(path) for path in self.changes]
        self._paths = list(self.changes)
        self._units = {unit.path: unit for unit in plan.units}

    def within(self, path: str) -> Iterator[Change]:
        """The changes at and below ``path``, in tree order."""
        for position in range(bisect_left(self._order, tree_order(path)), len(self._paths)):
            if not is_within(self._paths[position], path):
                return
            yield self.changes[self._paths[position]]

    def unit_of(self, path: str) -> Unit | None:
        """The unit that ``path`` belongs to."""
        while path not in self._units:
            if not path:
                return None
            path = parent_of(path)
        return self._units[path]


def location(path: str, unit: Unit, staged: str) -> str:
    """Where ``path`` of ``unit`` is while the unit's topmost path is at ``staged``."""
    return join(staged, relative_to(path, unit.path))


def kept_name(path: str, apply_id: str, attempt: int = 0) -> str:
    """A visible path beside ``path`` for somebody's version that had to be put aside."""
    suffix = f".lastro-kept-{apply_id}" + (f".{attempt}" if attempt else "")
    name = name_of(path)
    while len(name.encode("utf-8", "surrogateescape")) + len(suffix) > 255:
        name = name[:-1]
    return join(parent_of(path), name + suffix)


def written_in_place(observed: Mapping[str, Entry], changes: Iterable[Change]) -> dict[str, str]:
    """Of replaced files, those whose hard-link group has members that are in no change: path → why (``hard_link``).

    ``observed`` is what is there now. A group that changes as a whole is replaced as a whole. When one file is in two changes, the first
    is written into and the others, where they say the same, follow by themselves.
    """
    replaced = [
        change for change in changes if change.before is not None and _kind_of(change, ()) is not None
    ]
    groups: dict[tuple[int, int], list[Change]] = {}
    for change in replaced:
        entry = observed.get(change.path)
        if entry is not None and entry.type is EntryType.FILE and entry.nlink > 1:
            groups.setdefault((entry.dev, entry.inode), []).append(change)
    found: dict[str, str] = {}
    for group in groups.values():
        if len(group) >= observed[group[0].path].nlink:
            continue
        staying = [change.after for change in group if change.after is not None and _stays_file(change)]
        found |= {
            change.path: "hard_link"
            for change in group
            if change.after is not None and _stays_file(change) and not replaces(staying[0], change.after)
        }
    return found


def _stays_file(change: Change) -> bool:
    return all(side is not None and side.type is EntryType.FILE for side in (change.before, change.after))


def _kind_of(change: Change, in_place: Collection[str]) -> UnitKind | None:
    if change.before is None:
        return UnitKind.CREATE
    if change.after is None:
        return UnitKind.DELETE
    if not replaces(change.before, change.after):
        return None
    return UnitKind.WRITE if change.path in in_place else UnitKind.REPLACE


def _check_consistency(changes: ChangeSet) -> None:
    """On either side, what holds something is a directory; and the destination itself is one."""
    above: list[Change] = []
    for change in changes.changes:
        while above and not is_within(change.path, above[-1].path):
            above.pop()
        sides = (change.before, change.after)
        parents = (above[-1].before, above[-1].after) if above else (None, None)
        for side, parent in zip(sides, parents, strict=True):
            below_nothing = above and side is not None and not _is_directory(parent)
            if below_nothing or (change.path == "" and side is not None and not _is_directory(side)):
                raise _contradiction(change.path)
        above.append(change)


def _is_directory(entry: Entry | None) -> bool:
    return entry is not None and entry.type is EntryType.DIRECTORY


def _contradiction(path: str) -> UsageError:
    return UsageError(
        N_("The change set contradicts itself at {path}"),
        path=path,
        hint=N_("Compute it again from two complete states."),
    )


def _skip_links_to_skipped(changes: ChangeSet, notes: list[Note]) -> None:
    skipped = {note.path for note in notes}
    notes += [
        Note(path=change.path, kind=NoteKind.SKIPPED, detail="link_target")
        for change in changes.changes
        if change.after is not None
        and change.after.type is EntryType.HARDLINK
        and change.after.link_target in skipped
        and change.path not in skipped
    ]
