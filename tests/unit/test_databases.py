"""Files of SQLite: which are begun anew, and which are left alone because they only cannot be used now."""

from __future__ import annotations

import os
import sqlite3

import pytest
from sqlalchemy import select

from lastro.accounts.accounts import opened_accounts
from lastro.accounts.database import SESSIONS, open_accounts_file
from lastro.app.failure import unexpected
from lastro.app.notifying.outbox import METADATA as NOTICES
from lastro.app.notifying.outbox import Outbox
from lastro.catalogue import database
from lastro.catalogue.database import FOREIGN_SUFFIX, open_file
from lastro.errors import FormatError, StorageFullError, UnreachableError


def fill(engine, path):
    """Let the database have no room for more."""
    with engine.begin() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
    assert os.path.exists(path)


def test_one_that_another_process_keeps_to_itself_is_not_moved_aside(tmp_path, monkeypatch):
    monkeypatch.setattr(database, "PATIENCE_S", 0.05)
    path = str(tmp_path / "one.db")
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("CREATE TABLE t (x INTEGER)")
    holder.execute("PRAGMA locking_mode = EXCLUSIVE")
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(UnreachableError) as caught:
        open_file(path, set_aside=pytest.fail)
    assert path in str(caught.value) and caught.value.hint
    holder.close()
    assert os.listdir(tmp_path) == ["one.db"]


def test_one_that_cannot_be_made_says_why(tmp_path):
    with pytest.raises(UnreachableError, match="No such file"):
        open_file(str(tmp_path / "no" / "one.db"))


def test_without_room_accounts_say_what_to_do_and_nothing_is_lost(tmp_path):
    path = str(tmp_path / "accounts.db")
    accounts = open_accounts_file(path, set_aside=pytest.fail)
    fill(accounts._engine, path)  # noqa: SLF001  there is no other way to a disk that is full
    with pytest.raises(UnreachableError, match="full"), accounts.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE more AS SELECT randomblob(1000000) AS x")
    with accounts.begin() as connection:
        assert connection.execute(select(SESSIONS)).all() == []
    accounts.close()


def test_accounts_whose_file_was_removed_meanwhile_say_so(tmp_path):
    path = str(tmp_path / "accounts.db")
    accounts = open_accounts_file(path)
    accounts._engine.dispose()  # noqa: SLF001  the next connection is to what lies there now
    for name in os.listdir(tmp_path):
        os.unlink(tmp_path / name)
    with pytest.raises(UnreachableError, match="no such table"), accounts.begin() as connection:
        connection.execute(select(SESSIONS))
    accounts.close()


def test_accounts_of_another_version_are_neither_used_nor_moved(tmp_path):
    path = str(tmp_path / "accounts.db")
    with opened_accounts(path) as accounts:
        accounts.first_run.done("x", 1)
    theirs = sqlite3.connect(path)
    theirs.execute("ALTER TABLE sessions ADD COLUMN novel TEXT")
    theirs.commit()
    theirs.close()
    with pytest.raises(FormatError) as caught, opened_accounts(path, set_aside=pytest.fail):
        pass
    assert path in str(caught.value) and caught.value.hint
    assert sqlite3.connect(path).execute("SELECT step FROM first_run").fetchall() == [("x",)]


def test_notices_of_another_version_are_moved_aside_whole(tmp_path):
    path, moved = str(tmp_path / "notices.db"), []
    Outbox(open_file(path, tables=NOTICES)).close()
    Outbox(open_file(path, tables=NOTICES, set_aside=pytest.fail)).close()
    theirs = sqlite3.connect(path)
    theirs.execute("ALTER TABLE notices ADD COLUMN novel TEXT")
    theirs.commit()
    theirs.close()
    outbox = Outbox(open_file(path, tables=NOTICES, set_aside=moved.append))
    outbox.put((), (), 1, seq=7)
    assert outbox.seq() == 7 and moved == [path + FOREIGN_SUFFIX]
    outbox.close()


def test_a_full_disk_is_no_defect():
    with pytest.raises(sqlite3.OperationalError) as caught:  # noqa: PT012  the table is how it is filled
        full = sqlite3.connect(":memory:")
        full.execute("PRAGMA max_page_count = 1")
        full.execute("CREATE TABLE t AS SELECT randomblob(100000)")
    for error in (caught.value, OSError(28, "No space left on device")):
        told = unexpected(error)
        assert isinstance(told, StorageFullError) and told.hint
    assert not isinstance(unexpected(ValueError("x")), StorageFullError)
