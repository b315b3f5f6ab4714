"""The ledger: folded in steps it equals one folded anew, sums are those of a plain list, and readers see it beside the writer."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from lastro.domain.record import RecordKind
from lastro.errors import NotFoundError
from lastro.gateway.exchange import Exchange, ExchangeOutcome
from lastro.gateway.exchange_records import draft_exchange
from lastro.gateway.ledger import Ledger, has_full_text
from lastro.gateway.settings import Scope
from lastro.store.repository import RecordDraft
from tests.exchange_kit import ACTOR, DAY, T0, Desk, any_bodies, any_exchange, begin, bodies, finish, name_of
from tests.store_kit import Kit, server_draft

TABLES = ("exchange", "attempt", "words", "cursor")
both_kinds = pytest.mark.parametrize("full_text", [True, False])


def keep(repository, exchange, found=None):
    with repository.begin() as made:
        made.commit(draft_exchange(made, exchange, found, bodies_lost=False, actor=ACTOR))


def content(ledger):
    with ledger.reading() as database:
        return {
            table: database.execute(f"SELECT rowid, * FROM {table} ORDER BY 1").fetchall()
            if table == "words"
            else sorted(database.execute(f"SELECT * FROM {table}").fetchall(), key=repr)
            for table in TABLES
        }


class LedgerModel(RuleBasedStateMachine):
    """Two ledgers beside a list: one told the bodies of what it folds, as the recorder does; one that reads them."""

    @initialize()
    def open(self):
        self.folder = tempfile.mkdtemp()
        self.repository = Kit().create()
        self.ledger = Ledger(self.repository, f"{self.folder}/cache/ledger.sqlite")
        self.other = Ledger(self.repository, None)
        self.known = []

    @rule(data=st.data(), found=st.none() | any_bodies, tell=st.booleans())
    def record(self, data, found, tell):
        exchange = data.draw(any_exchange(len(self.known)))
        keep(self.repository, exchange, found)
        self.known.append(exchange)
        if tell:
            self.ledger.refresh(words=False)

    @rule()
    def another_record(self):
        self.repository.append(server_draft())

    @rule()
    def refresh(self):
        self.other.refresh()

    @rule(most=st.integers(1, 3))
    def index(self, most):
        self.ledger.refresh(words=False)
        self.ledger.index_words(most)

    @rule(raw=st.none() | st.binary(max_size=100))
    def lose(self, raw):
        self.ledger.close()
        path = f"{self.folder}/cache/ledger.sqlite"
        if raw is None:
            shutil.rmtree(f"{self.folder}/cache")
        else:
            with open(path, "wb") as file:
                file.write(raw)
        self.ledger = Ledger(self.repository, path)

    @rule(scope=st.sampled_from(Scope), name=st.sampled_from(["", "a", "b", "ação"]), since=st.integers(0, 3))
    def spent(self, scope, name, since):
        self.ledger.refresh()
        self.compare_spent(scope, name, since)

    def compare_spent(self, scope, name, since):
        since_ns = T0 + since * DAY
        field = {Scope.ALL: None, Scope.KEY: "key", Scope.ROLE: "role", Scope.RUN: "run"}[scope]
        meant = [
            each
            for each in self.known
            if each.began.time_ns >= since_ns and (field is None or getattr(each.began, field) == name)
        ]
        tokens = sum(
            each.began.reserved_tokens
            if each.ended.outcome is ExchangeOutcome.INTERRUPTED
            else (each.ended.used.input or 0) + (each.ended.used.output or 0)
            for each in meant
        )
        expected = (sum(each.ended.cost or 0 for each in meant), tokens, len(meant))
        assert self.ledger.spent(scope, name, since_ns) == expected

    @invariant()
    def both_are_one_folded_anew(self):
        if not hasattr(self, "ledger"):
            return
        self.ledger.refresh()
        self.other.refresh()
        anew = Ledger(self.repository, None)
        anew.refresh()
        assert content(self.ledger) == content(anew) == content(self.other)
        anew.close()
        self.compare_spent(Scope.ALL, "", 0)
        for each in self.known:
            assert self.ledger.knows(each.began.id)
            assert self.ledger.find(each.began.id).exchange == each

    def teardown(self):
        if hasattr(self, "ledger"):
            self.ledger.close()
            self.other.close()
            self.repository.close()
            shutil.rmtree(self.folder)


TestLedgerModel = LedgerModel.TestCase
TestLedgerModel.settings = settings(max_examples=15, stateful_step_count=12, deadline=None)


def test_this_machine_has_full_text():
    assert has_full_text()


@both_kinds
def test_a_record_that_cannot_be_read_is_passed_over(full_text):
    with Kit().create() as repository:
        keep(repository, any_one(1), bodies())
        repository.append(RecordDraft(kind=RecordKind.EXCHANGE, actor=ACTOR, body=server_draft().body))
        keep(repository, any_one(2), bodies())
        ledger = Ledger(repository, None, full_text=full_text)
        ledger.refresh()
        assert ledger.spent(Scope.ALL, "").requests == 2
        ledger.close()


def any_one(number, **fields):
    return Exchange(began=begin(number), ended=finish(number, **fields))


def test_an_exchange_is_found_by_the_beginning_of_its_id():
    with Kit().create() as repository:
        for number in (1, 20, 21):
            keep(repository, any_one(number))
        ledger = Ledger(repository, None)
        ledger.refresh()
        assert ledger.find(name_of(20)).began.id == name_of(20)
        assert ledger.find(name_of(1)[:-1] + "1").began.id == name_of(1)
        for wrong in ("", name_of(2)[:-1][:-1] + "2", "x-", "x-9"):
            with pytest.raises(NotFoundError) as raised:
                ledger.find(wrong)
            assert raised.value.hint
        ledger.close()


def test_the_file_is_its_owners_alone(tmp_path):
    with Kit().create() as repository:
        ledger = Ledger(repository, f"{tmp_path}/cache/ledger.sqlite")
        keep(repository, any_one(1), bodies())
        ledger.refresh()
        found = {
            stat.S_IMODE(os.stat(tmp_path / "cache" / name).st_mode)
            for name in os.listdir(tmp_path / "cache")
        }
        assert found == {0o600}
        ledger.close()


def test_a_page_that_is_damaged_makes_it_fold_anew(tmp_path):
    path = f"{tmp_path}/ledger.sqlite"
    with Kit().create() as repository:
        keep(repository, any_one(1), bodies())
        ledger = Ledger(repository, path)
        ledger.refresh()
        with ledger.reading() as database:
            (page,) = database.execute(
                "SELECT rootpage FROM sqlite_master WHERE name = 'exchange'"
            ).fetchone()
            (size,) = database.execute("PRAGMA page_size").fetchone()
        ledger.close()
        with open(path, "r+b") as file:
            file.seek((page - 1) * size)
            file.write(b"\xee" * size)
        keep(repository, any_one(2), bodies())
        ledger = Ledger(repository, path)
        ledger.refresh()
        anew = Ledger(repository, None)
        anew.refresh()
        assert content(ledger) == content(anew)
        ledger.close()
        anew.close()


@given(st.integers(1, 4))
@settings(max_examples=3, deadline=None)
def test_a_python_without_full_text_makes_the_file_anew(count):
    with tempfile.TemporaryDirectory() as folder, Kit().create() as repository:
        for number in range(count):
            keep(repository, any_one(number), bodies())
        for full_text in (True, False, True):
            ledger = Ledger(repository, f"{folder}/ledger.sqlite", full_text=full_text)
            ledger.refresh()
            assert ledger.spent(Scope.ALL, "").requests == count
            ledger.close()


READER = """
import sys
from lastro.domain.clock import SystemClock
from lastro.gateway.ledger import Ledger
from lastro.gateway.settings import Scope
from lastro.store.backends.local import LocalBackend
from lastro.store.recovery import KeyFile
from lastro.store.repository import Repository

