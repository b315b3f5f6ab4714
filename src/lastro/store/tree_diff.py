"""The difference of two trees, reading only the pieces in which they differ.

What always holds: it equals ``domain.changes.diff`` of the two walks. Equal nodes mean equal subtrees; unequal ones prove nothing, and are
compared entry by entry in the compared fields.
"""

from __future__ import annotations

from collections.abc import Iterator

from lastro.domain.changes import Change
from lastro.domain.entry import Entry, differing
from lastro.domain.ids import ChunkId
from lastro.domain.paths import from_bytes, join
from lastro.store.directory import leaves, read_leaf
from lastro.store.tree_entry import ChunkReader, TreeEntry, to_entry

_Pair = tuple[TreeEntry | None, TreeEntry | None]


def diff(
    reader: ChunkReader, before: TreeEntry | None, after: TreeEntry | None, path: str = ""
) -> Iterator[Change]:
    """The changes between two trees at ``path``, in tree order. ``None``: nothing is there.

    Raises:
        DamagedError: a piece that has to be read is not what was written.
        NotFoundError: one is not stored.
    """
    stack: list[Iterator[tuple[str, _Pair]]] = [iter([(path, (before, after))])]
    while stack:
        found = next(stack[-1], None)
        if found is None:
            stack.pop()
            continue
        place, (old, new) = found
        if old == new:
            continue
        change = _change(place, old, new)
        if change is not None:
            yield change
        below = _subtree(old), _subtree(new)
        if below[0] != below[1]:
            stack.append(_pairs(reader, place, *below))


def _change(path: str, old: TreeEntry | None, new: TreeEntry | None) -> Change | None:
    before, after = _as_entry(old, path), _as_entry(new, path)
    if before is not None and after is not None and not differing(before, after):
        return None
    return Change(path=path, before=before, after=after)


def _as_entry(entry: TreeEntry | None, path: str) -> Entry | None:
    return None if entry is None else to_entry(entry, path)


def _subtree(entry: TreeEntry | None) -> ChunkId | None:
    return entry.subtree if entry is not None and entry.is_directory else None


def _pairs(
    reader: ChunkReader, path: str, old: ChunkId | None, new: ChunkId | None
) -> Iterator[tuple[str, _Pair]]:
    """The entries of two directories side by side, sorted by name, without those in leaves that both have."""
    old_leaves = [] if old is None else [leaf for _, leaf in leaves(reader, old)]
    new_leaves = [] if new is None else [leaf for _, leaf in leaves(reader, new)]
    shared = set(old_leaves) & set(new_leaves)
    before = (entry for leaf in old_leaves if leaf not in shared for entry in read_leaf(reader, leaf))
    after = (entry for leaf in new_leaves if leaf not in shared for entry in read_leaf(reader, leaf))
    first, second = next(before, None), next(after, None)
    while first is not None or second is not None:
        name = min(entry.name for entry in (first, second) if entry is not None)
        pair = (
            first if first is not None and first.name == name else None,
            second if second is not None and second.name == name else None,
        )
        yield join(path, from_bytes(name)), pair
        if pair[0] is not None:
            first = next(before, None)
        if pair[1] is not None:
            second = next(after, None)
