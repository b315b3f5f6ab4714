"""The history database: a projection of the repository's log, with the log's ``seq`` as cursor.

It pulls: ``refresh`` folds the records it has not seen, each in one transaction with the cursor, so any number of processes may do it at
once and a crash only means folding again. Deleting the file loses nothing. ``versions`` is filled from the change set of each snapshot,
so ten thousand versions of one path list in milliseconds. What a run made in its own view (target kind ``run``) never was there live: it
is a snapshot that can be asked for by number, and a version of nothing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import msgspec
from typing_extensions import override

from lastro.domain.changes import ChangeKind
from lastro.domain.paths import to_bytes
from lastro.domain.record import ApplyBody, RecordKind, ServerBody, decode_body
from lastro.domain.snapshot import SnapshotBody
from lastro.domain.target import TargetKind
from lastro.errors import DamagedError, NotFoundError
from lastro.store.log_projection import LogProjection
from lastro.store.repository import Repository, StoredRecord
from lastro.store.tree import TreeEntry, decode_tree_entry, diff

_SCHEMA_VERSION: Final = 2

_SCHEMA: Final = """
CREATE TABLE record (seq INTEGER PRIMARY KEY, time_ns INTEGER NOT NULL);
CREATE TABLE server (id TEXT PRIMARY KEY, name TEXT NOT NULL, device TEXT NOT NULL, address TEXT NOT NULL, certificate BLOB NOT NULL,
                     seq INTEGER NOT NULL);
CREATE TABLE target (id INTEGER PRIMARY KEY, server TEXT NOT NULL, kind TEXT NOT NULL, path BLOB NOT NULL, UNIQUE (server, kind, path));
CREATE TABLE snapshot (number INTEGER PRIMARY KEY, seq INTEGER NOT NULL UNIQUE, target INTEGER NOT NULL, time_ns INTEGER NOT NULL,
                       reason TEXT NOT NULL, warnings INTEGER NOT NULL, body BLOB NOT NULL,
                       added INTEGER NOT NULL, changed INTEGER NOT NULL, removed INTEGER NOT NULL);
CREATE INDEX snapshot_of_target ON snapshot (target, seq);
CREATE TABLE path (id INTEGER PRIMARY KEY, target INTEGER NOT NULL, path BLOB NOT NULL, name BLOB NOT NULL, UNIQUE (target, path));
CREATE INDEX path_name ON path (name);
CREATE TABLE version (path INTEGER NOT NULL, seq INTEGER NOT NULL, operation TEXT NOT NULL, type TEXT NOT NULL, size INTEGER NOT NULL,
                      digest BLOB, torn INTEGER NOT NULL, PRIMARY KEY (path, seq)) WITHOUT ROWID;
CREATE INDEX version_seq ON version (seq);
CREATE TABLE apply (number INTEGER PRIMARY KEY, seq INTEGER NOT NULL UNIQUE, server TEXT NOT NULL, time_ns INTEGER NOT NULL,
                    actor TEXT NOT NULL, body BLOB NOT NULL);
