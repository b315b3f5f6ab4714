"""Everything that a file system says about one path, as an ``Entry``.

What always holds: the path is pinned first (``O_PATH`` without following) and everything is read from that one inode, so an entry never
mixes two files that swap names; fifos, sockets and devices are never opened, only looked at; an attribute that cannot be read (no
permission, no support) is empty and does not cost the entry. Nothing here changes an access time where that can be avoided.

``/proc`` must be mounted for extended attributes, flags and holes; without it they are empty. statx(2), ioctl_iflags(2), lseek(2).
"""

from __future__ import annotations

import ctypes
import errno
import grp
import os
import pwd
import struct
import time
from collections.abc import Callable, Iterator
from stat import S_IFMT, S_IMODE
from typing import Final

from msgspec import Struct, structs

from lastro.domain.entry import Device, Entry, EntryType, Extent, Xattr
from lastro.domain.paths import from_bytes
from lastro.filesystem.system import get_flags

USER_FLAGS: Final = 0x6283_C4FF
"""Inode flags that a user (or root) can set and that mean something elsewhere; the rest is the file system's own business."""

MAXIMUM_HOLES: Final = 4096
"""Of a file with more holes than this the biggest are kept. Holes save space; the content is right without them."""

OWNER_LIFETIME_S: Final = 60.0
"""How long a user's or group's name is believed."""

_STATX: Final = struct.Struct("=IIQIIIHxxQQQQ" + "qIi" * 4 + "IIII")
_STATX_SIZE: Final = 256
_STATX_BASIC_AND_BTIME: Final = 0x7FF | 0x800
_STATX_BTIME: Final = 0x800
_AT_EMPTY_PATH: Final = 0x1000
_AT_NO_AUTOMOUNT: Final = 0x800
_PIN: Final = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_NS: Final = 1_000_000_000
_TYPES: Final = {
    0o100000: EntryType.FILE,
    0o040000: EntryType.DIRECTORY,
    0o120000: EntryType.SYMLINK,
    0o010000: EntryType.FIFO,
    0o140000: EntryType.SOCKET,
    0o020000: EntryType.CHARACTER_DEVICE,
    0o060000: EntryType.BLOCK_DEVICE,
}
_OPENED: Final = frozenset({EntryType.FILE, EntryType.DIRECTORY})
_DEVICES: Final = frozenset({EntryType.CHARACTER_DEVICE, EntryType.BLOCK_DEVICE})
_libc: Final = ctypes.CDLL(None, use_errno=True)


