"""Random trees as entries with their contents, for the laws of whatever holds trees."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from lastro.chunking.digest import digest_of
from lastro.domain.entry import Device, Entry, EntryType, Xattr
from lastro.domain.ids import Digest
from lastro.domain.paths import join, tree_order
from lastro.errors import NotFoundError
from tests.capabilities import has_capability, is_root

NAMES = ["a", "b", "c.txt", "a-b", "ção", "\udcff\udc80", " spaced name ", "-rf", ".hidden", "@"]
IMMUTABLE = 0x10
NO_DUMP = 0x40


@dataclass(frozen=True)
class Tree:
    """A whole destination: its entries in tree order, and the bytes of its files."""

    entries: tuple[Entry, ...]
    contents: Mapping[Digest, bytes] = field(default_factory=dict)


class Stored:
    """``Content`` from a plain mapping; zeros at the end of a block of 4 KiB are a hole."""

    def __init__(self, *trees: Tree) -> None:
        self.contents = {digest: data for tree in trees for digest, data in tree.contents.items()}

    def read(self, entry: Entry) -> Iterator[tuple[int, bytes]]:
        data = self.contents.get(entry.digest or Digest(b""))
        if data is None:
            raise NotFoundError("not stored: {path}", path=entry.path)
        for offset in range(0, len(data), 4096):
            block = data[offset : offset + 4096].rstrip(b"\0")
            if block:
                yield offset, block


def owner() -> dict[str, Any]:
    return {"uid": os.geteuid(), "gid": os.getegid()}


def fifo(path: str, *, mode: int = 0o600) -> Entry:
    return Entry(path=path, type=EntryType.FIFO, mode=mode, mtime_ns=3, **owner())


def root_entry(mode: int = 0o755) -> Entry:
    return Entry(path="", type=EntryType.DIRECTORY, mode=mode, mtime_ns=1_000_000_000_000_000_000, **owner())


def directory(path: str, **attributes) -> Entry:
    return Entry(
        path=path, type=EntryType.DIRECTORY, **{"mode": 0o755, "mtime_ns": 5, **owner(), **attributes}
    )


def file(path: str, data: bytes, **attributes) -> Entry:
    fixed = {"size": len(data), "digest": digest_of(data)}
    return Entry(
        path=path, type=EntryType.FILE, **{"mode": 0o644, "mtime_ns": 7, **owner(), **fixed, **attributes}
    )


def symlink(path: str, target: str) -> Entry:
    return Entry(path=path, type=EntryType.SYMLINK, mode=0o777, link_target=target, mtime_ns=9, **owner())


def hard_link(first: Entry, path: str) -> Entry:
    same = {name: getattr(first, name) for name in ("mode", "uid", "gid", "xattrs", "flags", "mtime_ns")}
    return Entry(path=path, type=EntryType.HARDLINK, link_target=first.path, **same)


def tree(*entries: Entry, data: tuple[bytes, ...] = (), root: Entry | None = None) -> Tree:
    ordered = sorted((root or root_entry(), *entries), key=lambda entry: tree_order(entry.path))
    return Tree(tuple(ordered), {digest_of(each): each for each in data})


@st.composite
def trees(draw, *, flags: bool = False) -> Tree:
    """A root with up to about fifteen paths of every type that this process may make."""
    contents: dict[Digest, bytes] = {}
    entries = [root_entry(draw(st.sampled_from([0o755, 0o700])))]
    where = [("", 0)]
    while where:
        path, depth = where.pop()
        for name in draw(st.lists(st.sampled_from(NAMES), unique=True, max_size=4 if depth == 0 else 2)):
            entry = _draw_entry(draw, join(path, name), contents, flags=flags)
            entries.append(entry)
            if entry.type is EntryType.DIRECTORY and depth < 2:
                where.append((entry.path, depth + 1))
    entries.sort(key=lambda entry: tree_order(entry.path))
    return Tree(tuple(_linked(draw, entries)), contents)


def _draw_entry(draw, path: str, contents: dict[Digest, bytes], *, flags: bool) -> Entry:
    kinds = ["file", "file", "file", "directory", "directory", "symlink", "fifo"]
    kind = draw(st.sampled_from([*kinds, "device"] if is_root() else kinds))
    if kind == "symlink":
        return symlink(path, draw(st.sampled_from(["a", "../..", "/etc/passwd", "nowhere\udcff"])))
    attributes = {"mtime_ns": draw(st.sampled_from([0, 1, 1_700_000_000_123_456_789]))}
    if is_root():
        attributes |= {"uid": draw(st.sampled_from([0, 1234])), "gid": draw(st.sampled_from([0, 4321]))}
    if kind in {"fifo", "device"}:
        device = Device(1, 3) if kind == "device" else None
        type_ = EntryType.FIFO if kind == "fifo" else EntryType.CHARACTER_DEVICE
        mode = draw(st.sampled_from([0o600, 0o644]))
        return Entry(path=path, type=type_, mode=mode, rdev=device, **{**owner(), **attributes})
    if has_capability("user xattrs"):
        values = draw(
            st.sampled_from(
                [(), (Xattr("user.a", b"1"),), (Xattr("user.a", b"\0\xff"), Xattr("user.b", b""))]
            )
        )
        attributes["xattrs"] = values
    if flags and is_root():
        attributes["flags"] = draw(st.sampled_from([0, 0, 0, NO_DUMP, IMMUTABLE, IMMUTABLE | NO_DUMP]))
    if kind == "directory":
        return directory(
            path, mode=draw(st.sampled_from([0o755, 0o700, 0o1777, 0o2750, 0o555])), **attributes
        )
    data = draw(st.sampled_from([b"", b"one", b"two", b"three" * 1000, bytes(20_000) + b"end", bytes(9_000)]))
    contents[digest_of(data)] = data
    return file(path, data, mode=draw(st.sampled_from([0o644, 0o600, 0o4755, 0o2711, 0o444])), **attributes)


def _linked(draw, entries: list[Entry]) -> Iterator[Entry]:
    """Some files as further names of an earlier one."""
    first: list[Entry] = []
    for entry in entries:
        if entry.type is EntryType.FILE and first and draw(st.integers(0, 3)) == 0:
            yield hard_link(draw(st.sampled_from(first)), entry.path)
            continue
        if entry.type is EntryType.FILE:
            first.append(entry)
        yield entry
