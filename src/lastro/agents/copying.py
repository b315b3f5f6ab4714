"""Copying a project for a run where nothing can be mounted over it.

What always holds: nothing of the project is written and no link is followed; attributes, hard links among what is copied, holes and empty
directories come over; blocks are shared with the original where the file system can (``FICLONE``, ioctl_ficlone(2)). What this process
may not read is left out, and so are sockets, and devices where only root may make them.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable
from stat import S_ISDIR, S_ISSOCK
from typing import Final

from lastro.agents.layer_walk import Level, levels
from lastro.apply.attributes import set_attributes
from lastro.capture.scope import NOTHING_THERE
from lastro.domain.entry import EntryType
from lastro.domain.paths import name_of, parent_of, to_bytes
from lastro.filesystem.beneath import open_beneath, open_directory
from lastro.filesystem.metadata import Owners, data_extents, entry_of, reopen
from lastro.filesystem.system import System

_FICLONE: Final = 0x40049409
_BLOCK: Final = 1024 * 1024
_PIN: Final = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_PASS: Final = os.O_PATH | os.O_DIRECTORY
_NO_CLONE: Final = frozenset(
    {errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.EPERM, errno.ENOSYS}
)
_OWN: Final = 0o700


class Copier:
    """One copy, from the open directory ``source`` into the open, empty directory ``copy``. ``told`` hears of files and bytes so far."""

    def __init__(
        self,
        source: int,
        copy: int,
        *,
        system: System,
        told: Callable[[int, int], None] = lambda _files, _bytes: None,
    ) -> None:
        self._source = source
        self._copy = copy
        self._system = system
        self._told = told
        self._owners = Owners()
        self._clones = True
        self._groups: dict[tuple[int, int], str] = {}
        self._directories: list[str] = []
        self._files = 0
        self._bytes = 0

    def run(self) -> None:
        """Copy everything.

        Raises:
            OSError: the disk of the copy refuses (``ENOSPC``, ...).
        """
        for level in levels(self._source):
            try:
                into = open_directory(self._copy, level.path)
            except OSError as error:
                if error.errno in NOTHING_THERE:  # a directory that could not be looked at
                    continue
                raise
            try:
                self._directories.append(level.path)
                for name, status in level.children:
                    self._child(level, into, name, status)
            finally:
                os.close(into)
        for path in reversed(self._directories):  # last, because what is made in them moves their times
            self._finish_directory(path)

    def _child(self, level: Level, into: int, name: bytes, status: os.stat_result) -> None:
        if S_ISDIR(status.st_mode):
            self._system.make_directory(into, name, _OWN)
            return
        if S_ISSOCK(status.st_mode):  # nobody listens at a copy
            return
        path = level.path_of(name)
        if status.st_nlink > 1:
            first = self._groups.setdefault((status.st_dev, status.st_ino), path)
            if first != path and self._link(first, into, name):
                return
            self._groups[status.st_dev, status.st_ino] = path
        try:
            pinned = os.open(name, _PIN, dir_fd=level.descriptor)
        except OSError as error:
            if error.errno in NOTHING_THERE:
                return
            raise
        try:
            self._copy_pinned(pinned, into, name, path)
        finally:
            os.close(pinned)

    def _link(self, first: str, into: int, name: bytes) -> bool:
        try:
            parent = open_beneath(self._copy, parent_of(first), _PASS)
        except OSError:
            return False
        try:
            self._system.make_link(parent, to_bytes(name_of(first)), into, name)
        except FileNotFoundError:  # the first of them could not be copied
            return False
        finally:
            os.close(parent)
        return True

    def _copy_pinned(self, pinned: int, into: int, name: bytes, path: str) -> None:
        """Whatever is pinned: what it was a moment ago may be something else now."""
        entry = entry_of(pinned, path, owners=self._owners)
        match entry.type:
            case EntryType.FILE:
                if not self._copy_file(pinned, into, name):
                    return
            case EntryType.SYMLINK:
                self._system.make_symlink(into, name, to_bytes(entry.link_target or ""))
            case EntryType.FIFO | EntryType.CHARACTER_DEVICE | EntryType.BLOCK_DEVICE:
                status = os.fstat(pinned)
                try:
                    self._system.make_node(into, name, status.st_mode, status.st_rdev)
                except PermissionError:
                    return
            case _:
                return
        set_attributes(self._system, into, name, entry, owners=self._owners)

    def _copy_file(self, pinned: int, into: int, name: bytes) -> bool:
        try:
            source = reopen(pinned)
        except PermissionError:
            return False
        try:
            made = self._system.open(into, name, os.O_RDWR | os.O_CREAT | os.O_EXCL)
            try:
                if not self._clone(source, made):
                    self._copy_bytes(source, made)
            finally:
                os.close(made)
        finally:
            os.close(source)
        self._files += 1
        self._told(self._files, self._bytes)
        return True

    def _clone(self, source: int, made: int) -> bool:
        if not self._clones:
            return False
        try:
            fcntl.ioctl(made, _FICLONE, source)
        except OSError as error:
            if error.errno not in _NO_CLONE:
                raise
            self._clones = error.errno == errno.EPERM
            return False
        return True

    def _copy_bytes(self, source: int, made: int) -> None:
        size = os.fstat(source).st_size
        for extent in data_extents(source, size):
            offset, end = extent.offset, extent.offset + extent.length
            while offset < end:
                data = os.pread(source, min(_BLOCK, end - offset), offset)
                if not data:  # cut off meanwhile
                    break
                self._system.write_at(made, data, offset)
                offset += len(data)
                self._bytes += len(data)
        self._system.truncate(made, size)

    def _finish_directory(self, path: str) -> None:
        try:
            source = open_beneath(self._source, path, _PASS)
        except OSError as error:
            if error.errno in NOTHING_THERE:
                return
            raise
        try:
            entry = entry_of(source, path, owners=self._owners)
        finally:
            os.close(source)
        parent = open_beneath(self._copy, parent_of(path), _PASS)
        try:
            set_attributes(self._system, parent, to_bytes(name_of(path)), entry, owners=self._owners)
        finally:
            os.close(parent)
