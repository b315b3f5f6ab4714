"""A repository: the one door to everything stored. Small in words: chunks by id, records in order, transactions.

What always holds: what a commit returned is durable; no byte leaves that was not verified; the cache may vanish or lie at any time without
changing an answer (``docs/format.md``).
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Final, Self, TypeVar

import msgspec
from msgspec import Struct

from lastro.chunking.chunker import ChunkerParameters
from lastro.chunking.digest import chunk_id
from lastro.domain.clock import Clock
from lastro.domain.ids import ChunkId, Digest, RecordId
from lastro.domain.record import NO_RECORD, Actor
from lastro.errors import DamagedError, LockedError, NoRepositoryError, NotFoundError
from lastro.messages import N_
from lastro.store.backends.base import Backend
from lastro.store.birth import first_records, make_secrets, put_keys, refuse_existing
from lastro.store.chunks import ChunkSource
from lastro.store.draft import RecordDraft
from lastro.store.index import Index
from lastro.store.index_rows import CacheDamagedError, KnownDamage, Location
from lastro.store.keys import KEY_FILE, RECOVERY, Keyring, SlotBytes, new_keyring, unlock
from lastro.store.layout import (
    DATA,
    FOLDERS,
    FORMAT,
    KEYS,
    LOG,
    META,
    decode_format,
    encode_format,
)
from lastro.store.loader import Loader
from lastro.store.log import NO_SEQ, StoredRecord, read_stored
from lastro.store.recovery import Secret, print_key_file, print_recovery_key
from lastro.store.transaction import Transaction
from lastro.store.writer import Writer

__all__ = ["Created", "RecordDraft", "Repository", "StoreStatistics", "StoredRecord", "Transaction"]

_Entropy = Callable[[int], bytes]
_Answer = TypeVar("_Answer")
_BATCH: Final = 256


class StoreStatistics(Struct, frozen=True, kw_only=True):
    """Sizes in bytes of what lies in the backend, by folder; counts of packs, chunks and records."""

    bytes: dict[str, int]
    packs: int
    chunks: int
    records: int


class Created(Struct, frozen=True, kw_only=True):
    """A new repository, open for writing, and what its owner must keep: the key file's content (0600), and the recovery key (printed)."""

    repository: Repository
    key_file: bytes
    recovery_key: str
    public_key: bytes


