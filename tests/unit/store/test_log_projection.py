"""A projection is the log, folded: each record once, in order, whole or not at all."""

from __future__ import annotations

import pytest

from lastro.store.log_projection import BATCH, LogProjection
from tests.store_kit import Kit, commit

SCHEMA = "CREATE TABLE entered (at INTEGER PRIMARY KEY AUTOINCREMENT, seq INTEGER NOT NULL);"


class Entered(LogProjection):
    """Remembers which records were entered; stumbles over the one it is told to."""

    def __init__(self, repository, path, *, version=1):
        super().__init__(repository, path, schema=SCHEMA, version=version)
        self.stumbles_at = None

    def _enter(self, stored):
        self._database.execute("INSERT INTO entered (seq) VALUES (?)", (stored.seq,))
        if stored.seq == self.stumbles_at:
            raise OSError

    def told(self):
        return [seq for (seq,) in self._database.execute("SELECT seq FROM entered ORDER BY at")]


@pytest.fixture
def repository():
    with Kit().create() as made:
        commit(made, drafts=3)
        yield made


def seqs(repository):
    return [stored.seq for stored in repository.records()]


def test_each_record_once_and_in_order(repository, tmp_path):
    path = f"{tmp_path}/cache/entered.sqlite"
    first, second = Entered(repository, path), Entered(repository, path)  # two processes with the same file
    assert first.refresh() == seqs(repository)[-1]
    commit(repository, drafts=2)
    assert second.refresh() == first.refresh() == seqs(repository)[-1]
    first.close()
    second.close()
    again = Entered(repository, path)
    again.refresh()
    assert again.told() == seqs(repository)
    again.close()


def test_what_fails_leaves_nothing_and_is_folded_later(repository):
    made = Entered(repository, None)
    made.stumbles_at = seqs(repository)[1]
    with pytest.raises(OSError):  # noqa: PT011  the one that was raised above
        made.refresh()
    assert made.told() == seqs(repository)[:1]
    made.stumbles_at = None
    made.refresh()
    assert made.told() == seqs(repository)
    made.close()


def test_many_records_take_few_transactions(repository):
    made, said = Entered(repository, None), []
    commit(repository, drafts=3 * BATCH)
    made._database.set_trace_callback(said.append)  # noqa: SLF001  what it asks of the database
    made.refresh()
    made._database.set_trace_callback(None)  # noqa: SLF001  as above
    assert made.told() == seqs(repository)
    assert 3 <= said.count("COMMIT") <= 5


def test_where_one_of_many_fails_those_before_it_are_in(repository):
    made = Entered(repository, None)
    commit(repository, drafts=20)
    made.stumbles_at = seqs(repository)[-5]
    with pytest.raises(OSError):  # noqa: PT011  the one that was raised above
        made.refresh()
    assert made.told() == seqs(repository)[:-5]
    made.stumbles_at = None
    made.refresh()
    assert made.told() == seqs(repository)
    made.close()


def test_another_version_begins_anew(repository, tmp_path):
    path = f"{tmp_path}/entered.sqlite"
    old = Entered(repository, path)
    old.refresh()
    old.close()
    new = Entered(repository, path, version=2)
    assert new.told() == []
    new.refresh()
    assert new.told() == seqs(repository)
    new.close()