"""


class Projection(LogProjection):
    """The database behind ``Timeline``. Safe to use from several threads."""

    def __init__(self, repository: Repository, path: str | None) -> None:
        """``path`` of the SQLite file; ``None``: in memory. A foreign or damaged file is made anew."""
        super().__init__(repository, path, schema=_SCHEMA, version=_SCHEMA_VERSION)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """The database, for queries. One thread at a time."""
        with self._lock:
            yield self._database

    @override
    def _enter(self, stored: StoredRecord) -> None:
        self._database.execute("INSERT INTO record VALUES (?, ?)", (stored.seq, stored.record.time_ns))
        self._fold_body(stored)

    def _fold_body(self, stored: StoredRecord) -> None:
        match stored.record.kind:
            case RecordKind.SNAPSHOT:
                self._fold_snapshot(stored)
            case RecordKind.APPLY:
                self._fold_apply(stored)
            case RecordKind.SERVER:
                body = decode_body(stored.record, ServerBody)
                self._database.execute(
                    "INSERT OR REPLACE INTO server VALUES (?, ?, ?, ?, ?, ?)",
                    (
                        stored.record.server,
                        body.name,
                        body.device,
                        body.address,
                        body.certificate,
                        stored.seq,
                    ),
                )
            case _:  # kinds of a later version, and those that history does not show
                pass

    def _fold_snapshot(self, stored: StoredRecord) -> None:
        record, database = stored.record, self._database
        assert record.target is not None
        body = decode_body(record, SnapshotBody)
        target = self._target(record.server, record.target.kind, record.target.path)
        counts = 0, 0, 0
        if record.target.kind != TargetKind.RUN:
            before = database.execute(
                "SELECT body FROM snapshot WHERE target = ? ORDER BY seq DESC LIMIT 1", (target,)
            ).fetchone()
            old_root = (
                decode_tree_entry(msgspec.msgpack.decode(before[0], type=SnapshotBody).root)
                if before
                else None
            )
            counts = self._fold_readable_versions(stored.seq, target, old_root, decode_tree_entry(body.root))
        database.execute(
            "INSERT OR REPLACE INTO snapshot VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                record.number,
                stored.seq,
                target,
                record.time_ns,
                body.reason,
                len(body.warnings),
                bytes(record.body),
                *counts,
            ),
        )

    def _fold_readable_versions(
        self, seq: int, target: int, old: TreeEntry | None, new: TreeEntry
    ) -> tuple[int, int, int]:
        """``_fold_versions``, in spite of damage, so that history goes on behind it; ``check`` says what is damaged.

        Where the tree before cannot be read, everything in the new one counts as added; where the new one cannot, nothing is known.
        """
        for before in (old, None):
            try:
                return self._fold_versions(seq, target, before, new)
            except (DamagedError, NotFoundError):
                self._database.execute("DELETE FROM version WHERE seq = ?", (seq,))
        return 0, 0, 0

    def _fold_versions(
        self, seq: int, target: int, old: TreeEntry | None, new: TreeEntry
    ) -> tuple[int, int, int]:
        counts = dict.fromkeys(ChangeKind, 0)
        for change in diff(self._repository, old, new):
            counts[change.kind] += 1
            entry = change.after or change.before
            assert entry is not None
            self._database.execute(
                "INSERT OR REPLACE INTO version VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    self._path(target, to_bytes(change.path)),
                    seq,
                    change.kind.value,
                    entry.type.value,
                    entry.size,
                    entry.digest,
                    int(entry.torn),
                ),
            )
        return counts[ChangeKind.ADDED], counts[ChangeKind.CHANGED], counts[ChangeKind.REMOVED]

    def _fold_apply(self, stored: StoredRecord) -> None:
        self._database.execute(
            "INSERT OR REPLACE INTO apply VALUES (?, ?, ?, ?, ?, ?)",
            (
                stored.record.number,
                stored.seq,
                stored.record.server,
                stored.record.time_ns,
                stored.record.actor.name or stored.record.actor.kind,
                bytes(stored.record.body),
            ),
        )

    def _target(self, server: str, kind: str, path: bytes) -> int:
        self._database.execute(
            "INSERT OR IGNORE INTO target (server, kind, path) VALUES (?, ?, ?)", (server, kind, path)
        )
        row = self._database.execute(
            "SELECT id FROM target WHERE server = ? AND kind = ? AND path = ?", (server, kind, path)
        ).fetchone()
        return int(row[0])

    def _path(self, target: int, path: bytes) -> int:
        row = self._database.execute(
            "SELECT id FROM path WHERE target = ? AND path = ?", (target, path)
        ).fetchone()
        if row is None:
            name = path.rpartition(b"/")[2]
            row = self._database.execute(
                "INSERT INTO path (target, path, name) VALUES (?, ?, ?) RETURNING id", (target, path, name)
            ).fetchone()
        return int(row[0])


def decode_apply(body: bytes) -> ApplyBody:
    """The body of an apply record as the projection keeps it."""
    return msgspec.msgpack.decode(body, type=ApplyBody)
