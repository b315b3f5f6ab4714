"""Trees: the whole structure of a snapshot, walked, searched and edited by path. The door to ``tree_entry``,
``directory`` and ``tree_diff``.

What always holds: a tree is a value. An edit makes a new root and leaves the old one readable; unchanged directories are shared
(``docs/format.md``, Tree).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from lastro.domain.paths import check_relative, from_bytes, join, name_of, parent_of, to_bytes, tree_order
from lastro.errors import ConflictError
from lastro.messages import N_
from lastro.store.directory import edit_directory, find, read_directory, subtree_of, write_directory
from lastro.store.tree_diff import diff
from lastro.store.tree_entry import (
    ChunkReader,
    ChunkReference,
    ChunkWriter,
    Content,
    TreeEntry,
    decode_tree_entry,
    encode_tree_entry,
    to_entry,
    to_tree_entry,
)

__all__ = [
    "ChunkReader",
    "ChunkReference",
    "ChunkWriter",
    "Content",
    "TreeEntry",
    "decode_tree_entry",
    "diff",
    "encode_tree_entry",
    "lookup",
    "read_directory",
    "to_entry",
    "to_tree_entry",
    "update",
    "walk",
    "write_directory",
]


def lookup(reader: ChunkReader, root: TreeEntry, path: str) -> TreeEntry | None:
    """What ``root`` holds at ``path`` (``""`` is the root itself); ``None`` when there is nothing."""
    entry: TreeEntry | None = root
    for name in to_bytes(path).split(b"/") if path else ():
        if entry is None or not entry.is_directory or entry.subtree is None:
            return None
        entry = find(reader, entry.subtree, name)
    return entry


def walk(reader: ChunkReader, root: TreeEntry, path: str = "") -> Iterator[tuple[str, TreeEntry]]:
    """``root`` as ``path``, and everything below it, in tree order."""
    stack: list[tuple[str, Iterator[TreeEntry]]] = []
    place, entry = path, root
    while True:
        yield place, entry
        if entry.is_directory and entry.subtree is not None:
            stack.append((place, read_directory(reader, entry.subtree)))
        while stack:
            found = next(stack[-1][1], None)
            if found is not None:
                place, entry = join(stack[-1][0], from_bytes(found.name)), found
                break
            stack.pop()
        else:
            return


def update(
    reader: ChunkReader, writer: ChunkWriter, root: TreeEntry | None, edits: Mapping[str, TreeEntry | None]
) -> TreeEntry | None:
    """The tree with ``edits`` made by path: ``None`` removes a path with all below it (nothing there is fine).

    An edit of a directory keeps its present subtree unless the edit carries one. Only the pieces on the way are read. ``root`` may be
    ``None`` (nothing yet) when the edits hold ``""``. Names inside the given entries do not matter: paths do.

    Raises:
        ConflictError: an edit lies below something that is no directory, or that the same edits remove.
        ProtocolError: a path is no clean relative path.
    """
    parents = _parents(edits)
    present = _present(reader, writer, root, edits, parents)
    by_parent: dict[str, dict[bytes, TreeEntry | None]] = {}
    for path, edit in edits.items():
        if path and present.get(parent_of(path)) is not None:
            by_parent.setdefault(parent_of(path), {})[to_bytes(name_of(path))] = edit
    top = present.get("", edits.get("", root)) if parents or "" in edits else root
    for path in sorted(parents, key=_deepest_first):
        directory = present.get(path)
        if directory is None:
            continue
        node = edit_directory(reader, writer, directory.subtree, by_parent.get(path, {}))
        edited = msgspec.structs.replace(directory, subtree=node)
        if path:
            by_parent.setdefault(parent_of(path), {})[to_bytes(name_of(path))] = edited
        else:
            top = edited
    if top is not None and top.is_directory and top.subtree is None:
        top = msgspec.structs.replace(top, subtree=subtree_of(writer, root, top))
    return None if top is None else msgspec.structs.replace(top, name=b"")


def _deepest_first(path: str) -> tuple[int, tuple[bytes, ...]]:
    order = tree_order(path)
    return -len(order), order


def _parents(edits: Mapping[str, TreeEntry | None]) -> set[str]:
    """Every directory above an edited path."""
    found: set[str] = set()
    for path in edits:
        check_relative(path)
        while path:
            path = parent_of(path)  # noqa: PLW2901  climbing
            if path in found:
                break
            found.add(path)
    return found


def _present(
    reader: ChunkReader,
    writer: ChunkWriter,
    root: TreeEntry | None,
    edits: Mapping[str, TreeEntry | None],
    parents: set[str],
) -> dict[str, TreeEntry | None]:
    """Each directory above an edit as it is once its own edit is made; ``None`` where nothing is, which only removals may ask for."""
    asked = {parent_of(path) for path, edit in edits.items() if path and edit is not None}
    found: dict[str, TreeEntry | None] = {}
    for path in sorted(parents, key=tree_order):
        if path:
            above = found[parent_of(path)]
            subtree = None if above is None else above.subtree
            old = None if subtree is None else find(reader, subtree, to_bytes(name_of(path)))
        else:
            old = root
        entry = edits.get(path, old)
        if path in edits and entry is not None and entry.is_directory:
            if path and found[parent_of(path)] is None:
                entry = None
            else:
                entry = msgspec.structs.replace(entry, subtree=subtree_of(writer, old, entry))
        if entry is not None and not entry.is_directory:
            entry = None
        if entry is None and path in asked:
            raise ConflictError(
                N_("{path} is no directory, so nothing can be below it."),
                hint=N_("The list of changes names something below it; list the directory again."),
                path=path,
            )
        found[path] = entry
    return found
