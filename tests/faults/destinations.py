"""What the fault tests of ``apply`` share: a scratch home with a destination, and scenes that touch every kind of step."""

from __future__ import annotations

import os
from collections.abc import Mapping

from msgspec import structs

from lastro.apply.destination import Outcome, OutcomeKind
from lastro.apply.intent import decode_intent, encode_intent
from lastro.apply.local import LocalDestination
from lastro.domain.changes import ChangeSet, diff
from lastro.domain.entry import Entry, EntryType, Xattr
from lastro.filesystem.system import System
from tests.capabilities import is_root
from tests.conformance.trees import Stored, Tree, directory, fifo, file, hard_link, symlink, tree
from tests.faults.injection import UnsyncedSystem

ATTRIBUTES = (Xattr("user.note", b"kept"),)
IMMUTABLE = 0x10


def scene() -> tuple[Tree, Tree]:
    """Two states between which every kind of step is taken: created, replaced, removed, of another type, only with other attributes."""
    linked, written = file("g", b"group"), file("h1", b"in place: old")
    first = tree(
        directory("d"),
        file("d/changed", b"first version", xattrs=ATTRIBUTES),
        file("d/removed", b"to go"),
        file("d/mode", b"same", mode=0o600),
        directory("gone"),
        file("gone/inside", b"inside"),
        directory("gone/deeper", mode=0o700),
        symlink("gone/link", "inside"),
        file("becomes-directory", b"file"),
        directory("becomes-file"),
        file("becomes-file/x", b"x"),
        symlink("link", "old"),
        linked,
        hard_link(linked, "g2"),
        written,
        hard_link(written, "h2"),
        data=(b"first version", b"to go", b"same", b"inside", b"file", b"x", b"group", b"in place: old"),
    )
    rewritten, relinked = file("h1", b"in place: new and longer", mode=0o640), file("g", b"other group")
    second = tree(
        directory("d", mode=0o750),
        file("d/changed", b"second version", mtime_ns=12_345_678_901),
        file("d/mode", b"same", mode=0o644, xattrs=ATTRIBUTES),
        file("d/new", b"new" + bytes(9000) + b"end"),
        directory("new"),
        file("new/inside", b"", mode=0o4711),
        hard_link(file("d/new", b"new" + bytes(9000) + b"end"), "new/linked"),
        fifo("new/fifo", mode=0o622),
        directory("becomes-directory"),
        file("becomes-directory/y", b"y"),
        file("becomes-file", b"directory no more"),
        symlink("link", "new\udcff"),
        relinked,
        hard_link(relinked, "g2"),
        rewritten,
        hard_link(rewritten, "h2"),
        data=(
            b"second version",
            b"same",
            b"new" + bytes(9000) + b"end",
            b"",
            b"y",
            b"directory no more",
            b"other group",
            b"in place: new and longer",
        ),
    )
    return first, second


def locked_scene() -> tuple[Tree, Tree]:
    """As ``scene`` with immutable files and directories, which need root."""
    first = tree(
        directory("d", flags=IMMUTABLE),
        file("d/changed", b"one", flags=IMMUTABLE),
        file("d/removed", b"two", flags=IMMUTABLE),
        data=(b"one", b"two"),
    )
    second = tree(
        directory("d", flags=IMMUTABLE),
        file("d/changed", b"three", flags=IMMUTABLE),
        file("d/new", b"four", flags=IMMUTABLE),
        data=(b"three", b"four"),
    )
    return first, second


def small_scene() -> tuple[Tree, Tree]:
    """One file each created, replaced, removed, in a directory."""
    first = tree(directory("d"), file("d/changed", b"one"), file("d/removed", b"two"), data=(b"one", b"two"))
    second = tree(
        directory("d"), file("d/changed", b"three"), file("d/new", b"four"), data=(b"three", b"four")
    )
    return first, second


