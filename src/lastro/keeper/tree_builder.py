"""Builds a tree from a listing in tree order, directory by directory, holding only the directories on the way to the current path."""

from __future__ import annotations

from lastro.domain.entry import Entry, EntryType
from lastro.domain.ids import ChunkId
from lastro.domain.paths import is_within, parent_of
from lastro.errors import ProtocolError
from lastro.messages import N_
from lastro.store.tree import ChunkWriter, TreeEntry, to_tree_entry, write_directory


class TreeBuilder:
    """Takes entries in tree order, all below one top; gives the top's tree entry."""

    def __init__(self, writer: ChunkWriter) -> None:
        self._writer = writer
        self._open: list[tuple[Entry, list[TreeEntry], ChunkId | None]] = []
        self._top: TreeEntry | None = None

    def add(self, entry: Entry, tree_entry: TreeEntry, *, keep: ChunkId | None = None) -> None:
        """The next entry. A directory stays open until an entry outside it comes; ``keep``: nothing is known below it, its subtree stands.

        Raises:
            ProtocolError: it is not below an open directory.
        """
        self._close_until(entry.path)
        if self._top is not None or (self._open and self._open[-1][0].path != parent_of(entry.path)):
            raise ProtocolError(N_("The listing has {path} where it cannot be."), path=ascii(entry.path))
        if entry.type is EntryType.DIRECTORY:
            self._open.append((entry, [], keep))
        else:
            self._place(tree_entry)

    def finish(self) -> TreeEntry | None:
        """The top's tree entry; ``None`` when nothing was added."""
        while self._open:
            self._close_one()
        return self._top

    def _close_until(self, path: str) -> None:
        while self._open and not is_within(path, self._open[-1][0].path):
            self._close_one()

    def _close_one(self) -> None:
        entry, children, keep = self._open.pop()
        subtree = keep if keep is not None and not children else write_directory(self._writer, children)
        self._place(to_tree_entry(entry, subtree=subtree))

    def _place(self, tree_entry: TreeEntry) -> None:
        if self._open:
            self._open[-1][1].append(tree_entry)
        else:
            self._top = tree_entry
