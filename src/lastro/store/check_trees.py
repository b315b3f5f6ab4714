"""Which paths of which snapshots a damaged or missing chunk takes with it.

What always holds: each directory piece is read once, however many snapshots share it; a piece that cannot be read hides what is below it
and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from lastro.domain.entry import EntryType
from lastro.domain.ids import ChunkId
from lastro.domain.paths import from_bytes, join
from lastro.errors import DamagedError, NotFoundError
from lastro.store.content import content_chunks, list_pieces
from lastro.store.directory import leaves, read_leaf
from lastro.store.tree_entry import ChunkReader, TreeEntry

Trouble = tuple[str, ChunkId]
"""A path below some entry (``""``: the entry itself), and a chunk that it needs and cannot have."""


class TreeInspector:
    """Walks trees and remembers, for every directory seen, what is troubled below it.

    ``is_whole`` tells of a chunk whether it can be had, as far as is known without reading it.
    """

    def __init__(self, reader: ChunkReader, is_whole: Callable[[ChunkId], bool]) -> None:
        self._reader = reader
        self._is_whole = is_whole
        self._below: dict[ChunkId, list[Trouble]] = {}

    @property
    def directories(self) -> int:
        """How many different directories were seen so far."""
        return len(self._below)

    def troubles(self, root: TreeEntry) -> Iterator[Trouble]:
        """Every path at or below ``root`` that lacks a chunk, with the chunk."""
        yield from self._of_entry(root, "")
        if root.subtree is not None:
            self._visit(root.subtree)
            yield from self._below[root.subtree]

    def _visit(self, top: ChunkId) -> None:
        """See to it that ``top`` and all below it are in ``_below``; children before parents."""
        stack = [top]
        entries: dict[ChunkId, tuple[list[TreeEntry], list[Trouble]]] = {}
        while stack:
            node = stack[-1]
            if node in self._below:
                stack.pop()
                continue
            if node not in entries:
                entries[node] = self._read(node)
                waiting = [entry.subtree for entry in entries[node][0] if entry.subtree is not None]
                stack += [child for child in waiting if child not in self._below and child not in entries]
                continue
            stack.pop()
            found, troubles = entries.pop(node)
            for entry in found:
                name = from_bytes(entry.name)
                troubles += self._of_entry(entry, name)
                if entry.subtree is not None:
                    troubles += [
                        (join(name, path), chunk) for path, chunk in self._below.get(entry.subtree, ())
                    ]
            self._below[node] = troubles

    def _read(self, node: ChunkId) -> tuple[list[TreeEntry], list[Trouble]]:
        entries: list[TreeEntry] = []
        troubles: list[Trouble] = []
        try:
            pieces = leaves(self._reader, node)
        except (DamagedError, NotFoundError) as error:
            return [], [("", _chunk_of(error, node))]
        for _, leaf in pieces:
            try:
                entries += read_leaf(self._reader, leaf)
            except (DamagedError, NotFoundError):
                troubles.append(("", leaf))
        return entries, troubles

    def _of_entry(self, entry: TreeEntry, path: str) -> list[Trouble]:
        """What a file lacks of its own content."""
        if entry.type is not EntryType.FILE or entry.digest is None:
            return []
        needed: list[ChunkId] = []
        try:
            needed += list_pieces(self._reader, entry)
            needed += (item.id for item in content_chunks(self._reader, entry))
        except (DamagedError, NotFoundError) as error:
            return [(path, _chunk_of(error, self._reader.chunk_id(entry.digest)))]
        return [(path, chunk) for chunk in needed if not self._is_whole(chunk)]


def _chunk_of(error: DamagedError | NotFoundError, otherwise: ChunkId) -> ChunkId:
    """The chunk that an error names."""
    named = error.parameters.get("chunk")
    return ChunkId(bytes.fromhex(named)) if isinstance(named, str) else otherwise
