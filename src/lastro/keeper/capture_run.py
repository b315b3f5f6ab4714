"""One capture in flight: what it has seen and read so far.

A full capture is here; ``partial_capture`` and ``touched_capture`` build on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from lastro.capture.source import Skipped, Source
from lastro.domain.changes import ChangeKind
from lastro.domain.entry import Entry, EntryType, stat_key
from lastro.domain.ids import ChunkId
from lastro.domain.paths import join
from lastro.domain.progress import Progress, Report
from lastro.domain.snapshot import SnapshotWarning, Statistics, WarningKind
from lastro.domain.target import Target
from lastro.errors import NotFoundError
from lastro.keeper.capture_state import CaptureState, Head, StatRow
from lastro.keeper.content_fetch import FetchedFile, fetch_contents
from lastro.keeper.standing import Known, KnownInOrder, checked_listing, vouched
from lastro.keeper.tree_builder import TreeBuilder
from lastro.messages import N_
from lastro.store.repository import Repository, Transaction
from lastro.store.tree import TreeEntry, decode_tree_entry, diff, to_tree_entry

_BATCH_FILES = 1000
_BATCH_BYTES = 64 * 1024 * 1024


class CaptureRun:
    """The state of one capture of ``target`` from ``source`` into ``transaction``."""

    def __init__(
        self,
        *,
        repository: Repository,
        transaction: Transaction,
        state: CaptureState,
        source: Source,
        target: Target,
        report: Report,
    ) -> None:
        self.repository = repository
        self.transaction = transaction
        self.state = state
        self.source = source
        self.target = target
        self.head: Head | None = state.head(target)
        self.before = decode_tree_entry(self.head.body.root) if self.head else None
        self.warnings: list[SnapshotWarning] = []
        self.gone: list[str] = []
        self._report = report
        self._rows: list[StatRow] = []
        self._read = 0
        self._entries = 0
        self._files = 0
        self._bytes = 0

    def full(self) -> TreeEntry:
        """List everything, and forget what a partial capture had begun.

        Raises:
            NotFoundError: the root is gone.
        """
        self.warnings.clear()
        self.gone.clear()
        self._rows.clear()
        self._entries = self._files = self._bytes = 0
        known = KnownInOrder(self.repository, self.state, self.target, self.before)
        root = self.build(self.source.list(self.target.path, recursive=True), "", known)
        if root is None:
            raise self.root_is_gone()
        return msgspec.structs.replace(root, name=b"")

    def root_is_gone(self) -> NotFoundError:
        """What to raise when there is nothing to capture."""
        return NotFoundError(N_("The root {path} is gone."), path=self.target.path)

    def build(self, listing: Iterable[Entry | Skipped], top: str, known: Known) -> TreeEntry | None:
        """The tree entry of ``top`` with everything below it, from its recursive listing; ``None`` when nothing is there."""
        builder = TreeBuilder(self.transaction)
        for entry, tree_entry, keep in self._resolve(checked_listing(listing, top), known):
            builder.add(entry, tree_entry, keep=keep)
        return builder.finish()

    def fetch(self, entries: list[Entry]) -> dict[str, FetchedFile]:
        """The contents of files, by path."""
        fetched: dict[str, FetchedFile] = {}
        for file in fetch_contents(self.transaction, self.source, self.target.path, entries):
            fetched[file.entry.path] = file
            self._read += file.read
            if file.warning is not None:
                self.warnings.append(file.warning)
            if file.remember:
                self._remember(file.entry)
        return fetched

    def warn(self, item: Skipped) -> None:
        """Something was left out or cannot be read."""
        self.warnings.append(SnapshotWarning(path=item.path, kind=WarningKind(item.kind), detail=item.detail))

    def remember(self, *, all_of_it: bool) -> None:
        """Put what was read into the stat cache, after the commit."""
        self.state.update(self.target, self._rows, gone=self.gone, all_of_it=all_of_it)

    def statistics(self, root: TreeEntry, *, full: bool, duration_ns: int) -> Statistics:
        """What this capture saw; a partial one adds its changes to the totals of the snapshot before."""
        counts = dict.fromkeys(ChangeKind, 0)
        before = self.head.body.statistics if self.head else Statistics()
        entries, files, size = before.entries, before.files, before.bytes
        for change in diff(self.transaction, self.before, root):
            counts[change.kind] += 1
            for entry, sign in ((change.before, -1), (change.after, 1)):
                if entry is not None:
                    entries += sign
                    files += sign * (entry.type is EntryType.FILE)
                    size += sign * entry.size
        if full:
            entries, files, size = self._entries, self._files, self._bytes
        return Statistics(
            added=counts[ChangeKind.ADDED],
            bytes=size,
            changed=counts[ChangeKind.CHANGED],
            duration_ns=duration_ns,
            entries=entries,
            files=files,
            read=self._read,
            removed=counts[ChangeKind.REMOVED],
            stored=self.transaction.stored,
        )

    def _resolve(
        self, items: Iterable[Entry | Skipped], known: Known
    ) -> Iterator[tuple[Entry, TreeEntry, ChunkId | None]]:
        """The listed entries in the same order, with their contents read, in batches."""
        batch: list[_Pending] = []
        size = 0
        for item in items:
            if isinstance(item, Skipped):
                self._skip(item, batch)
                continue
            pending = self._look(item, known)
            batch.append(pending)
            size += pending.size_to_read
            if size >= _BATCH_BYTES or len(batch) >= _BATCH_FILES:
                # The last one stays: that it cannot be read is said after it.
                yield from self._read_batch(batch[:-1])
                batch, size = batch[-1:], 0
        yield from self._read_batch(batch)

    def _look(self, item: Entry, known: Known) -> _Pending:
        before, row = known(item.path)
        pending = _Pending(item, before)
        if item.type is EntryType.FILE:
            pending.vouched = vouched(item, before, row)
            if pending.vouched is not None:
                self._remember(item)
        return pending

    def _read_batch(self, batch: list[_Pending]) -> Iterator[tuple[Entry, TreeEntry, ChunkId | None]]:
        if not batch:
            return
        fetched = self.fetch([item.entry for item in batch if item.is_to_be_read])
        for item in batch:
            self._entries += 1
            if item.entry.type is not EntryType.FILE:
                yield item.entry, to_tree_entry(item.entry), item.keep
                continue
            self._files += 1
            self._bytes += item.entry.size
            tree_entry = item.vouched or fetched[item.entry.path].tree_entry
            if tree_entry is not None:
                yield item.entry, tree_entry, None
        path = join(self.target.path, batch[-1].entry.path)
        self._report(Progress(phase="capture", files=self._files, bytes=self._bytes, path=path))

    def _remember(self, entry: Entry) -> None:
        self._rows.append(StatRow(path=entry.path, key=stat_key(entry), nlink=entry.nlink))

    def _skip(self, item: Skipped, batch: list[_Pending]) -> None:
        self.warn(item)
        last = batch[-1] if batch and batch[-1].entry.path == item.path else None
        if item.kind == WarningKind.UNREADABLE and last is not None and last.before is not None:
            last.keep = last.before.subtree


class _Pending:
    """A listed entry on its way into the tree."""

    __slots__ = ("before", "entry", "keep", "vouched")

    def __init__(self, entry: Entry, before: TreeEntry | None) -> None:
        self.entry = entry
        self.before = before
        self.vouched: TreeEntry | None = None
        self.keep: ChunkId | None = None

    @property
    def is_to_be_read(self) -> bool:
        return self.entry.type is EntryType.FILE and self.vouched is None

    @property
    def size_to_read(self) -> int:
        return self.entry.size if self.is_to_be_read else 0