class Owners:
    """Names of users and groups by number, each asked for once in ``OWNER_LIFETIME_S``; ``""`` for a number that has no name."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._users: dict[int, tuple[float, str]] = {}
        self._groups: dict[int, tuple[float, str]] = {}

    def user(self, uid: int) -> str:
        """The name of user ``uid``."""
        return self._name(self._users, uid, lambda: pwd.getpwuid(uid).pw_name)

    def group(self, gid: int) -> str:
        """The name of group ``gid``."""
        return self._name(self._groups, gid, lambda: grp.getgrgid(gid).gr_name)

    def _name(self, known: dict[int, tuple[float, str]], number: int, ask: Callable[[], str]) -> str:
        now = self._monotonic()
        found = known.get(number)
        if found is not None and now < found[0]:
            return found[1]
        try:
            name = from_bytes(os.fsencode(ask()))
        except (KeyError, OSError):
            name = ""
        known[number] = (now + OWNER_LIFETIME_S, name)
        return name


class Status(Struct, frozen=True):
    """What statx(2) says of one inode. ``blocks`` of 512 bytes."""

    type: EntryType
    mode: int
    uid: int
    gid: int
    size: int
    blocks: int
    mtime_ns: int
    ctime_ns: int
    btime_ns: int | None
    rdev: Device
    dev: int
    inode: int
    nlink: int


def read_status(descriptor: int) -> Status:
    """The state of the open (also ``O_PATH``) ``descriptor``.

    Raises:
        OSError: the file system does not answer, or the type is one that Linux does not have.
    """
    buffer = ctypes.create_string_buffer(_STATX_SIZE)
    flags = _AT_EMPTY_PATH | _AT_NO_AUTOMOUNT
    if _libc.statx(descriptor, b"", flags, _STATX_BASIC_AND_BTIME, buffer) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    mask, _, _, nlink, uid, gid, mode, inode, size, blocks, _, *rest = _STATX.unpack_from(buffer)
    _, _, _, btime_s, btime, _, ctime_s, ctime, _, mtime_s, mtime, _, rdev_major, rdev_minor, major, minor = (
        rest
    )
    kind = _TYPES.get(S_IFMT(mode))
    if kind is None:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
    return Status(
        type=kind,
        mode=S_IMODE(mode),
        uid=uid,
        gid=gid,
        size=size,
        blocks=blocks,
        mtime_ns=mtime_s * _NS + mtime,
        ctime_ns=ctime_s * _NS + ctime,
        btime_ns=btime_s * _NS + btime if mask & _STATX_BTIME else None,
        rdev=Device(rdev_major, rdev_minor),
        dev=os.makedev(major, minor),
        inode=inode,
        nlink=nlink,
    )


def read_entry(directory: int, name: bytes, path: str, *, owners: Owners) -> Entry:
    """What ``name`` in the open ``directory`` is now, to be known as ``path``. ``name`` ``b""`` is the directory itself. No ``digest``.

    Raises:
        OSError: ``ENOENT`` when it is gone, ``EACCES``, ``EIO``, ... when not even its type can be read.
    """
    pinned = os.open(name or b".", _PIN, dir_fd=directory)
    try:
        return entry_of(pinned, path, owners=owners)
    finally:
        os.close(pinned)


def entry_of(descriptor: int, path: str, *, owners: Owners) -> Entry:
    """What the open ``descriptor`` (also ``O_PATH``) is now. No ``digest``.

    Raises:
        OSError: as ``read_status``.
    """
    status = read_status(descriptor)
    entry = Entry(
        path=path,
        type=status.type,
        mode=status.mode,
        uid=status.uid,
        gid=status.gid,
        user=owners.user(status.uid),
        group=owners.group(status.gid),
        mtime_ns=status.mtime_ns,
        ctime_ns=status.ctime_ns,
        btime_ns=status.btime_ns,
        size=status.size if status.type is EntryType.FILE else 0,
        link_target=_link_target(descriptor) if status.type is EntryType.SYMLINK else None,
        rdev=status.rdev if status.type in _DEVICES else None,
        xattrs=_xattrs(descriptor),
        dev=status.dev,
        inode=status.inode,
        nlink=status.nlink,
    )
    if status.type not in _OPENED:
        return entry
    sparse = status.type is EntryType.FILE and status.blocks * 512 < status.size
    flags, holes = _of_open_file(descriptor, status.size if sparse else 0)
    return structs.replace(entry, flags=flags, holes=holes) if flags or holes else entry


def _link_target(descriptor: int) -> str:
    return from_bytes(os.readlink(b"", dir_fd=descriptor))


def _xattrs(descriptor: int) -> tuple[Xattr, ...]:
    """By ``/proc``, because a descriptor opened with ``O_PATH`` may not be asked itself; it leads to the pinned inode, also for a link."""
    path = b"/proc/self/fd/%d" % descriptor
    found: list[tuple[bytes, bytes]] = []
    try:
        names = [os.fsencode(name) for name in os.listxattr(path)]
    except OSError:
        return ()
    for name in names:
        try:
            found.append((name, os.getxattr(path, name)))
        except OSError:  # removed meanwhile, or not for us to read
            continue
    return tuple(Xattr(from_bytes(name), value) for name, value in sorted(found))


def reopen(descriptor: int, *, flags: int = os.O_RDONLY) -> int:
    """Open for reading what ``descriptor`` (``O_PATH``) has pinned, which must be a file or directory. The access time stays if it may.

    Raises:
        OSError: ``EACCES``, ...
    """
    path = b"/proc/self/fd/%d" % descriptor
    flags |= os.O_CLOEXEC | os.O_NONBLOCK  # non-blocking: a lease that somebody holds must not stop us
    try:
        return os.open(path, flags | os.O_NOATIME)
    except PermissionError:  # only the owner may leave the access time alone
        return os.open(path, flags)


def _of_open_file(pinned: int, sparse_size: int) -> tuple[int, tuple[Extent, ...]]:
    """Flags and holes; a second descriptor, because these calls refuse ``O_PATH``."""
    try:
        descriptor = reopen(pinned)
    except OSError:
        return 0, ()
    try:
        holes = read_holes(descriptor, sparse_size) if sparse_size else ()
        return _flags(descriptor), holes
    finally:
        os.close(descriptor)


def _flags(descriptor: int) -> int:
    try:
        return get_flags(descriptor) & USER_FLAGS
    except OSError:  # a file system without flags
        return 0


def data_extents(descriptor: int, size: int) -> Iterator[Extent]:
    """The ranges of an open file below ``size`` that hold data, in order (``SEEK_DATA``, ``SEEK_HOLE``); one where there are no holes.

    Lazy: a file that changes meanwhile gives what was true when each range was asked for, always in order and below ``size``.
    """
    offset = 0
    while offset < size:
        try:
            start = os.lseek(descriptor, offset, os.SEEK_DATA)
            end = min(os.lseek(descriptor, start, os.SEEK_HOLE), size)
        except OSError as error:
            if error.errno != errno.ENXIO:  # ENXIO: nothing but a hole up to the end
                yield Extent(offset, size - offset)
            return
        if start >= size or end <= start:
            return
        yield Extent(start, end - start)
        offset = end


def holes_between(extents: Iterator[Extent], size: int) -> Iterator[Extent]:
    """The gaps that ``extents`` (in order, apart) leave in ``size`` bytes."""
    position = 0
    for extent in extents:
        if extent.offset > position:
            yield Extent(position, extent.offset - position)
        position = extent.offset + extent.length
    if position < size:
        yield Extent(position, size - position)


def read_holes(descriptor: int, size: int) -> tuple[Extent, ...]:
    """The holes of an open file of ``size`` bytes, in order, at most ``MAXIMUM_HOLES`` (then the biggest)."""
    holes = list(holes_between(data_extents(descriptor, size), size))
    if len(holes) > MAXIMUM_HOLES:
        holes = sorted(sorted(holes, key=_by_size)[:MAXIMUM_HOLES], key=_by_offset)
    return tuple(holes)


def _by_size(hole: Extent) -> int:
    return -hole.length


def _by_offset(hole: Extent) -> int:
    return hole.offset
