"""A ``Layer`` in memory: what a project was and what an agent made of it, as two complete states."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from msgspec import structs

from lastro.agents.layer import LayerSize, Manifest, Mark
from lastro.capture.source import Changes, FetchEvent, FileBegin, FileData, FileEnd, FileFailed, Root, Skipped
from lastro.domain.changes import diff
from lastro.domain.entry import Entry, EntryType
from lastro.domain.paths import is_within, parent_of, tree_order
from lastro.errors import NotFoundError

State = Mapping[str, tuple[Entry, bytes]]
"""Path → entry (with its digest if it is a file) and content."""


def read_state(source, root) -> State:
    """All that a source holds; links of a group are told by their inode, as in any listing but that of a whole root."""
    found = {}
    for item in source.list(root, [each.path for each in source.list(root)], recursive=False):
        assert isinstance(item, Entry), item
        found[item.path] = item
    contents = {path: bytearray() for path, entry in found.items() if entry.type is EntryType.FILE}
    for event in source.fetch(root, [found[path] for path in contents]):
        if isinstance(event, FileData):
            contents[event.path] += bytes(event.offset - len(contents[event.path])) + event.data
        elif isinstance(event, FileEnd):
            contents[event.path] += bytes(event.entry.size - len(contents[event.path]))
            found[event.path] = event.entry
    return {path: (entry, bytes(contents.get(path, b""))) for path, entry in found.items()}


def listing(state: State) -> list[Entry]:
    """The state as a recursive listing of the whole root, with digests and with the links of each group."""
    firsts: dict[tuple[int, int], str] = {}
    found = []
    for path in sorted(state, key=tree_order):
        entry = state[path][0]
        if entry.type is EntryType.FILE and entry.nlink > 1:
            first = firsts.setdefault((entry.dev, entry.inode), path)
            if first != path:
                entry = structs.replace(
                    entry, type=EntryType.HARDLINK, link_target=first, size=0, holes=(), digest=None
                )
        found.append(entry)
    return found


def plain(state: State) -> list[Entry]:
    """The state in tree order."""
    return [state[path][0] for path in sorted(state, key=tree_order)]


class MemoryLayer:
    """``before`` and ``after`` may be put in place at any time."""

    def __init__(self, project: str, before: State) -> None:
        self.project = project
        self.before = before
        self.after = before
        self.removed = False

    def _changes(self):
        states = [[structs.replace(entry) for entry in plain(state)] for state in (self.before, self.after)]
        return [
            change for change in diff(*states) if change.path != ".git" and not is_within(change.path, ".git")
        ]

    def manifest(self) -> Manifest:
        return {change.path: self._mark(change) for change in self._changes() if change.path}

    @staticmethod
    def _mark(change) -> Mark:
        after = change.after
        if after is None:
            return Mark("gone")
        kind = {"file": "file", "dir": "dir", "symlink": "symlink"}.get(after.type.value, "other")
        return Mark(
            kind, after.size, after.mtime_ns, int.from_bytes((after.digest or b"")[:6]), 0, after.mode
        )

    def size(self) -> LayerSize:
        changed = [change.after for change in self._changes() if change.after is not None]
        return LayerSize(bytes=sum(entry.size for entry in changed), files=len(changed))

    def changed(self) -> Sequence[str]:
        links = {
            path
            for state in (self.before, self.after)
            for path, (entry, _) in state.items()
            if entry.type is EntryType.FILE and entry.nlink > 1 and self._moved(path)
        }
        return sorted({change.path for change in self._changes()} | links, key=tree_order)

    def _moved(self, path: str) -> bool:
        """Whether the group of a path is not what it was."""
        keys = [state[path][0].nlink if path in state else 0 for state in (self.before, self.after)]
        return keys[0] != keys[1]

    def source(self):
        return _StateSource(self.project, self.after)

    def remove(self) -> None:
        self.removed = True


class _StateSource:
    def __init__(self, project: str, state: State) -> None:
        self._project = project
        self._state = state

    def roots(self) -> Sequence[Root]:
        return (Root(path=self._project),)

    def list(
        self, root: str, paths: Sequence[str] = ("",), *, recursive: bool = True
    ) -> Iterator[Entry | Skipped]:
        self._check(root)
        entries = listing(self._state) if recursive and "" in paths else plain(self._state)
        for entry in entries:
            near = parent_of(entry.path) in paths and entry.path != ""
            if (
                entry.path in paths
                or near
                or (recursive and any(is_within(entry.path, path) for path in paths))
            ):
                yield structs.replace(entry, digest=None)

    def fetch(self, root: str, entries: Sequence[Entry]) -> Iterator[FetchEvent]:
        self._check(root)
        for asked in entries:
            if asked.path not in self._state:
                yield FileFailed(path=asked.path, kind="vanished", detail="ENOENT")
                continue
            entry, content = self._state[asked.path]
            yield FileBegin(path=asked.path)
            if content:
                yield FileData(path=asked.path, offset=0, data=content)
            yield FileEnd(path=asked.path, entry=structs.replace(entry, holes=()))

    def changes(self, cursor: int | None, _timeout_s: float) -> Changes:
        return Changes(cursor=(cursor or 0) + 1, overflow=(self._project,))

    def _check(self, root: str) -> None:
        if root != self._project:
            raise NotFoundError("{root} is not a watched root.", root=root)
