"""The catalogue says what the log says, whatever database it lies in, however often it is made anew, and whoever else folds."""

from __future__ import annotations

import importlib.util
import itertools
import threading
from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import event, text

from lastro.catalogue import catalogue as module
from lastro.catalogue.catalogue import Catalogue
from lastro.catalogue.database import open_address, open_file, open_memory
from lastro.catalogue.happenings import Wanted, about_of, happening_of, parameters_of
from lastro.domain.paths import to_bytes
from lastro.domain.record import RecordKind, ServerBody
from lastro.store.repository import RecordDraft
from tests.capabilities import needs
from tests.postgresql_server import has_server, running
from tests.proposal_kit import ANA, BIA, Hall

HOSTILE = "/srv/a\udcff\n\x1b[31m\u202e"


@pytest.fixture(
    scope="module", params=["memory", "file", pytest.param("postgresql", marks=pytest.mark.system)]
)
def databases(request, tmp_path_factory):
    """A function that gives a new, empty database, as a function that opens it."""
    with ExitStack() as stack:
        yield {"memory": _in_memory, "file": _in_files, "postgresql": _in_postgresql}[request.param](
            stack, tmp_path_factory
        )


def _in_memory(stack, _):
    def new():
        engine = open_memory()
        stack.callback(engine.dispose)
        return lambda: engine

    return new


def _in_files(stack, tmp_path_factory):
    top, number = tmp_path_factory.mktemp("catalogues"), itertools.count()

    def new():
        path = f"{top}/{next(number)}.sqlite"
        return lambda: _disposed(stack, open_file(path))

    return new


def _in_postgresql(stack, _):
    needs(importlib.util.find_spec("pg8000"), "the driver pg8000")
    needs(has_server(), "PostgreSQL")
    make, number = stack.enter_context(running()), itertools.count()

    def new():
        address = make(f"catalogue{next(number)}")
        return lambda: _disposed(stack, open_address(address))

    return new


def _disposed(stack, engine):
    stack.callback(engine.dispose)
    return engine


@pytest.fixture
def database(databases):
    return databases()


@pytest.fixture(scope="module")
def hall(tmp_path_factory):
    """A repository in which everything happened once, some of it to hostile names."""
    made = Hall(str(tmp_path_factory.mktemp("hall")))
    made.enrol(ANA, "owner")
    made.enrol(BIA, by=ANA)
    run = made.run("running", "collecting", "checking", "finished")
    first = made.propose({"a": b"two\n"}, run=run)
    made.approve(first, BIA)
    made.apply(first)
    second = made.propose({"a": b"three\n"})
    made.revise(second, {"a": b"four\n"})
    made.say(second, "comment", BIA)
    made.run("failed", project=HOSTILE)
    made.base({"b": b"1"}, target=HOSTILE)
    made.base({"b": b"1"}, target="/srv/app/below")
    for beside in ("/srv/apples", "/srv/app-old", "/srv/app.d"):
        made.base({"b": b"1"}, target=beside)
    body = ServerBody(address="h:1", certificate=b"", device="d", name="we\0b\u202e")
    for _ in range(2):
        made.repository.append(RecordDraft(kind=RecordKind.SERVER, actor=ANA, server="web", body=body))
    made.append("of-a-later-version", body)
    made.append(RecordKind.DECISION, body)  # what no honest keeper writes
    made.revoke(BIA, by=ANA)
    yield made
    made.close()


def everything(catalogue):
    return catalogue.find(Wanted(), limit=10_000)


def folded(hall):
    """What the rows should be, by the pure function alone."""
    known, rows = {}, []
    for stored in hall.repository.records():
        row = happening_of(stored.record, known.get)
        if row.subject:
            known.setdefault(row.subject, about_of(row))
        rows.append(row)
    return rows[::-1]


def test_every_record_is_in_it_once_and_in_order(database, hall):
    catalogue = Catalogue(hall.repository, database())
    rows = everything(catalogue)
    assert rows == folded(hall)
    assert [row.seq for row in rows] == [stored.seq for stored in hall.repository.records()][::-1]
    assert catalogue.refresh() == rows[0].seq
    assert everything(catalogue) == rows
    catalogue.close()


