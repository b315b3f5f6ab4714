"""Takes into the index what the journal segments hold.

What always holds: up to the length that a later segment states, everything must be readable or is damage; what lies
behind that length was never acknowledged and is not looked at; only the last segment may end in a torn write.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from lastro.domain.ids import ChunkId
from lastro.domain.record import decode_record
from lastro.errors import DamagedError
from lastro.store.backends.base import Backend
from lastro.store.crypto import (
    HEADER_SIZE,
    PREFIX_SIZE,
    ObjectCipher,
    ObjectKind,
    damaged,
    decode_header,
    frame_size,
)
from lastro.store.index import Index
from lastro.store.index_rows import CacheDamagedError, IndexedObject, KnownDamage, Location
from lastro.store.journal import Commit, Damage, Opening, Statement, decode_statement, scan
from lastro.store.keys import Keyring
from lastro.store.layout import JOURNAL, journal_position


class FoundRecord(Struct, frozen=True, array_like=True):
    """A record's bytes and signature as they lie in an object, not verified yet."""

    raw: bytes
    signature: bytes
    object: str


class JournalReader:
    """Reads what an index has not seen of the journal, noting damage in ``damage``."""

    def __init__(self, backend: Backend, keyring: Keyring, damage: list[KnownDamage]) -> None:
        self._backend = backend
        self._keyring = keyring
        self._damage = damage

    def segments(self) -> list[str]:
        """The names of all journal segments, in the order they were written."""
        return [name for name in self._backend.names(JOURNAL) if journal_position(name) is not None]

    def newest_statement(self) -> Statement | None:
        """What the newest readable first frame says about the segments before it."""
        for name in reversed(self.segments()):
            try:
                cipher = self._cipher(name, self._backend.read(name, 0, HEADER_SIZE))
                length = cipher.length_at(0, self._backend.read(name, HEADER_SIZE, PREFIX_SIZE))
                if length is not None:
                    return decode_statement(
                        cipher.open(0, self._backend.read(name, HEADER_SIZE, frame_size(length))), name
                    )
            except DamagedError:
                continue
        return None

    def load(self, index: Index, statement: Statement | None) -> list[FoundRecord]:
        """Take all that is new; the records come back unverified.

        Raises:
            CacheDamagedError: the index holds what the journal does not.
        """
        stated = dict(statement.segments) if statement is not None else {}
        known, names, found = index.objects(JOURNAL), self.segments(), list[FoundRecord]()
        if not known.keys() <= set(names):
            raise CacheDamagedError
        for name in sorted(stated.keys() - set(names)):
            if stated[name]:
                self._note(name, 0, "missing")
        for name in names:
            seen = known.get(name) or IndexedObject(name, 0, 0, 0, -1, closed=False)
            if seen.scanned > stated.get(name, seen.scanned):
                raise CacheDamagedError
            if not seen.closed:
                found += self._load_segment(index, seen, stated.get(name))
        return found

    def _load_segment(self, index: Index, seen: IndexedObject, committed: int | None) -> list[FoundRecord]:
        name, stated = seen.name, committed is not None
        size = self._backend.size(name) if committed is None else committed
        if size < seen.scanned:
            raise CacheDamagedError
        raw = self._backend.read(name, seen.scanned, None if committed is None else committed - seen.scanned)
        if stated and seen.scanned + len(raw) < size:
            self._note(name, seen.scanned + len(raw), "short")
        if seen.scanned == 0:
            cipher = self._open_segment(name, raw, stated=stated)
            seen = IndexedObject(name, size, HEADER_SIZE, 0, -1, closed=False)
            raw = raw[HEADER_SIZE:]
        else:
            cipher = self._cipher(name, self._backend.read(name, 0, HEADER_SIZE))
        commits: list[Commit] = []
        scanned, ordinal = seen.scanned, seen.ordinal
        if cipher is not None:
            for event in scan(cipher, raw, offset=scanned, ordinal=ordinal, stated=stated):
                match event:
                    case Opening():
                        scanned, ordinal = event.offset + event.size, 1
                    case Commit():
                        scanned, ordinal = event.offset + event.size, event.ordinal + 1
                        commits.append(event)
                    case Damage():
                        self._note(name, event.offset, "damaged")
        found = [item for commit in commits for item in self._records(name, commit)]
        last_seq = max([seen.last_seq, *(_seq_of(item.raw) for item in found)])
        index.set_object(
            IndexedObject(name, size, 0 if cipher is None else scanned, ordinal, last_seq, closed=stated)
        )
        for commit in commits:
            index.add_chunks(name, places(name, commit))
        return found

    def _records(self, name: str, commit: Commit) -> list[FoundRecord]:
        try:
            for raw, _ in commit.records:
                decode_record(raw)
        except msgspec.DecodeError:
            self._note(name, commit.offset, "damaged")
            return []
        return [FoundRecord(raw, signature, name) for raw, signature in commit.records]

    def _open_segment(self, name: str, raw: bytes, *, stated: bool) -> ObjectCipher | None:
        """The cipher of a segment never seen; ``None`` when there is none: torn at its very beginning, or damaged (noted)."""
        header = raw[:HEADER_SIZE]
        if len(header) < HEADER_SIZE or not any(header):
            if stated and raw:
                self._note(name, 0, "damaged")
            return None
        try:
            return self._cipher(name, header)
        except DamagedError:
            self._note(name, 0, "damaged")
            return None

    def _cipher(self, name: str, header: bytes) -> ObjectCipher:
        decoded = decode_header(header, name)
        if decoded.kind is not ObjectKind.JOURNAL:
            raise damaged(name)
        return self._keyring.cipher(decoded, name)

    def _note(self, name: str, offset: int, code: str) -> None:
        self._damage.append(KnownDamage(name, offset, code))


def places(name: str, commit: Commit) -> list[tuple[ChunkId, Location]]:
    """Where the chunks of a commit in the segment ``name`` lie."""
    return [
        (chunk, Location(name, commit.ordinal, commit.offset, commit.size, start, length))
        for chunk, start, length in commit.chunks
    ]


def _seq_of(raw: bytes) -> int:
    return decode_record(raw).seq
