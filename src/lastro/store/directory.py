"""One directory in content-split pieces: written, read, searched and edited.

    leaf      [0, [tree entry, ...]]
    above     [level, [[first name, id of a piece of level - 1], ...]]

What always holds: the node of a directory depends on its entries alone; an edit gives the same node as writing the
result anew, and reads and writes only the pieces it touches. See ``docs/format.md`` (Directory).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import msgspec

from lastro.domain.ids import ChunkId
from lastro.errors import DamagedError, UsageError
from lastro.messages import N_
from lastro.store.nodes import Splitter, reduce
from lastro.store.tree_entry import ChunkReader, ChunkWriter, TreeEntry, encode_tree_entry

Piece = tuple[bytes, ChunkId]
"""The name of the first entry in a piece, and the piece."""

_LEAF: Final = msgspec.msgpack.Decoder(tuple[int, list[TreeEntry]])
_ABOVE: Final = msgspec.msgpack.Decoder(tuple[int, list[Piece]])


def write_directory(writer: ChunkWriter, entries: Iterable[TreeEntry]) -> ChunkId:
    """Store a directory that holds ``entries`` (any order, unique names). Returns its node, for ``TreeEntry.subtree``."""
    pieces = _Pieces(writer)
    for entry in sorted(entries, key=lambda entry: entry.name):
        pieces.add(entry)
    return pieces.finish()


def read_directory(reader: ChunkReader, node: ChunkId) -> Iterator[TreeEntry]:
    """The entries of a directory, sorted by name.

    Raises:
        DamagedError: a piece is not what was written.
    """
    level, raw = _node(reader, node)
    if level == 0:
        yield from _entries(node, raw)
    else:
        for _, leaf in _leaves_below(reader, node, raw):
            yield from read_leaf(reader, leaf)


def find(reader: ChunkReader, node: ChunkId, name: bytes) -> TreeEntry | None:
    """The entry of that name; ``None`` when there is none. Reads one piece a level."""
    level, raw = _node(reader, node)
    while level > 0:
        pieces = _pieces(node, raw)
        position = bisect_right(pieces, name, key=_first) - 1
        if position < 0:
            return None
        node = pieces[position][1]
        level, raw = _node(reader, node)
    entries = _entries(node, raw)
    position = bisect_right(entries, name, key=_name) - 1
    return entries[position] if position >= 0 and entries[position].name == name else None


def leaves(reader: ChunkReader, node: ChunkId) -> list[Piece]:
    """The leaves of a directory in order. The first name is ``b""`` where the directory is one leaf."""
    level, raw = _node(reader, node)
    return [(b"", node)] if level == 0 else list(_leaves_below(reader, node, raw))


def read_leaf(reader: ChunkReader, leaf: ChunkId) -> list[TreeEntry]:
    """The entries of one leaf."""
    level, raw = _node(reader, leaf)
    if level != 0:
        raise _damaged(leaf)
    return _entries(leaf, raw)


def edit_directory(
    reader: ChunkReader, writer: ChunkWriter, node: ChunkId | None, edits: Mapping[bytes, TreeEntry | None]
) -> ChunkId:
    """The directory ``node`` (``None``: empty) with ``edits`` made by name; ``None`` removes.

    An edit of a directory without a subtree keeps that of the directory of the same name, else gets an empty one.
    """
    old = [] if node is None else leaves(reader, node)
    by_leaf: list[dict[bytes, TreeEntry | None]] = [{} for _ in old] or [{}]
    for name in sorted(edits):
        by_leaf[max(0, bisect_right(old, name, key=_first) - 1)][name] = edits[name]
    pieces = _Pieces(writer)
    for position, changed in enumerate(by_leaf):
        if old and not changed and pieces.at_start:
            pieces.keep(old[position])
            continue
        present = {entry.name: entry for entry in read_leaf(reader, old[position][1])} if old else {}
        for name in sorted(present.keys() | changed.keys()):
            entry = _edited(writer, present.get(name), changed[name]) if name in changed else present[name]
            if entry is not None:
                pieces.add(entry if entry.name == name else msgspec.structs.replace(entry, name=name))
    return pieces.finish()


def subtree_of(writer: ChunkWriter, present: TreeEntry | None, edit: TreeEntry) -> ChunkId:
    """The subtree that an edited directory has: its own, else that of the directory it replaces, else an empty one."""
    if edit.subtree is not None:
        return edit.subtree
    if present is not None and present.is_directory and present.subtree is not None:
        return present.subtree
    return write_directory(writer, ())


def _edited(writer: ChunkWriter, present: TreeEntry | None, edit: TreeEntry | None) -> TreeEntry | None:
    if edit is None or not edit.is_directory or edit.subtree is not None:
        return edit
    return msgspec.structs.replace(edit, subtree=subtree_of(writer, present, edit))


class _Pieces:
    """Leaves in the making, then the levels above them."""

    def __init__(self, writer: ChunkWriter) -> None:
        self._writer = writer
        self._made: list[Piece] = []
        self._last = b""
        self._splitter = Splitter[msgspec.Raw](writer.boundary_key, 0, self._write_leaf)

    @property
    def at_start(self) -> bool:
        return self._splitter.at_start

    def add(self, entry: TreeEntry) -> None:
        if not entry.name or entry.name in {b".", b".."} or b"/" in entry.name or b"\0" in entry.name:
            raise UsageError(N_("This cannot be a name in a directory: {name}"), name=ascii(entry.name))
        if entry.name <= self._last:
            raise UsageError(N_("The name {name} stands twice in a directory."), name=ascii(entry.name))
        self._last = entry.name
        raw = encode_tree_entry(entry)
        self._splitter.add(entry.name, len(raw), msgspec.Raw(raw))

    def keep(self, leaf: Piece) -> None:
        """Take over a whole leaf as it is; only at the start of a piece."""
        self._made.append(leaf)

    def finish(self) -> ChunkId:
        self._splitter.finish()
        if not self._made:
            self._write_leaf(b"", [])
        keyed = [(first, (first, piece)) for first, piece in self._made]
        _, left = reduce(1, keyed, boundary_key=self._writer.boundary_key, write=self._write_above, at_most=1)
        return left[0][1][1]

    def _write_leaf(self, first: bytes, entries: list[msgspec.Raw]) -> None:
        self._made.append((first, self._put(0, entries)))

    def _write_above(self, level: int, pieces: list[Piece]) -> Piece:
        return pieces[0][0], self._put(level, pieces)

    def _put(self, level: int, items: object) -> ChunkId:
        return self._writer.put(msgspec.msgpack.encode((level, items)), metadata=True)


def _leaves_below(reader: ChunkReader, node: ChunkId, raw: bytes) -> Iterator[Piece]:
    """All leaves below a node above level 0, left to right."""
    stack = [iter(_pieces(node, raw))]
    depth_of_leaves = _level(node, raw)
    while stack:
        piece = next(stack[-1], None)
        if piece is None:
            stack.pop()
        elif len(stack) == depth_of_leaves:
            yield piece
        else:
            level, below = _node(reader, piece[1])
            if level != depth_of_leaves - len(stack):
                raise _damaged(piece[1])
            stack.append(iter(_pieces(piece[1], below)))


def _node(reader: ChunkReader, node: ChunkId) -> tuple[int, bytes]:
    raw = reader.chunk(node)
    return _level(node, raw), raw


def _level(node: ChunkId, raw: bytes) -> int:
    # A two-item array begins with 0x92, and a level below 128 is one byte.
    if len(raw) < 3 or raw[0] != 0x92 or raw[1] > 0x7F:
        raise _damaged(node)
    return raw[1]


def _entries(node: ChunkId, raw: bytes) -> list[TreeEntry]:
    try:
        return _LEAF.decode(raw)[1]
    except msgspec.DecodeError:
        raise _damaged(node) from None


def _pieces(node: ChunkId, raw: bytes) -> list[Piece]:
    try:
        return _ABOVE.decode(raw)[1]
    except msgspec.DecodeError:
        raise _damaged(node) from None


def _damaged(node: ChunkId) -> DamagedError:
    return DamagedError(
        N_("The chunk {chunk} is no piece of a directory."),
        hint=N_("`lastro repo check` names the snapshots that this concerns."),
        chunk=node.hex(),
    )


def _first(piece: Piece) -> bytes:
    return piece[0]


def _name(entry: TreeEntry) -> bytes:
    return entry.name
