"""Plans: which changes make the live state what a recorded one says. Pure: entries in, a change set and warnings out.

What always holds: what cannot be brought back is left as it is, with everything below it, and reported; so carrying out a plan never
makes anything worse than it was. A hard link counts as what it should be: the live members of a group are named as the wanted state
names them, so that a link nobody wants shows as a change and one that is right does not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from lastro.domain.changes import Change, ChangeKind, ChangeSet, diff
from lastro.domain.entry import Entry, EntryType, differing
from lastro.domain.paths import is_within, join, parent_of, tree_order


class Concern(StrEnum):
    """Something to know before saying yes."""

    CHANGED_SINCE = "changed_since"
    """Not as the apply that is undone had left it; what is there now is kept in the snapshot taken before."""
    NOT_EMPTY = "not_empty"
    """A directory that would go, but holds something newer: it stays, and no hard link to the file it was is made."""
    NOT_STORED = "not_stored"
    """The content could not be read when it was captured, so neither the file nor a hard link to it can be brought back."""
    LAST_VERSION = "last_version"
    """It does not exist any more; this is the last version that did."""
    TORN = "torn"
    """The file was changing while it was captured: its content may mix two states."""


class PlannedChanges(Struct, frozen=True, kw_only=True):
    """What would change, and what to know about it, each concern with its path."""

    changes: ChangeSet
    concerns: tuple[tuple[Concern, str], ...]


def rebase(entries: Iterable[Entry], top: str) -> list[Entry]:
    """Entries relative to some top as entries below ``top`` of another place; the targets of hard links move with them."""
    return [_moved(entry, top) for entry in entries]


def plan_restore(live: Iterable[Entry], wanted: Iterable[Entry], *, keep: bool) -> PlannedChanges:
    """Make ``live`` (everything at and below one path) be ``wanted``; both in tree order. ``keep``: leave alone what did not exist then,
    unless it lies in a directory that is to be none.

    ``live`` is as a ``Destination`` walks it: members of hard-link groups are told by ``dev`` and ``inode``.
    """
    wanted = list(wanted)
    unstored = _unstored(wanted)
    concerns: list[tuple[Concern, str]] = []
    changes: list[Change] = []
    left_alone: str | None = None
    emptied: str | None = None
    for change in diff(_with_links(live, wanted), wanted):
        if left_alone is not None and is_within(change.path, left_alone):
            continue
        if change.path in unstored:
            concerns.append((Concern.NOT_STORED, change.path))
            left_alone = change.path
            continue
        in_the_way = emptied is not None and is_within(change.path, emptied)
        if keep and change.kind is ChangeKind.REMOVED and not in_the_way:
            continue
        changes.append(change)
        if change.after is not None and change.after.torn:
            concerns.append((Concern.TORN, change.path))
        if _goes(change.before, change.after) and not in_the_way:
            emptied = change.path
    return PlannedChanges(changes=ChangeSet(tuple(changes)), concerns=tuple(concerns))


def plan_undo(
    live: Mapping[str, Entry | None],
    below: Sequence[str],
    before: Mapping[str, Entry],
    after: Mapping[str, Entry],
    paths: Sequence[str],
) -> PlannedChanges:
    """Take an apply back that touched ``paths``: make each what ``before`` says (absent from it: nothing).

    ``live`` is what the paths are now, as a ``Destination`` reads them; ``below`` every live path that lies below a directory the undo
    would remove; ``after`` is what the apply had left.
    """
    present = _by_path(_with_links(_in_order(live.values()), before.values()))
    as_left = _by_path(_with_links(_in_order(live.values()), after.values()))
    unstored, touched = _unstored(before.values()), set(paths)
    occupied = _above(path for path in below if path not in touched)
    concerns: list[tuple[Concern, str]] = []
    changes: list[Change] = []
    staying: set[str] = set()
    left_alone: str | None = None
    for path in sorted(touched, key=tree_order):
        now, then, left = present.get(path), before.get(path), after.get(path)
        # A snapshot of only these paths cannot tell a hard link from a file of its own, so either will do.
        if not _equal(as_left.get(path), left) and not _equal(live.get(path), left):
            concerns.append((Concern.CHANGED_SINCE, path))
        if _equal(now, then) or (left_alone is not None and is_within(path, left_alone)):
            continue
        if path in occupied and _goes(now, then) and path not in unstored:
            concerns.append((Concern.NOT_EMPTY, path))
            staying.add(path)
        elif (obstacle := _obstacle(path, then, unstored, staying)) is not None:
            concerns.append((obstacle, path))
            left_alone = path
        else:
            changes.append(Change(path=path, before=now, after=then))
            if then is not None and then.torn:
                concerns.append((Concern.TORN, path))
    return PlannedChanges(changes=ChangeSet(tuple(changes)), concerns=tuple(concerns))


def _obstacle(path: str, then: Entry | None, unstored: set[str], staying: set[str]) -> Concern | None:
    """Why ``then`` cannot be made at ``path``: no content, or a hard link to what a directory stays in the place of."""
    if path in unstored:
        return Concern.NOT_STORED
    linked = then is not None and then.type is EntryType.HARDLINK and then.link_target in staying
    return Concern.NOT_EMPTY if linked else None


def _moved(entry: Entry, top: str) -> Entry:
    target = entry.link_target
    if entry.type is EntryType.HARDLINK and target is not None:
        target = join(top, target)
    return replace(entry, path=join(top, entry.path), link_target=target)


def _equal(one: Entry | None, other: Entry | None) -> bool:
    if one is None or other is None:
        return one is other
    return not differing(one, other)


def _goes(before: Entry | None, after: Entry | None) -> bool:
    """Whether a directory is removed, or becomes something that holds nothing."""
    was = before is not None and before.type is EntryType.DIRECTORY
    return was and (after is None or after.type is not EntryType.DIRECTORY)


def _unstored(wanted: Iterable[Entry]) -> set[str]:
    """The paths whose content is not stored: files that could not be read, and the other names of such files."""
    wanted = list(wanted)
    unread = {entry.path for entry in wanted if entry.type is EntryType.FILE and entry.digest is None}
    return unread | {
        entry.path for entry in wanted if entry.type is EntryType.HARDLINK and entry.link_target in unread
    }


def _above(paths: Iterable[str]) -> set[str]:
    """Every directory above any of ``paths``."""
    above: set[str] = set()
    for path in paths:
        directory = path
        while directory:
            directory = parent_of(directory)
            if directory in above:
                break
            above.add(directory)
    return above


def _in_order(entries: Iterable[Entry | None]) -> list[Entry]:
    return sorted((entry for entry in entries if entry is not None), key=lambda entry: tree_order(entry.path))


def _by_path(entries: Iterable[Entry]) -> dict[str, Entry]:
    return {entry.path: entry for entry in entries}


def _with_links(live: Iterable[Entry], wanted: Iterable[Entry]) -> list[Entry]:
    """The live entries with one member of each hard-link group as the file and the others as its ``HARDLINK``.

    The file is the first member that has to stay as it is because its content is not stored; else the first that ``wanted`` has as one;
    else the first. So whatever else becomes of the others, nothing is written into a file that has to stay.
    """
    live, wanted = list(live), list(wanted)
    groups: dict[tuple[int, int], list[Entry]] = {}
    for entry in live:
        if entry.nlink > 1 and entry.type in {EntryType.FILE, EntryType.HARDLINK}:
            groups.setdefault((entry.dev, entry.inode), []).append(entry)
    if not groups:
        return live
    files = {entry.path for entry in wanted if entry.type is EntryType.FILE}
    unstored = _unstored(wanted)
    named = _by_path(member for group in groups.values() for member in _name_group(group, files, unstored))
    return [named.get(entry.path, entry) for entry in live]


def _name_group(group: Sequence[Entry], files: set[str], unstored: set[str]) -> list[Entry]:
    """The members of one hard-link group, in tree order, of which the first at or below ``unstored`` (else the first in ``files``, else
    the first) is the file.
    """
    held = group[0]  # whoever lists links has already told the first member as the file
    staying = (entry.path for entry in group if _is_at_or_below(entry.path, unstored))
    leader = next(staying, None) or next((entry.path for entry in group if entry.path in files), held.path)
    link = replace(
        held, type=EntryType.HARDLINK, link_target=leader, size=0, holes=(), digest=None, torn=False
    )
    return [replace(held if entry.path == leader else link, path=entry.path) for entry in group]


def _is_at_or_below(path: str, tops: set[str]) -> bool:
    while path and path not in tops:
        path = parent_of(path)
    return path in tops
