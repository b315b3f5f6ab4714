"""A ``Source`` in memory: whatever a test wants a machine to hold, and how fast it is read."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from blake3 import blake3

from lastro.capture.source import (
    ChangedPath,
    Changes,
    FetchEvent,
    FileBegin,
    FileData,
    FileEnd,
    FileFailed,
    Root,
    Skipped,
)
from lastro.domain.entry import Entry, EntryType
from lastro.domain.ids import Digest
from lastro.domain.paths import parent_of, tree_order
from lastro.errors import NotFoundError

BLOCK = 256 * 1024


class MemorySource:
    """One root. ``files`` maps relative paths to their content, or to ``(size, block)``: a large file of one repeated block.

    ``produced`` counts the bytes of content that were read from it, ``listed`` the entries.
    """

    def __init__(
        self,
        files: Mapping[str, bytes | tuple[int, bytes]],
        root: str = "/memory",
        before_read: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.root = root
        self.files = dict(files)
        self.before_read = before_read
        self.produced = 0
        self.listed = 0
        self.closed_early = 0
        self._changes: list[ChangedPath] = []
        self._news = threading.Condition()

    def roots(self) -> Sequence[Root]:
        return [Root(path=self.root)]

    def entries(self) -> list[Entry]:
        """Everything, in tree order."""
        directories = {""}
        for path in self.files:
            above = parent_of(path)
            while above and above not in directories:
                directories.add(above)
                above = parent_of(above)
        found = [Entry(path=path, type=EntryType.DIRECTORY, mode=0o755) for path in directories]
        found += [self._entry(path) for path in self.files]
        return sorted(found, key=lambda entry: tree_order(entry.path))

    def list(
        self, root: str, paths: Sequence[str] = ("",), *, recursive: bool = True
    ) -> Iterator[Entry | Skipped]:
        self._check(root)
        for entry in self.entries():
            if _is_asked(entry.path, paths, recursive=recursive):
                self.listed += 1
                yield entry

    def fetch(self, root: str, entries: Sequence[Entry]) -> Iterator[FetchEvent]:
        self._check(root)
        whole = False
        try:
            for entry in entries:
                yield from self._read(entry.path)
            whole = True
        finally:
            self.closed_early += not whole

    def changes(self, cursor: int | None, timeout_s: float) -> Changes:
        deadline = time.monotonic() + timeout_s
        with self._news:
            if cursor is None:
                return Changes(cursor=len(self._changes))
            if cursor > len(self._changes):
                return Changes(cursor=len(self._changes), overflow=(self.root,), roots_changed=True)
            while cursor == len(self._changes) and (left := deadline - time.monotonic()) > 0:
                self._news.wait(left)
            return Changes(cursor=len(self._changes), paths=tuple(self._changes[cursor:]))

    def change(self, path: str) -> None:
        """Say that ``path`` may have changed."""
        with self._news:
            self._changes.append(ChangedPath(root=self.root, path=path))
            self._news.notify_all()

    def _read(self, path: str) -> Iterator[FetchEvent]:
        self.before_read(path)
        content = self.files.get(path)
        if content is None:
            yield FileFailed(path=path, kind="vanished", detail="ENOENT")
            return
        yield FileBegin(path=path)
        digest = blake3()
        size = _size(content)
        for offset in range(0, size, BLOCK):
            length = min(BLOCK, size - offset)
            data = content[offset : offset + length] if isinstance(content, bytes) else content[1][:length]
            digest.update(data)
            self.produced += length
            yield FileData(path=path, offset=offset, data=data)
        yield FileEnd(path=path, entry=self._entry(path, Digest(digest.digest())))

    def _entry(self, path: str, digest: Digest | None = None) -> Entry:
        return Entry(path=path, type=EntryType.FILE, mode=0o644, size=_size(self.files[path]), digest=digest)

    def _check(self, root: str) -> None:
        if root != self.root:
            raise NotFoundError("{root} is not a watched root.", root=root)


def _size(content: bytes | tuple[int, bytes]) -> int:
    return len(content) if isinstance(content, bytes) else content[0]


def _is_asked(path: str, asked: Sequence[str], *, recursive: bool) -> bool:
    if path in asked or (path and parent_of(path) in asked):
        return True
    while recursive and path:
        path = parent_of(path)
        if path in asked:
            return True
    return False
