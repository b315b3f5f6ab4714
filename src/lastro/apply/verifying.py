"""Looking before anything is touched: whether every path is what its change says it was.

What always holds: nothing is changed here. What a hard link was is told by the file it is a name of, so the befores that come out are what
was really found, comparable with what an exchange brings out later.
"""

from __future__ import annotations

from msgspec import Struct, structs

from lastro.apply.destination import Conflict
from lastro.apply.plan import Index, Plan, UnitKind
from lastro.apply.reading import as_member, blocker, equal, is_mount_point, list_names
from lastro.apply.site import Site
from lastro.domain.changes import Change, ChangeSet
from lastro.domain.entry import Entry, EntryType
from lastro.domain.paths import from_bytes, join


class Verified(Struct, frozen=True, kw_only=True):
    """``changes`` with what was found as befores; ``conflicts`` with what the change set said; ``mounted``: files that are mount points."""

    changes: ChangeSet
    conflicts: tuple[Conflict, ...]
    mounted: frozenset[str]


def verify(site: Site, changes: ChangeSet, *, made: bool = False) -> Verified:
    """Compare every path with its change's ``before``. ``made``: the destination itself was made for this apply.

    Raises:
        OSError: a path cannot be looked at.
    """
    found: list[Change] = []
    conflicts: list[Conflict] = []
    mounted: set[str] = set()
    for change in changes.changes:
        entry = None if made and change.path == "" else site.read(change.path)
        if not _is_as_before(site, change, entry):
            conflicts.append(Conflict(path=change.path, expected=change.before, found=entry))
        found.append(structs.replace(change, before=entry))
        if entry is not None and entry.type is EntryType.FILE and is_mount_point(site.root, change.path):
            mounted.add(change.path)
    return Verified(changes=ChangeSet(tuple(found)), conflicts=tuple(conflicts), mounted=frozenset(mounted))


def verify_units(site: Site, plan: Plan, changes: ChangeSet) -> list[Conflict]:
    """What stands in the way of whole units: a link or file above a new path, or something unknown in a directory that is to go.

    Raises:
        OSError: a directory cannot be read.
    """
    index = Index(changes, plan)
    conflicts: list[Conflict] = []
    for unit in plan.units:
        if unit.kind is UnitKind.CREATE:
            above = blocker(site.root, unit.path, owners=site.owners)
            if above is not None:
                conflicts.append(Conflict(path=unit.path, expected=None, found=above))
            continue
        for change in index.within(unit.path):
            if change.before is not None and change.before.type is EntryType.DIRECTORY:
                names = (join(change.path, from_bytes(name)) for name in list_names(site.root, change.path))
                conflicts += [
                    Conflict(path=path, expected=None, found=site.read(path))
                    for path in names
                    if path not in index.changes
                ]
    return conflicts


def _is_as_before(site: Site, change: Change, found: Entry | None) -> bool:
    before = change.before
    if before is None or before.type is not EntryType.HARDLINK or found is None:
        return equal(before, found)
    if found.type is not EntryType.FILE or not equal(before, as_member(found, before)):
        return False
    first = site.status(before.link_target or "")
    return first is not None and (first.dev, first.inode) == (found.dev, found.inode)
