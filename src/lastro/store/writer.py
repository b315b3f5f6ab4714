"""The one writer of a repository: puts packs, index and log segments, appends to the journal, and extends the log.

What always holds: a record becomes visible only after everything it needs is durable; a journal segment takes nothing more after one append
failed, and the next segment states how much of it counts. See ``docs/format.md`` (Write ordering).
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Sequence
from typing import Final

from lastro.domain.clock import Clock
from lastro.domain.ids import ChunkId, RecordId
from lastro.domain.record import NO_RECORD
from lastro.store.backends.base import Appender, Backend
from lastro.store.crypto import Header, ObjectCipher, ObjectKind, fastest_aead
from lastro.store.draft import RecordDraft
from lastro.store.index import Index
from lastro.store.index_rows import CacheDamagedError, IndexedObject, IndexedRecord, Location
from lastro.store.journal import SEGMENT_SIZE, Statement, encode_commit, encode_statement
from lastro.store.keys import Keyring
from lastro.store.layout import INDEX, JOURNAL, index_name, journal_name, log_name
from lastro.store.loader import add_pack, encode_pack
from lastro.store.log import (
    NO_SEQ,
    JumpWatch,
    StoredRecord,
    encode_log,
    make_records,
    read_stored,
)
from lastro.store.pack import Pack, PackBuilder

_BATCH: Final = 1000


class _Segment:
    """The journal segment that is being appended to; ``size`` and ``ordinal`` count what was acknowledged."""

    def __init__(self, name: str, appender: Appender, cipher: ObjectCipher) -> None:
        self.name = name
        self.appender = appender
        self.cipher = cipher
        self.size = 0
        self.ordinal = 0
        self.last_seq = NO_SEQ


class Writer:
    """Writes what one open repository commits. Not for use from two threads at once: the transaction lock is the repository's.

    ``reload`` brings the index up to what the objects say, whatever state it is in.
    """

    def __init__(
        self,
        backend: Backend,
        keyring: Keyring,
        index: Index,
        *,
        clock: Clock,
        entropy: Callable[[int], bytes],
        reload: Callable[[], None],
    ) -> None:
        self._backend = backend
        self._keyring = keyring
        self._index = index
        self._clock = clock
        self._entropy = entropy
        self._reload = reload
        self._aead = fastest_aead()
        self._lock = backend.lock()
        self._segment: _Segment | None = None
        self._segments_made = 0
        self._lengths: dict[str, int] = {}
        self._unlisted: list[Pack] = []
        self._outcome_unknown = False
        self._head: tuple[int, RecordId] = (NO_SEQ, NO_RECORD)
        self._counters: dict[str, int] | None = None
        self._watch = JumpWatch(clock, None)

    def start(self, unlisted: list[Pack]) -> None:
        """Go on from what the index says now. ``unlisted``: packs that no index segment names."""
        self._counters = None
        newest = self._index.newest()
        if newest is not None:
            record = read_stored(newest.raw, newest.signature)
            self._head = (record.seq, record.id)
            self._watch = JumpWatch(self._clock, record.record.time_ns)
        damaged = {item.object for item in self._index.damage()}
        self._lengths = {
            name: item.size if item.closed or name in damaged else item.scanned
            for name, item in self._index.objects(JOURNAL).items()
        }
        self._unlisted += unlisted

    def close(self) -> None:
        """Give the lock back. Twice is once."""
        if self._segment is not None:
            self._segment.appender.close()
            self._segment = None
        self._lock.release()

    def prepare(self) -> None:
        """Before a transaction: settle what an earlier one left.

        Raises:
            LockedError: after a failure of the disk, another process took over.
        """
        if self._outcome_unknown:
            self._drop_segment()
            self._lock.release()
            self._lock = self._backend.lock()
            self._segments_made = 0
            self._reload()
            self.start([])
            self._outcome_unknown = False
        if self._unlisted:
            self._list_packs(self._unlisted)
            self._unlisted = []

    def leave_unlisted(self, packs: list[Pack]) -> None:
        """Packs of a transaction that ended without them: the next one lists them, so that its chunks are found."""
        self._unlisted += packs

    # packs

    def new_pack(self, folder: str) -> PackBuilder:
        """An empty pack for ``data`` or ``meta``."""
        return PackBuilder(folder, self._keyring, self._aead, self._entropy)

    def put_pack(self, pack: Pack, parts: list[bytes]) -> Pack:
        """Make a finished pack durable."""
        self._backend.put(pack.name, parts)
        return pack

    def commit_packs(self, packs: list[Pack], drafts: Sequence[RecordDraft]) -> list[StoredRecord]:
        """Packs that are durable already → index segment → records in a log segment."""
        records = self._make_records(drafts)
        try:
            self._list_packs(packs)
        except BaseException:
            self.leave_unlisted(packs)
            raise
        if not records:
            return []
        name = log_name(records[0].seq)
        header = self._header(ObjectKind.LOG)
        parts = [header.encode(), self._keyring.cipher(header, name).seal(0, encode_log(records))]
        try:
            self._backend.put(name, parts)
        except BaseException:
            self._outcome_unknown = True  # it may be there in spite of the error
            raise
        size = sum(map(len, parts))
        self._note(IndexedObject(name, size, size, 1, records[-1].seq, closed=True), [], records)
        return records

    def _list_packs(self, packs: list[Pack]) -> None:
        if not packs:
            return
        header = self._header(ObjectKind.INDEX)
        cipher = self._keyring.cipher(header, INDEX)
        parts = [
            header.encode(),
            *(cipher.seal(ordinal, encode_pack(pack)) for ordinal, pack in enumerate(packs)),
        ]
        name = index_name(hashlib.sha256(b"".join(parts)).digest())
        self._backend.put(name, parts)
        size = sum(map(len, parts))
        try:
            with self._index.change():
                self._index.set_object(IndexedObject(name, size, size, len(packs), -1, closed=True))
                for pack in packs:
                    add_pack(self._index, pack)
        except (sqlite3.Error, CacheDamagedError):
            self._reload()

    # journal

    def commit_journal(
        self, chunks: list[tuple[ChunkId, bytes]], drafts: Sequence[RecordDraft]
    ) -> list[StoredRecord]:
        """Chunks and records in one frame of the journal."""
        if not chunks and not drafts:
            return []
        records = self._make_records(drafts)
        content, start = encode_commit(chunks, [(record.raw, record.signature) for record in records])
        segment, opening = self._segment_for(len(content))
        try:
            frame = segment.cipher.seal(segment.ordinal, content)
            segment.appender.append(opening + frame)
        except BaseException:
            self._drop_segment()
            raise
        offset = segment.size + len(opening)
        places = []
        for chunk, data in chunks:
            places.append(
                (chunk, Location(segment.name, segment.ordinal, offset, len(frame), start, len(data)))
            )
            start += len(data)
        segment.size, segment.ordinal = offset + len(frame), segment.ordinal + 1
        if records:
            segment.last_seq = records[-1].seq
        item = IndexedObject(
            segment.name, segment.size, segment.size, segment.ordinal, segment.last_seq, closed=False
        )
        self._note(item, places, records)
        return records

    def _segment_for(self, size: int) -> tuple[_Segment, bytes]:
        """The segment for a frame of about ``size`` bytes, and what must go before the frame in the same append."""
        segment = self._segment
        if segment is not None and segment.size + size <= SEGMENT_SIZE:
            return segment, b""
        if segment is not None:
            self._lengths[segment.name] = segment.size
            segment.appender.close()
            self._segment = None
        self._segments_made += 1
        name = journal_name(self._lock.epoch, self._segments_made)
        header = self._header(ObjectKind.JOURNAL)
        self._segment = segment = _Segment(
            name, self._backend.append(name), self._keyring.cipher(header, name)
        )
        statement = Statement(head=self._head, segments=sorted(self._lengths.items()))
        segment.ordinal = 1
        return segment, header.encode() + segment.cipher.seal(0, encode_statement(statement))

    def _drop_segment(self) -> None:
        """Append nothing more to the present segment; the next one will state how much of it counts."""
        segment, self._segment = self._segment, None
        if segment is not None:
            segment.appender.close()
            self._lengths[segment.name] = segment.size
            item = IndexedObject(
                segment.name, segment.size, segment.size, segment.ordinal, segment.last_seq, closed=True
            )
            self._note(item, [], [])

    def _note(
        self, item: IndexedObject, places: list[tuple[ChunkId, Location]], records: list[StoredRecord]
    ) -> None:
        """Bring the index up to what is durable now. The index is a cache: its failure is no failure of the commit."""
        for stored in records:
            self._head = (stored.seq, stored.id)
            if self._counters is not None:
                self._counters[stored.record.kind] = stored.record.number
        try:
            with self._index.change():
                self._index.set_object(item)
                self._index.add_chunks(item.name, places)
                for record in records:
                    self._index.add_record(
                        IndexedRecord(record.seq, record.raw, record.signature, "", item.name)
                    )
        except (sqlite3.Error, CacheDamagedError):
            self._reload()

    def _make_records(self, drafts: Sequence[RecordDraft]) -> list[StoredRecord]:
        if self._counters is None:
            self._counters = self._count()
        return make_records(
            drafts, head=self._head, counters=self._counters, watch=self._watch, keyring=self._keyring
        )

    def _count(self) -> dict[str, int]:
        """The highest number of each kind that can be read."""
        counters: dict[str, int] = {}
        after = NO_SEQ
        while batch := self._index.records(after, _BATCH):
            after = batch[-1].seq
            for item in batch:
                if not item.flaw:
                    record = read_stored(item.raw, item.signature).record
                    counters[record.kind] = max(record.number, counters.get(record.kind, 0))
        return counters

    def _header(self, kind: ObjectKind) -> Header:
        return Header(kind=kind, aead=self._aead, epoch=self._keyring.epoch, salt=self._entropy(32))