@pytest.mark.parametrize("size", [1, 2, 7])
def test_it_is_the_same_however_it_is_folded(database, hall, monkeypatch, size):
    monkeypatch.setattr(module, "BATCH", size)
    catalogue = Catalogue(hall.repository, database())
    assert everything(catalogue) == folded(hall)


def test_it_goes_on_where_it_was(databases, tmp_path):
    hall, open_it = Hall(str(tmp_path)), databases()
    first = Catalogue(hall.repository, open_it())
    before = everything(first)
    hall.run("failed")
    assert len(everything(first)) == len(before) + 3
    again = Catalogue(hall.repository, open_it())
    assert everything(again) == everything(first) == folded(hall)
    hall.close()


def test_a_catalogue_of_another_repository_or_version_is_made_anew(database, hall, tmp_path, monkeypatch):
    other = Hall(str(tmp_path), kit=type(hall.kit)(seed=7))
    Catalogue(other.repository, database()).refresh()
    other.close()
    assert everything(Catalogue(hall.repository, database())) == folded(hall)
    with database().begin() as connection:
        connection.execute(text("UPDATE happenings SET kind = 'spoilt'"))
    monkeypatch.setattr(module, "VERSION", module.VERSION + 1)
    assert everything(Catalogue(hall.repository, database())) == folded(hall)


def test_tables_that_are_not_as_ours_are_made_anew(database, hall):
    with database().begin() as connection:
        connection.execute(text("CREATE TABLE happenings (seq BIGINT PRIMARY KEY, something TEXT)"))
    assert everything(Catalogue(hall.repository, database())) == folded(hall)


@pytest.mark.parametrize("last", [False, True])
def test_a_batch_that_fails_leaves_nothing(database, hall, monkeypatch, last):
    """Whatever fails in the middle of folding, a record and the cursor are in it together or not at all."""
    monkeypatch.setattr(module, "BATCH", 5)
    engine = database()
    catalogue = Catalogue(hall.repository, engine)
    wanted, seen = ("UPDATE catalogue_cursor" if last else "INSERT INTO happenings"), []

    def fail(_connection, _cursor, statement, *_rest):
        if statement.startswith(wanted):
            seen.append(statement)
            if len(seen) == 2:
                raise OSError("no space left")

    event.listen(engine, "before_cursor_execute", fail)
    with pytest.raises(OSError, match="no space"):
        catalogue.refresh()
    event.remove(engine, "before_cursor_execute", fail)
    with engine.begin() as connection:
        held = connection.execute(text("SELECT count(*), max(seq) FROM happenings")).one()
        cursor = connection.execute(text("SELECT seq FROM catalogue_cursor")).scalar_one()
    assert tuple(held) == (5, cursor)
    assert everything(catalogue) == folded(hall)


def test_several_fold_into_one(database, hall, monkeypatch):
    monkeypatch.setattr(module, "BATCH", 1)
    catalogues = [Catalogue(hall.repository, database()) for _ in range(3)]
    failures = []

    def refresh(catalogue):
        try:
            catalogue.refresh()
        except Exception as error:  # noqa: BLE001  the test says which
            failures.append(error)

    threads = [threading.Thread(target=refresh, args=(one,)) for one in catalogues]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert everything(catalogues[0]) == folded(hall)


def test_it_catches_up_beside_everything_else(database, hall, monkeypatch):
    monkeypatch.setattr(module, "BATCH", 3)
    catalogue = Catalogue(hall.repository, database())
    assert catalogue.behind() == len(folded(hall))
    for _ in range(3):  # several may ask for it
        catalogue.catch_up()
    assert everything(catalogue) == folded(hall)  # and whoever asks meanwhile has everything
    assert catalogue.behind() == 0
    catalogue.close()


def test_it_can_be_closed_while_it_catches_up(database, hall, monkeypatch):
    catalogue = Catalogue(hall.repository, database())
    monkeypatch.setattr(catalogue, "_fold_next", lambda: (0, True))  # there is always more
    catalogue.catch_up()
    closing = threading.Thread(target=catalogue.close, daemon=True)
    closing.start()
    closing.join(30)
    assert not closing.is_alive()
    catalogue.catch_up()
    assert not [one for one in threading.enumerate() if one.name == "catalogue"]


