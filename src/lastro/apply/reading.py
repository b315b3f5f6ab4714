"""What a destination is now: entries with the digest of what files hold.

What always holds: nothing is followed, and nothing above the opened root is reached. A file that changes while it is hashed is hashed
again, and after a few times marked ``torn``, which equals nothing.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping
from typing import Final

from msgspec import structs

from lastro.chunking.digest import ContentHasher
from lastro.domain.entry import Entry, EntryType, differing, stat_key
from lastro.domain.ids import Digest
from lastro.domain.paths import from_bytes, join
from lastro.filesystem.beneath import open_beneath, open_parent
from lastro.filesystem.metadata import Owners, data_extents, entry_of, reopen

_PIN: Final = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_LIST: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_BLOCK: Final = 1 << 20
_ATTEMPTS: Final = 3
NOTHING_THERE: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ESTALE})
"""What opening a path answers when there is nothing at it; a link or a file where a directory should be counts as that."""


def read_path(root: int, path: str, *, owners: Owners, known_as: str | None = None) -> Entry | None:
    """What is at ``path`` below the open directory ``root``, with its digest; ``None`` for nothing. ``known_as`` becomes its path.

    A file that may not be read has no digest.

    Raises:
        OSError: the path cannot be looked at (``EACCES``, ``EIO``).
    """
    known_as = path if known_as is None else known_as
    try:
        parent, name = open_parent(root, path)
        try:
            pinned = os.open(name or b".", _PIN, dir_fd=parent)
        finally:
            os.close(parent)
    except OSError as error:
        if error.errno in NOTHING_THERE:
            return None
        raise
    try:
        return _with_digest(pinned, known_as, owners)
    finally:
        os.close(pinned)


def walk_tree(root: int, path: str, *, owners: Owners, known_as: str | None = None) -> Iterator[Entry]:
    """Everything at and below ``path``, in tree order, with digests; ``known_as`` stands for ``path`` in what is returned.

    Raises:
        OSError: something cannot be looked at.
    """
    known_as = path if known_as is None else known_as
    waiting = [(path, known_as)]
    while waiting:
        place, shown = waiting.pop()
        entry = read_path(root, place, owners=owners, known_as=shown)
        if entry is None:
            continue
        yield entry
        if entry.type is EntryType.DIRECTORY:
            names = list_names(root, place)
            waiting += [
                (join(place, from_bytes(name)), join(shown, from_bytes(name))) for name in reversed(names)
            ]


def list_names(root: int, path: str) -> list[bytes]:
    """The names in a directory, sorted by bytes; none when it is gone.

    Raises:
        OSError: it cannot be read.
    """
    try:
        directory = open_beneath(root, path, _LIST)
    except OSError as error:
        if error.errno in NOTHING_THERE:
            return []
        raise
    try:
        return sorted(os.fsencode(name) for name in os.listdir(directory))
    finally:
        os.close(directory)


def read_tree(root: int, path: str, *, owners: Owners, known_as: str) -> dict[str, Entry]:
    """``walk_tree`` as a mapping by the paths that ``known_as`` gives."""
    return {entry.path: entry for entry in walk_tree(root, path, owners=owners, known_as=known_as)}


def hash_content(descriptor: int, size: int) -> Digest:
    """The digest of the logical content of an open file: holes count as zeros, and are not read."""
    hasher, position = ContentHasher(), 0
    for extent in data_extents(descriptor, size):
        hasher.skip(extent.offset - position)
        position, end = extent.offset, extent.offset + extent.length
        while position < end:
            block = os.pread(descriptor, min(_BLOCK, end - position), position)
            if not block:  # it was cut off meanwhile; the stat says so afterwards
                return hasher.digest()
            hasher.update(block)
            position += len(block)
    hasher.skip(size - position)
    return hasher.digest()


def is_as(expected: Mapping[str, Entry], found: Mapping[str, Entry]) -> bool:
    """Whether two trees have the same paths, equal in every compared field."""
    return expected.keys() == found.keys() and all(equal(expected[path], found[path]) for path in expected)


def equal(expected: Entry | None, found: Entry | None) -> bool:
    """Whether two states of a path count as the same. What was torn while it was read equals nothing."""
    if expected is None or found is None:
        return expected is found
    return not found.torn and not differing(expected, found)


def as_member(found: Entry, expected: Entry) -> Entry:
    """A file that was read, told as the hard link that ``expected`` is."""
    return structs.replace(
        found,
        type=EntryType.HARDLINK,
        link_target=expected.link_target,
        size=0,
        digest=expected.digest,
        holes=(),
    )


def is_mount_point(root: int, path: str) -> bool:
    """Whether something is mounted exactly at ``path``, so that no rename can move it (a bind mount has the device of its file system)."""
    parent, name = open_parent(root, path)
    try:
        pinned = os.open(name, _PIN, dir_fd=parent)
        try:
            return _mount_id(pinned) != _mount_id(parent)
        finally:
            os.close(pinned)
    finally:
        os.close(parent)


def highest_missing(root: int, path: str) -> str:
    """Of a ``path`` at which nothing is: the highest path at or above it at which nothing is."""
    names = path.split("/")
    for depth in range(1, len(names)):
        above = "/".join(names[:depth])
        try:
            os.close(open_beneath(root, above, _PIN))
        except FileNotFoundError:
            return above
        except OSError as error:
            if error.errno in NOTHING_THERE:
                return path
            raise
    return path


def blocker(root: int, path: str, *, owners: Owners) -> Entry | None:
    """What stands above ``path`` and is no directory, so that nothing can be made there; ``None`` when nothing does."""
    names = path.split("/")
    for depth in range(1, len(names)):
        entry = read_path(root, "/".join(names[:depth]), owners=owners)
        if entry is None or entry.type is not EntryType.DIRECTORY:
            return entry
    return None


def _with_digest(pinned: int, path: str, owners: Owners) -> Entry:
    entry = entry_of(pinned, path, owners=owners)
    if entry.type is not EntryType.FILE:
        return entry
    try:
        descriptor = reopen(pinned)
    except PermissionError:
        return entry
    try:
        for _ in range(_ATTEMPTS):
            digest = hash_content(descriptor, entry.size)
            again = entry_of(pinned, path, owners=owners)
            if stat_key(again) == stat_key(entry):
                return structs.replace(entry, digest=digest)
            entry = again
        return structs.replace(entry, digest=digest, torn=True)
    finally:
        os.close(descriptor)


def _mount_id(descriptor: int) -> bytes:
    with open(f"/proc/self/fdinfo/{descriptor}", "rb") as lines:
        return next((line for line in lines if line.startswith(b"mnt_id:")), b"")
