"""Reads the contents of listed files into a transaction. Every byte is hashed again here; the source's word for it is only compared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
from msgspec import Struct

from lastro.capture.source import FetchEvent, FileBegin, FileData, FileEnd, FileFailed, Source
from lastro.domain.entry import Entry, EntryType
from lastro.domain.ids import EMPTY_DIGEST
from lastro.domain.snapshot import SnapshotWarning, WarningKind
from lastro.errors import ProtocolError
from lastro.messages import N_
from lastro.store.content import ContentWriter
from lastro.store.repository import Transaction
from lastro.store.tree import TreeEntry, to_tree_entry

_VANISHED = "vanished"


class FetchedFile(Struct, frozen=True, kw_only=True):
    """A file as it was read: how it stands in the tree, its entry as the source saw it, and whether the stat cache may remember it.

    ``tree_entry`` is ``None`` for a file that was gone before it could be read.
    """

    entry: Entry
    tree_entry: TreeEntry | None
    remember: bool
    warning: SnapshotWarning | None = None
    read: int = 0


def fetch_contents(
    transaction: Transaction, source: Source, root: str, entries: Sequence[Entry]
) -> Iterator[FetchedFile]:
    """Every file of ``entries``, in the order of the source. Empty files are not asked for.

    Raises:
        ProtocolError: the source sent something else than what was asked, or a digest that its bytes do not have.
        UnreachableError: the source was cut off; the transaction must be dropped.
    """
    for entry in entries:
        if entry.size == 0:
            yield _empty(entry)
    wanted = {entry.path: entry for entry in entries if entry.size > 0}
    if not wanted:
        return
    receiver = _Receiver(transaction, wanted)
    for event in source.fetch(root, list(wanted.values())):
        file = receiver.take(event)
        if file is not None:
            yield file
    if wanted:
        raise ProtocolError(N_("The source left out {count} files that were asked for."), count=len(wanted))


class _Receiver:
    """Takes the events of a fetch; ``wanted`` loses each file as it is done."""

    def __init__(self, transaction: Transaction, wanted: dict[str, Entry]) -> None:
        self._transaction = transaction
        self._wanted = wanted
        self._writer: ContentWriter | None = None
        self._path = ""

    def take(self, event: FetchEvent) -> FetchedFile | None:
        """The file that ``event`` completes, if it does.

        Raises:
            ProtocolError: the event belongs to nothing that was asked.
        """
        if event.path not in self._wanted:
            raise _not_asked(event.path)
        if isinstance(event, FileBegin):
            self._writer, self._path = ContentWriter(self._transaction, self._transaction.chunker), event.path
            return None
        if isinstance(event, FileFailed):
            self._writer = None
            return _failed(event, self._wanted.pop(event.path))
        writer = self._writer
        if writer is None or event.path != self._path:
            raise _not_asked(event.path)
        if isinstance(event, FileData):
            writer.write(event.offset, event.data)
            return None
        self._writer = None
        del self._wanted[event.path]
        return _finished(event, writer)


def _not_asked(path: str) -> ProtocolError:
    return ProtocolError(N_("The source sent {path}, which was not asked for."), path=ascii(path))


def _empty(entry: Entry) -> FetchedFile:
    recorded = msgspec.structs.replace(entry, digest=EMPTY_DIGEST)
    return FetchedFile(entry=recorded, tree_entry=to_tree_entry(recorded), remember=True)


def _finished(event: FileEnd, writer: ContentWriter) -> FetchedFile:
    written = writer.finish(event.entry.size)
    if (
        event.entry.digest != written.digest
        or event.entry.type is not EntryType.FILE
        or event.entry.path != event.path
    ):
        raise ProtocolError(
            N_("The bytes of {path} do not have the digest that the source gave."), path=ascii(event.path)
        )
    # Size and holes as they arrived: what the source claims of them is not needed.
    entry = msgspec.structs.replace(
        event.entry, size=written.size, digest=written.digest, holes=written.holes
    )
    warning = SnapshotWarning(path=event.path, kind=WarningKind.TORN) if entry.torn else None
    return FetchedFile(
        entry=entry,
        tree_entry=to_tree_entry(entry, written.content),
        remember=not (event.racy or entry.torn),
        warning=warning,
        read=written.size - sum(hole.length for hole in written.holes),
    )


def _failed(event: FileFailed, listed: Entry) -> FetchedFile:
    if event.kind == _VANISHED:
        # It was deleted after it was listed. That is no loss: the tree simply does not have it, as the feed will say too.
        return FetchedFile(entry=listed, tree_entry=None, remember=False)
    return FetchedFile(
        entry=listed,
        tree_entry=to_tree_entry(listed),
        remember=False,
        warning=SnapshotWarning(path=event.path, kind=WarningKind.UNREADABLE, detail=event.detail),
    )