class Repository:
    """An open repository; use ``create`` or ``open``. Safe for use from several threads; transactions may overlap."""

    def __init__(
        self, backend: Backend, keyring: Keyring, chunker: ChunkerParameters, cache: str | None
    ) -> None:
        self.backend = backend
        self.keyring = keyring
        self.id = keyring.repository
        self.chunker = chunker
        self.public_key = keyring.public_key
        self.boundary_key = keyring.boundary_key
        self._index = Index(cache, repository=self.id, key=keyring.cache_key)
        self._source = ChunkSource(backend, keyring)
        self._loader = Loader(backend, keyring)
        self._loading = threading.RLock()
        self._looked_for_unlisted = False
        self._writer: Writer | None = None
        self._turn = threading.Lock()

    @classmethod
    def create(
        cls,
        backend: Backend,
        *,
        actor: Actor,
        clock: Clock,
        cache: str | None = None,
        entropy: _Entropy = os.urandom,
        keep: Callable[[Created], None] = lambda _: None,
    ) -> Created:
        """Make a new repository, open for writing. ``keep`` is to save its secrets: before it has returned, there is no repository.

        Raises:
            ConflictError: there is one already, or the beginning of one.
            LockedError: somebody else is making one there.
            StorageFullError: no room.
        """
        refuse_existing(backend)
        keyring = new_keyring(entropy(16).hex(), entropy)
        chunker = ChunkerParameters(seed=keyring.chunker_seed)
        repository = cls(backend, keyring, chunker, cache)
        try:
            repository._start_writing(clock, entropy)
            refuse_existing(backend)
            secrets = make_secrets(entropy)
            put_keys(backend, keyring, secrets, entropy)
            with repository.begin() as transaction:
                transaction.commit(*first_records(keyring, actor, secrets))
            created = Created(
                repository=repository,
                key_file=print_key_file(keyring.repository, secrets[KEY_FILE].secret),
                recovery_key=print_recovery_key(secrets[RECOVERY].secret),
                public_key=keyring.public_key,
            )
            keep(created)
            # Last: from here on it is a repository.
            backend.put(FORMAT, [encode_format(keyring.repository, chunker)])
        except BaseException:
            repository.close()
            raise
        return created

    @classmethod
    def open(
        cls,
        backend: Backend,
        secret: Secret,
        *,
        clock: Clock,
        cache: str | None = None,
        writable: bool = False,
        entropy: _Entropy = os.urandom,
    ) -> Repository:
        """Open an existing repository. ``cache`` is the path of an SQLite file that may be deleted at any time; ``None``: in memory.

        Raises:
            NoRepositoryError: there is none.
            LockedError: ``writable``, and another process writes.
            WrongKeyError: the secret does not open it.
            FormatError: it needs a feature that this version lacks.
            DamagedError: what is needed to open it is damaged. Damage elsewhere is no reason not to open: see ``damage``.
        """
        try:
            raw_format = backend.read(FORMAT)
        except NotFoundError:
            raise NoRepositoryError(
                N_("There is no repository here."), hint=N_("`lastro init` makes one.")
            ) from None
        stated = decode_format(raw_format, writable=writable)
        keyring = unlock(
            stated.id, secret, [SlotBytes(name, backend.read(name)) for name in backend.names(KEYS)]
        )
        chunker = ChunkerParameters(**msgspec.structs.asdict(stated.chunker), seed=keyring.chunker_seed)
        repository = cls(backend, keyring, chunker, cache)
        try:
            if writable:
                repository._start_writing(clock, entropy)
            else:
                repository.refresh()
            repository._refuse_without_records()
        except BaseException:
            repository.close()
            raise
        return repository

    def _refuse_without_records(self) -> None:
        """A repository is made with its first records. If none can be read it is not empty: its log is lost, and must not begin anew."""
        if self.head()[0] == NO_SEQ:
            raise DamagedError(
                N_("Not one record of this repository can be read: its log is lost or damaged."),
                hint=N_(
                    "Put journal/ and log/ back from another copy of the repository. 'lastro repo check' says what is damaged."
                ),
            )

    def _start_writing(self, clock: Clock, entropy: _Entropy) -> None:
        writer = Writer(
            self.backend, self.keyring, self._index, clock=clock, entropy=entropy, reload=self._reload
        )
        self._writer = writer
        self._load()
        writer.start(self._ask(lambda: self._loader.load_unlisted(self._index)))

    def close(self) -> None:
        """Release lock, cache and descriptors. Twice is once."""
        if self._writer is not None:
            self._writer.close()
        self._index.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # chunks

    def has(self, chunk: ChunkId) -> bool:
        """Whether the chunk is stored."""
        return self._ask(lambda: self._index.has(chunk))

    def chunk(self, chunk: ChunkId) -> bytes:
        """The bytes of a chunk, verified.

        Raises:
            NotFoundError: it is not stored.
            DamagedError: it is not what was written; names the object and the chunk.
        """
        location = self._ask(lambda: self._index.locate(chunk))
        if location is None and not self._looked_for_unlisted:
            self._looked_for_unlisted = True  # the index segment may be lost while the pack is there
            self._ask(lambda: self._loader.load_unlisted(self._index))
            location = self._ask(lambda: self._index.locate(chunk))
        if location is None:
            raise NotFoundError(
                N_("The chunk {chunk} is not in the repository."),
                hint=N_("`lastro repo check` says what is missing, and which snapshots that concerns."),
                chunk=chunk.hex(),
            )
        return self._source.read(chunk, location)

    def chunk_at(self, chunk: ChunkId, location: Location) -> bytes:
        """A chunk whose place is known; verified all the same."""
        return self._source.read(chunk, location)

    def chunk_id(self, digest: Digest) -> ChunkId:
        """The repository's name for a chunk with this plain digest."""
        return chunk_id(self.keyring.chunk_id_key, digest)

    # records

    def records(self, after: int = NO_SEQ, *, past_damage: bool = False) -> Iterator[StoredRecord]:
        """The records with ``seq > after``, in order.

        ``past_damage`` goes on behind records that are missing or not proved, leaving them out.

        Raises:
            DamagedError: a record is missing or was tampered with. Its parameter ``seq`` says which; ``after=seq`` goes on behind it.
        """
        while True:
            batch = self._ask(lambda start=after: self._index.records(start, _BATCH))  # type: ignore[misc]  # of a lambda with a default
            for item in batch:
                if item.seq != after + 1 and not past_damage:
                    raise _lost_record(after + 1, LOG)
                after = item.seq
                if not item.flaw:
                    yield read_stored(item.raw, item.signature)
                elif not past_damage:
                    raise _lost_record(item.seq, item.object)
            if len(batch) < _BATCH:
                return

    def record(self, seq: int) -> StoredRecord | None:
        """The record ``seq``; ``None`` when there is none, or it is not proved."""
        batch = self._ask(lambda: self._index.records(seq - 1, 1))
        if not batch or batch[0].seq != seq or batch[0].flaw:
            return None
        return read_stored(batch[0].raw, batch[0].signature)

    def head(self) -> tuple[int, RecordId]:
        """``seq`` and id of the newest record: export it to a witness, and nothing up to it can change unnoticed."""
        newest = self._ask(self._index.newest)
        return (
            (NO_SEQ, NO_RECORD)
            if newest is None
            else (newest.seq, read_stored(newest.raw, newest.signature).id)
        )

    def damage(self) -> list[KnownDamage]:
        """What could not be read when records and indexes were loaded. Empty in a sound repository; ``check`` says more."""
        return self._ask(self._index.damage)

    # writing

    def begin(self) -> Transaction:
        """Start a transaction, which may overlap others; commits take turns. A context manager: leaving it without ``commit`` drops it.

        Raises:
            LockedError: the repository was opened for reading, or another process took it over.
        """
        if self._writer is None:
            raise LockedError(
                N_("This repository was opened for reading only."), hint=N_("Open it for writing.")
            )
        with self._turn:
            self._writer.prepare()
        return Transaction(self, self._writer, self._turn)

    def append(self, draft: RecordDraft) -> StoredRecord:
        """A transaction of one record."""
        with self.begin() as transaction:
            return transaction.commit(draft)[0]

    def refresh(self) -> None:
        """Look for what a writer in another process has added. For a writer itself there is nothing to do."""
        if self._writer is None:
            self._looked_for_unlisted = False
            self._load()

    def statistics(self) -> StoreStatistics:
        """How much lies where."""
        sizes = {folder: sum(map(self.backend.size, self.backend.names(folder))) for folder in FOLDERS}
        packs = sum(len(self._ask(lambda part=folder: self._index.objects(part))) for folder in (DATA, META))  # type: ignore[misc]  # as above
        chunks, records = (
            self._ask(lambda: self._index.count("chunks")),
            self._ask(lambda: self._index.count("records")),
        )
        return StoreStatistics(bytes=sizes, packs=packs, chunks=chunks, records=records)

    def _load(self) -> None:
        """Bring the index up to date; make it anew when it is damaged, or knew of damage that may be mended by now."""
        with self._loading:
            try:
                mended = bool(self._index.damage())
                if not mended:
                    self._loader.load(self._index)
            except (CacheDamagedError, sqlite3.Error):
                mended = True
            if mended:
                self._reload()

    def _reload(self) -> None:
        """Make the index anew from the objects."""
        with self._loading:
            self._source.forget()
            self._index.rebuild(lambda: self._loader.load(self._index))

    def _ask(self, question: Callable[[], _Answer]) -> _Answer:
        """The index's answer; when it turns out to be damaged, it is made anew and asked again."""
        try:
            return question()
        except (CacheDamagedError, sqlite3.Error):
            self._reload()
            return question()


def _lost_record(seq: int, name: str) -> DamagedError:
    return DamagedError(
        N_("Record {seq} is missing or was changed ({object})."),
        hint=N_("`lastro repo check` says more. Put {object} back from another copy of the repository."),
        seq=seq,
        object=name,
    )
