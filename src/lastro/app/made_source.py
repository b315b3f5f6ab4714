"""``MadeSource``: a state that exists nowhere on a disk, offered to the keeper: what an undo or a human's edit wants a directory to hold.

What always holds: it has exactly the given entries, and nothing of the machine is read but through ``read``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from lastro.capture.source import (
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
from lastro.domain.paths import is_within, parent_of, tree_order
from lastro.errors import NotFoundError
from lastro.messages import N_


class MadeSource:
    """A ``Source`` with one root. ``entries`` by path relative to it; ``read`` gives the blocks of a file, gaps being holes."""

    def __init__(
        self,
        root: str,
        entries: Mapping[str, Entry],
        read: Callable[[Entry], Iterator[tuple[int, bytes]]],
    ) -> None:
        self._root = root
        self._entries = sorted(entries.values(), key=lambda entry: tree_order(entry.path))
        self._by_path = dict(entries)
        self._read = read

    def roots(self) -> Sequence[Root]:
        """See ``Source``."""
        return (Root(path=self._root),)

    def list(
        self, root: str, paths: Sequence[str] = ("",), *, recursive: bool = True
    ) -> Iterator[Entry | Skipped]:
        """See ``Source``."""
        self._check(root)
        for entry in self._entries:
            if any(_answers(entry.path, path, recursive=recursive) for path in paths):
                yield entry

    def fetch(self, root: str, entries: Sequence[Entry]) -> Iterator[FetchEvent]:
        """See ``Source``."""
        self._check(root)
        for asked in entries:
            entry = self._by_path.get(asked.path)
            if entry is None or entry.type is not EntryType.FILE:
                yield FileFailed(path=asked.path, kind="vanished", detail="not_a_file")
                continue
            yield FileBegin(path=entry.path)
            for offset, data in self._read(entry):
                yield FileData(path=entry.path, offset=offset, data=data)
            yield FileEnd(path=entry.path, entry=entry)

    def changes(self, cursor: int | None, timeout_s: float) -> Changes:
        """See ``Source``: nothing ever changes here."""
        del timeout_s
        return Changes(cursor=cursor or 0)

    def _check(self, root: str) -> None:
        if root != self._root:
            raise NotFoundError(N_("{path} is not a watched root."), path=root)


def _answers(path: str, asked: str, *, recursive: bool) -> bool:
    if recursive:
        return is_within(path, asked)
    return path == asked or (path != "" and parent_of(path) == asked)
