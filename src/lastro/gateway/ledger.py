"""The ledger: who asked what, who answered, at what cost; a projection of the gateway's log, with the log's ``seq`` as cursor.

It pulls, as the history database does: ``refresh`` folds the records it has not seen, some at a time in one transaction with the cursor,
so any number of processes may do it at once, a crash only means folding again, and deleting the file loses nothing. Words have a cursor of
their own: reading them costs more than all the rest, so the gateway indexes them when nobody is waiting (``index_words``), and whoever
searches first catches up. What always holds: a ledger that was folded in steps equals one that was folded anew; unknown money is NULL and
never counts as 0. Asking it may wait while one batch is written.

The file holds words of conversations in the clear (secrets were taken out before they were recorded), for its owner alone (0600).
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from typing import Any, Final, NamedTuple

import msgspec

from lastro.domain.record import RecordKind
from lastro.errors import DamagedError, NotFoundError
from lastro.gateway.exchange import Exchange, ExchangeOutcome
from lastro.gateway.exchange_records import RecordedExchange, read_bodies, read_exchange
from lastro.gateway.search_text import search_text
from lastro.gateway.settings import Scope
from lastro.messages import N_
from lastro.store.cache_database import open_cache_database
from lastro.store.repository import Repository, StoredRecord

_SCHEMA_VERSION: Final = 2

_SCHEMA: Final = """
CREATE TABLE exchange (seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, time_ns INTEGER NOT NULL, dialect TEXT NOT NULL,
                       asked_model TEXT NOT NULL, stream INTEGER NOT NULL, route TEXT NOT NULL, kind TEXT NOT NULL,
                       key TEXT NOT NULL, key_name TEXT NOT NULL, role TEXT NOT NULL, run TEXT NOT NULL, step INTEGER NOT NULL,
                       outcome TEXT NOT NULL, provider TEXT NOT NULL, model TEXT NOT NULL, degraded INTEGER NOT NULL,
                       duration_ns INTEGER NOT NULL, first_byte_ns INTEGER, attempts INTEGER NOT NULL,
                       input INTEGER, output INTEGER, cache_read INTEGER, cache_write INTEGER, reasoning INTEGER,
                       estimated INTEGER NOT NULL, spent_tokens INTEGER NOT NULL, cost INTEGER, bodies INTEGER NOT NULL,
                       exchange BLOB NOT NULL);
CREATE INDEX exchange_time ON exchange (time_ns);
CREATE INDEX exchange_key ON exchange (key, time_ns);
CREATE INDEX exchange_run ON exchange (run, time_ns);
CREATE TABLE attempt (seq INTEGER NOT NULL, position INTEGER NOT NULL, provider TEXT NOT NULL, model TEXT NOT NULL, outcome TEXT NOT NULL,
                      status INTEGER NOT NULL, first_byte_ns INTEGER, duration_ns INTEGER NOT NULL, cost INTEGER,
                      PRIMARY KEY (seq, position)) WITHOUT ROWID;
CREATE TABLE indexed (seq INTEGER NOT NULL);
INSERT INTO indexed VALUES (-1);
"""
_WORDS: Final = {
    True: 'CREATE VIRTUAL TABLE words USING fts5 (text, tokenize = "unicode61 remove_diacritics 2");',
    False: "CREATE TABLE words (rowid INTEGER PRIMARY KEY, text TEXT NOT NULL);",
}
_COLUMNS: Final = 30
_BATCH: Final = 64
_CACHE_KIB: Final = 512
"""Pages that SQLite keeps in this process; the system's own cache holds the file anyway."""
_SCOPES: Final = {Scope.ALL: None, Scope.KEY: "key", Scope.ROLE: "role", Scope.RUN: "run"}
_SPENT: Final = (
    "SELECT coalesce(sum(cost), 0), coalesce(sum(spent_tokens), 0), count(*) FROM exchange WHERE time_ns >= ?"
)
_DECODER: Final = msgspec.msgpack.Decoder(Exchange)


class Spent(NamedTuple):
    """What was spent: money in millionths of a dollar (the known part), tokens, and how many exchanges."""

    cost: int
    tokens: int
    requests: int


