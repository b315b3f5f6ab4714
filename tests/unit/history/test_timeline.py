"""What history answers: instants, versions, deleted files, and that its database is only a cache."""

from __future__ import annotations

import os
import sqlite3

import pytest

from lastro.capture.local import LocalSource
from lastro.capture.source import Root
from lastro.domain.ids import SnapshotNumber
from lastro.domain.paths import is_within
from lastro.domain.reference import AtId, AtNow, AtTime
from lastro.domain.target import Target
from lastro.errors import NotFoundError, UsageError
from lastro.history.projection import Projection
from lastro.history.timeline import Timeline
from tests.laboratory import Laboratory


@pytest.fixture
def laboratory(tmp_path):
    laboratory = Laboratory(os.path.realpath(tmp_path / "root"))
    os.mkdir(laboratory.root)
    yield laboratory
    laboratory.close()


def locate(laboratory, path):
    return laboratory.timeline.locate("local", path)


def test_versions_of_a_path_are_newest_first_and_end_with_its_deletion(laboratory):
    laboratory.write("a", b"1")
    laboratory.capture()
    laboratory.write("a", b"22")
    laboratory.changed("a")
    os.unlink(laboratory.path("a"))
    laboratory.changed("a")
    versions = laboratory.timeline.versions(locate(laboratory, laboratory.path("a")))
    assert [(version.operation, version.size) for version in versions] == [
        ("removed", 2),
        ("changed", 2),
        ("added", 1),
    ]
    assert [version.snapshot for version in versions] == [3, 2, 1]


def test_a_relative_path_is_found_in_the_root_that_knows_it(laboratory):
    laboratory.write("docs/a", b"1")
    laboratory.capture()
    assert locate(laboratory, "docs/a").absolute == laboratory.path("docs/a")
    with pytest.raises(NotFoundError):
        locate(laboratory, "docs/b")


def test_a_relative_path_in_two_roots_is_ambiguous(laboratory):
    laboratory.write("one/same", b"1")
    laboratory.write("two/same", b"2")
    for name in ("one", "two"):
        other = Laboratory.__new__(Laboratory)
        other.__dict__.update(laboratory.__dict__)
        other.root = laboratory.path(name)
        other.source = LocalSource([Root(path=other.root)])
        other.target = Target(laboratory.target.server, laboratory.target.kind, other.root)
        other.capture()
    with pytest.raises(UsageError):
        locate(laboratory, "same")
    assert locate(laboratory, laboratory.path("two", "same")).target.path == laboratory.path("two")


def test_a_path_that_was_never_captured_says_what_to_do(laboratory):
    laboratory.capture()
    with pytest.raises(NotFoundError) as caught:
        locate(laboratory, "/nowhere/at/all")
    assert "capture" in caught.value.hint_text
    with pytest.raises(NotFoundError):
        laboratory.timeline.server("unknown")


def test_an_instant_is_the_highest_seq_whose_time_is_not_later_whatever_the_clock_did(laboratory):
    seqs, times = [], []
    for jump in (0, 1000, -5000, 10):
        laboratory.clock.wall += jump * 1_000_000_000
        laboratory.write("a", str(jump).encode())
        result = laboratory.capture()
        seqs.append(result.seq)
        times.append(result.time_ns)
    bound = laboratory.timeline.bound
    assert bound(AtTime(max(times))) == seqs[3]
    assert bound(AtTime(times[2])) == seqs[2]
    assert bound(AtTime(times[0])) == seqs[3], "the clock went back: later records have earlier times"
    assert bound(AtTime(times[2] - 1_000_000_000_000)) == -1
    assert bound(None) is None
    assert bound(AtNow()) is None
    assert bound(AtId("snap", 2, before=False)) == seqs[1]
    assert bound(AtId("snap", 2, before=True)) == seqs[1] - 1
    with pytest.raises(NotFoundError):
        bound(AtId("snap", 99, before=False))
    with pytest.raises(NotFoundError):
        bound(AtId("apply", 1, before=False))


