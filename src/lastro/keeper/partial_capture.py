"""A capture of changed paths: look again at the directories that hold them, and at everything below what is new.

Every directory that holds a changed path is listed and compared, child by child, with the newest tree; so a path that was named for one
reason and changed for another is right all the same. What appears as a directory where none was is listed with all below it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from lastro.capture.source import ChangedPath, Skipped
from lastro.domain.entry import Entry, EntryType
from lastro.domain.paths import from_bytes, is_within, join, name_of, parent_of, to_bytes, tree_order
from lastro.domain.snapshot import WarningKind
from lastro.keeper.capture_run import CaptureRun
from lastro.keeper.capture_state import StatRow
from lastro.keeper.standing import checked_listing, same_but_content, topmost, vouched
from lastro.store.tree import TreeEntry, lookup, read_directory, to_tree_entry, update, walk


class NeedsFullError(Exception):
    """Only a full listing can tell: a hard-link group changed, or the root itself is to be looked through. Never leaves ``keeper``."""


def capture_partly(run: CaptureRun, paths: Sequence[ChangedPath]) -> TreeEntry:
    """The root with ``paths`` as they are now. The run must have a tree before.

    Raises:
        NeedsFullError: list everything instead.
        NotFoundError: the root is gone.
    """
    assert run.before is not None
    edits = _Edits(run, run.before, paths).collect()
    root = update(run.transaction, run.transaction, run.before, edits)
    if root is None:
        raise run.root_is_gone()
    return root


class _Edits:
    """Collects what differs from the newest tree."""

    def __init__(self, run: CaptureRun, before: TreeEntry, paths: Sequence[ChangedPath]) -> None:
        self._run = run
        self._before = before
        self._named = {path.path for path in paths}
        self._rebuilt = {path.path for path in paths if path.recursive}
        self._edits: dict[str, TreeEntry | None] = {}
        self._looked_at: set[str] = set()

    def collect(self) -> dict[str, TreeEntry | None]:
        """Path → tree entry to record, ``None`` to remove."""
        if "" in self._rebuilt:
            raise NeedsFullError
        directories = {parent_of(path) for path in self._named}
        while directories:
            directories = self._look_at(directories)
        for path in topmost(self._rebuilt):
            self._rebuild(path)
        return _consistent(self._edits, self._rebuilt)

    def _look_at(self, directories: set[str]) -> set[str]:
        """Compare directories; the parents of those that are gone, which have to be looked at next."""
        above: set[str] = set()
        for directory in sorted(map(self._recorded_directory, directories), key=tree_order):
            if directory in self._looked_at or any(is_within(directory, path) for path in self._rebuilt):
                continue
            self._looked_at.add(directory)
            if not self._compare(directory):
                if directory == "":
                    raise self._run.root_is_gone()
                above.add(parent_of(directory))
        return above

    def _recorded_directory(self, path: str) -> str:
        """``path``, or the nearest directory above it that the newest tree has."""
        while path:
            entry = lookup(self._run.repository, self._before, path)
            if entry is not None and entry.type is EntryType.DIRECTORY:
                return path
            path = parent_of(path)
        return path

    def _compare(self, directory: str) -> bool:
        """Compare a directory and its direct children with the newest tree. ``False``: it is gone, or no directory any more."""
        before = self._children(directory)
        to_read: list[Entry] = []
        seen = unreadable = False
        listing = self._run.source.list(self._run.target.path, (directory,), recursive=False)
        for item in checked_listing(listing, directory):
            if isinstance(item, Skipped):
                if item.path == directory:
                    self._run.warn(item)
                    unreadable = unreadable or item.kind == WarningKind.UNREADABLE
            elif item.path != directory:
                self._compare_child(item, before.pop(to_bytes(name_of(item.path)), None), to_read)
            elif item.type is not EntryType.DIRECTORY:
                return False
            else:
                seen = True
                self._edits[directory] = msgspec.structs.replace(
                    to_tree_entry(item), name=to_bytes(name_of(directory))
                )
        if seen and not unreadable:
            for child in before.values():
                self._remove(join(directory, from_bytes(child.name)), child)
        for path, file in self._run.fetch(to_read).items():
            self._edits[path] = file.tree_entry
        return seen

    def _children(self, directory: str) -> dict[bytes, TreeEntry]:
        recorded = lookup(self._run.repository, self._before, directory)
        if recorded is None or recorded.subtree is None:
            return {}
        return {child.name: child for child in read_directory(self._run.repository, recorded.subtree)}

    def _compare_child(self, item: Entry, before: TreeEntry | None, to_read: list[Entry]) -> None:
        was_directory = before is not None and before.type is EntryType.DIRECTORY
        if item.type is EntryType.DIRECTORY:
            if not was_directory:
                self._rebuilt.add(item.path)
            elif not same_but_content(item, before) and item.path not in self._looked_at:
                self._edits[item.path] = to_tree_entry(item)
            return
        if was_directory and before is not None:
            self._remove(item.path, before)
        if item.nlink > 1 and item.type is EntryType.FILE:
            raise NeedsFullError
        if before is not None and before.type is EntryType.HARDLINK:
            raise NeedsFullError
        if item.type is EntryType.FILE:
            self._compare_file(item, before, to_read)
        elif not same_but_content(item, before):
            self._edits[item.path] = to_tree_entry(item)

    def _compare_file(self, item: Entry, before: TreeEntry | None, to_read: list[Entry]) -> None:
        known = before is not None and before.digest is not None and same_but_content(item, before)
        if known and item.path not in self._named:
            return
        standing = vouched(item, before, self._row(item.path))
        if standing is None:
            to_read.append(item)
        elif standing != before:
            self._edits[item.path] = standing

    def _remove(self, path: str, before: TreeEntry) -> None:
        if self._holds_links(path, before):
            raise NeedsFullError
        self._edits[path] = None
        self._run.gone.append(path)

    def _holds_links(self, path: str, before: TreeEntry) -> bool:
        """Whether a path, or anything below it, may be a member of a hard-link group whose other members lie elsewhere."""
        if before.type is not EntryType.DIRECTORY:
            row = self._row(path)
            return before.type is EntryType.HARDLINK or (row is not None and row.nlink > 1)
        for inner, entry in walk(self._run.repository, before, path):
            if entry.type is EntryType.HARDLINK:
                return True
            if entry.type is EntryType.FILE:
                row = self._row(inner)
                if row is None or row.nlink > 1:
                    return True
        return False

    def _rebuild(self, path: str) -> None:
        """Everything at and below ``path``, from a recursive listing."""

        def known(inner: str) -> tuple[TreeEntry | None, StatRow | None]:
            return lookup(self._run.repository, self._before, inner), self._row(inner)

        listing = self._run.source.list(self._run.target.path, (path,), recursive=True)
        self._edits[path] = self._run.build(_without_links(listing), path, known)
        self._run.gone.append(path)

    def _row(self, path: str) -> StatRow | None:
        return self._run.state.stat_row(self._run.target, path)


def _without_links(listing: Iterable[Entry | Skipped]) -> Iterator[Entry | Skipped]:
    for item in listing:
        if isinstance(item, Entry) and (
            item.type is EntryType.HARDLINK or (item.type is EntryType.FILE and item.nlink > 1)
        ):
            raise NeedsFullError
        yield item


def _consistent(edits: dict[str, TreeEntry | None], rebuilt: set[str]) -> dict[str, TreeEntry | None]:
    """The edits without those below a path that they remove, rebuild or make something else than a directory: it changed meanwhile."""
    kept: dict[str, TreeEntry | None] = {}
    sealed: str | None = None
    for path in sorted(edits, key=tree_order):
        if sealed is not None and is_within(path, sealed):
            continue
        kept[path] = entry = edits[path]
        if entry is None or entry.type is not EntryType.DIRECTORY or path in rebuilt:
            sealed = path
    return kept
