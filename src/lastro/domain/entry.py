"""An entry: everything known about one path at one instant, and the one table that says what each field is good for.

The same noun is what a node reports, what a tree keeps and what ``apply`` puts back. See ``docs/format.md`` (Tree) and
``docs/protocol.md`` (Entry).
"""

from __future__ import annotations

from enum import StrEnum
from operator import attrgetter
from typing import Final

from msgspec import Struct

from lastro.domain.ids import Digest


class EntryType(StrEnum):
    """What a path is. ``HARDLINK`` is another name of a file of the same root: of the first member of its group in tree order."""

    FILE = "file"
    DIRECTORY = "dir"
    SYMLINK = "symlink"
    HARDLINK = "hardlink"
    FIFO = "fifo"
    SOCKET = "socket"
    CHARACTER_DEVICE = "char"
    BLOCK_DEVICE = "block"


class Extent(Struct, frozen=True, array_like=True):
    """A range of bytes of a file: ``offset`` and ``length`` in bytes."""

    offset: int
    length: int


class Device(Struct, frozen=True, array_like=True):
    """Device numbers of a character or block device."""

    major: int
    minor: int


class Xattr(Struct, frozen=True, array_like=True):
    """One extended attribute. ACLs (``system.posix_acl_*``) and file capabilities (``security.capability``) are among them."""

    name: str
    value: bytes


class Entry(Struct, frozen=True, kw_only=True):
    """One path at one instant. Times are nanoseconds since 1970 by the server's clock; ``path`` is relative to its root, which is ``""``.

    ``digest`` is the plain BLAKE3-256 of the logical content (holes read as zeros): ``None`` until the content has been read, and for
    everything but files.
    """

    path: str
    type: EntryType
    mode: int = 0
    """Permission bits with setuid, setgid and sticky: ``0o7777``."""
    uid: int = 0
    gid: int = 0
    user: str = ""
    group: str = ""
    mtime_ns: int = 0
    ctime_ns: int = 0
    btime_ns: int | None = None
    size: int = 0
    """Logical size of a file in bytes; 0 for everything else."""
    link_target: str | None = None
    """Target of a symlink as it is written, or for a hard link the relative path of its group's first member."""
    rdev: Device | None = None
    xattrs: tuple[Xattr, ...] = ()
    """Sorted by name."""
    flags: int = 0
    """Inode flags of ``FS_IOC_GETFLAGS`` (immutable, append-only, ...), masked to those a user can set."""
    holes: tuple[Extent, ...] = ()
    """Ranges without data blocks, sorted, not touching; empty for a file that is not sparse."""
    digest: Digest | None = None
    torn: bool = False
    """The file changed while it was read, every time that it was tried: the content may mix two states."""
    dev: int = 0
    inode: int = 0
    nlink: int = 1


class FieldUse(Struct, frozen=True):
    """What one field of an entry is good for.

    recorded: kept in the tree of a snapshot. compared: a difference makes a change. restorable: ``apply`` puts it back.
    """

    recorded: bool
    compared: bool
    restorable: bool


_ALL = FieldUse(recorded=True, compared=True, restorable=True)
_NOT_COMPARED = FieldUse(recorded=True, compared=False, restorable=True)
_EVIDENCE = FieldUse(recorded=True, compared=False, restorable=False)
_STAT_CACHE = FieldUse(recorded=False, compared=False, restorable=False)

FIELD_USES: Final[dict[str, FieldUse]] = {
    "path": _ALL,
    "type": _ALL,
    "mode": _ALL,
    "uid": _ALL,
    "gid": _ALL,
    "user": _EVIDENCE,
    "group": _EVIDENCE,
    "mtime_ns": _NOT_COMPARED,
    "ctime_ns": _EVIDENCE,
    "btime_ns": _EVIDENCE,
    "size": _ALL,
    "link_target": _ALL,
    "rdev": _ALL,
    "xattrs": _ALL,
    "flags": _ALL,
    "holes": _NOT_COMPARED,
    "digest": _ALL,
    "torn": _EVIDENCE,
    "dev": _STAT_CACHE,
    "inode": _STAT_CACHE,
    "nlink": _STAT_CACHE,
}
"""The one table: every field of ``Entry`` is here, and nothing else decides what is kept, what is a difference and what is put back."""

COMPARED: Final = tuple(name for name, use in FIELD_USES.items() if use.compared and name != "path")


def compared(entry: Entry, name: str) -> object:
    """The value of a compared field as comparisons take it: a symlink has no mode (Linux shows 0777 and lets nobody change it)."""
    return 0 if name == "mode" and entry.type is EntryType.SYMLINK else getattr(entry, name)


_values: Final = attrgetter(*COMPARED)
_MODE: Final = COMPARED.index("mode")


def all_compared(entry: Entry) -> tuple[object, ...]:
    """Every compared field, in the table's order, as ``compared`` gives them. Long lists of entries are compared: this is the quick way."""
    values: tuple[object, ...] = _values(entry)
    if entry.type is EntryType.SYMLINK:
        return (*values[:_MODE], 0, *values[_MODE + 1 :])
    return values


def differing(before: Entry, after: Entry) -> tuple[str, ...]:
    """The compared fields in which two entries of the same path differ, in the table's order; empty when they count as equal."""
    old, new = all_compared(before), all_compared(after)
    if old == new:
        return ()
    return tuple(
        name
        for name, one, other in zip(COMPARED, old, new, strict=True)
        if one != other and getattr(before, name) != getattr(after, name)
    )


class StatKey(Struct, frozen=True, array_like=True):
    """What must be unchanged for content that was read before to stand for a file now (``docs/protocol.md``, Staleness)."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    dev: int


def stat_key(entry: Entry) -> StatKey:
    """The staleness key of an entry as its server reported it."""
    return StatKey(entry.size, entry.mtime_ns, entry.ctime_ns, entry.inode, entry.dev)


RACY_NS: Final = 50_000_000
"""An entry whose ctime lies within this of the instant it was read may have changed since within the same clock tick."""
