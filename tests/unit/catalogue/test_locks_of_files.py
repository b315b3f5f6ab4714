"""A file of SQLite that is opened twice by one process keeps its locks: what others close takes nothing away from it."""

from __future__ import annotations

import sqlite3
import subprocess
import sys

from sqlalchemy import text

from lastro.catalogue.database import open_file

LOOKS = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); print(c.execute('SELECT count(*) FROM t').fetchone()[0]); c.close()"


def test_what_another_process_closes_takes_nothing_away(tmp_path):
    path = str(tmp_path / "some.db")

    def seen_elsewhere():
        return int(
            subprocess.run([sys.executable, "-c", LOOKS, path], capture_output=True, check=True).stdout
        )

    first = open_file(path)
    with first.begin() as connection:
        connection.execute(text("CREATE TABLE t (n INTEGER)"))
    open_file(path).dispose()
    for number in range(3):
        with first.begin() as connection:
            connection.execute(text(f"INSERT INTO t VALUES ({number})"))
        assert seen_elsewhere() == number + 1
    first.dispose()
    found = sqlite3.connect(path)
    assert found.execute("SELECT count(*) FROM t").fetchone() == (3,)
    found.close()
