"""Listing a directory tree: names in, entries out, in tree order.

What always holds: no link is followed and the root is never left, whatever is renamed meanwhile; at most ``_OPEN`` directories are open
at once and nothing recurses, so a tree may be 5 000 levels deep; only the names of the directories on the way down are in memory, so a
tree may have any number of entries. What vanishes while it is listed is left out; what cannot be read is said.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from msgspec import structs

from lastro.capture.scope import NOTHING_THERE, UNREADABLE, Gate, Scope, unreadable
from lastro.capture.source import Skipped
from lastro.domain.entry import Entry, EntryType
from lastro.domain.paths import from_bytes, is_within, join, to_bytes, tree_order
from lastro.filesystem.beneath import open_directory, open_parent
from lastro.filesystem.marker import MARKER_NAME
from lastro.filesystem.metadata import Owners, read_entry

_OPEN: Final = 32
CHANGED: Final = "changed"
"""Detail of an unreadable directory: it was another one when it was to be opened."""


def list_tree(
    root: int, scope: Scope, paths: Sequence[str], *, recursive: bool, owners: Owners
) -> Iterator[Entry | Skipped]:
    """The entries of ``paths`` below the open directory ``root``, as ``Source.list`` promises. ``paths`` are clean and relative.

    When the whole root is asked for recursively, later members of a hard-link group are ``HARDLINK``: with the group's attributes, the
    path of its first member as ``link_target``, and no size and holes of their own.

    Raises:
        OSError: ``root`` itself cannot be read.
    """
    walk = _Walk(root, scope, owners, recursive=recursive)
    try:
        yield from walk.answer(deque(_in_order(paths, recursive=recursive)))
    finally:
        walk.close()


def _in_order(paths: Sequence[str], *, recursive: bool) -> Iterator[str]:
    """``paths`` in tree order, each once; when recursive, without those that lie below another."""
    last: str | None = None
    for path in sorted(set(paths), key=tree_order):
        if last is None or not (recursive and is_within(path, last)):
            last = path
            yield path


@dataclass(slots=True)
class _Frame:
    """A directory on the way down: its names not yet visited (the next one last), and the path of the child visited last."""

    path: str
    device: int
    names: list[bytes]
    descriptor: int | None
    child: str | None = None


class _Walk:
    def __init__(self, root: int, scope: Scope, owners: Owners, *, recursive: bool) -> None:
        self._root = root
        self._scope = scope
        self._owners = owners
        self._recursive = recursive
        self._gate = Gate(scope, root)
        self._frames: list[_Frame] = []
        self._first_members: dict[tuple[int, int], str] | None = None
        self._blocked: Skipped | None = None

    def close(self) -> None:
        while self._frames:
            self._leave()

    def answer(self, asked: deque[str]) -> Iterator[Entry | Skipped]:
        if self._recursive and asked and asked[0] == "":
            self._first_members = {}
        while asked or self._frames:
            top = self._frames[-1] if self._frames else None
            if asked and (top is None or (top.child is not None and is_within(asked[0], top.child))):
                yield from self._answer_asked(asked.popleft(), known=top.child if top is not None else None)
            elif top is not None and top.names:
                yield from self._next_child(top)
            else:
                self._leave()

    def _answer_asked(self, path: str, *, known: str | None) -> Iterator[Entry | Skipped]:
        """An asked path: its own entry, unless it was listed as a child (``known``) just now, then the way into it."""
        blocked = self._gate.above(path)
        if blocked is not None:
            if blocked != self._blocked:
                yield blocked
            self._blocked = blocked
            return
        try:
            parent, name = open_parent(self._root, path)
        except OSError as error:
            if error.errno not in NOTHING_THERE:
                yield unreadable(path, error)
            return
        try:
            found = self._look(parent, name, path)
            if path != known:
                yield from found
            for each in found:
                if isinstance(each, Entry) and each.type is EntryType.DIRECTORY:
                    yield from self._enter(parent, name, each)
        finally:
            os.close(parent)

    def _next_child(self, frame: _Frame) -> Iterator[Entry | Skipped]:
        name = frame.names.pop()
        path = join(frame.path, from_bytes(name))
        if frame.descriptor is None:
            try:
                frame.descriptor = open_directory(self._root, frame.path)
            except OSError as error:
                frame.names.clear()
                if error.errno not in NOTHING_THERE:
                    yield unreadable(frame.path, error)
                return
        frame.child = path
        for found in self._look(frame.descriptor, name, path):
            yield self._as_member(found) if isinstance(found, Entry) else found
            if self._recursive and isinstance(found, Entry) and found.type is EntryType.DIRECTORY:
                yield from self._enter(frame.descriptor, name, found)

    def _look(self, directory: int, name: bytes, path: str) -> list[Entry | Skipped]:
        """What is at ``name``: an entry, a reason why not, or nothing."""
        skipped = self._scope.by_name(path, is_directory=False)
        if skipped is None and self._scope.is_network_mount(path):
            skipped = self._scope.by_mount(path)
        if skipped is not None:
            return [skipped]
        try:
            entry = read_entry(directory, name, path, owners=self._owners)
        except OSError as error:
            return [] if error.errno in NOTHING_THERE else [unreadable(path, error)]
        if entry.type is EntryType.DIRECTORY:
            skipped = self._scope.by_name(path, is_directory=True)
        return [entry if skipped is None else skipped]

    def _enter(self, parent: int, name: bytes, entry: Entry) -> Iterator[Skipped]:
        """Go down into a directory that was just listed, or say why not."""
        device = self._frames[-1].device if self._frames else None
        skipped = self._scope.by_mount(entry.path, entry.dev if entry.dev != device else None)
        if skipped is not None:
            yield skipped
            return
        try:
            descriptor = open_directory(parent, from_bytes(name))
        except OSError as error:
            if error.errno not in NOTHING_THERE:
                yield unreadable(entry.path, error)
            return
        try:
            skipped, names = self._names(descriptor, entry)
        except OSError as error:
            skipped, names = unreadable(entry.path, error), []
        if skipped is not None:
            os.close(descriptor)
            yield skipped
            return
        if len(self._frames) >= _OPEN:
            _close(self._frames[-_OPEN])
        self._frames.append(_Frame(entry.path, entry.dev, names, descriptor))

    def _names(self, descriptor: int, entry: Entry) -> tuple[Skipped | None, list[bytes]]:
        """The names in a directory, last first; or why they are not wanted."""
        status = os.fstat(descriptor)
        if (status.st_dev, status.st_ino) != (entry.dev, entry.inode):
            return Skipped(path=entry.path, kind=UNREADABLE, detail=CHANGED), []
        names = [os.fsencode(name) for name in os.listdir(descriptor)]
        names.sort(reverse=True)
        if to_bytes(MARKER_NAME) in names:
            return self._scope.by_marker(entry.path, descriptor), names
        return None, names

    def _leave(self) -> None:
        _close(self._frames.pop())

    def _as_member(self, entry: Entry) -> Entry:
        """``entry``, or when an earlier member of its hard-link group was listed, a link to that."""
        if self._first_members is None or entry.nlink < 2 or entry.type is not EntryType.FILE:
            return entry
        first = self._first_members.setdefault((entry.dev, entry.inode), entry.path)
        if first == entry.path:
            return entry
        return structs.replace(entry, type=EntryType.HARDLINK, link_target=first, size=0, holes=())


def _close(frame: _Frame) -> None:
    if frame.descriptor is not None:
        os.close(frame.descriptor)
        frame.descriptor = None
