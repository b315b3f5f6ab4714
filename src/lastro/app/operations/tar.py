"""``tar``: a directory as it was, as one stream that any ``tar`` unpacks (POSIX.1-2001, pax interchange format).

What always holds: names, times, owners, modes, links and extended attributes are as they were recorded, byte for byte; the size is known
before the first byte. What could not be read when it was captured, and sockets, which no tar can hold, are left out.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Sequence
from typing import Final

from lastro.app.caller import Bytes
from lastro.app.operation import Effect, Operation, Place
from lastro.app.operations.contents import content
from lastro.app.operations.history import entries
from lastro.app.requests import ContentRequest, Entries, RecordedEntry
from lastro.app.requests.listing import Tar
from lastro.app.services import Services
from lastro.domain.entry import Entry, EntryType
from lastro.domain.paths import from_bytes, join, name_of
from lastro.messages import N_

_BLOCK: Final = tarfile.BLOCKSIZE
_END: Final = 2 * _BLOCK
_SECOND: Final = 1_000_000_000
_TYPES: Final = {
    EntryType.FILE: tarfile.REGTYPE,
    EntryType.DIRECTORY: tarfile.DIRTYPE,
    EntryType.SYMLINK: tarfile.SYMTYPE,
    EntryType.HARDLINK: tarfile.LNKTYPE,
    EntryType.FIFO: tarfile.FIFOTYPE,
    EntryType.CHARACTER_DEVICE: tarfile.CHRTYPE,
    EntryType.BLOCK_DEVICE: tarfile.BLKTYPE,
}


def tar(services: Services, request: Tar) -> Bytes:
    """A directory as it was, as one stream."""
    recorded = entries(services, Entries(reference=request.reference))
    top = name_of(recorded.path) or recorded.server
    items = [item for item in recorded.items if _fits(item.entry)]
    size = sum(len(_head(item.entry, top)) + _padded(item.entry.size) for item in items) + _END
    return Bytes(size=size, digest=b"", blocks=_blocks(services, items, top))


def _fits(entry: Entry) -> bool:
    return entry.type in _TYPES and (entry.type is not EntryType.FILE or entry.digest is not None)


def _blocks(services: Services, items: Sequence[RecordedEntry], top: str) -> Iterator[tuple[int, bytes]]:
    """The heads and contents; what lies between is zeros, as are the two blocks at the end."""
    position = 0
    for item in items:
        head = _head(item.entry, top)
        yield position, head
        position += len(head)
        if item.entry.type is EntryType.FILE and item.entry.size:
            reply = content(services, ContentRequest(seq=item.seq, path=item.tree_path))
            for offset, data in reply.blocks:
                yield position + offset, data
            position += _padded(item.entry.size)


def _padded(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK


def _head(entry: Entry, top: str) -> bytes:
    """The blocks before an entry's content."""
    info = tarfile.TarInfo(join(top, entry.path))
    info.type = _TYPES[entry.type]
    info.mode, info.uid, info.gid = entry.mode, entry.uid, entry.gid
    info.uname, info.gname = entry.user, entry.group
    headers = {f"SCHILY.xattr.{one.name}": from_bytes(one.value) for one in entry.xattrs}
    info.size = entry.size if entry.type is EntryType.FILE else 0
    info.mtime, parts = divmod(entry.mtime_ns, _SECOND)
    if entry.link_target is not None:
        is_hard = entry.type is EntryType.HARDLINK
        info.linkname = join(top, entry.link_target) if is_hard else entry.link_target
    if entry.rdev is not None:
        info.devmajor, info.devminor = entry.rdev.major, entry.rdev.minor
    if parts:
        headers["mtime"] = f"{info.mtime}.{parts:09}"
    info.pax_headers = headers
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


OPERATIONS = (
    Operation(
        name="tar",
        request=Tar,
        reply=Bytes,
        effect=Effect.READ,
        place=Place.KEEPER,
        run=tar,
        summary=N_("A directory as it was, as a tar stream."),
        details=N_(
            "Any tar unpacks it: 'lastro tar ./etc@2d | tar -x'. What could not be read when it was captured is left out."
        ),
    ),
)
