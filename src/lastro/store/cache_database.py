"""SQLite files that are caches of one repository: thrown away and made anew when they are damaged, foreign or of another version."""

from __future__ import annotations

import contextlib
import os
import sqlite3


def open_cache_database(
    path: str | None, *, schema: str, version: int, repository: str
) -> sqlite3.Connection:
    """Open (or make) the cache at ``path``; ``None``: in memory.

    ``schema`` is its DDL; ``version`` its number, bumped whenever the schema or what it means changes. A table ``cursor`` with the columns
    ``(only_row, repository, seq)`` is added, its one row starting at ``seq`` -1. Autocommit; usable from any thread, one at a time.
    """
    database = _connect(path)
    try:
        if _is_current(database, version, repository):
            return database
    except sqlite3.DatabaseError:
        pass  # damaged: it holds nothing that cannot be folded again
    database.close()
    if path is not None:
        for suffix in ("", "-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path + suffix)
    database = _connect(path)
    database.executescript(f"BEGIN; {_CURSOR} {schema} PRAGMA user_version = {version}; COMMIT;")
    database.execute("INSERT INTO cursor VALUES (1, ?, -1)", (repository,))
    return database


_CURSOR = "CREATE TABLE cursor (only_row INTEGER PRIMARY KEY CHECK (only_row = 1), repository TEXT NOT NULL, seq INTEGER NOT NULL);"


def _connect(path: str | None) -> sqlite3.Connection:
    if path is not None:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    database = sqlite3.connect(path or ":memory:", timeout=30, isolation_level=None, check_same_thread=False)
    with contextlib.suppress(sqlite3.DatabaseError):  # a damaged file is found by the first query
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
    return database


def _is_current(database: sqlite3.Connection, version: int, repository: str) -> bool:
    if database.execute("PRAGMA user_version").fetchone()[0] != version:
        return False
    row = database.execute("SELECT repository FROM cursor").fetchone()
    return row is not None and row[0] == repository
