"""A capture sees what changed, whichever way it is told, and reads no more than it must."""

from __future__ import annotations

import os

import pytest

from lastro.capture.source import ChangedPath, Skipped
from lastro.domain.ids import ServerId
from lastro.domain.snapshot import WarningKind
from lastro.domain.target import Target, TargetKind
from lastro.errors import NotFoundError
from lastro.store.tree import decode_tree_entry, lookup, walk
from tests.laboratory import Laboratory


@pytest.fixture
def laboratory(tmp_path):
    laboratory = Laboratory(os.path.realpath(tmp_path / "root"))
    os.mkdir(laboratory.root)
    yield laboratory
    laboratory.close()


def changes(laboratory, result):
    shown = laboratory.timeline.changes_of(result.seq)
    return shown.added, shown.changed, shown.removed


def test_a_deletion_below_and_a_creation_above_in_one_capture_are_both_seen(laboratory):
    laboratory.write("server/app.conf", b"x")
    laboratory.capture()
    os.unlink(laboratory.path("server", "app.conf"))
    laboratory.write("new/deep/f", b"a")
    result = laboratory.capture(
        [
            ChangedPath(root=laboratory.root, path="server/app.conf"),
            ChangedPath(root=laboratory.root, path="new", recursive=True),
        ]
    )
    assert laboratory.files_at(result.seq) == {"new/deep/f": b"a"}
    assert changes(laboratory, result) == (3, 0, 1)


def test_nothing_changed_makes_no_snapshot(laboratory):
    laboratory.write("a", b"x")
    first = laboratory.capture()
    again = laboratory.capture()
    assert (again.seq, again.unchanged) == (first.seq, True)
    assert laboratory.timeline.count_snapshots() == 1


def test_an_unchanged_file_is_not_read_again(laboratory):
    laboratory.write("big", b"x" * 100_000)
    os.utime(laboratory.path("big"), ns=(0, 0))
    laboratory.capture()
    # The kernel's clock tick must pass, or the reading may not be remembered (git's racy rule).
    before = os.stat(laboratory.path("big"))
    laboratory.capture()
    laboratory.write("other", b"y")
    result = laboratory.capture()
    assert os.stat(laboratory.path("big")).st_ctime_ns == before.st_ctime_ns
    assert result.statistics.read <= 100_001


def test_a_directory_that_cannot_be_read_keeps_what_was_known(laboratory):
    laboratory.write("secret/key", b"k")
    laboratory.write("plain", b"p")
    laboratory.capture()
    laboratory.source = _Unreadable(laboratory.source, "secret")
    laboratory.write("plain", b"p2")
    result = laboratory.capture()
    assert laboratory.files_at(result.seq) == {"secret/key": b"k", "plain": b"p2"}
    assert [(warning.path, warning.kind) for warning in result.warnings] == [
        ("secret", WarningKind.UNREADABLE)
    ]


def test_a_root_that_is_gone_is_an_error_and_not_a_deletion_of_everything(laboratory):
    laboratory.write("a", b"x")
    first = laboratory.capture()
    os.unlink(laboratory.path("a"))
    os.rmdir(laboratory.root)
    with pytest.raises(NotFoundError):
        laboratory.capture()
    assert laboratory.timeline.snapshot_at(laboratory.target, None).seq == first.seq


def test_hard_links_stay_a_group_however_they_change(laboratory):
    laboratory.write("a", b"x")
    laboratory.capture()
    os.link(laboratory.path("a"), laboratory.path("b"))
    result = laboratory.changed("b")
    assert result.full
    root = decode_tree_entry(laboratory.timeline.snapshot_by_seq(result.seq).root)
    assert lookup(laboratory.repository, root, "b").type == "hardlink"
    os.unlink(laboratory.path("a"))
    result = laboratory.changed("a")
    assert laboratory.files_at(result.seq) == {"b": b"x"}


def test_a_directory_becomes_a_file_and_back(laboratory):
    laboratory.write("x/y", b"1")
    laboratory.capture()
    os.unlink(laboratory.path("x", "y"))
    os.rmdir(laboratory.path("x"))
    laboratory.write("x", b"2")
    assert laboratory.files_at(laboratory.changed("x", "x/y").seq) == {"x": b"2"}
    os.unlink(laboratory.path("x"))
    laboratory.write("x/y", b"3")
    assert laboratory.files_at(laboratory.changed("x").seq) == {"x/y": b"3"}


def test_only_touched_paths_are_kept_of_a_directory_that_nobody_watches(laboratory):
    laboratory.write("keep/a", b"1")
    laboratory.write("other/b", b"2")
    result = laboratory.capture([ChangedPath(root=laboratory.root, path="keep/a")], only=True)
    root = decode_tree_entry(laboratory.timeline.snapshot_by_seq(result.seq).root)
    assert [path for path, _ in walk(laboratory.repository, root)] == ["", "keep", "keep/a"]


class _Unreadable:
    """A source whose directory ``name`` cannot be listed."""

    def __init__(self, inner, name):
        self._inner = inner
        self._name = name

    def __getattr__(self, attribute):
        return getattr(self._inner, attribute)

    def list(self, root, paths=("",), *, recursive=True):
        for item in self._inner.list(root, paths, recursive=recursive):
            if item.path.startswith(f"{self._name}/"):
                continue
            yield item
            if item.path == self._name:
                yield Skipped(path=self._name, kind="unreadable", detail="EACCES")


def test_a_file_that_is_deleted_between_listing_and_reading_is_simply_not_there(laboratory):
    laboratory.write("stays", b"1")
    laboratory.write("goes", b"2")
    laboratory.source = _Vanishing(laboratory.source, laboratory.path("goes"))
    result = laboratory.capture()
    assert laboratory.files_at(result.seq) == {"stays": b"1"}
    assert result.warnings == ()


class _Vanishing:
    """A source that deletes a file after it was listed."""

    def __init__(self, inner, path):
        self._inner = inner
        self._path = path

    def __getattr__(self, attribute):
        return getattr(self._inner, attribute)

    def fetch(self, root, entries):
        os.unlink(self._path)
        yield from self._inner.fetch(root, entries)


def test_only_a_clock_that_was_told_is_recorded_as_the_servers(laboratory):
    laboratory.write("a", b"1")
    here = laboratory.timeline.snapshot_by_seq(laboratory.capture().seq)
    assert here.node_time_ns is not None
    laboratory.target = Target(ServerId("0" * 32), TargetKind.FILES, laboratory.root)
    elsewhere = laboratory.timeline.snapshot_by_seq(laboratory.capture().seq)
    assert elsewhere.node_time_ns is None
