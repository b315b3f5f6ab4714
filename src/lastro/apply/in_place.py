"""Writing into a file that has to keep its inode: one of a hard-link group whose other members stay, or one that is mounted over.

Such a write cannot be atomic. What always holds: it begins only when old and new bytes lie durable beside the file and the new ones are
called ``writing``; so after a crash it is finished, unless the file holds bytes that neither version explains: then somebody else wrote.
"""

from __future__ import annotations

import errno
import os
from contextlib import ExitStack
from typing import Final

from lastro.apply.attributes import set_attributes, set_flags, unlock
from lastro.apply.destination import Note
from lastro.apply.site import Site
from lastro.domain.entry import Entry
from lastro.filesystem.beneath import open_beneath

_BLOCK: Final = 1 << 18
_READ: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW


def is_written(live: Entry, after: Entry) -> bool:
    """Whether the bytes in place are the new ones."""
    return not live.torn and live.digest == after.digest


def write_into(site: Site, path: str, source: str, *, expected: Entry) -> None:
    """Make the file at ``path`` hold the bytes of ``source``, durably. The size is cut last, so no byte of either version is missing.

    Raises:
        OSError: ``ESTALE`` when ``path`` is not the file ``expected`` any more; or what the disk says.
    """
    new = open_beneath(site.root, source, _READ)
    try:
        with site.parent(path) as (directory, name):
            unlock(site.system, directory, name)
            live = site.system.open(directory, name, os.O_WRONLY)
        try:
            status = os.fstat(live)
            if status.st_ino != expected.inode:
                raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), path)
            position = 0
            while block := os.pread(new, _BLOCK, position):
                site.system.write_at(live, block, position)
                position += len(block)
            site.system.truncate(live, position)
            site.system.sync(live)
        finally:
            os.close(live)
    finally:
        os.close(new)


def dress_in_place(site: Site, wanted: Entry) -> list[Note]:
    """Give a file that was written into its new attributes, durably; returns what could not be set.

    Raises:
        OSError: the disk fails.
    """
    with site.parent(wanted.path) as (directory, name):
        unlock(site.system, directory, name)
        notes = set_attributes(site.system, directory, name, wanted, owners=site.owners)
        notes += set_flags(site.system, directory, name, wanted)
    return notes


def may_be_half_written(site: Site, path: str, *, old: str, new: str) -> bool:
    """Whether every byte at ``path`` is the old one, the new one, or a zero that a power cut left: then nobody else wrote to it.

    Raises:
        OSError: one of the three cannot be read.
    """
    with ExitStack() as opened:
        descriptors = []
        for place in (path, old, new):
            descriptor = open_beneath(site.root, place, _READ)
            opened.callback(os.close, descriptor)
            descriptors.append(descriptor)
        sizes = [os.fstat(descriptor).st_size for descriptor in descriptors]
        if not min(sizes[1:]) <= sizes[0] <= max(sizes[1:]):
            return False
        return all(
            _is_explained(*(os.pread(descriptor, _BLOCK, position) for descriptor in descriptors))
            for position in range(0, sizes[0], _BLOCK)
        )


def _is_explained(found: bytes, old: bytes, new: bytes) -> bool:
    if found in {old[: len(found)], new[: len(found)]}:
        return True
    length = len(found)
    pairs = zip(found, old.ljust(length, b"\0"), new.ljust(length, b"\0"), strict=False)
    return all(byte in {first, second, 0} for byte, first, second in pairs)