place = sys.argv[1]
with open(f"{place}/key", "rb") as file:
    secret = KeyFile(file.read())
with Repository.open(LocalBackend(f"{place}/repository"), secret, clock=SystemClock()) as repository:
    ledger = Ledger(repository, f"{place}/ledger.sqlite")
    before = 0
    print("ready", flush=True)
    while before < int(sys.argv[2]):
        repository.refresh()
        ledger.refresh()
        now = ledger.spent(Scope.ALL, "")
        assert now.requests >= before and now.cost == 12 * now.requests, (now, before)
        before = now.requests
    ledger.close()
print("seen", before)
"""


@pytest.mark.system
def test_another_process_reads_and_folds_beside_the_writer(tmp_path):
    desk, count = Desk(tmp_path), 150
    with desk.open(interval_s=0.005, ledger=f"{tmp_path}/ledger.sqlite") as (_, ledger, recorder):
        (tmp_path / "key").write_bytes(desk.kit.secret.content)
        with subprocess.Popen(
            [sys.executable, "-c", READER, str(tmp_path), str(count)], stdout=subprocess.PIPE, text=True
        ) as reader:
            assert reader.stdout.readline() == "ready\n"
            for number in range(count):
                recorder.begin(begin(number))
                recorder.end(finish(number), bodies(f"ask {number}"))
            assert recorder.flush()
            assert ledger.spent(Scope.ALL, "").requests == count
            assert reader.stdout.read() == f"seen {count}\n"
            assert reader.wait(30) == 0
        assert ledger.spent(Scope.ALL, "").requests == count
    assert desk.reports == []


def test_a_reader_is_never_blocked_by_a_read_transaction(tmp_path):
    with Kit().create() as repository:
        keep(repository, any_one(1))
        one = Ledger(repository, f"{tmp_path}/ledger.sqlite")
        two = Ledger(repository, f"{tmp_path}/ledger.sqlite")
        one.refresh()
        with two.reading() as database:
            assert database.execute("SELECT count(*) FROM exchange").fetchone() == (1,)
            keep(repository, any_one(2))
            one.refresh()
            assert database.execute("SELECT count(*) FROM exchange").fetchone() == (1,)
        assert two.spent(Scope.ALL, "").requests == 2
        with pytest.raises(sqlite3.OperationalError), two.reading() as database:
            database.execute("SELECT nothing FROM nowhere")
        assert two.spent(Scope.ALL, "").requests == 2
        one.close()
        two.close()
