"""The place where an apply works: an open destination, and the few moves made in it.

What always holds: each move opens the parent of its path again, below the opened destination and without following any link; so whatever
somebody plants or renames meanwhile, a move happens inside the destination or fails. ``put`` never overwrites.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from lastro.apply.attributes import unlock
from lastro.apply.reading import NOTHING_THERE, list_names, read_path, read_tree
from lastro.domain.entry import Entry, EntryType
from lastro.domain.paths import from_bytes, join, name_of, parent_of, to_bytes
from lastro.filesystem.beneath import open_beneath, open_parent
from lastro.filesystem.metadata import Owners, Status, read_status
from lastro.filesystem.system import System, get_flags

_PIN: Final = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_READ_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
UNSUPPORTED: Final = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})
"""What ``renameat2`` answers where the file system does not know its flags."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """An open destination directory (``root``, for reading), and what is needed to work in it. Paths are relative to it."""

    root: int
    apply_id: str
    system: System
    owners: Owners

    @contextmanager
    def parent(self, path: str) -> Iterator[tuple[int, bytes]]:
        """The directory that holds ``path``, open, and the last name.

        Raises:
            OSError: see ``open_parent``.
        """
        directory, name = open_parent(self.root, path)
        try:
            yield directory, name
        finally:
            os.close(directory)

    def read(self, path: str, *, known_as: str | None = None) -> Entry | None:
        """What is at ``path``, with its digest."""
        return read_path(self.root, path, owners=self.owners, known_as=known_as)

    def read_tree(self, path: str, *, known_as: str) -> dict[str, Entry]:
        """Everything at and below ``path``, by the path it has below ``known_as``."""
        return read_tree(self.root, path, owners=self.owners, known_as=known_as)

    def status(self, path: str) -> Status | None:
        """What the inode at ``path`` is, or ``None`` when there is none."""
        try:
            with self.parent(path) as (directory, name):
                pinned = os.open(name or b".", _PIN, dir_fd=directory)
        except OSError as error:
            if error.errno in NOTHING_THERE:
                return None
            raise
        try:
            return read_status(pinned)
        finally:
            os.close(pinned)

    def put(self, source: str, target: str) -> None:
        """Rename ``source`` to ``target`` in the same directory, where nothing may be.

        Raises:
            FileExistsError: something is there.
            OSError: what renameat2(2) says.
        """
        with self.parent(target) as (directory, name):
            old = to_bytes(name_of(source))
            try:
                self.system.rename_new(directory, old, directory, name)
            except OSError as error:
                if error.errno not in UNSUPPORTED:
                    raise
                self._put_by_link(directory, old, name)

    def _put_by_link(self, directory: int, old: bytes, name: bytes) -> None:
        """``put`` where no flag of renameat2 is known. A link never overwrites; a rename of a directory can only replace an empty one."""
        status = os.stat(old, dir_fd=directory, follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            if os.path.lexists(b"/proc/self/fd/%d/%b" % (directory, name)):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), os.fsdecode(name))
            self.system.rename(directory, old, directory, name)
        else:
            self.system.make_link(directory, old, directory, name)
            self.system.remove(directory, old)

    def take(self, source: str, target: str) -> None:
        """Rename ``source``, whatever it is, to ``target``, a staging name in the same directory that nothing has.

        Raises:
            OSError: what renameat2(2) says.
        """
        with self.parent(target) as (directory, name):
            old = to_bytes(name_of(source))
            try:
                self.system.rename_new(directory, old, directory, name)
            except OSError as error:
                if error.errno not in UNSUPPORTED:
                    raise
                self.system.rename(directory, old, directory, name)

    def exchange(self, path: str, other: str) -> None:
        """Swap two names of one directory in one step.

        Raises:
            OSError: what renameat2(2) says; one of ``UNSUPPORTED`` where the file system cannot.
        """
        with self.parent(path) as (directory, name):
            self.system.exchange(directory, to_bytes(name_of(other)), directory, name)

    def unlock(self, path: str) -> int:
        """See ``attributes.unlock``; nothing when ``path`` is gone."""
        try:
            with self.parent(path) as (directory, name):
                return unlock(self.system, directory, name)
        except OSError as error:
            if error.errno in NOTHING_THERE:
                return 0
            raise

    def sync(self, path: str) -> None:
        """Make the entries and attributes of the directory ``path`` durable; nothing when it is gone.

        Raises:
            OSError: it cannot be read, or the disk fails.
        """
        try:
            directory = open_beneath(self.root, path, _READ_DIRECTORY)
        except OSError as error:
            if error.errno in NOTHING_THERE:
                return
            raise
        try:
            self.system.sync(directory)
        finally:
            os.close(directory)

    def sync_inode(self, path: str) -> None:
        """Make the bytes and attributes of the file or directory at ``path`` durable; nothing when this process may not open it.

        Raises:
            OSError: it is something else, or the disk fails.
        """
        try:
            descriptor = open_beneath(self.root, path, os.O_RDONLY | os.O_NONBLOCK)
        except PermissionError:
            return
        try:
            self.system.sync(descriptor)
        finally:
            os.close(descriptor)

    def remove(self, path: str) -> None:
        """Remove what is at ``path``, with all below it, also what its owner locked. Nothing when nothing is there.

        Raises:
            OSError: something cannot be removed, also not after its locks were taken off.
        """
        found, waiting = [], [path]
        while waiting:
            place = waiting.pop()
            status = self.status(place)
            if status is None:
                continue
            found.append((place, status))
            if status.type is EntryType.DIRECTORY:
                waiting += [join(place, from_bytes(name)) for name in self._names(place)]
        for place, status in reversed(found):
            try:
                self._remove_one(place, is_directory=status.type is EntryType.DIRECTORY)
            except PermissionError:
                if place != path:  # its parent goes too; the parent of `path` itself is not ours to open up
                    self._open_up(parent_of(place))
                self._remove_locked(place, status.type)

    def _names(self, path: str) -> list[bytes]:
        try:
            return list_names(self.root, path)
        except PermissionError:
            self._open_up(path)
            return list_names(self.root, path)

    def _remove_one(self, path: str, *, is_directory: bool) -> None:
        with self.parent(path) as (directory, name):
            if is_directory:
                self.system.remove_directory(directory, name)
            else:
                self.system.remove(directory, name)

    def _remove_locked(self, path: str, kind: EntryType) -> None:
        """Remove one name of what is immutable or append-only; under its other names it stays so."""
        if kind is not EntryType.FILE:
            self.unlock(path)
            self._remove_one(path, is_directory=kind is EntryType.DIRECTORY)
            return
        descriptor = open_beneath(self.root, path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
        try:
            flags = self.unlock(path)
            self._remove_one(path, is_directory=False)
            if flags and os.fstat(descriptor).st_nlink:
                self.system.set_flags(descriptor, get_flags(descriptor) | flags)
        finally:
            os.close(descriptor)

    def _open_up(self, path: str) -> None:
        """Let a directory that is to go be read and changed."""
        if path:
            self.unlock(path)
            with self.parent(path) as (directory, name):
                self.system.set_mode_at(directory, name, 0o700)