def test_what_can_never_be_folded_is_not_waited_for(database, hall, monkeypatch):
    catalogue = Catalogue(hall.repository, database())
    head, id_ = hall.repository.head()
    monkeypatch.setattr(hall.repository, "head", lambda: (head + 5_000, id_))  # their records are damaged
    catalogue.refresh()
    assert catalogue.behind() == 0


def test_hostile_names_come_back_as_they_are(database, hall):
    rows = everything(Catalogue(hall.repository, database()))
    assert to_bytes(HOSTILE) in {row.path for row in rows}
    projects = {parameters_of(row).get("project") for row in rows}
    assert HOSTILE in projects
    servers = [parameters_of(row) for row in rows if row.kind == "server"]
    assert [(one["name"], one["again"]) for one in servers] == [("we\0b\u202e", True), ("we\0b\u202e", False)]


def test_what_cannot_be_read_has_a_row_too(database, hall):
    rows = everything(Catalogue(hall.repository, database()))
    [later] = [row for row in rows if row.kind == "of-a-later-version"]
    assert parameters_of(later) == {}
    assert {} in [parameters_of(row) for row in rows if row.kind == "decision"]


def belongs(row, wanted):
    """What ``Wanted`` means, said a second time."""
    place = to_bytes(wanted.project)
    return (
        (not wanted.kinds or row.kind in wanted.kinds)
        and (not wanted.actor or wanted.actor in {row.actor, row.actor_kind})
        and (not wanted.server or row.server == wanted.server)
        and (not wanted.project or row.path == place or row.path.startswith(place.rstrip(b"/") + b"/"))
        and (not wanted.subject or wanted.subject in {row.subject, row.also})
        and (not wanted.since_ns or row.time_ns >= wanted.since_ns)
        and (not wanted.until_ns or row.time_ns <= wanted.until_ns)
        and (not wanted.before or row.seq < wanted.before)
        and (wanted.after is None or row.seq > wanted.after)
    )


@pytest.fixture(scope="module")
def standing(databases, hall):
    """A catalogue, and all its rows."""
    catalogue = Catalogue(hall.repository, databases()())
    yield catalogue, everything(catalogue)
    catalogue.close()


def wanted_of(rows):
    times = st.sampled_from([0, *(row.time_ns for row in rows), *(row.time_ns + 1 for row in rows)])
    return st.builds(
        Wanted,
        kinds=st.lists(st.sampled_from(["run", "proposal", "decision", "snapshot", "nothing"]), max_size=2),
        actor=st.sampled_from(["", "ana", "bia", "human", "' OR 1=1 --"]),
        server=st.sampled_from(["", "local", "web", "none"]),
        project=st.sampled_from(["", "/", "/srv/app", "/srv/app/", "/srv", HOSTILE, "/srv/%"]),
        subject=st.sampled_from(["", "run-1", "proposal-1", "proposal-2", "apply-1", "%"]),
        since_ns=times,
        until_ns=times,
        before=st.integers(0, len(rows) + 2),
        after=st.none() | st.integers(-1, len(rows) + 2),
    )


@given(data=st.data())
def test_what_is_found_is_what_was_asked_for(standing, data):
    catalogue, rows = standing
    wanted = data.draw(wanted_of(rows))
    limit = data.draw(st.integers(1, 60))
    right = [row for row in rows if belongs(row, wanted)]
    assert catalogue.find(wanted, limit=limit) == right[:limit]
    assert catalogue.count(wanted, most=limit) == min(limit, len(right))


def test_both_ends_of_a_time_belong_to_it(standing):
    catalogue, rows = standing
    for row in rows:
        at = Wanted(since_ns=row.time_ns, until_ns=row.time_ns)
        assert row in catalogue.find(at, limit=100)


@pytest.mark.parametrize("project", ["/srv/app", "/srv/app/", "/", "/srv"])
def test_what_lies_beside_a_directory_is_not_below_it(standing, project):
    catalogue, rows = standing
    wanted = Wanted(project=project)
    assert catalogue.find(wanted, limit=1000) == [row for row in rows if belongs(row, wanted)]


@given(size=st.integers(1, 20))
def test_pages_are_everything_once(standing, size):
    catalogue, rows = standing
    found, before = [], 0
    while page := catalogue.find(Wanted(before=before), limit=size):
        assert not before or page[0].seq < before
        found += page
        before = page[-1].seq
        if not before:
            break
    assert found == rows
