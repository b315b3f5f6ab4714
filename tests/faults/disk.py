"""A disk as a model: inodes and directories, each as processes see it and as it surely is after a power cut; and the calls' effects.

What always holds: an ``Inode`` is frozen, so a copy of the model is a copy of a dictionary. An effect is a function on the model and knows
nothing of the real file system; the second half of the file reads real inodes into the model's nouns.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from lastro.filesystem.system import System, get_flags

FLAGS: Final = 0x08 | 0x10 | 0x20 | 0x40 | 0x80  # sync, immutable, append-only, no dump, no access time
IMMUTABLE: Final = 0x10 | 0x20
ROOT: Final = 0
"""The number of the recorded directory itself."""


@dataclass(frozen=True, slots=True)
class Attributes:
    """Everything about an inode but its bytes and names. ``mode`` is ``st_mode & 0o7777``, time in nanoseconds."""

    mode: int
    uid: int
    gid: int
    mtime_ns: int
    xattrs: tuple[tuple[bytes, bytes], ...] = ()
    flags: int = 0


@dataclass(frozen=True, slots=True)
class Inode:
    """One inode, as processes see it and as the disk surely has it. ``data`` is a file's content or a symlink's target."""

    kind: int
    """``stat.S_IFMT`` of its mode."""
    attributes: Attributes
    synced_attributes: Attributes
    data: bytes = b""
    synced_data: bytes = b""
    unsynced: tuple[tuple[int, int], ...] = ()
    """``(offset, length)`` of the writes since the last sync, oldest first."""
    entries: Mapping[bytes, int] = field(default_factory=dict)
    synced_entries: Mapping[bytes, int] = field(default_factory=dict)
    rdev: int = 0


Disk = dict[int, Inode]
Effect = Callable[[Disk], None]


@dataclass(frozen=True, slots=True)
class Call:
    """One recorded call (or, with ``mark``, a note of the test's own): its name, what it was about, and what it did to the model."""

    name: str
    detail: str
    effects: tuple[Effect, ...]
    mark: object = None


@dataclass(frozen=True, slots=True)
class Recording:
    """Everything that happened below a scratch directory, since a state that counts as durable."""

    initial: Mapping[int, Inode]
    calls: tuple[Call, ...]


def added(number: int, inode: Inode) -> Effect:
    def effect(disk: Disk) -> None:
        disk[number] = inode

    return effect


def overruled(number: int, inode: Inode) -> Effect:
    """Others changed it: what differs is durable, what was ours keeps its own state."""

    def effect(disk: Disk) -> None:
        known = disk[number]
        synced = dict(known.synced_entries)
        for name in {*known.entries, *inode.entries}:
            if known.entries.get(name) != inode.entries.get(name):
                if name in inode.entries:
                    synced[name] = inode.entries[name]
                else:
                    synced.pop(name, None)
        same_data, same_attributes = known.data == inode.data, known.attributes == inode.attributes
        disk[number] = replace(
            inode,
            synced_data=known.synced_data if same_data else inode.data,
            unsynced=known.unsynced if same_data else (),
            synced_attributes=known.synced_attributes if same_attributes else inode.attributes,
            synced_entries=synced,
        )

    return effect


def entry_set(parent: int, name: bytes, number: int | None) -> Effect:
    def effect(disk: Disk) -> None:
        entries = {other: value for other, value in disk[parent].entries.items() if other != name}
        if number is not None:
            entries[name] = number
        disk[parent] = replace(disk[parent], entries=entries)

    return effect


def truncated(number: int, size: int) -> Effect:
    def effect(disk: Disk) -> None:
        data = disk[number].data
        disk[number] = replace(disk[number], data=data[:size] + bytes(max(0, size - len(data))))

    return effect


@dataclass(frozen=True, slots=True)
class Written:
    number: int
    offset: int
    data: bytes

    @property
    def where(self) -> tuple[int, int, int]:
        return self.number, self.offset, len(self.data)

    def __call__(self, disk: Disk) -> None:
        inode = disk[self.number]
        end = self.offset + len(self.data)
        start = inode.data[: self.offset].ljust(self.offset, b"\0")
        where = (self.offset, len(self.data))
        disk[self.number] = replace(
            inode, data=start + self.data + inode.data[end:], unsynced=(*inode.unsynced, where)
        )


@dataclass(frozen=True, slots=True)
class Synced:
    number: int
    data_only: bool

    def __call__(self, disk: Disk) -> None:
        inode = replace(disk[self.number], synced_data=disk[self.number].data, unsynced=())
        if not self.data_only:
            inode = replace(inode, synced_attributes=inode.attributes, synced_entries=inode.entries)
        disk[self.number] = inode
        for child in inode.entries.values() if not self.data_only else ():
            if stat.S_IFMT(disk[child].kind) not in {stat.S_IFREG, stat.S_IFDIR}:
                disk[child] = replace(disk[child], synced_attributes=disk[child].attributes)


# reading real inodes


def at(directory: int, name: bytes) -> bytes:
    return b"/proc/self/fd/%d/%b" % (directory, name)


def stat_at(directory: int, name: bytes) -> os.stat_result:
    return os.stat(name, dir_fd=directory, follow_symlinks=False)


def exists(directory: int, name: bytes) -> bool:
    try:
        stat_at(directory, name)
    except FileNotFoundError:
        return False
    return True


def attributes_of(descriptor: int) -> Attributes:
    """Of an open file or directory, also one opened with ``O_PATH``."""
    return _attributes(b"/proc/self/fd/%d" % descriptor, os.fstat(descriptor), follow=True)


def attributes_at(path: bytes, status: os.stat_result) -> Attributes:
    """Of what is at ``path``, which is not followed."""
    return _attributes(path, status, follow=False)


def _attributes(path: bytes, status: os.stat_result, *, follow: bool) -> Attributes:
    names = sorted(os.listxattr(path, follow_symlinks=follow))
    xattrs = tuple((os.fsencode(name), os.getxattr(path, name, follow_symlinks=follow)) for name in names)
    flags = 0
    if stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode):
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW))
        except PermissionError:
            pass  # without root, what one may not read has no flags to see
        else:
            flags = _flags(descriptor)
            os.close(descriptor)
    return Attributes(
        stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid, status.st_mtime_ns, xattrs, flags
    )


