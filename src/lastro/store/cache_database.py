"""SQLite files that are caches of one repository: thrown away and made anew when they are damaged, foreign or of another version.

On a full disk a cache is in memory, so that what is in a repository can still be read: SQLite could not write its log, and where blocks
are smaller than pages the memory that it shares with a file would have no room behind it, which ends the process (SIGBUS).
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from typing import Final

_ROOM: Final = 1024 * 1024
"""Bytes: more than SQLite needs in order to open a database."""


def open_cache_database(
    path: str | None, *, schema: str, version: int, repository: str
) -> sqlite3.Connection:
    """Open (or make) the cache at ``path``; ``None``: in memory.

    ``schema`` is its DDL; ``version`` its number, bumped whenever the schema or what it means changes. A table ``cursor`` with the columns
    ``(only_row, repository, seq)`` is added, its one row starting at ``seq`` -1. Autocommit; usable from any thread, one at a time.
    """
    if path is not None and not _has_room(os.path.dirname(path)):
        path = None
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


def _has_room(directory: str) -> bool:
    try:
        status = os.statvfs(directory)
    except FileNotFoundError:  # it is made, or refused, when it is needed
        return True
    return status.f_bavail * status.f_frsize >= _ROOM


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
