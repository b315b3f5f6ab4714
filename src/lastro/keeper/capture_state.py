"""What the keeper remembers between captures: each target's newest root, and the stat cache. A database that can be deleted at any time.

Without it the next capture of each target reads every file again; nothing is lost. A stat row only says that content which the newest root
already holds still stands for the file as it was listed (``docs/protocol.md``, Staleness).
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec
from msgspec import Struct

from lastro.domain.entry import StatKey
from lastro.domain.ids import ServerId
from lastro.domain.paths import from_bytes, to_bytes
from lastro.domain.record import RecordKind
from lastro.domain.snapshot import SnapshotBody
from lastro.domain.target import Target, TargetKind
from lastro.store.cache_database import open_cache_database
from lastro.store.repository import Repository

_SCHEMA_VERSION: Final = 1
_SCHEMA: Final = """
CREATE TABLE target (id INTEGER PRIMARY KEY, server TEXT NOT NULL, kind TEXT NOT NULL, path BLOB NOT NULL, seq INTEGER NOT NULL,
                     body BLOB NOT NULL, checked_ns INTEGER NOT NULL DEFAULT 0, UNIQUE (server, kind, path));
CREATE TABLE stat (target INTEGER NOT NULL, key BLOB NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, ctime_ns INTEGER NOT NULL,
                   inode INTEGER NOT NULL, dev INTEGER NOT NULL, nlink INTEGER NOT NULL, PRIMARY KEY (target, key)) WITHOUT ROWID;
