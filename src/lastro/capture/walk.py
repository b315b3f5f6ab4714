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
from typing import Final, Generic, Protocol, TypeVar

from msgspec import structs

from lastro.capture.scope import NOTHING_THERE, UNREADABLE, Gate, Scope, unreadable
from lastro.capture.source import Skipped
from lastro.domain.entry import Entry, EntryType
from lastro.domain.paths import from_bytes, is_within, join, name_of, parent_of, to_bytes, tree_order
from lastro.filesystem.beneath import open_beneath, open_directory
from lastro.filesystem.marker import MARKER_NAME
from lastro.filesystem.metadata import Owners, read_entry

_OPEN: Final = 32
_PASS: Final = os.O_PATH | os.O_DIRECTORY
CHANGED: Final = "changed"
"""Detail of an unreadable directory: it was another one when it was to be opened."""


Place = TypeVar("Place")
"""An open directory of a ``Ground``."""


class Ground(Protocol[Place]):
    """What a listing walks over: one directory of this machine, or the view of a project that a run changes (``agents.merged``).

    No verb follows a link; each raises ``OSError`` as the file system would.
    """

    def above(self, path: str) -> Skipped | None:
        """Why nothing at ``path`` may be looked at because of what lies above it; ``None``: it may."""
        ...

    def open(self, path: str, *, only_pass: bool) -> Place:
        """The directory ``path``. ``only_pass``: what it holds is looked up by name, and not listed."""
        ...

    def enter(self, place: Place, name: bytes) -> Place:
        """The directory ``name`` in ``place``."""
        ...

    def look(self, place: Place, name: bytes, path: str) -> Entry:
        """What ``name`` in ``place`` is, to be known as ``path``. ``b""`` is the place itself."""
        ...

    def names(self, place: Place, entry: Entry) -> tuple[Skipped | None, list[bytes]]:
        """The names in a directory that was listed as ``entry``; or why they are not wanted."""
        ...

    def close(self, place: Place) -> None:
        """Let an open directory go."""
        ...


def list_tree(
    root: int, scope: Scope, paths: Sequence[str], *, recursive: bool, owners: Owners
) -> Iterator[Entry | Skipped]:
    """The entries of ``paths`` below the open directory ``root``; see ``list_ground``."""
    return list_ground(_Directory(root, scope, owners), scope, paths, recursive=recursive)


def list_ground(
    ground: Ground[Place], scope: Scope, paths: Sequence[str], *, recursive: bool
) -> Iterator[Entry | Skipped]:
    """The entries of ``paths`` on ``ground``, as ``Source.list`` promises. ``paths`` are clean and relative.

    When the whole root is asked for recursively, later members of a hard-link group are ``HARDLINK``: with the group's attributes, the
    path of its first member as ``link_target``, and no size and holes of their own.

    Raises:
        OSError: ``root`` itself cannot be read.
    """
    walk = _Walk(ground, scope, recursive=recursive)
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


class _Directory:
    """A ``Ground``: the open directory ``root`` and what is below it."""

    def __init__(self, root: int, scope: Scope, owners: Owners) -> None:
        self._root = root
        self._scope = scope
        self._owners = owners
        self._gate = Gate(scope, root)

    def above(self, path: str) -> Skipped | None:
        return self._gate.above(path)

    def open(self, path: str, *, only_pass: bool) -> int:
        return open_beneath(self._root, path, _PASS) if only_pass else open_directory(self._root, path)

    def enter(self, place: int, name: bytes) -> int:
        return open_directory(place, from_bytes(name))

    def look(self, place: int, name: bytes, path: str) -> Entry:
        return read_entry(place, name, path, owners=self._owners)

    def names(self, place: int, entry: Entry) -> tuple[Skipped | None, list[bytes]]:
        status = os.fstat(place)
        if (status.st_dev, status.st_ino) != (entry.dev, entry.inode):
            return Skipped(path=entry.path, kind=UNREADABLE, detail=CHANGED), []
        names = [os.fsencode(name) for name in os.listdir(place)]
        if to_bytes(MARKER_NAME) in names:
            return self._scope.by_marker(entry.path, place), names
        return None, names

    def close(self, place: int) -> None:
        os.close(place)


