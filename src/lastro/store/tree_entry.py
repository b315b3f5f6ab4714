"""The noun of trees: an entry as a directory keeps it, and the two small interfaces through which trees reach chunks.

What always holds: every field that ``domain.entry.FIELD_USES`` calls recorded is here, and comes back as it was;
encoding is canonical, so equal entries are equal bytes. See ``docs/format.md`` (Tree entry).
"""

from __future__ import annotations

from typing import Final, Protocol

import msgspec
from msgspec import Struct

from lastro.domain.entry import Device, Entry, EntryType, Extent, Xattr
from lastro.domain.ids import ChunkId, Digest
from lastro.domain.paths import from_bytes, name_of, to_bytes
from lastro.errors import DamagedError
from lastro.messages import N_


class ChunkReader(Protocol):
    """Reads verified chunks: a ``Repository``, or a ``Transaction`` (which sees its own)."""

    def chunk(self, chunk: ChunkId, /) -> bytes:
        """The bytes of a chunk, verified.

        Raises:
            NotFoundError: it is not stored.
            DamagedError: it is not what was written.
        """
        ...

    def chunk_id(self, digest: Digest, /) -> ChunkId:
        """The repository's name for a chunk with this plain digest."""
        ...


class ChunkWriter(Protocol):
    """Takes chunks: a ``Transaction``."""

    @property
    def boundary_key(self) -> bytes:
        """The key under which names decide where pieces end."""
        ...

    def put(self, data: bytes, *, digest: Digest | None = None, metadata: bool = False) -> ChunkId:
        """Store ``data`` unless the repository has it. ``digest``: its plain BLAKE3, if known. ``metadata``: a tree, not content."""
        ...


class ChunkReference(Struct, frozen=True, array_like=True):
    """A chunk (or a piece of a chunk list) and how many bytes of content it stands for."""

    id: ChunkId
    length: int


class Content(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a file's data is, in order. ``depth`` 0: ``items`` are chunks; n: pieces of a list with items of depth n
    - 1. At most 32 items.
    """

    depth: int = 0
    items: tuple[ChunkReference, ...]


class TreeEntry(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An entry as a tree keeps it: every recorded field of ``Entry``, its own name instead of its path, and where its content is.

    ``content`` is absent for a file of one chunk without holes (its chunk follows from ``digest``), for one without data, and for
    everything but files. ``subtree`` is the node of a directory; in an edit ``None`` means "as it is". Text is raw bytes. Fields stand in
    canonical (sorted) order.
    """

    btime_ns: int | None = None
    content: Content | None = None
    ctime_ns: int = 0
    digest: Digest | None = None
    flags: int = 0
    gid: int = 0
    group: bytes = b""
    holes: tuple[Extent, ...] = ()
    link_target: bytes | None = None
    mode: int = 0
    mtime_ns: int = 0
    name: bytes = b""
    rdev: Device | None = None
    size: int = 0
    subtree: ChunkId | None = None
    torn: bool = False
    type: EntryType = EntryType.FILE
    uid: int = 0
    user: bytes = b""
    xattrs: tuple[tuple[bytes, bytes], ...] = ()

    @property
    def is_directory(self) -> bool:
        """Whether it can hold others."""
        return self.type is EntryType.DIRECTORY


def to_tree_entry(entry: Entry, content: Content | None = None, subtree: ChunkId | None = None) -> TreeEntry:
    """``entry`` as a tree keeps it; its name is the last component of its path."""
    return TreeEntry(
        btime_ns=entry.btime_ns,
        content=content,
        ctime_ns=entry.ctime_ns,
        digest=entry.digest,
        flags=entry.flags,
        gid=entry.gid,
        group=to_bytes(entry.group),
        holes=entry.holes,
        link_target=None if entry.link_target is None else to_bytes(entry.link_target),
        mode=entry.mode,
        mtime_ns=entry.mtime_ns,
        name=to_bytes(name_of(entry.path)),
        rdev=entry.rdev,
        size=entry.size,
        subtree=subtree,
        torn=entry.torn,
        type=entry.type,
        uid=entry.uid,
        user=to_bytes(entry.user),
        xattrs=tuple((to_bytes(xattr.name), xattr.value) for xattr in entry.xattrs),
    )


def to_entry(entry: TreeEntry, path: str) -> Entry:
    """The inverse of ``to_tree_entry``. ``dev``, ``inode`` and ``nlink`` are not recorded."""
    return Entry(
        path=path,
        type=entry.type,
        mode=entry.mode,
        uid=entry.uid,
        gid=entry.gid,
        user=from_bytes(entry.user),
        group=from_bytes(entry.group),
        mtime_ns=entry.mtime_ns,
        ctime_ns=entry.ctime_ns,
        btime_ns=entry.btime_ns,
        size=entry.size,
        link_target=None if entry.link_target is None else from_bytes(entry.link_target),
        rdev=entry.rdev,
        xattrs=tuple(Xattr(from_bytes(name), value) for name, value in entry.xattrs),
        flags=entry.flags,
        holes=entry.holes,
        digest=entry.digest,
        torn=entry.torn,
    )


def encode_tree_entry(entry: TreeEntry) -> bytes:
    """Canonical msgpack: a map of the fields that are not at their defaults, keys sorted. What a snapshot record keeps as ``root``."""
    # By way of a dictionary: a struct of this many fields would be encoded with a longer map header than it needs.
    return msgspec.msgpack.encode(msgspec.to_builtins(entry, builtin_types=(bytes,)))


def decode_tree_entry(raw: bytes) -> TreeEntry:
    """The inverse of ``encode_tree_entry``.

    Raises:
        DamagedError: these are not the bytes of a tree entry.
    """
    try:
        return _DECODER.decode(raw)
    except msgspec.DecodeError:
        raise DamagedError(N_("A tree entry cannot be decoded.")) from None


_DECODER: Final = msgspec.msgpack.Decoder(TreeEntry)
