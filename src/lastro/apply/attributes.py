"""Putting back what an inode is besides its bytes: owner, extended attributes, mode, time and flags, in the order in which none undoes
another (a new owner clears setuid and capabilities; an ACL and the group bits are one thing).

What always holds: the inode is pinned before it is changed, so a name that somebody swaps for a link or for another file leads to nothing
worse than an error; what may not or cannot be set becomes a ``Note``; and no file is setuid or setgid for another owner than recorded.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from lastro.apply.destination import Note, NoteKind
from lastro.domain.entry import Entry, EntryType
from lastro.domain.paths import to_bytes
from lastro.filesystem.metadata import USER_FLAGS, Owners, entry_of, read_status, reopen
from lastro.filesystem.system import System, get_flags

LOCKS: Final = 0x10 | 0x20
"""Immutable and append-only: a file that has one of them can be neither replaced nor renamed nor removed."""

_PIN: Final = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_OPENED: Final = frozenset({EntryType.FILE, EntryType.DIRECTORY})
_FORBIDDEN: Final = frozenset({errno.EPERM, errno.EACCES})
_UNSUPPORTED: Final = frozenset(
    {errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL, errno.ENOSYS, errno.E2BIG, errno.ERANGE}
)
_SET_ID: Final = 0o6000
_CAPABILITY: Final = b"security.capability"


@contextmanager
def pinned_as(directory: int, name: bytes, kind: EntryType) -> Iterator[int]:
    """``name`` in the open ``directory`` (``b""``: itself) as an ``O_PATH`` descriptor, which is of this ``kind`` (a hard link: a file).

    Raises:
        OSError: ``ELOOP`` when it is of another kind, or what open(2) says.
    """
    descriptor = os.open(name or b".", _PIN, dir_fd=directory)
    try:
        if read_status(descriptor).type is not (EntryType.FILE if kind is EntryType.HARDLINK else kind):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), os.fsdecode(name))
        yield descriptor
    finally:
        os.close(descriptor)


def set_attributes(
    system: System, directory: int, name: bytes, wanted: Entry, *, owners: Owners
) -> list[Note]:
    """Give ``name`` in the open ``directory`` the owner, extended attributes, mode and time of ``wanted``; flags are for ``set_flags``.

    Returns what could not be set.

    Raises:
        OSError: the disk fails, is full, or something else stands there.
    """
    notes: list[Note] = []
    with pinned_as(directory, name, wanted.type) as pinned:
        opened = _open_if_readable(pinned, wanted.type)
        inode = _Inode(system=system, directory=directory, name=name or b".", pinned=pinned, opened=opened)
        try:
            owned = _set_owner(inode, wanted, notes)
            _set_xattrs(inode, wanted, notes, owners)
            _set_mode(inode, wanted, notes, owned=owned)
            if read_status(pinned).mtime_ns != wanted.mtime_ns:
                with _noting(notes, wanted.path, "mtime_ns"):
                    system.set_mtime(directory, inode.name, wanted.mtime_ns)
        finally:
            if opened is not None:
                os.close(opened)
    return notes


def set_flags(
    system: System, directory: int, name: bytes, wanted: Entry, *, mask: int = USER_FLAGS
) -> list[Note]:
    """Give a file or directory those inode flags of ``wanted`` that are in ``mask``; returns what could not be set.

    Raises:
        OSError: the disk fails, or something else stands there.
    """
    notes: list[Note] = []
    if wanted.type not in _OPENED and wanted.type is not EntryType.HARDLINK:
        return notes
    with pinned_as(directory, name, wanted.type) as pinned:
        descriptor = _open_if_readable(pinned, wanted.type)
        if descriptor is None:
            return (
                [Note(path=wanted.path, kind=NoteKind.NOT_PERMITTED, detail="flags")] if wanted.flags else []
            )
        try:
            with _noting(notes if wanted.flags & mask else [], wanted.path, "flags"):
                now = get_flags(descriptor)
                goal = (now & ~mask) | (wanted.flags & mask)
                if goal != now:
                    system.set_flags(descriptor, goal)
        finally:
            os.close(descriptor)
    return notes


def unlock(system: System, directory: int, name: bytes) -> int:
    """Take immutable and append-only off ``name`` (``b""``: ``directory`` itself), so that it can be renamed. Returns what was taken off.

    What is neither file nor directory, or not to be opened, has none. Where it is not permitted nothing happens: the rename will say so.
    """
    pinned = os.open(name or b".", _PIN, dir_fd=directory)
    try:
        descriptor = _open_if_readable(pinned, read_status(pinned).type)
    finally:
        os.close(pinned)
    if descriptor is None:
        return 0
    try:
        now = get_flags(descriptor)
        if now & LOCKS:
            system.set_flags(descriptor, now & ~LOCKS)
        return now & LOCKS
    except OSError as error:
        if error.errno in _FORBIDDEN | _UNSUPPORTED:
            return 0
        raise
    finally:
        os.close(descriptor)


def lock_again(system: System, directory: int, name: bytes, flags: int) -> None:
    """The inverse of ``unlock``: ``flags`` is what that returned."""
    if not flags:
        return
    pinned = os.open(name or b".", _PIN, dir_fd=directory)
    try:
        descriptor = _open_if_readable(pinned, read_status(pinned).type)
    finally:
        os.close(pinned)
    if descriptor is not None:
        try:
            system.set_flags(descriptor, get_flags(descriptor) | flags)
        finally:
            os.close(descriptor)


def _open_if_readable(pinned: int, kind: EntryType) -> int | None:
    if kind not in _OPENED and kind is not EntryType.HARDLINK:
        return None
    try:
        return reopen(pinned)
    except PermissionError:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Inode:
    """What is being changed: its place, and the inode itself; ``opened`` is ``None`` for what is not for opening."""

    system: System
    directory: int
    name: bytes
    pinned: int
    opened: int | None

    @property
    def xattr_place(self) -> int | bytes:
        return b"/proc/self/fd/%d/%b" % (self.directory, self.name) if self.opened is None else self.opened


def _set_owner(inode: _Inode, wanted: Entry, notes: list[Note]) -> bool:
    """Whether the owner and group are as wanted."""
    now = read_status(inode.pinned)
    if (now.uid, now.gid) == (wanted.uid, wanted.gid):
        return True
    for uid in (wanted.uid, now.uid):  # who may not give a file away may still give it to a group of theirs
        try:
            inode.system.set_owner_of(inode.pinned, uid, wanted.gid)
        except OSError as error:
            if error.errno not in _FORBIDDEN | _UNSUPPORTED:
                raise
        else:
            break
    now = read_status(inode.pinned)
    for field, is_as_wanted in (("uid", now.uid == wanted.uid), ("gid", now.gid == wanted.gid)):
        if not is_as_wanted:
            notes.append(Note(path=wanted.path, kind=NoteKind.NOT_PERMITTED, detail=field))
    return (now.uid, now.gid) == (wanted.uid, wanted.gid)


def _set_xattrs(inode: _Inode, wanted: Entry, notes: list[Note], owners: Owners) -> None:
    now = entry_of(inode.pinned, wanted.path, owners=owners)
    have = {to_bytes(xattr.name): xattr.value for xattr in now.xattrs}
    want = {to_bytes(xattr.name): xattr.value for xattr in wanted.xattrs}
    for key in have.keys() - want.keys():
        if key == _CAPABILITY or not key.startswith(
            b"security."
        ):  # labels are the security module's own business
            with _noting(notes, wanted.path, os.fsdecode(key)):
                inode.system.remove_xattr(inode.xattr_place, key)
    for key, value in sorted(want.items()):
        if have.get(key) != value:
            with _noting(notes, wanted.path, os.fsdecode(key)):
                inode.system.set_xattr(inode.xattr_place, key, value)


def _set_mode(inode: _Inode, wanted: Entry, notes: list[Note], *, owned: bool) -> None:
    if wanted.type is EntryType.SYMLINK:
        return
    goal = wanted.mode if owned else wanted.mode & ~_SET_ID
    if goal != wanted.mode:
        notes.append(Note(path=wanted.path, kind=NoteKind.NOT_PERMITTED, detail="mode"))
    if read_status(inode.pinned).mode != goal:
        with _noting(notes, wanted.path, "mode"):
            if inode.opened is not None:
                inode.system.set_mode(inode.opened, goal)
            else:
                inode.system.set_mode_at(inode.directory, inode.name, goal)


@contextmanager
def _noting(notes: list[Note], path: str, detail: str) -> Iterator[None]:
    """What is forbidden or unknown to the file system becomes a note; anything else is an error."""
    try:
        yield
    except OSError as error:
        if error.errno in _FORBIDDEN:
            notes.append(Note(path=path, kind=NoteKind.NOT_PERMITTED, detail=detail))
        elif error.errno in _UNSUPPORTED:
            notes.append(Note(path=path, kind=NoteKind.NOT_SUPPORTED, detail=detail))
        else:
            raise
