"""What a source says, as parts of a stream: the work that a session does in threads (``docs/protocol.md``, tree-dump and fetch).

The nouns of ``capture`` and those of ``protocol`` say the same and do not know each other; the mapping between them is here.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from lastro.capture.source import ChangedPath, FetchEvent, FileBegin, FileData, FileEnd, Root, Skipped, Source
from lastro.domain.entry import Entry, EntryType
from lastro.protocol import events as wire
from lastro.protocol.events import Part
from lastro.protocol.fetch_sender import FetchSender
from lastro.protocol.tree_parts import TreeWriter

Item = TypeVar("Item")


def listing_parts(
    source: Source, root: str, paths: Sequence[str], writer: TreeWriter, *, recursive: bool
) -> Generator[Part, None, None]:
    """The parts of a listing, as the source gets on with it."""
    with _closed_after(source.list(root, paths, recursive=recursive)) as listing:
        for item in listing:
            yield from writer.take(_wire_item(item))
    yield from writer.flush()


def fetch_parts(
    source: Source, root: str, paths: Sequence[str], sender: FetchSender
) -> Generator[Part, None, None]:
    """The parts of a fetch, as the source gets on with it."""
    asked = [Entry(path=path, type=EntryType.FILE) for path in paths]
    with _closed_after(source.fetch(root, asked)) as contents:
        for event in contents:
            yield from sender.take(_wire_file_event(event))
    yield from sender.flush()


def first_look(source: Source, root: str, path: str) -> Entry | None:
    """The file at ``path`` as a listing has it, if there is one: the hint at the start of a fetch."""
    with _closed_after(source.list(root, [path], recursive=False)) as listing:
        first = next(listing, None)
    if isinstance(first, Entry) and first.path == path and first.type is EntryType.FILE:
        return first
    return None


def wire_root(root: Root, *, cursor: int | None) -> wire.WatchedRoot:
    """A watched root, as ``task-list`` tells it."""
    return wire.WatchedRoot(path=root.path, excludes=root.excludes, cursor=cursor)


def wire_change(change: ChangedPath) -> wire.ChangedPath:
    """A changed path, as ``changed`` tells it."""
    return wire.ChangedPath(root=change.root, path=change.path, recursive=change.recursive)


@contextmanager
def _closed_after(items: Iterator[Item]) -> Iterator[Iterator[Item]]:
    """``items``, and its files and directories closed at once when nobody reads on, not when the garbage is collected."""
    try:
        yield items
    finally:
        close = getattr(items, "close", None)
        if close is not None:
            close()


def _wire_item(item: Entry | Skipped) -> Entry | wire.SkippedPath:
    if isinstance(item, Skipped):
        return wire.SkippedPath(path=item.path, kind=item.kind, detail=item.detail)
    return item


def _wire_file_event(event: FetchEvent) -> wire.FileEvent:
    if isinstance(event, FileData):
        return wire.FileBytes(path=event.path, offset=event.offset, data=event.data)
    if isinstance(event, FileBegin):
        return wire.FileBegun(path=event.path)
    if isinstance(event, FileEnd):
        return wire.FileEnded(path=event.path, entry=event.entry, racy=event.racy)
    return wire.FileFailed(path=event.path, kind=event.kind, detail=event.detail)