def has_full_text() -> bool:
    """Whether this Python's SQLite has FTS5; without it words are looked for one by one, which is slower."""
    with sqlite3.connect(":memory:") as database:
        options = {row[0] for row in database.execute("PRAGMA compile_options")}
    database.close()
    return "ENABLE_FTS5" in options


class Ledger:
    """The database behind usage, search and budgets. Safe to use from several threads.

    ``path`` of the SQLite file; ``None``: in memory. A foreign or damaged file is made anew. ``full_text``: whether words are indexed by
    FTS5; by default if this SQLite has it.
    """

    def __init__(self, repository: Repository, path: str | None, *, full_text: bool | None = None) -> None:
        self._repository = repository
        self._path = path
        self._lock = threading.RLock()
        self.full_text = has_full_text() if full_text is None else full_text
        self._database = self._open()

    def _open(self) -> sqlite3.Connection:
        database = open_cache_database(
            self._path,
            schema=_SCHEMA + _WORDS[self.full_text],
            version=2 * _SCHEMA_VERSION + self.full_text,
            repository=self._repository.id,
        )
        database.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        if self._path is not None:
            _make_private(self._path)
        return database

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._database.close()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """The database, for queries that see one state. One thread at a time."""
        with self._lock:
            self._database.execute("BEGIN")
            try:
                yield self._database
            finally:
                self._database.execute("ROLLBACK")

    def refresh(self, *, words: bool = True) -> int:
        """Fold every record that is not in yet; the newest ``seq``, -1 for an empty log. Without ``words``, what search needs is left for
        later.
        """
        try:
            return self._fold_new(words=words)
        except sqlite3.DatabaseError as error:
            if type(error) is not sqlite3.DatabaseError:  # locked, or no room: it will pass
                raise
        self._make_anew()  # a page of it is damaged; all of it can be folded again
        return self._fold_new(words=words)

    def index_words(self, most: int = _BATCH) -> bool:
        """Index the words of at most so many records that are in already; whether there are more."""
        with self._lock:
            done, folded = self._indexed(), self._cursor()
        if done >= folded:
            return False
        batch = list(islice(self._repository.records(after=done, past_damage=True), most))
        texts = [
            (stored.seq, self._words_of(stored))
            for stored in batch
            if stored.seq <= folded and stored.record.kind == RecordKind.EXCHANGE
        ]
        reached = min(batch[-1].seq, folded) if batch else folded
        with self._writing() as database:
            done = self._indexed()
            new = [(seq, text) for seq, text in texts if seq > done and text is not None]
            database.executemany("INSERT INTO words (rowid, text) VALUES (?, ?)", new)
            database.execute("UPDATE indexed SET seq = max(seq, ?)", (reached,))
        return reached < folded

    def _fold_new(self, *, words: bool) -> int:
        with self._lock:
            seq = self._cursor()
        if self._repository.head()[0] > seq:
            coming = self._repository.records(after=seq, past_damage=True)
            while batch := list(islice(coming, _BATCH)):
                seq = self._fold(batch)
        while words and self.index_words():
            pass
        return seq

    def _make_anew(self) -> None:
        with self._lock:
            self._database.close()
            for ending in ("", "-wal", "-shm"):
                with suppress(FileNotFoundError):
                    os.unlink(f"{self._path}{ending}")
            self._database = self._open()

    def knows(self, exchange: str) -> bool:
        """Whether the exchange with this id is in, as of the last ``refresh``."""
        with self._lock:
            found = self._database.execute("SELECT 1 FROM exchange WHERE id = ?", (exchange,)).fetchone()
        return found is not None

    def spent(self, scope: Scope, name: str, since_ns: int = 0) -> Spent:
        """What was spent since ``since_ns`` (UTC), as of the last ``refresh``, by a key (its id), a role or a run; ``ALL`` takes no name.

        Exchanges that were interrupted count with what was reserved for them. Money whose amount nobody knows is left out.
        """
        column = _SCOPES[scope]
        condition, values = ("", []) if column is None else (f" AND {column} = ?", [name])
        with self._lock:
            row = self._database.execute(_SPENT + condition, [since_ns, *values]).fetchone()
        return Spent(*row)

    def find(self, exchange: str) -> RecordedExchange:
        """The exchange with this id, or whose id begins so, if it is the only one; as its record holds it.

        Raises:
            NotFoundError: there is none, or more than one.
            DamagedError: its record is not what was written.
        """
        with self._lock:
            rows = self._database.execute(
                "SELECT seq FROM exchange WHERE id >= ? AND id < ? LIMIT 2",
                (exchange, exchange + "\U0010ffff"),
            ).fetchall()
        if len(rows) != 1 or not exchange:
            raise NotFoundError(
                N_("Several exchanges begin with {exchange}.")
                if rows
                else N_("No exchange {exchange} was recorded."),
                hint=N_("'lastro gateway exchanges search' lists exchanges with their ids."),
                exchange=exchange,
            )
        return read_exchange(next(self._repository.records(after=rows[0][0] - 1)))

    def _cursor(self) -> int:
        return int(self._database.execute("SELECT seq FROM cursor").fetchone()[0])

    def _indexed(self) -> int:
        return int(self._database.execute("SELECT seq FROM indexed").fetchone()[0])

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield self._database
                self._database.execute("COMMIT")
            except BaseException:
                self._database.execute("ROLLBACK")
                raise

    def _fold(self, batch: list[StoredRecord]) -> int:
        found = [_readable(stored) for stored in batch if stored.record.kind == RecordKind.EXCHANGE]
        with self._writing() as database:
            cursor = self._cursor()
            for recorded in found:
                if recorded is not None and recorded.seq > cursor:
                    self._insert(recorded)
            database.execute("UPDATE cursor SET seq = max(seq, ?)", (batch[-1].seq,))
        return batch[-1].seq

    def _words_of(self, stored: StoredRecord) -> str | None:
        """The words of an exchange; ``None`` where its record cannot be read."""
        recorded = _readable(stored)
        if recorded is None:
            return None
        try:
            bodies = read_bodies(self._repository, recorded)
        except (DamagedError, NotFoundError):
            bodies = None
        return search_text(recorded.exchange, bodies)

    def _insert(self, recorded: RecordedExchange) -> None:
        database, ended = self._database, recorded.ended
        database.execute(
            f"INSERT OR IGNORE INTO exchange VALUES ({', '.join('?' * _COLUMNS)})",  # noqa: S608  only question marks
            _columns(recorded),
        )
        database.executemany(
            "INSERT OR IGNORE INTO attempt VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    recorded.seq,
                    position,
                    attempt.provider,
                    attempt.model,
                    attempt.outcome.value,
                    attempt.status,
                    attempt.first_byte_ns,
                    attempt.duration_ns,
                    attempt.cost,
                )
                for position, attempt in enumerate(ended.attempts)
            ],
        )