def test_the_state_at_an_instant_is_that_of_its_snapshot(laboratory):
    laboratory.write("a", b"1")
    first = laboratory.capture()
    laboratory.write("a", b"2")
    laboratory.changed("a")
    snapshot = laboratory.timeline.snapshot_at(laboratory.target, first.seq)
    assert snapshot.number == SnapshotNumber(1)
    assert laboratory.timeline.snapshot_at(laboratory.target, None).number == SnapshotNumber(2)
    assert laboratory.timeline.snapshot_at(laboratory.target, 0) is None


@pytest.mark.parametrize(
    ("pattern", "deleted", "found"),
    [
        ("app.conf", False, ["etc/app.conf", "old/app.conf"]),
        ("app.conf", True, ["old/app.conf"]),
        ("*.conf", False, ["etc/app.conf", "etc/b.conf", "old/app.conf"]),
        ("etc/*.conf", False, ["etc/app.conf", "etc/b.conf"]),
        ("old/app.conf", False, ["old/app.conf"]),
        ("APP.CONF", False, []),
        ("[", False, []),
    ],
)
def test_find_looks_through_all_of_history(laboratory, pattern, deleted, found):
    for name in ("etc/app.conf", "etc/b.conf", "old/app.conf", "etc/x"):
        laboratory.write(name, b"x")
    laboratory.capture()
    os.unlink(laboratory.path("old/app.conf"))
    laboratory.changed("old/app.conf")
    items = laboratory.timeline.find(pattern, deleted=deleted)
    assert [item.path for item in items] == found
    assert all((item.deleted_ns is not None) == (item.path == "old/app.conf") for item in items)


def test_a_directory_has_the_snapshots_that_changed_something_below_it(laboratory):
    laboratory.write("in/a", b"1")
    laboratory.write("in.side/a", b"1")
    laboratory.capture()
    laboratory.write("in.side/a", b"2")
    laboratory.changed("in.side/a")
    laboratory.write("in/a", b"2")
    laboratory.changed("in/a")
    items = laboratory.timeline.timeline(locate(laboratory, "in"))
    assert [(item.snapshot, item.added, item.changed) for item in items] == [(3, 0, 1), (1, 2, 0)]
    assert items[0].paths == (laboratory.path("in/a"),)


def test_names_that_are_not_utf_8_keep_every_byte(laboratory):
    name = b"caf\xe9 \xff@2d"
    with open(os.path.join(os.fsencode(laboratory.root), name), "wb") as file:
        file.write(b"x")
    laboratory.capture()
    text = name.decode("utf-8", "surrogateescape")
    assert laboratory.timeline.find(text)[0].path == text
    assert laboratory.timeline.versions(locate(laboratory, laboratory.path(text)))[0].operation == "added"


def test_a_damaged_foreign_or_deleted_database_is_made_anew(laboratory, tmp_path):
    laboratory.write("a", b"1")
    laboratory.capture()
    path = str(tmp_path / "history.sqlite")

    def answers():
        projection = Projection(laboratory.repository, path)
        try:
            return Timeline(projection).find("*")
        finally:
            projection.close()

    expected = answers()
    assert [item.path for item in expected] == ["a"]
    for damage in (b"", b"not a database at all" * 1000):
        with open(path, "wb") as file:
            file.write(damage)
        assert answers() == expected
    database = sqlite3.connect(path)
    database.execute("UPDATE cursor SET repository = 'another'")
    database.commit()
    database.close()
    assert answers() == expected
    os.unlink(path)
    assert answers() == expected


def test_looking_below_a_place_finds_what_looking_everywhere_finds_there(laboratory):
    for name in ("a/x", "a/b/x", "a!/x", "a0/x", "ab/x", "x", "a/b"):
        if not os.path.isdir(laboratory.path(name)):
            laboratory.write(name, b"1")
    laboratory.capture()
    everywhere = laboratory.timeline.find("*")
    for place in ("", "a", "a/b", "a!", "x", "nowhere"):
        below = laboratory.path(place) if place else laboratory.root
        there = [item for item in everywhere if is_within(laboratory.path(item.path), below)]
        assert laboratory.timeline.find("*", below=below) == there
