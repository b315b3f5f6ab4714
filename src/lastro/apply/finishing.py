"""The two ways out of an apply: everything goes back (``roll_back``), or everything left to do is done (``finish``).

What always holds: both can be interrupted and begun again; the intent file goes last. Nothing is removed but our own new versions and old
versions that are still what they were when they came out; anything else gets a visible name and is a conflict.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress

from msgspec import structs

from lastro.apply.attributes import LOCKS, lock_again, set_attributes, set_flags, unlock
from lastro.apply.destination import Conflict, Note, NoteKind, Outcome, OutcomeKind
from lastro.apply.in_place import dress_in_place
from lastro.apply.intent import Intent, Touched, remove_intent
from lastro.apply.placing import Placer
from lastro.apply.plan import Unit, UnitKind
from lastro.apply.site import Site
from lastro.domain.changes import Change
from lastro.domain.entry import Entry, EntryType, Xattr
from lastro.domain.paths import parent_of, to_bytes, tree_order
from lastro.filesystem.metadata import entry_of
from lastro.filesystem.system import System

_SET_ID = 0o6000
_GROUP = 0o070
_OWNER_WORKS = 0o700


def loosen(site: Site, touched: tuple[Touched, ...]) -> None:
    """Open up the directories that forbid to stage in them, for the time of the apply.

    Raises:
        OSError: the disk fails. What is not permitted is left, and staging will say so.
    """
    for directory in touched:
        if directory.loosened:
            with site.parent(directory.path) as (parent, name):
                unlock(site.system, parent, name)
                if os.geteuid() != 0 and directory.mode & _OWNER_WORKS != _OWNER_WORKS:
                    with suppress(PermissionError):
                        site.system.set_mode_at(parent, name or b".", directory.mode | _OWNER_WORKS)


def roll_back(site: Site | None, intents: str, intent: Intent, *, system: System) -> None:
    """Remove everything staged, and give directories their times back. Only for an apply of which nothing is in place.

    ``site`` is ``None`` when the destination itself is not there any more (or not yet).

    Raises:
        OSError: the disk fails; the intent stays, and it can be begun again.
    """
    if site is not None:
        for unit in intent.plan.units:
            for place in (
                unit.staged(intent.apply_id),
                unit.aside(intent.apply_id),
                unit.writing(intent.apply_id),
            ):
                site.remove(place)
            _relock(site, unit, intent)
        for directory in reversed(intent.touched):
            _restore(site, directory, with_time=True)
    remove_made(intent.made, system=system)
    remove_intent(intents, intent.apply_id, system=system)


def finish(placer: Placer, intents: str, intent: Intent) -> Outcome:
    """Do what comes after all units were tried: tidy up, attributes, locks; then the intent goes. ``intent.outcome`` says how they went.

    Raises:
        OSError: the disk fails; the intent stays, and it can be begun again.
    """
    site = placer.site
    outcome = intent.outcome or Outcome(kind=OutcomeKind.APPLIED)
    conflicts, notes, applied = list(outcome.conflicts), list(outcome.notes), list(outcome.applied)
    for unit in intent.plan.units:
        conflicts += _tidy(placer, unit)
        if unit.kind is UnitKind.WRITE:
            notes += _dress_written(placer, unit)
    attributes = [placer.index.changes[path] for path in intent.plan.attributes]
    for change in sorted(attributes, key=_files_then_inner_directories):
        if change.after is not None:
            found = _set_if_as_known(site, change, intent)
            if isinstance(found, Conflict):
                conflicts.append(found)
            else:
                notes += found
                applied.append(change.path)
    for unit in intent.plan.units:
        notes += _lock_members(placer, unit)
    handled = {change.path for change in attributes if change.after is not None}
    for directory in reversed(intent.touched):
        if directory.path not in handled:
            _restore(site, directory, with_time=False)
    _sync(site, intent, attributes)
    applied += _remove_root(site, intent)
    remove_intent(intents, intent.apply_id, system=site.system)
    return Outcome(
        kind=_kind(applied, conflicts, notes),
        applied=tuple(sorted(set(applied), key=tree_order)),
        notes=tuple(dict.fromkeys(notes)),
        conflicts=tuple(conflicts),
    )


def remove_made(made: tuple[str, ...], *, system: System) -> None:
    """Take back directories that were made to hold a destination, as far as nobody put anything into them."""
    for path in reversed(made):
        with suppress(OSError):
            remove_directory(path, system=system)


def remove_directory(path: str, *, system: System) -> None:
    """Remove the empty directory at the absolute ``path``, durably.

    Raises:
        OSError: it is not empty, not there, ...
    """
    folder, _, name = to_bytes(path).rpartition(b"/")
    parent = os.open(folder or b"/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        system.remove_directory(parent, name)
        system.sync(parent)
    finally:
        os.close(parent)


def _kind(applied: list[str], conflicts: list[Conflict], notes: list[Note]) -> OutcomeKind:
    if conflicts and not applied:
        return OutcomeKind.CONFLICT
    undone = any(
        note.kind is NoteKind.NOT_PERMITTED and note.detail in errno.errorcode.values() for note in notes
    )
    return OutcomeKind.PARTIAL if conflicts or undone else OutcomeKind.APPLIED


def _tidy(placer: Placer, unit: Unit) -> list[Conflict]:
    """Remove what a placed unit left beside its place."""
    site, conflicts = placer.site, []
    staged, aside = unit.staged(site.apply_id), unit.aside(site.apply_id)
    for place in (staged, aside):
        if site.status(place) is None:
            continue
        is_old = (unit.kind is UnitKind.DELETE) or (
            unit.kind is UnitKind.REPLACE and (place == aside or not placer.is_new(unit))
        )
        if is_old and not placer.is_untouched(place, unit):
            found = site.read(place, known_as=unit.path)
            expected = placer.index.changes[unit.path].before
            kept = placer.keep(place, unit.path)
            conflicts.append(Conflict(path=unit.path, expected=expected, found=found, kept_as=kept))
        elif is_old:
            _discard(site, place, unit.leaving(site.apply_id))
        else:
            site.remove(place)
    site.remove(unit.leaving(site.apply_id))
    return conflicts


def _discard(site: Site, place: str, leaving: str) -> None:
    """Remove an old version that was looked at. A directory goes in many steps, and half of it could not be told from somebody's edit: so
    it gets a name first that says it may go.
    """
    status = site.status(place)
    if status is not None and status.type is EntryType.DIRECTORY:
        site.remove(leaving)
        site.unlock(place)
        site.put(place, leaving)
        site.sync(parent_of(place))
        place = leaving
    site.remove(place)


def _dress_written(placer: Placer, unit: Unit) -> list[Note]:
    after = placer.index.changes[unit.path].after
    if after is None or placer.site.status(unit.path) is None:
        return []
    notes = dress_in_place(placer.site, after)
    placer.site.sync_inode(unit.path)
    return notes


def _files_then_inner_directories(change: Change) -> tuple[bool, int]:
    """A directory comes after all that it holds, so that its time stays."""
    is_directory = change.after is not None and change.after.type is EntryType.DIRECTORY
    return is_directory, -change.path.count("/") - bool(change.path)


def _set_if_as_known(site: Site, change: Change, intent: Intent) -> list[Note] | Conflict:
    """Set the attributes of one path, if each is as it was before or (after a crash) as it shall be."""
    wanted = change.after
    with site.parent(change.path) as (directory, name):
        try:
            pinned = os.open(name or b".", os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
        except FileNotFoundError:
            return Conflict(path=change.path, expected=change.before, found=None)
        try:
            now = entry_of(pinned, change.path, owners=site.owners)
        finally:
            os.close(pinned)
        loosened = any(each.path == change.path and each.loosened for each in intent.touched)
        if wanted is None or not _is_known(now, change, loosened=loosened):
            return Conflict(path=change.path, expected=change.before, found=now)
        unlock(site.system, directory, name)
        notes = set_attributes(site.system, directory, name, wanted, owners=site.owners)
        return notes + set_flags(site.system, directory, name, wanted)


def _is_known(now: Entry, change: Change, *, loosened: bool) -> bool:
    """Whether ``now`` lies between the two sides of ``change``: what an interrupted apply may have left."""
    sides = [side for side in (change.before, change.after) if side is not None]
    if change.before is None:
        return now.type is EntryType.DIRECTORY  # the destination itself, which this apply made
    if (
        now.type is not change.before.type
        or now.link_target != change.before.link_target
        or now.rdev != change.before.rdev
    ):
        return False
    own_content = (
        change.after is not None and change.after.type is EntryType.FILE
    )  # a link's is its first member's
    if own_content and now.size != change.before.size:
        return False
    modes = {side.mode for side in sides} | {side.mode & ~_SET_ID for side in sides}
    if loosened:
        modes |= {mode | _OWNER_WORKS for mode in modes}
    if any(xattr.name.startswith("system.posix_acl") for side in sides for xattr in side.xattrs):
        modes = {mode & ~_GROUP for mode in modes}  # an ACL that is set or removed moves the group's bits
        now = structs.replace(now, mode=now.mode & ~_GROUP)
    flags = {side.flags for side in sides} | {side.flags & ~LOCKS for side in sides}
    return (
        now.mode in modes
        and now.flags in flags
        and now.uid in {side.uid for side in sides}
        and now.gid in {side.gid for side in sides}
        and _are_between(now.xattrs, [side.xattrs for side in sides])
    )


def _are_between(now: tuple[Xattr, ...], sides: list[tuple[Xattr, ...]]) -> bool:
    have = {xattr.name: xattr.value for xattr in now}
    known = [{xattr.name: xattr.value for xattr in side} for side in sides]
    names = set(have).union(*known)
    return all(any(side.get(name) == have.get(name) for side in known) for name in names)


def _lock_members(placer: Placer, unit: Unit) -> list[Note]:
    """Immutable and append-only come last of all: what has them could not be put in place."""
    notes: list[Note] = []
    for change in sorted(
        placer.index.within(unit.path), key=lambda change: tree_order(change.path), reverse=True
    ):
        wanted = change.after
        if wanted is not None and wanted.flags & LOCKS and placer.site.status(change.path) is not None:
            with placer.site.parent(change.path) as (directory, name):
                notes += set_flags(placer.site.system, directory, name, wanted)
            placer.site.sync_inode(change.path)
    return notes


def _relock(site: Site, unit: Unit, intent: Intent) -> None:
    """A crash may have come just after a lock was taken off."""
    before = next((change.before for change in intent.changes.changes if change.path == unit.path), None)
    if before is not None and before.flags & LOCKS and site.status(unit.path) is not None:
        with site.parent(unit.path) as (directory, name):
            lock_again(site.system, directory, name, before.flags & LOCKS)


def _restore(site: Site, directory: Touched, *, with_time: bool) -> None:
    """Give a directory in which something was staged its mode, flags and (when nothing changed in it) time back."""
    if site.status(directory.path) is None:
        return
    with site.parent(directory.path) as (parent, name):
        if with_time:
            with suppress(PermissionError):
                site.system.set_mtime(parent, name or b".", directory.mtime_ns)
        if directory.loosened:
            if os.geteuid() != 0:
                with suppress(PermissionError):
                    site.system.set_mode_at(parent, name or b".", directory.mode)
            lock_again(site.system, parent, name, directory.flags & LOCKS)
    with suppress(PermissionError):
        site.sync(directory.path)


def _sync(site: Site, intent: Intent, attributes: list[Change]) -> None:
    parents = {parent_of(unit.path) for unit in intent.plan.units}
    for change in attributes:
        if change.after is None or change.after.type is EntryType.DIRECTORY:
            parents.add(change.path)
        elif change.after.type in {EntryType.FILE, EntryType.HARDLINK}:
            with suppress(PermissionError, FileNotFoundError):
                site.sync_inode(change.path)
        else:
            parents.add(parent_of(change.path))
    for path in sorted(parents):
        with suppress(PermissionError):
            site.sync(path)


def _remove_root(site: Site, intent: Intent) -> list[str]:
    """When the change set says so, the destination itself goes, if nothing is left in it."""
    if not any(change.path == "" and change.after is None for change in intent.changes.changes):
        return []
    try:
        remove_directory(intent.destination, system=site.system)
    except FileNotFoundError:
        pass
    except OSError as error:
        if error.errno == errno.ENOTEMPTY:
            return []
        raise
    return [""]