def _flags(descriptor: int) -> int:
    try:
        return get_flags(descriptor) & FLAGS
    except OSError:
        return 0


def change_flags(path: bytes, flags: int) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    try:
        System().set_flags(descriptor, (get_flags(descriptor) & ~FLAGS) | flags)
    finally:
        os.close(descriptor)


def read_inode(path: bytes, *, with_data: bool) -> Inode:
    status = os.lstat(path)
    kind, data = stat.S_IFMT(status.st_mode), b""
    if with_data and kind == stat.S_IFLNK:
        data = os.readlink(path)
    elif with_data and kind == stat.S_IFREG:
        with open(path, "rb") as file:
            data = file.read()
    attributes = attributes_at(path, status)
    rdev = status.st_rdev if kind in {stat.S_IFCHR, stat.S_IFBLK} else 0
    return Inode(
        kind=kind, attributes=attributes, synced_attributes=attributes, data=data, synced_data=data, rdev=rdev
    )


def clear_flags(directory: str | bytes) -> None:
    """Take immutable and append-only off everything below ``directory``, so that a test can remove it."""
    for parent, names, files in os.walk(os.fsencode(directory)):
        for name in (b".", *names, *files):
            path = os.path.join(parent, name)
            if (
                stat.S_IFMT(os.lstat(path).st_mode) in {stat.S_IFREG, stat.S_IFDIR}
                and attributes_at(path, os.lstat(path)).flags & IMMUTABLE
            ):
                change_flags(path, 0)
