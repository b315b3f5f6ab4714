"""Making every new version beside its place, whole and verified, before anything that is in use changes.

What always holds: nothing but names of the form ``.lastro-<apply>-N`` appears, and inside them whole new directories; when ``stage`` has
returned, all of it is durable and every file was read back and is what was recorded.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from msgspec import structs

from lastro.apply.attributes import LOCKS, lock_again, set_attributes, set_flags, unlock
from lastro.apply.destination import Content, Note, NoteKind
from lastro.apply.plan import Index, Plan, Unit, UnitKind, location
from lastro.apply.reading import hash_content
from lastro.apply.site import Site
from lastro.domain.changes import ChangeSet
from lastro.domain.entry import Entry, EntryType
from lastro.domain.paths import join, parent_of, relative_to
from lastro.errors import DamagedError, NotFoundError
from lastro.filesystem.metadata import USER_FLAGS
from lastro.messages import N_

_NODE_TYPES: Final = {
    EntryType.FIFO: 0o010000,
    EntryType.CHARACTER_DEVICE: 0o020000,
    EntryType.BLOCK_DEVICE: 0o060000,
}
_PLAIN: Final = 0o755
"""Mode of a directory that no change describes, less the umask."""

_COPY_BLOCK: Final = 1 << 20
_UNMAKEABLE: Final = {
    errno.EPERM: NoteKind.NOT_PERMITTED,
    errno.EOPNOTSUPP: NoteKind.NOT_SUPPORTED,
    errno.ENOSYS: NoteKind.NOT_SUPPORTED,
    errno.EINVAL: NoteKind.NOT_SUPPORTED,
    errno.EMLINK: NoteKind.NOT_SUPPORTED,
    errno.EXDEV: NoteKind.NOT_SUPPORTED,
}
_WRITE_NEW: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL


@dataclass(slots=True, kw_only=True)
class _Staging:
    """The work in hand of one ``stage`` call."""

    site: Site
    index: Index
    content: Content
    notes: list[Note] = field(default_factory=list)
    skipped: set[str] = field(default_factory=set)
    directories: dict[str, Entry | None] = field(default_factory=dict)
    """Staged directories, outer ones first, and what they must become; ``None`` for plain ones."""


def stage(site: Site, plan: Plan, changes: ChangeSet, content: Content) -> Plan:
    """Stage every unit of ``plan``; returns the plan without what could not be made, which is noted in it.

    Raises:
        DamagedError: the content is not what was recorded.
        OSError: no room, or the disk fails. What was staged so far stays: the caller rolls back.
    """
    work = _Staging(site=site, index=Index(changes, plan), content=content, skipped=set(plan.skipped))
    links: list[tuple[Unit, Entry]] = []
    for unit in plan.units:
        for change in work.index.within(unit.path):
            if change.after is None or change.path in work.skipped:
                continue
            _make_plain_parents(work, unit, change.path)
            if change.after.type is EntryType.HARDLINK:
                links.append((unit, change.after))
            else:
                _make(work, unit, change.after)
        if unit.kind is UnitKind.WRITE and unit.path not in work.skipped:
            _copy_old(work, unit)
    for unit, entry in links:
        _make(work, unit, entry)
    for place, wanted in reversed(work.directories.items()):
        _finish_directory(work, place, wanted)
    made = tuple(unit for unit in plan.units if _is_made(work, unit))
    for unit in set(plan.units) - set(made):
        site.remove(unit.staged(site.apply_id))
    for path in dict.fromkeys(parent_of(unit.path) for unit in plan.units):
        site.sync(path)
    notes = (*plan.notes, *work.notes)
    return structs.replace(plan, units=made, skipped=tuple(sorted(work.skipped)), notes=notes)


def new_place(site: Site, index: Index, path: str) -> str | None:
    """Where the new inode of ``path`` is staged; ``None`` for what keeps its inode."""
    unit, change = index.unit_of(path), index.changes.get(path)
    if unit is None or unit.kind is UnitKind.WRITE or change is None or change.after is None:
        return None
    return location(path, unit, unit.staged(site.apply_id))


def _is_made(work: _Staging, unit: Unit) -> bool:
    """Whether anything is left of a unit: its topmost path, or below directories that are only there to hold them, any path."""
    if unit.path in work.index.changes:
        return unit.path not in work.skipped
    return any(change.path not in work.skipped for change in work.index.within(unit.path))


def _make_plain_parents(work: _Staging, unit: Unit, path: str) -> None:
    """Directories that no change describes, between the top of the unit and ``path``."""
    names = relative_to(path, unit.path).split("/") if path != unit.path else []
    for depth in range(len(names)):
        above = join(unit.path, "/".join(names[:depth]))
        place = location(above, unit, unit.staged(work.site.apply_id))
        if above not in work.index.changes and place not in work.directories:
            with work.site.parent(place) as (directory, name):
                work.site.system.make_directory(directory, name, _PLAIN)
            work.directories[place] = None


def _make(work: _Staging, unit: Unit, entry: Entry) -> None:
    """Make one entry at its staged place, or note why not."""
    place = location(entry.path, unit, unit.staged(work.site.apply_id))
    if parent_of(entry.path) in work.skipped:
        work.skipped.add(entry.path)
        work.notes.append(Note(path=entry.path, kind=NoteKind.SKIPPED, detail="parent"))
        return
    if entry.type is EntryType.FILE:
        _make_file(work, place, entry)
        return
    try:
        _make_other(work, place, entry)
    except OSError as error:
        kind = _UNMAKEABLE.get(error.errno or 0)
        if kind is None or entry.type is EntryType.DIRECTORY or work.site.status(place) is not None:
            raise
        work.skipped.add(entry.path)
        work.notes.append(Note(path=entry.path, kind=kind, detail=entry.type.value))


def _make_other(work: _Staging, place: str, entry: Entry) -> None:
    site = work.site
    if entry.type is EntryType.HARDLINK:
        _make_link(work, place, entry)
        return
    with site.parent(place) as (directory, name):
        if entry.type is EntryType.DIRECTORY:
            site.system.make_directory(directory, name)
            work.directories[place] = entry
            return
        if entry.type is EntryType.SYMLINK:
            site.system.make_symlink(
                directory, name, (entry.link_target or "").encode("utf-8", "surrogateescape")
            )
        else:
            device = os.makedev(entry.rdev.major, entry.rdev.minor) if entry.rdev else 0
            site.system.make_node(directory, name, _NODE_TYPES[entry.type] | 0o600, device)
        work.notes += set_attributes(site.system, directory, name, entry, owners=site.owners)


def _make_link(work: _Staging, place: str, entry: Entry) -> None:
    """A second name for the first member of the group: where that is staged, or the file that is there and stays."""
    target = entry.link_target or ""
    source = new_place(work.site, work.index, target) or target
    status = work.site.status(source)
    if target in work.skipped or status is None or status.type is not EntryType.FILE:
        work.skipped.add(entry.path)
        work.notes.append(Note(path=entry.path, kind=NoteKind.SKIPPED, detail="link_target"))
        return
    with work.site.parent(source) as (old, old_name), work.site.parent(place) as (directory, name):
        flags = unlock(work.site.system, old, old_name)  # an immutable file takes no new names either
        try:
            work.site.system.make_link(old, old_name, directory, name)
        finally:
            lock_again(work.site.system, old, old_name, flags)


def _make_file(work: _Staging, place: str, entry: Entry) -> None:
    site = work.site
    with site.parent(place) as (directory, name):
        descriptor = site.system.open(directory, name, _WRITE_NEW)
        try:
            _write_content(work, descriptor, entry)
            work.notes += set_attributes(site.system, directory, name, entry, owners=site.owners)
            work.notes += set_flags(site.system, directory, name, entry, mask=USER_FLAGS & ~LOCKS)
            site.system.sync(descriptor)
            if hash_content(descriptor, entry.size) != entry.digest:
                raise _damaged(entry.path)
        except NotFoundError:
            site.system.remove(directory, name)
            work.skipped.add(entry.path)
            work.notes.append(Note(path=entry.path, kind=NoteKind.SKIPPED, detail="content"))
            return
        finally:
            os.close(descriptor)


def _write_content(work: _Staging, descriptor: int, entry: Entry) -> None:
    end = 0
    for offset, data in work.content.read(entry):
        if offset < end or offset + len(data) > entry.size:
            raise _damaged(entry.path)
        if data:
            work.site.system.write_at(descriptor, data, offset)
        end = offset + len(data)
    if end < entry.size:
        work.site.system.truncate(descriptor, entry.size)


def _copy_old(work: _Staging, unit: Unit) -> None:
    """Keep the old bytes of a file that will be written into, so that an interrupted write can be told from somebody's edit."""
    site = work.site
    with site.parent(unit.path) as (source, source_name):
        old = os.open(source_name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=source)
    try:
        with site.parent(unit.aside(site.apply_id)) as (directory, name):
            descriptor = site.system.open(directory, name, _WRITE_NEW)
        try:
            position = 0
            while block := os.pread(old, _COPY_BLOCK, position):
                site.system.write_at(descriptor, block, position)
                position += len(block)
            site.system.sync(descriptor)
        finally:
            os.close(descriptor)
    finally:
        os.close(old)


def _finish_directory(work: _Staging, place: str, wanted: Entry | None) -> None:
    """Attributes come after all that a directory holds, so that its time stays and no mode is in the way."""
    work.site.sync(place)
    if wanted is not None:
        with work.site.parent(place) as (directory, name):
            work.notes += set_flags(work.site.system, directory, name, wanted, mask=USER_FLAGS & ~LOCKS)
            work.notes += set_attributes(work.site.system, directory, name, wanted, owners=work.site.owners)
        with suppress(
            PermissionError
        ):  # a mode that shuts its own owner out; what it holds is durable already
            work.site.sync(place)


def _damaged(path: str) -> DamagedError:
    return DamagedError(
        N_("The content of {path} is not what was recorded"),
        path=path,
        hint=N_("Nothing was changed. Check the repository: lastro repo check --read-data"),
    )
