"""Brings the index up to what the objects say: journal, log and index segments, in that order.

What always holds: nothing unverified enters the index; damage does not stop the loading, it is noted; and because
writers go packs → index → record, reading the records first and the indexes last finds every chunk that a record
needs, also while a writer runs (``docs/format.md``, Reading order).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Final

import msgspec

from lastro.domain.ids import ChunkId
from lastro.errors import DamagedError
from lastro.store.backends.base import Backend
from lastro.store.crypto import HEADER_SIZE, ObjectKind, damaged, decode_header
from lastro.store.index import Index
from lastro.store.index_rows import CacheDamagedError, IndexedObject, IndexedRecord, KnownDamage, Location
from lastro.store.journal import Statement
from lastro.store.journal_reader import FoundRecord, JournalReader
from lastro.store.keys import Keyring
from lastro.store.layout import DATA, INDEX, LOG, META, index_name, log_name
from lastro.store.log import StoredRecord, decode_log, follows, is_signed, read_stored, whole_frames
from lastro.store.pack import Pack, read_pack

_PASSES: Final = 8
_MISSING_AT_MOST: Final = 1000


class Loader:
    """Reads what an index has not seen yet. One load at a time."""

    def __init__(self, backend: Backend, keyring: Keyring) -> None:
        self._backend = backend
        self._keyring = keyring
        self._damage: list[KnownDamage] = []

    def load(self, index: Index) -> None:
        """Bring ``index`` up to date.

        Raises:
            CacheDamagedError: the index is damaged, or knows more than the objects; clear it and load again.
        """
        with index.change():
            index.verify()
            self._damage = []
            journal = JournalReader(self._backend, self._keyring, self._damage)
            found: list[FoundRecord] = []
            # A writer may commit between the look at the journal and the look at the log: a gap is one only if it stays.
            for _ in range(_PASSES):
                statement = journal.newest_statement()
                found += journal.load(index, statement)
                found += self._load_log(index)
                if not _has_gap(index, found):
                    break
            self._add_records(index, found)
            self._load_indexes(index)
            self._compare(index, statement)
            for item in self._damage:
                index.add_damage(item)

    def load_unlisted(self, index: Index) -> list[Pack]:
        """Take in packs that no index segment lists (an interrupted writer's, or the index segment is lost), by their directories."""
        with index.change():
            packs = []
            for folder in (DATA, META):
                known = index.objects(folder)
                for name in self._backend.names(folder):
                    if name not in known:
                        try:
                            packs.append(read_pack(self._backend, self._keyring, name))
                        except DamagedError:
                            index.add_damage(KnownDamage(name, 0, "damaged"))
            for pack in packs:
                add_pack(index, pack)
        return packs

    # log and index segments

    def _load_log(self, index: Index) -> list[FoundRecord]:
        known, names, found = index.objects(LOG), list(self._backend.names(LOG)), list[FoundRecord]()
        if not known.keys() <= set(names):
            raise CacheDamagedError
        for name in names:
            if name in known:
                continue
            records: list[FoundRecord] = []
            size, last_seq = 0, -1
            try:
                raw = self._backend.read(name)
                size = len(raw)
                for content in self._frames(name, raw, ObjectKind.LOG):
                    records += [FoundRecord(*item, name) for item in decode_log(content, name)]
                seqs = [read_stored(item.raw, item.signature).seq for item in records]
                if not seqs or log_name(seqs[0]) != name:
                    raise damaged(name)
                last_seq = max(seqs)
            except (DamagedError, msgspec.DecodeError):
                self._damage.append(KnownDamage(name, 0, "damaged"))
                records, last_seq = [], -1
            index.set_object(IndexedObject(name, size, size, 1, last_seq, closed=True))
            found += records
        return found

    def _load_indexes(self, index: Index) -> None:
        known, names = index.objects(INDEX), list(self._backend.names(INDEX))
        if not known.keys() <= set(names):
            raise CacheDamagedError
        for name in names:
            if name in known:
                continue
            try:
                raw = self._backend.read(name)
                if index_name(hashlib.sha256(raw).digest()) != name:
                    raise damaged(name)
                packs = [_decode_pack(content, name) for content in self._frames(name, raw, ObjectKind.INDEX)]
            except DamagedError:
                self._damage.append(KnownDamage(name, 0, "damaged"))
                raw, packs = b"", []
            index.set_object(IndexedObject(name, len(raw), len(raw), len(packs), -1, closed=True))
            for pack in packs:
                add_pack(index, pack)

    def _frames(self, name: str, raw: bytes, kind: ObjectKind) -> Iterator[bytes]:
        header = decode_header(raw[:HEADER_SIZE], name)
        if header.kind is not kind:
            raise damaged(name)
        return whole_frames(self._keyring.cipher(header, name), raw)

    # records

    def _add_records(self, index: Index, found: list[FoundRecord]) -> None:
        previous = index.newest()
        before = None if previous is None else read_stored(previous.raw, previous.signature)
        candidates: dict[int, dict[bytes, tuple[StoredRecord, str]]] = {}
        for item in found:
            record = read_stored(item.raw, item.signature)
            candidates.setdefault(record.seq, {})[item.raw] = (record, item.object)
        for seq in sorted(candidates):
            if before is not None and seq <= before.seq:
                self._damage += [
                    KnownDamage(name, seq, "record_twice") for _, name in candidates[seq].values()
                ]
                continue
            expected = 0 if before is None else before.seq + 1
            for missing in range(expected, min(seq, expected + _MISSING_AT_MOST)):
                self._damage.append(KnownDamage(LOG, missing, "record_missing"))
            choices = [
                (self._flaw(record, before), record, name) for record, name in candidates[seq].values()
            ]
            choices.sort(key=lambda choice: (choice[0] != "", choice[1].id))
            flaw, record, name = choices[0]
            index.add_record(IndexedRecord(seq, record.raw, record.signature, flaw, name))
            if flaw:
                self._damage.append(KnownDamage(name, seq, f"record_{flaw}"))
            self._damage += [KnownDamage(other, seq, "record_twice") for _, _, other in choices[1:]]
            before = record

    def _flaw(self, record: StoredRecord, before: StoredRecord | None) -> str:
        if not is_signed(record, self._keyring.public_key):
            return "signature"
        adjacent = record.seq == (0 if before is None else before.seq + 1)
        return "chain" if adjacent and not follows(record, before) else ""

    def _compare(self, index: Index, statement: Statement | None) -> None:
        """See that the log holds the head that the newest journal segment began with."""
        if statement is None or statement.head[0] < 0:
            return
        seq, identity = statement.head
        found = index.record(seq)
        if found is None or read_stored(found.raw, found.signature).id != identity:
            self._damage.append(
                KnownDamage(LOG, seq, "record_missing" if found is None else "record_replaced")
            )


def add_pack(index: Index, pack: Pack) -> None:
    """Note a pack and where its chunks lie."""
    index.set_object(IndexedObject(pack.name, pack.size, pack.size, len(pack.frames), -1, closed=True))
    index.add_chunks(pack.name, pack_places(pack))


def pack_places(pack: Pack) -> Iterator[tuple[ChunkId, Location]]:
    """Where the chunks of a pack lie."""
    for ordinal, frame in enumerate(pack.frames):
        start = 0
        for chunk, length in frame.chunks:
            yield chunk, Location(pack.name, ordinal, frame.offset, frame.size, start, length)
            start += length


def encode_pack(pack: Pack) -> bytes:
    """The content of an index segment's frame: one pack."""
    return msgspec.msgpack.encode(pack)


def _decode_pack(content: bytes, name: str) -> Pack:
    try:
        return msgspec.msgpack.decode(content, type=Pack)
    except msgspec.DecodeError:
        raise damaged(name) from None


def _has_gap(index: Index, found: list[FoundRecord]) -> bool:
    newest = index.newest()
    seqs = {read_stored(item.raw, item.signature).seq for item in found}
    return bool(seqs) and max(seqs) + 1 - (0 if newest is None else newest.seq + 1) > len(seqs)