def part(path: str) -> tuple[Tree, Tree]:
    """What of ``scene`` lies at or below the first component of ``path``: exhaustive tests need few calls."""
    top = path.split("/", maxsplit=1)[0]
    first, second = scene()
    return _only(first, top), _only(second, top)


def _only(state: Tree, top: str) -> Tree:
    def is_inside(path: str) -> bool:
        return path.split("/", maxsplit=1)[0] in {"", top, {"h1": "h2"}.get(top, top)}

    kept = [
        entry
        for entry in state.entries
        if is_inside(entry.path)
        and (entry.type is not EntryType.HARDLINK or is_inside(entry.link_target or ""))
    ]
    return Tree(tuple(kept), state.contents)


def scenes() -> dict[str, tuple[Tree, Tree]]:
    first, second = scene()
    found = {"forth": (first, second), "back": (second, first)}
    return found | ({"locked": locked_scene()} if is_root() else {})


class Home:
    """A scratch directory with ``place`` (the destination) and ``intents``."""

    def __init__(self, scratch: str) -> None:
        self.scratch = scratch
        self.place = os.path.join(scratch, "place")
        self.intents = os.path.join(scratch, "intents")
        os.makedirs(self.intents, exist_ok=True)

    def destination(self, system: System | None = None) -> LocalDestination:
        return LocalDestination(self.place, intents=self.intents, system=system or UnsyncedSystem())

    def fill(self, state: Tree) -> ChangeSet:
        destination = self.destination()
        changes = ChangeSet(tuple(diff(destination.walk(""), state.entries)))
        assert destination.apply("fill", changes, Stored(state)).kind is OutcomeKind.APPLIED
        return changes

    def changes_to(self, wanted: Tree) -> ChangeSet:
        return ChangeSet(tuple(diff(self.destination().walk(""), wanted.entries)))

    def is_in(self, state: Tree) -> bool:
        return not list(diff(self.destination().walk(""), state.entries))

    def differences(self, state: Tree) -> list[tuple[str, object, object]]:
        return [
            (change.path, change.kind, change.fields)
            for change in diff(self.destination().walk(""), state.entries)
        ]

    def pending(self) -> list[str]:
        return [
            name
            for name in os.listdir(self.intents)
            if not name.startswith(".") and not name.endswith(".lock")
        ]

    def came_from(self, other: Home) -> None:
        """This home is what a crash left of ``other``: its intents name another path, and another inode."""
        for name in self.pending():
            path = os.path.join(self.intents, name)
            with open(path, "rb") as raw:
                intent = decode_intent(raw.read())
            inode = os.stat(self.place).st_ino if intent.inode else 0
            made = tuple(each.replace(other.scratch, self.scratch, 1) for each in intent.made)
            moved = structs.replace(intent, destination=os.path.realpath(self.place), inode=inode, made=made)
            with open(path, "wb") as raw:
                raw.write(encode_intent(moved))

    def staging_left(self) -> list[str]:
        found = []
        for parent, directories, files in os.walk(os.fsencode(self.place)):
            found += [
                os.fsdecode(os.path.join(parent, name))
                for name in (*directories, *files)
                if name.startswith(b".lastro-")
            ]
        return found

    def every_content(self) -> list[bytes]:
        """The bytes of every file below the destination, whatever its name."""
        found = []
        for parent, _, files in os.walk(os.fsencode(self.place)):
            for name in files:
                path = os.path.join(parent, name)
                if os.path.isfile(path) and not os.path.islink(path):
                    with open(path, "rb") as file_:
                        found.append(file_.read())
        return found


def recovered(home: Home) -> list[Outcome]:
    return [outcome for _, outcome in home.destination().recover()]


def exact(home: Home) -> Mapping[str, Entry]:
    """Everything about every path that an apply that did nothing must leave alone, times included."""
    return {
        entry.path: structs.replace(entry, ctime_ns=0, btime_ns=None) for entry in home.destination().walk("")
    }