@dataclass(slots=True)
class _Frame(Generic[Place]):
    """A directory on the way down: its names not yet visited (the next one last), and the path of the child visited last."""

    path: str
    device: int
    names: list[bytes]
    place: Place | None
    child: str | None = None


class _Walk(Generic[Place]):
    def __init__(self, ground: Ground[Place], scope: Scope, *, recursive: bool) -> None:
        self._ground = ground
        self._scope = scope
        self._recursive = recursive
        self._frames: list[_Frame[Place]] = []
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
        blocked = self._ground.above(path)
        if blocked is not None:
            if blocked != self._blocked:
                yield blocked
            self._blocked = blocked
            return
        try:
            parent = self._ground.open(parent_of(path), only_pass=True)
        except OSError as error:
            if error.errno not in NOTHING_THERE:
                yield unreadable(path, error)
            return
        name = to_bytes(name_of(path))
        try:
            found = self._look(parent, name, path)
            if path != known:
                yield from found
            for each in found:
                if isinstance(each, Entry) and each.type is EntryType.DIRECTORY:
                    yield from self._enter(parent, name, each)
        finally:
            self._ground.close(parent)

    def _next_child(self, frame: _Frame[Place]) -> Iterator[Entry | Skipped]:
        name = frame.names.pop()
        path = join(frame.path, from_bytes(name))
        if frame.place is None:
            try:
                frame.place = self._ground.open(frame.path, only_pass=False)
            except OSError as error:
                frame.names.clear()
                if error.errno not in NOTHING_THERE:
                    yield unreadable(frame.path, error)
                return
        frame.child = path
        for found in self._look(frame.place, name, path):
            yield self._as_member(found) if isinstance(found, Entry) else found
            if self._recursive and isinstance(found, Entry) and found.type is EntryType.DIRECTORY:
                yield from self._enter(frame.place, name, found)

    def _look(self, place: Place, name: bytes, path: str) -> list[Entry | Skipped]:
        """What is at ``name``: an entry, a reason why not, or nothing."""
        skipped = self._scope.by_name(path, is_directory=False)
        if skipped is None and self._scope.is_network_mount(path):
            skipped = self._scope.by_mount(path)
        if skipped is not None:
            return [skipped]
        try:
            entry = self._ground.look(place, name, path)
        except OSError as error:
            return [] if error.errno in NOTHING_THERE else [unreadable(path, error)]
        if entry.type is EntryType.DIRECTORY:
            skipped = self._scope.by_name(path, is_directory=True)
        return [entry if skipped is None else skipped]

    def _enter(self, parent: Place, name: bytes, entry: Entry) -> Iterator[Skipped]:
        """Go down into a directory that was just listed, or say why not."""
        device = self._frames[-1].device if self._frames else None
        skipped = self._scope.by_mount(entry.path, entry.dev if entry.dev != device else None)
        if skipped is not None:
            yield skipped
            return
        try:
            place = self._ground.enter(parent, name)
        except OSError as error:
            if error.errno not in NOTHING_THERE:
                yield unreadable(entry.path, error)
            return
        try:
            skipped, names = self._ground.names(place, entry)
        except OSError as error:
            skipped, names = unreadable(entry.path, error), []
        if skipped is not None:
            self._ground.close(place)
            yield skipped
            return
        if len(self._frames) >= _OPEN:
            self._close(self._frames[-_OPEN])
        names.sort(reverse=True)
        self._frames.append(_Frame(entry.path, entry.dev, names, place))

    def _leave(self) -> None:
        self._close(self._frames.pop())

    def _close(self, frame: _Frame[Place]) -> None:
        if frame.place is not None:
            self._ground.close(frame.place)
            frame.place = None

    def _as_member(self, entry: Entry) -> Entry:
        """``entry``, or when an earlier member of its hard-link group was listed, a link to that."""
        if self._first_members is None or entry.nlink < 2 or entry.type is not EntryType.FILE:
            return entry
        first = self._first_members.setdefault((entry.dev, entry.inode), entry.path)
        if first == entry.path:
            return entry
        return structs.replace(entry, type=EntryType.HARDLINK, link_target=first, size=0, holes=())
