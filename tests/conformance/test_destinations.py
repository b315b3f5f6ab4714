"""What every destination keeps to: ``LocalDestination`` on a real directory, ``MemoryDestination`` as the plain model."""

from __future__ import annotations

import itertools
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastro.apply.destination import NoteKind, OutcomeKind
from lastro.apply.memory import MemoryDestination
from lastro.domain.changes import Change, ChangeSet, diff
from lastro.domain.entry import Entry, EntryType
from lastro.errors import DamagedError, UsageError
from tests.conformance.trees import (
    Stored,
    directory,
    file,
    hard_link,
    owner,
    symlink,
    tree,
    trees,
)
from tests.faults.destinations import Home
from tests.faults.scratch import scratch_directory

NUMBERS = itertools.count()


@contextmanager
def local(start):
    """A real directory that holds ``start``."""
    with scratch_directory() as scratch:
        home = Home(scratch)
        destination = home.destination()
        bring(destination, start)
        yield destination
        assert home.pending() == []
        assert home.staging_left() == []


@contextmanager
def memory(start):
    yield MemoryDestination(start.entries, start.contents, **owner())


EVERY = pytest.mark.parametrize("holding", [local, memory], ids=["local", "memory"])


def changes_to(destination, wanted):
    return ChangeSet(tuple(diff(destination.walk(""), wanted.entries)))


def bring(destination, wanted, *others):
    """Bring ``destination`` to ``wanted``; returns the change set that did it."""
    changes = changes_to(destination, wanted)
    outcome = destination.apply(f"bring-{next(NUMBERS)}", changes, Stored(wanted, *others))
    assert outcome.kind is OutcomeKind.APPLIED, outcome
    assert set(outcome.applied) == {change.path for change in changes.changes}
    return changes


def same(destination, wanted):
    return [
        (change.path, change.fields, change.kind) for change in diff(destination.walk(""), wanted.entries)
    ] == []


def contents(destination, tree_):
    return {entry.path for entry in destination.walk("")} == {entry.path for entry in tree_.entries}


@EVERY
@given(first=trees(), second=trees())
def test_applying_a_difference_leaves_none_and_its_inverse_brings_all_back(holding, first, second):
    with holding(first) as destination:
        assert same(destination, first)
        changes = bring(destination, second)
        assert same(destination, second)
        outcome = destination.apply("back", changes.inverse, Stored(first, second))
        assert outcome.kind is OutcomeKind.APPLIED
        assert same(destination, first)


@given(first=trees(flags=True), second=trees(flags=True))
@pytest.mark.needs("root")
def test_inode_flags_are_no_obstacle(first, second):
    with local(first) as destination:
        bring(destination, second)
        assert same(destination, second)


@given(first=trees(), second=trees())
def test_the_real_one_does_what_the_model_does(first, second):
    with local(first) as real, memory(first) as model:
        outcomes = [
            each.apply("x", changes_to(each, second), Stored(first, second)) for each in (real, model)
        ]
        assert outcomes[0] == outcomes[1]
        for path in {entry.path for entry in (*first.entries, *second.entries)}:
            found = [each.read([path])[path] for each in (real, model)]
            left, right = found
            assert (left is None) == (right is None)
            if left is not None and right is not None and left.type is not EntryType.DIRECTORY:
                assert left.nlink == right.nlink
            if left is not None and right is not None:
                assert (left.type, left.digest, left.mode, left.xattrs) == (
                    right.type,
                    right.digest,
                    right.mode,
                    right.xattrs,
                )


@EVERY
@given(start=trees(), other=trees(), data=st.data())
def test_a_path_that_is_not_as_before_says_changes_nothing(holding, start, other, data):
    with holding(start) as destination:
        changes = changes_to(destination, other)
        if not changes.changes:
            return
        wrong = data.draw(st.sampled_from(changes.changes))
        if wrong.before is None or wrong.before.type is EntryType.DIRECTORY:
            lie = Change(path=wrong.path, before=directory(wrong.path, mode=0o711), after=wrong.after)
        else:
            lie = Change(
                path=wrong.path, before=file(wrong.path, b"never was", mode=0o711), after=wrong.after
            )
        lying = ChangeSet(tuple(lie if change is wrong else change for change in changes.changes))
        try:
            outcome = destination.apply("lie", lying, Stored(start, other))
        except UsageError:  # such a lie makes the set contradict itself
            assert same(destination, start)
            return
        assert outcome.kind is OutcomeKind.CONFLICT
        assert wrong.path in {conflict.path for conflict in outcome.conflicts}
        assert outcome.applied == ()
        assert same(destination, start)


@EVERY
def test_something_unknown_in_a_directory_that_is_to_go_is_a_conflict(holding):
    start = tree(directory("d"), file("d/known", b"1"), file("d/unknown", b"2"), data=(b"1", b"2"))
    with holding(start) as destination:
        changes = ChangeSet(
            tuple(
                Change(path=entry.path, before=entry, after=None)
                for entry in start.entries
                if entry.path in {"d", "d/known"}
            )
        )
        outcome = destination.apply("x", changes, Stored())
        assert outcome.kind is OutcomeKind.CONFLICT
        assert [conflict.path for conflict in outcome.conflicts] == ["d/unknown"]
        assert same(destination, start)


