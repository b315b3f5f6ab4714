"""The content of files as chunks: written through the chunker, read back as blocks with holes.

What always holds: every byte is hashed here, nobody's digest is taken on trust; chunks cover the data extents only,
so a hole costs nothing; a file of any size needs the memory of one chunk and of its list of chunks (40 bytes a
chunk). See ``docs/format.md`` (Content).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec
from msgspec import Struct

from lastro.chunking.chunker import Chunker, ChunkerParameters
from lastro.chunking.digest import ContentHasher, digest_of
from lastro.domain.entry import EntryType, Extent
from lastro.domain.ids import ChunkId, Digest
from lastro.errors import DamagedError, NotFoundError, ProtocolError
from lastro.messages import N_
from lastro.store.nodes import reduce
from lastro.store.tree_entry import ChunkReader, ChunkReference, ChunkWriter, Content, TreeEntry

INLINE: Final = 32
"""So many references stand in the tree entry itself."""
BLOCK: Final = 1 << 20

_LIST: Final = msgspec.msgpack.Decoder(tuple[int, list[ChunkReference]])


class WrittenContent(Struct, frozen=True, kw_only=True):
    """What came of writing a file: its content reference, plain digest of the logical content, size in bytes, and
    holes (the gaps left).
    """

    content: Content | None
    digest: Digest
    size: int
    holes: tuple[Extent, ...]


class ContentWriter:
    """One file's bytes in, chunks into ``writer``."""

    def __init__(self, writer: ChunkWriter, parameters: ChunkerParameters) -> None:
        self._writer = writer
        self._chunker = Chunker(parameters)
        self._hasher = ContentHasher()
        self._end = 0
        self._holes: list[Extent] = []
        self._chunks: list[ChunkReference] = []

    def write(self, offset: int, data: bytes | memoryview) -> None:
        """Take the bytes at ``offset``. Offsets only grow; a gap is a hole.

        Raises:
            ProtocolError: ``offset`` lies before what was written already.
        """
        if offset < self._end:
            raise ProtocolError(
                N_("Bytes at {offset} came after those up to {end}."), offset=offset, end=self._end
            )
        if data:
            self._skip_to(offset)
            self._hasher.update(data)
            self._end += len(data)
            for chunk in self._chunker.feed(data):
                self._put(chunk)

    def finish(self, size: int | None = None) -> WrittenContent:
        """The file has ``size`` bytes (``None``: it ends with the last write); what was not written is a hole.

        Raises:
            ProtocolError: more was written than that.
        """
        size = self._end if size is None else size
        if size < self._end:
            raise ProtocolError(N_("A file of {size} bytes came with {end}."), size=size, end=self._end)
        self._skip_to(size)
        for chunk in self._chunker.finish():
            self._put(chunk)
        return WrittenContent(
            content=self._content(), digest=self._hasher.digest(), size=size, holes=tuple(self._holes)
        )

    def _skip_to(self, offset: int) -> None:
        if offset > self._end:
            self._holes.append(Extent(self._end, offset - self._end))
            self._hasher.skip(offset - self._end)
            self._end = offset

    def _put(self, chunk: bytes) -> None:
        self._chunks.append(ChunkReference(self._writer.put(chunk, digest=digest_of(chunk)), len(chunk)))

    def _content(self) -> Content | None:
        if not self._chunks or (len(self._chunks) == 1 and not self._holes):
            return None
        keyed = [(bytes(item.id), item) for item in self._chunks]
        depth, left = reduce(
            0, keyed, boundary_key=self._writer.boundary_key, write=self._write_piece, at_most=INLINE
        )
        return Content(depth=depth, items=tuple(item for _, item in left))

    def _write_piece(self, depth: int, items: list[ChunkReference]) -> ChunkReference:
        piece = self._writer.put(msgspec.msgpack.encode((depth, items)), metadata=True)
        return ChunkReference(piece, sum(item.length for item in items))


def content_chunks(reader: ChunkReader, entry: TreeEntry) -> Iterator[ChunkReference]:
    """The chunks of a file's data in order; reads the pieces of its list, not the data. Nothing for a file without data.

    Raises:
        NotFoundError: the content was never read (no digest).
    """
    for item, _ in _chunks_from(reader, entry, 0):
        yield item