"""


class Head(Struct, frozen=True, kw_only=True):
    """A target's newest snapshot: its record's ``seq``, its body, and when the keeper last listed all of it (keeper's clock)."""

    seq: int
    body: SnapshotBody
    checked_ns: int


class StatRow(Struct, frozen=True, kw_only=True):
    """What a path's file looked like when the content in the newest root was read from it."""

    path: str
    key: StatKey
    nlink: int


class CaptureState:
    """Heads and stat cache. Safe to use from several threads."""

    def __init__(self, repository: Repository, path: str | None) -> None:
        self._repository = repository
        self._lock = threading.RLock()
        self._database = open_cache_database(
            path, schema=_SCHEMA, version=_SCHEMA_VERSION, repository=repository.id
        )

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._database.close()

    def head(self, target: Target) -> Head | None:
        """The newest snapshot of ``target``, whoever took it."""
        with self._lock:
            self._refresh()
            row = self._database.execute(
                "SELECT seq, body, checked_ns FROM target WHERE server = ? AND kind = ? AND path = ?",
                _columns(target),
            ).fetchone()
        return (
            Head(seq=row[0], body=msgspec.msgpack.decode(row[1], type=SnapshotBody), checked_ns=row[2])
            if row
            else None
        )

    def targets(self) -> list[Target]:
        """Every target that has a snapshot."""
        with self._lock:
            self._refresh()
            rows = self._database.execute(
                "SELECT server, kind, path FROM target ORDER BY server, path"
            ).fetchall()
        return [Target(ServerId(row[0]), TargetKind(row[1]), from_bytes(row[2])) for row in rows]

    def checked(self, target: Target, now_ns: int) -> None:
        """All of ``target`` was listed just now, by the keeper's clock."""
        with self._lock:
            self._database.execute(
                "UPDATE target SET checked_ns = ? WHERE server = ? AND kind = ? AND path = ?",
                (now_ns, *_columns(target)),
            )

    def stat_rows(self, target: Target) -> Iterator[StatRow]:
        """Every stat row of ``target``, in tree order, in bounded memory."""
        low = b""
        while True:
            with self._lock:
                rows = self._database.execute(
                    "SELECT key, size, mtime_ns, ctime_ns, inode, dev, nlink FROM stat"
                    " WHERE target = ? AND key > ? ORDER BY key LIMIT 2000",
                    (self._target_id(target), low),
                ).fetchall()
            yield from (_stat_row(row) for row in rows)
            if len(rows) < 2000:
                return
            low = rows[-1][0]

    def stat_row(self, target: Target, path: str) -> StatRow | None:
        """The stat row of one path."""
        with self._lock:
            row = self._database.execute(
                "SELECT key, size, mtime_ns, ctime_ns, inode, dev, nlink FROM stat WHERE target = ? AND key = ?",
                (self._target_id(target), _key(path)),
            ).fetchone()
        return _stat_row(row) if row else None

    def update(
        self, target: Target, rows: Iterable[StatRow], *, gone: Iterable[str] = (), all_of_it: bool = False
    ) -> None:
        """Keep these rows; forget ``gone`` and everything below it, or with ``all_of_it`` every other row of the target."""
        with self._lock:
            database, identity = self._database, self._target_id(target)
            database.execute("BEGIN IMMEDIATE")
            try:
                if all_of_it:
                    database.execute("DELETE FROM stat WHERE target = ?", (identity,))
                for path in gone:
                    key = _key(path)
                    database.execute(
                        "DELETE FROM stat WHERE target = ? AND (key = ? OR (key >= ? AND key < ?))",
                        (identity, key, key + b"\0", key + b"\1"),
                    )
                database.executemany(
                    "INSERT OR REPLACE INTO stat VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        (
                            identity,
                            _key(row.path),
                            row.key.size,
                            row.key.mtime_ns,
                            row.key.ctime_ns,
                            _signed(row.key.inode),
                            _signed(row.key.dev),
                            row.nlink,
                        )
                        for row in rows
                    ),
                )
                database.execute("COMMIT")
            except BaseException:
                if database.in_transaction:  # a full disk has ended it already
                    database.execute("ROLLBACK")
                raise

    def _refresh(self) -> None:
        cursor = int(self._database.execute("SELECT seq FROM cursor").fetchone()[0])
        if self._repository.head()[0] <= cursor:
            return
        for stored in self._repository.records(after=cursor, past_damage=True):
            record = stored.record
            if (
                record.kind == RecordKind.SNAPSHOT
                and record.target is not None
                and record.target.kind != TargetKind.RUN  # never was there live, so it is nobody's head
            ):
                self._database.execute(
                    "INSERT INTO target (server, kind, path, seq, body) VALUES (?, ?, ?, ?, ?)"
                    " ON CONFLICT (server, kind, path) DO UPDATE SET seq = excluded.seq, body = excluded.body WHERE excluded.seq > seq",
                    (record.server, record.target.kind, record.target.path, stored.seq, bytes(record.body)),
                )
            self._database.execute("UPDATE cursor SET seq = ?", (stored.seq,))

    def _target_id(self, target: Target) -> int:
        self._refresh()
        row = self._database.execute(
            "SELECT id FROM target WHERE server = ? AND kind = ? AND path = ?", _columns(target)
        ).fetchone()
        return -1 if row is None else int(row[0])


def _columns(target: Target) -> tuple[str, str, bytes]:
    return target.server, target.kind.value, to_bytes(target.path)


def _key(path: str) -> bytes:
    """A path as a key whose byte order is tree order: no name holds NUL, which sorts before every other byte."""
    return b"\0" + to_bytes(path).replace(b"/", b"\0")


def _stat_row(row: tuple[bytes, int, int, int, int, int, int]) -> StatRow:
    key, size, mtime_ns, ctime_ns, inode, dev, nlink = row
    return StatRow(
        path=from_bytes(key[1:].replace(b"\0", b"/")),
        key=StatKey(size, mtime_ns, ctime_ns, _unsigned(inode), _unsigned(dev)),
        nlink=nlink,
    )


def _signed(number: int) -> int:
    """SQLite holds 64 signed bits; inode numbers may need 64 unsigned ones."""
    return number - 2**64 if number >= 2**63 else number


def _unsigned(number: int) -> int:
    return number % 2**64
