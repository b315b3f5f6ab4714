"""Databases by SQLAlchemy Core: a file of SQLite by default, any PostgreSQL by its address; the same tables, no ORM.

What always holds: a file that is no database of ours is moved aside and begun anew, and whoever opened it is told; one that only cannot
be used now (no room, another process, no right) is left where it lies; writers wait for each other instead of failing; a name of a file
that is not UTF-8 is opened as well.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from typing import Any, Final

from sqlalchemy import Engine, ExceptionContext, MetaData, create_engine, event, inspect
from sqlalchemy.pool import QueuePool

from lastro.errors import StorageFullError, UnreachableError
from lastro.messages import N_

PATIENCE_S: Final = 30.0
FOREIGN_SUFFIX: Final = ".foreign"
_LEAST_ROOM: Final = 256 * 1024
"""Bytes without which SQLite cannot work: its log and the index of that."""
_NO_DATABASE: Final = frozenset({sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT})
_NOT_NOW: Final = frozenset(
    {
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        *_NO_DATABASE,
    }
)
"""What has nothing to do with what was asked of the database."""


def open_memory() -> Engine:
    """A database in memory, for one process; all threads see the same, one after the other."""

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(":memory:", check_same_thread=False)

    engine = create_engine("sqlite://", creator=connect, poolclass=QueuePool, pool_size=1, max_overflow=0)
    _begin_explicitly(engine)
    return engine


def open_file(
    path: str, *, set_aside: Callable[[str], None] = lambda _: None, tables: MetaData | None = None
) -> Engine:
    """The SQLite file ``path`` (0600), made if it is missing. ``set_aside`` hears where an unreadable one was moved, and one in which there
    are others than ``tables``, where those are given. All of its errors that are the disk's are ``UnreachableError``,
    or ``StorageFullError``.

    Raises:
        UnreachableError: it cannot be used now.
        StorageFullError: there is no room for it.
    """
    if not _is_sound(path):
        kept = f"{path}.unreadable"
        os.replace(path, kept)
        for suffix in ("-wal", "-shm"):
            if os.path.exists(path + suffix):
                os.unlink(path + suffix)
        set_aside(kept)
    engine = _engine(path)
    if tables is None or not is_foreign(engine, tables):
        return engine
    engine.dispose()
    kept = f"{path}{FOREIGN_SUFFIX}"
    for suffix in ("", "-wal", "-shm"):  # what a writer had not brought into the file yet belongs to it
        with suppress(FileNotFoundError):
            os.replace(path + suffix, kept + suffix)
    set_aside(kept)
    return _engine(path)


def _engine(path: str) -> Engine:
    # A file that is there is never opened and closed here: closing any descriptor of it drops the locks that SQLite holds on it for this
    # process (POSIX), and whoever else closes the file would then take away the log that we still write (sqlite.org/howtocorrupt, 2.2).
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        if not os.access(path, os.R_OK | os.W_OK):
            raise cannot_be_used(path, os.strerror(errno.EACCES)) from None
    except OSError as error:
        raise cannot_be_used(path, error.strerror or str(error)) from error

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(os.fsencode(path), timeout=PATIENCE_S, check_same_thread=False)

    engine = create_engine("sqlite://", creator=connect, poolclass=QueuePool, pool_size=8, max_overflow=24)
    _begin_explicitly(engine)

    @event.listens_for(engine, "handle_error", retval=True)
    def failed(context: ExceptionContext) -> BaseException | None:
        found = context.original_exception
        is_gone = str(found).startswith("no such table")  # somebody removed the file while it was in use
        return cannot_be_used(path, str(found)) if is_gone or _kind(found) in _NOT_NOW else None

    return engine


def cannot_be_used(path: str, reason: str) -> UnreachableError | StorageFullError:
    """The file ``path`` is a database, and cannot be used now; for want of room, where there is none."""
    if _is_full(path):
        return StorageFullError(
            N_("{path} cannot be written: its disk is full."),
            hint=N_("Make room there, then try again. What is kept can be read meanwhile."),
            path=path,
        )
    return UnreachableError(
        N_("{path} cannot be used now: {reason}"),
        hint=N_("Is there room on its disk? 'lastro status' says where it lies."),
        path=path,
        reason=reason,
    )


def _is_full(path: str) -> bool:
    try:
        room = os.statvfs(os.path.dirname(path) or ".")
    except OSError:
        return False
    return room.f_bavail * room.f_frsize < _LEAST_ROOM


def is_foreign(engine: Engine, tables: MetaData) -> bool:
    """Whether there is a table that is none of ``tables``, or not as we make it."""
    found = inspect(engine)
    for name in found.get_table_names():
        ours = tables.tables.get(name)
        if ours is None or {column["name"] for column in found.get_columns(name)} != set(ours.columns.keys()):
            return True
    return False


def open_address(address: str) -> Engine:
    """The database at an address of SQLAlchemy, as ``postgresql+pg8000://lastro@db.example.org/lastro``: its driver has to be there."""
    return create_engine(address, pool_pre_ping=True)


def _is_sound(path: str) -> bool:
    """Whether the file is missing, empty, or a sound database.

    Raises:
        UnreachableError: that cannot be found out now.
    """
    if not os.path.exists(path) or not os.path.getsize(path):
        return True
    try:
        with closing(sqlite3.connect(os.fsencode(path), timeout=PATIENCE_S)) as connection:
            (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.DatabaseError as error:
        if _kind(error) in _NO_DATABASE:
            return False
        raise cannot_be_used(path, str(error)) from error
    return bool(verdict == "ok")


def _kind(error: object) -> int:
    """The primary result code of an error of SQLite; -1 for any other."""
    return getattr(error, "sqlite_errorcode", -1) & 0xFF if isinstance(error, sqlite3.Error) else -1


def _begin_explicitly(engine: Engine) -> None:
    """Transactions that mean it: the driver begins none by itself, and a writer takes its lock at once instead of half-way."""

    @event.listens_for(engine, "connect")
    def connected(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")

    @event.listens_for(engine, "begin")
    def began(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