def _readable(stored: StoredRecord) -> RecordedExchange | None:
    """An exchange; ``None`` for a record that cannot be read: the ledger goes on behind it, ``check`` says more."""
    try:
        return read_exchange(stored)
    except DamagedError:
        return None


def _columns(recorded: RecordedExchange) -> tuple[Any, ...]:
    began, ended, used = recorded.began, recorded.ended, recorded.ended.used
    interrupted = ended.outcome is ExchangeOutcome.INTERRUPTED
    return (
        recorded.seq,
        began.id,
        began.time_ns,
        began.dialect.value,
        began.asked_model,
        began.stream,
        began.route,
        began.kind,
        began.key,
        began.key_name,
        began.role,
        began.run,
        began.step,
        ended.outcome.value,
        ended.provider,
        ended.model,
        ended.degraded,
        ended.duration_ns,
        ended.first_byte_ns,
        len(ended.attempts),
        used.input,
        used.output,
        used.cache_read,
        used.cache_write,
        used.reasoning,
        ended.used_estimated,
        began.reserved_tokens if interrupted else (used.input or 0) + (used.output or 0),
        ended.cost,
        bool(recorded.files),
        msgspec.msgpack.encode(recorded.exchange),
    )


def decode_exchange(raw: bytes) -> Exchange:
    """The column ``exchange``."""
    return _DECODER.decode(raw)


def _make_private(path: str) -> None:
    """See to it that the file is its owner's alone; companions that SQLite makes later take after it."""
    for ending in ("", "-wal", "-shm"):
        with suppress(FileNotFoundError):
            os.chmod(path + ending, 0o600)