def list_pieces(reader: ChunkReader, entry: TreeEntry) -> Iterator[ChunkId]:
    """The pieces of a file's chunk list, which are metadata; nothing for most files."""
    stack = (
        []
        if entry.content is None or entry.content.depth == 0
        else [(entry.content.depth, item) for item in entry.content.items]
    )
    while stack:
        depth, item = stack.pop()
        yield item.id
        if depth > 1:
            stack += [(depth - 1, below) for below in _piece(reader, item.id, depth - 1)]


def read_content(
    reader: ChunkReader, entry: TreeEntry, offset: int = 0, length: int | None = None
) -> Iterator[tuple[int, bytes]]:
    """``(offset, data)`` blocks of the file from ``offset``, at most ``length`` bytes; gaps are holes. At most 1 MiB a block.

    Raises:
        DamagedError: a chunk is not what was written.
        NotFoundError: the content was never read (no digest), or a chunk is not in the repository.
    """
    _require_content(entry)
    stop = entry.size if length is None else min(entry.size, offset + length)
    extents = _data_extents(entry)
    skipped = sum(max(0, min(extent.offset + extent.length, offset) - extent.offset) for extent in extents)
    extents = [
        extent for extent in extents if extent.offset + extent.length > offset and extent.offset < stop
    ]
    blocks = _data_from(reader, entry, skipped)
    rest = b""
    for extent in extents:
        position, end = max(extent.offset, offset), extent.offset + extent.length
        while position < end:
            if not rest:
                rest = next(blocks, b"")
                if not rest:
                    raise _inconsistent(entry)
            piece, rest = rest[: min(end - position, BLOCK)], rest[min(end - position, BLOCK) :]
            if position < stop:
                yield position, piece[: stop - position]
            position += len(piece)
            if position >= stop:
                return


def _data_extents(entry: TreeEntry) -> list[Extent]:
    """What the chunks cover: the file without its holes."""
    extents, position = [], 0
    for hole in entry.holes:
        if hole.offset > position:
            extents.append(Extent(position, hole.offset - position))
        position = hole.offset + hole.length
    if position < entry.size:
        extents.append(Extent(position, entry.size - position))
    return extents


def _data_from(reader: ChunkReader, entry: TreeEntry, start: int) -> Iterator[bytes]:
    """The file's data (holes left out) from byte ``start`` of the data on, a chunk at a time."""
    for item, begin in _chunks_from(reader, entry, start):
        data = reader.chunk(item.id)
        if len(data) != item.length:
            raise _inconsistent(entry)
        yield data[max(0, start - begin) :]


def _chunks_from(reader: ChunkReader, entry: TreeEntry, start: int) -> Iterator[tuple[ChunkReference, int]]:
    """The chunks that hold data from ``start`` on, each with where in the data it begins. Skipped pieces are not read."""
    stack: list[tuple[int, Iterator[ChunkReference]]] = [_top(reader, entry)]
    position = 0
    while stack:
        depth, items = stack[-1]
        item = next(items, None)
        if item is None:
            stack.pop()
        elif position + item.length <= start:
            position += item.length
        elif depth == 0:
            yield item, position
            position += item.length
        else:
            stack.append((depth - 1, iter(_piece(reader, item.id, depth - 1))))


def _top(reader: ChunkReader, entry: TreeEntry) -> tuple[int, Iterator[ChunkReference]]:
    digest = _require_content(entry)
    data = sum(extent.length for extent in _data_extents(entry))
    if entry.content is not None:
        if sum(item.length for item in entry.content.items) != data:
            raise _inconsistent(entry)
        return entry.content.depth, iter(entry.content.items)
    return 0, iter([ChunkReference(reader.chunk_id(digest), data)] if data else [])


def _require_content(entry: TreeEntry) -> Digest:
    if entry.type is not EntryType.FILE or entry.digest is None:
        raise NotFoundError(
            N_("The content of {name} was never read."),
            hint=N_("Another version of it may have been: `lastro log` lists them."),
            name=ascii(entry.name),
        )
    return entry.digest


def _piece(reader: ChunkReader, piece: ChunkId, depth: int) -> list[ChunkReference]:
    try:
        found, items = _LIST.decode(reader.chunk(piece))
    except msgspec.DecodeError:
        found, items = -1, []
    if found != depth:
        raise DamagedError(N_("The chunk {chunk} is no piece of a chunk list."), chunk=piece.hex())
    return items


def _inconsistent(entry: TreeEntry) -> DamagedError:
    return DamagedError(
        N_("The size, holes and chunks of {name} do not fit together."), name=ascii(entry.name)
    )
