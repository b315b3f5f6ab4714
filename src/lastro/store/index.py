"""The index: where every chunk lies and every record, in SQLite. A cache: the objects are the truth, and it can be deleted at any time.

What always holds: nothing in it is believed for itself. Every row carries a keyed digest, so that a damaged or
foreign file can never make a chunk seem stored that is not, or a record seem absent that is there. Whatever does not
fit raises ``CacheDamagedError``, and the owner makes the index anew from the objects. See ``docs/format.md`` (Index).
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, TypeVar

from blake3 import blake3
from msgspec import msgpack

from lastro.domain.ids import ChunkId
from lastro.store.cache_database import open_cache_database
from lastro.store.index_rows import CacheDamagedError, IndexedObject, IndexedRecord, KnownDamage, Location

_VERSION: Final = 1
_SCHEMA: Final = """
CREATE TABLE objects (
    number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, size INTEGER NOT NULL,
    scanned INTEGER NOT NULL, ordinal INTEGER NOT NULL, last_seq INTEGER NOT NULL, closed INTEGER NOT NULL, proof BLOB NOT NULL
);
CREATE TABLE chunks (
    id BLOB PRIMARY KEY, object INTEGER NOT NULL, ordinal INTEGER NOT NULL, offset INTEGER NOT NULL, size INTEGER NOT NULL,
    start INTEGER NOT NULL, length INTEGER NOT NULL, proof BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE records (
    seq INTEGER PRIMARY KEY, raw BLOB NOT NULL, signature BLOB NOT NULL, flaw TEXT NOT NULL, object TEXT NOT NULL, proof BLOB NOT NULL
);
CREATE TABLE damage (object TEXT NOT NULL, offset INTEGER NOT NULL, code TEXT NOT NULL, PRIMARY KEY (object, offset, code)) WITHOUT ROWID;
"""


class Index:
    """The cache of one repository at ``path`` (``None``: in memory). Safe for use from several threads."""

    def __init__(self, path: str | None, *, repository: str, key: bytes) -> None:
        self._path = path
        self._repository = repository
        self._key = key
        self._lock = threading.RLock()
        self._depth = 0
        self._numbers: dict[str, int] = {}
        self._names: dict[int, str] = {}
        self._database = self._open(path)

    def close(self) -> None:
        """Close the database. Twice is once."""
        with self._lock:
            self._database.close()

    def rebuild(self, load: Callable[[], None]) -> None:
        """Forget everything and ``load`` anew; other threads wait, and never see it half done.

        A file that cannot be used is left alone from now on, and memory takes its place: it is damaged, or its disk is full. It is
        removed, so that the next open makes it anew.
        """
        with self._lock:
            try:
                with self.change():
                    for table in ("objects", "chunks", "records", "damage"):
                        self._database.execute(f"DELETE FROM {table}")  # noqa: S608  a fixed list
                    self._numbers, self._names = {}, {}
                    load()
            except (CacheDamagedError, sqlite3.Error):
                self._leave_file()
                load()

    def _leave_file(self) -> None:
        self._numbers, self._names, self._depth = {}, {}, 0
        self._database.close()
        if self._path is not None:
            for suffix in ("", "-wal", "-shm"):
                with suppress(OSError):
                    os.unlink(self._path + suffix)
        self._database = self._open(None)

    def _open(self, path: str | None) -> sqlite3.Connection:
        try:
            return open_cache_database(path, schema=_SCHEMA, version=_VERSION, repository=self._repository)
        except (sqlite3.Error, OSError):
            if path is None:
                raise
            return self._open(None)  # a cache that cannot be kept is no reason to fail

    @contextmanager
    def change(self) -> Iterator[None]:
        """Changes inside happen together, or not at all; one inside another is part of it."""
        with self._lock:
            if self._depth == 0:
                self._database.execute("BEGIN IMMEDIATE")
            self._depth += 1
            try:
                yield
                if self._depth == 1:
                    self._database.execute("COMMIT")
            except BaseException:
                self._numbers, self._names = {}, {}
                if self._depth == 1:
                    with suppress(sqlite3.Error):
                        self._database.execute("ROLLBACK")
                raise
            finally:
                self._depth = max(0, self._depth - 1)

    # objects

    def known(self, name: str) -> IndexedObject | None:
        """What is known of an object; ``None``: it was never read."""
        row = self._one(f"SELECT {_OBJECT} FROM objects WHERE name = ?", name)  # noqa: S608  a constant
        return None if row is None else self._object(row)

    def objects(self, folder: str) -> dict[str, IndexedObject]:
        """All known objects of a folder, by name."""
        statement = f"SELECT {_OBJECT} FROM objects WHERE name > ? AND name < ? ORDER BY name"  # noqa: S608  a constant
        return {str(row[0]): self._object(row) for row in self._all(statement, f"{folder}/", f"{folder}0")}

    def set_object(self, item: IndexedObject) -> None:
        """Note what was read of an object."""
        with self._lock:
            self._database.execute(
                f"INSERT INTO objects ({_OBJECT}) VALUES (?, ?, ?, ?, ?, ?, ?)"  # noqa: S608  a constant
                " ON CONFLICT (name) DO UPDATE SET size = excluded.size,"
                " scanned = excluded.scanned, ordinal = excluded.ordinal, last_seq = excluded.last_seq, closed = excluded.closed,"
                " proof = excluded.proof",
                (
                    item.name,
                    item.size,
                    item.scanned,
                    item.ordinal,
                    item.last_seq,
                    item.closed,
                    self._proof(item),
                ),
            )

    def _object(self, row: tuple[Any, ...]) -> IndexedObject:
        item = IndexedObject(row[0], row[1], row[2], row[3], row[4], bool(row[5]))
        return self._proved(item, row[6])

    # chunks

    def has(self, chunk: ChunkId) -> bool:
        """Whether the chunk is stored."""
        return self.locate(chunk) is not None

    def locate(self, chunk: ChunkId) -> Location | None:
        """Where a chunk lies; ``None``: it is not stored.

        Raises:
            CacheDamagedError: the row is not one that this repository wrote.
        """
        row = self._one(
            "SELECT object, ordinal, offset, size, start, length, proof FROM chunks WHERE id = ?", chunk
        )
        if row is None:
            return None
        location = Location(self._name(row[0]), *row[1:6])
        if row[6] != self._proof((chunk, location)):
            raise CacheDamagedError
        return location

    def add_chunks(self, object_name: str, chunks: Iterable[tuple[ChunkId, Location]]) -> None:
        """Note where chunks lie, all in the object ``object_name`` (known already). A chunk that is stored keeps its first place."""
        with self._lock:
            number = self._number(object_name)
            self._database.executemany(
                "INSERT OR IGNORE INTO chunks VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    (
                        chunk,
                        number,
                        at.ordinal,
                        at.offset,
                        at.size,
                        at.start,
                        at.length,
                        self._proof((chunk, at)),
                    )
                    for chunk, at in chunks
                ),
            )

    def chunks_in(self, object_name: str) -> dict[ChunkId, Location]:
        """The chunks whose first place is in an object, in the order they lie there."""
        statement = "SELECT id FROM chunks WHERE object = ? ORDER BY ordinal, start"
        found = (
            (ChunkId(row[0]), self.locate(row[0])) for row in self._all(statement, self._number(object_name))
        )
        return {chunk: location for chunk, location in found if location is not None}

    def count(self, table: str) -> int:
        """How many rows ``chunks`` or ``records`` has."""
        row = self._one(f"SELECT count(*) FROM {table}")  # noqa: S608  the callers' own words
        return 0 if row is None else int(row[0])

    # records and damage

    def add_record(self, record: IndexedRecord) -> None:
        """Note a record; one that is known stays as it is."""
        with self._lock:
            row = (record.seq, record.raw, record.signature, record.flaw, record.object, self._proof(record))
            self._database.execute("INSERT OR IGNORE INTO records VALUES (?, ?, ?, ?, ?, ?)", row)

    def record(self, seq: int) -> IndexedRecord | None:
        """The record of that place in the log."""
        found = self.records(seq - 1, 1)
        return found[0] if found and found[0].seq == seq else None

    def records(self, after: int, limit: int) -> list[IndexedRecord]:
        """At most ``limit`` records with ``seq > after``, in order; gaps are gaps."""
        rows = self._all("SELECT * FROM records WHERE seq > ? ORDER BY seq LIMIT ?", after, limit)
        return [self._record(row) for row in rows]

    def newest(self) -> IndexedRecord | None:
        """The record with the highest ``seq``."""
        row = self._one("SELECT * FROM records ORDER BY seq DESC LIMIT 1")
        return None if row is None else self._record(row)

    def _record(self, row: tuple[Any, ...]) -> IndexedRecord:
        return self._proved(IndexedRecord(*row[:5]), row[5])

    def verify(self) -> None:
        """See that no record is missing that was there.

        Raises:
            CacheDamagedError: one is.
        """
        newest, damaged = self.newest(), self._one("SELECT 1 FROM damage") is not None
        last = -1 if newest is None else newest.seq
        noted = self._one("SELECT coalesce(max(last_seq), -1) FROM objects")
        if noted != (last,) or (self.count("records") != last + 1 and not damaged):
            raise CacheDamagedError

    def add_damage(self, damage: KnownDamage) -> None:
        """Note that something acknowledged cannot be read."""
        with self._lock:
            self._database.execute(
                "INSERT OR IGNORE INTO damage VALUES (?, ?, ?)", (damage.object, damage.offset, damage.code)
            )

    def damage(self) -> list[KnownDamage]:
        """All damage noted."""
        return [
            KnownDamage(*row) for row in self._all("SELECT object, offset, code FROM damage ORDER BY 1, 2, 3")
        ]

    # the database

    def _one(self, statement: str, *parameters: object) -> tuple[Any, ...] | None:
        with self._lock:
            row: tuple[Any, ...] | None = self._database.execute(statement, parameters).fetchone()
            return row

    def _all(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._database.execute(statement, parameters).fetchall()

    def _number(self, name: str) -> int:
        if name not in self._numbers:
            row = self._one("SELECT number FROM objects WHERE name = ?", name)
            if row is None:
                raise CacheDamagedError
            self._numbers[name] = row[0]
        return self._numbers[name]

    def _name(self, number: int) -> str:
        if number not in self._names:
            row = self._one("SELECT name FROM objects WHERE number = ?", number)
            if row is None:
                raise CacheDamagedError
            self._names[number] = row[0]
        return self._names[number]

    def _proof(self, row: object) -> bytes:
        return blake3(msgpack.encode(row), key=self._key).digest(8)

    def _proved(self, item: _Row, proof: bytes) -> _Row:
        if proof != self._proof(item):
            raise CacheDamagedError
        return item


_OBJECT: Final = "name, size, scanned, ordinal, last_seq, closed, proof"
_Row = TypeVar("_Row", IndexedObject, IndexedRecord)