@EVERY
def test_content_that_is_not_what_was_recorded_changes_nothing(holding):
    start = tree(file("kept", b"kept"), data=(b"kept",))
    wanted = tree(file("kept", b"changed"), directory("d"), file("d/new", b"right"), data=(b"changed",))
    with holding(start) as destination:
        stored = Stored(wanted)
        stored.contents[file("", b"right").digest] = b"wrong"
        with pytest.raises(DamagedError):
            destination.apply("x", changes_to(destination, wanted), stored)
        assert same(destination, start)


@EVERY
def test_what_is_not_stored_and_sockets_are_skipped_and_said(holding):
    start = tree(file("old", b"old"), data=(b"old",))
    unread = Entry(path="unread", type=EntryType.FILE, mode=0o600, size=3, **owner())
    socket = Entry(path="socket", type=EntryType.SOCKET, mode=0o600, **owner())
    lost = file("lost", b"lost")
    wanted = tree(file("old", b"new"), unread, socket, lost, hard_link(lost, "second"), data=(b"new",))
    with holding(start) as destination:
        outcome = destination.apply("x", changes_to(destination, wanted), Stored(wanted))
        assert outcome.kind is OutcomeKind.APPLIED
        assert outcome.applied == ("old",)
        assert {(note.path, note.detail) for note in outcome.notes} >= {
            ("socket", "socket"),
            ("unread", "content"),
            ("lost", "content"),
        }
        assert {note.kind for note in outcome.notes} == {NoteKind.SKIPPED}
        assert {entry.path for entry in destination.walk("")} == {"", "old"}


@EVERY
def test_missing_directories_above_are_made_plainly(holding):
    with holding(tree()) as destination:
        entry = file("deep/er/still/file", b"x")
        outcome = destination.apply(
            "x", ChangeSet((Change(path=entry.path, before=None, after=entry),)), Stored(tree(data=(b"x",)))
        )
        assert outcome.applied == (entry.path,)
        found = destination.read(
            ["deep", "deep/er/still", entry.path, "deep/none", "deep/er/still/file/below"]
        )
        assert [each and each.type for each in found.values()] == ["dir", "dir", "file", None, None]
        assert found["deep"].mode & 0o700 == 0o700


@EVERY
def test_below_a_link_or_a_file_nothing_is_made(holding):
    start = tree(symlink("link", "/"), file("file", b"f"), data=(b"f",))
    with holding(start) as destination:
        for path in ("link/new", "file/new", "link/tmp/new"):
            change = Change(path=path, before=None, after=file(path, b"f"))
            outcome = destination.apply(f"x-{next(NUMBERS)}", ChangeSet((change,)), Stored(start))
            assert outcome.kind is OutcomeKind.CONFLICT, path
            assert destination.read([path]) == {path: None}
        assert same(destination, start)


@EVERY
def test_one_name_of_a_file_is_written_in_place_and_the_others_follow(holding):
    first = file("a", b"old", mode=0o600)
    start = tree(first, hard_link(first, "z"), data=(b"old",))
    after = file("a", b"new", mode=0o640)
    with holding(start) as destination:
        before = destination.read(["a"])["a"]
        changes = ChangeSet((Change(path="a", before=before, after=after),))
        outcome = destination.apply("x", changes, Stored(tree(data=(b"new",))))
        assert [(note.path, note.kind, note.detail) for note in outcome.notes] == [
            ("a", NoteKind.IN_PLACE, "hard_link")
        ]
        found = destination.read(["a", "z"])
        assert found["a"].digest == found["z"].digest == after.digest
        assert found["a"].inode == found["z"].inode == before.inode
        assert found["a"].mode == found["z"].mode == 0o640


@EVERY
@given(wrong=st.sampled_from(["below a file", "below nothing", "below what goes", "twice", "root is a file"]))
def test_a_change_set_that_contradicts_itself_is_refused(holding, wrong):
    new = file("d/f", b"x")
    sets = {
        "below a file": [
            Change(path="d", before=None, after=file("d", b"x")),
            Change(path="d/f", before=None, after=new),
        ],
        "below nothing": [
            Change(path="d", before=None, after=directory("d")),
            Change(path="d/f", before=new, after=new),
        ],
        "below what goes": [
            Change(path="d", before=directory("d"), after=None),
            Change(path="d/f", before=new, after=new),
        ],
        "twice": [Change(path="d", before=None, after=directory("d"))] * 2,
        "root is a file": [Change(path="", before=None, after=file("", b"x"))],
    }
    with holding(tree()) as destination, pytest.raises(UsageError):
        destination.apply("x", ChangeSet(tuple(sets[wrong])), Stored(tree(data=(b"x",))))


@EVERY
@given(start=trees())
def test_reading_answers_every_asked_path(holding, start):
    with holding(start) as destination:
        asked = [entry.path for entry in start.entries] + ["nothing", "nothing/below"]
        found = destination.read(asked)
        assert list(found) == asked
        assert found["nothing"] is found["nothing/below"] is None
        for entry in start.entries:
            assert (found[entry.path].type is EntryType.FILE) == (
                entry.type in {EntryType.FILE, EntryType.HARDLINK}
            )
        assert contents(destination, start)
        assert list(destination.walk("nothing")) == []


@EVERY
def test_nothing_to_recover(holding):
    with holding(tree()) as destination:
        assert destination.recover() == []


@EVERY
def test_an_empty_change_set_is_applied(holding):
    with holding(tree()) as destination:
        assert destination.apply("x", ChangeSet(), Stored()).kind is OutcomeKind.APPLIED
