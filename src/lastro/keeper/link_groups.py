"""Hard-link groups of a tree of which some paths are replaced: who is the first of a group, and what becomes of the others.

A tree writes a group as a file, at the first of its paths, and links to that (``docs/format.md``, Tree entry).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from msgspec import structs

from lastro.domain.entry import Entry, EntryType
from lastro.domain.paths import from_bytes, parent_of, tree_order
from lastro.domain.target import Target
from lastro.keeper.capture_state import CaptureState
from lastro.store.tree import ChunkReader, TreeEntry, lookup, to_entry, to_tree_entry, walk

Edits = Mapping[str, TreeEntry | None]
"""Path → what is recorded there; ``None``: it is removed."""


def first_members(entries: Iterable[Entry]) -> dict[str, str]:
    """Path → the first path, in tree order, of the hard-link group it belongs to; groups of one are left out."""
    groups: dict[tuple[int, int], list[str]] = {}
    for entry in entries:
        if entry.type is EntryType.FILE and entry.nlink > 1:
            groups.setdefault((entry.dev, entry.inode), []).append(entry.path)
    firsts: dict[str, str] = {}
    for paths in groups.values():
        if len(paths) > 1:
            first = min(paths, key=tree_order)
            firsts |= dict.fromkeys(paths, first)
    return firsts


def part_links(
    reader: ChunkReader, state: CaptureState, target: Target, root: TreeEntry, edits: Edits
) -> dict[str, TreeEntry | None]:
    """What becomes of the other names of files that ``edits`` of ``root`` replace: they keep what the file was, the first in its place.

    ``target``: what ``root`` is a snapshot of; its stat rows spare looking through a tree for names that no file has.
    """
    touched = _touched_files(reader, root, edits)
    if not any(_may_have_names(state, target, path, entry) for path, entry in touched.items()):
        return {}
    names: dict[str, list[str]] = {}
    for path, entry in walk(reader, root):
        if entry.type is EntryType.HARDLINK and entry.link_target is not None and not _is_edited(path, edits):
            first = from_bytes(entry.link_target)
            if first in touched:
                names.setdefault(first, []).append(path)
    found: dict[str, TreeEntry | None] = {}
    for first, others in names.items():
        found[others[0]] = touched[first]
        for path in others[1:]:
            link = to_entry(touched[first], path)
            link = structs.replace(
                link,
                type=EntryType.HARDLINK,
                link_target=others[0],
                size=0,
                holes=(),
                digest=None,
                torn=False,
            )
            found[path] = to_tree_entry(link)
    return found


def _touched_files(reader: ChunkReader, root: TreeEntry, edits: Edits) -> dict[str, TreeEntry]:
    """The files of the tree before that are replaced or removed."""
    found: dict[str, TreeEntry] = {}
    for path, edit in edits.items():
        before = lookup(reader, root, path)
        if before is None or (before.is_directory and edit is not None and edit.is_directory):
            continue
        found.update(
            (inner, entry) for inner, entry in walk(reader, before, path) if entry.type is EntryType.FILE
        )
    return found


def _may_have_names(state: CaptureState, target: Target, path: str, entry: TreeEntry) -> bool:
    """Whether a file had other names when ``entry`` was recorded. A new name changes the ctime, so a stat row with the same one knows."""
    row = state.stat_row(target, path)
    if row is None:
        return True
    seen = row.key.size, row.key.mtime_ns, row.key.ctime_ns
    return row.nlink > 1 or seen != (entry.size, entry.mtime_ns, entry.ctime_ns)


def _is_edited(path: str, edits: Mapping[str, TreeEntry | None]) -> bool:
    """Whether an edit names ``path``, or takes away or makes anew what it lies in."""
    if path in edits:
        return True
    for directory in up(parent_of(path)):
        edit = edits.get(directory, ...)
        if edit is not ... and (edit is None or not edit.is_directory or edit.subtree is not None):
            return True
    return False


def up(path: str) -> Iterator[str]:
    """``path`` and every directory above it but the root."""
    while path:
        yield path
        path = parent_of(path)
