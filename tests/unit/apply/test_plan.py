"""What an apply decides before it touches anything."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastro.apply.plan import Index, UnitKind, in_tree_order, kept_name, make_plan, written_in_place
from lastro.domain.changes import Change, ChangeSet, diff
from lastro.domain.entry import Entry, EntryType
from lastro.domain.paths import is_within, join, name_of, parent_of, to_bytes
from lastro.errors import UsageError
from tests.conformance.trees import directory, file, hard_link, tree, trees


@given(first=trees(), second=trees())
def test_every_change_has_exactly_one_place_in_the_plan(first, second):
    changes = ChangeSet(tuple(diff(first.entries, second.entries)))
    plan = make_plan(changes)
    index = Index(changes, plan)
    for change in changes.changes:
        in_units = [unit for unit in plan.units if is_within(change.path, unit.path)]
        assert len(in_units) + (change.path in plan.attributes) == 1
        assert index.unit_of(change.path) == (in_units[0] if in_units else None)
        for unit in in_units:
            assert change in list(index.within(unit.path))


@given(first=trees(), second=trees())
def test_units_lie_beside_each_other_and_their_names_differ(first, second):
    plan = make_plan(ChangeSet(tuple(diff(first.entries, second.entries))))
    for unit in plan.units:
        assert not any(other is not unit and is_within(unit.path, other.path) for other in plan.units)
    names = [
        name for unit in plan.units for name in (unit.staged("a-1"), unit.aside("a-1"), unit.writing("a-1"))
    ]
    assert len(names) == len(set(names))
    assert all(parent_of(unit.staged("a-1")) == parent_of(unit.path) for unit in plan.units)


def test_what_a_new_path_lacks_above_belongs_to_its_unit():
    new = [Change(path=path, before=None, after=file(path, b"")) for path in ("x/y/a", "x/y/b", "x/z")]
    plan = make_plan(ChangeSet(tuple(new)), highest_missing=lambda _: "x")
    assert [(unit.kind, unit.path) for unit in plan.units] == [(UnitKind.CREATE, "x")]


def test_below_what_is_skipped_all_is_left_alone():
    first = tree(directory("d"), file("d/f", b""), file("e", b""))
    socket = Entry(path="d", type=EntryType.SOCKET)
    plan = make_plan(ChangeSet(tuple(diff(first.entries, tree(socket, root=first.entries[0]).entries))))
    assert [unit.path for unit in plan.units] == ["e"]
    assert {(note.path, note.detail) for note in plan.notes} == {("d", "socket"), ("d/f", "parent")}


def test_a_group_that_changes_as_a_whole_is_replaced_and_a_part_of_it_is_written_in_place():
    old = [
        Entry(path=path, type=EntryType.FILE, inode=1, nlink=2, digest=file("", b"old").digest)
        for path in ("a", "b")
    ]
    changes = [Change(path=entry.path, before=entry, after=file(entry.path, b"new")) for entry in old]
    observed = {entry.path: entry for entry in old}
    assert written_in_place(observed, changes) == {}
    assert written_in_place(observed, changes[:1]) == {"a": "hard_link"}
    away = Change(path="b", before=old[1], after=hard_link(file("c", b""), "b"))
    assert written_in_place(observed, [away]) == {}


def test_a_path_that_comes_twice_is_refused():
    change = Change(path="a", before=None, after=file("a", b""))
    with pytest.raises(UsageError):
        in_tree_order(ChangeSet((change, change)))


@given(name=st.text(alphabet="aé\udcff", min_size=1, max_size=250), parent=st.sampled_from(["", "d", "d/e"]))
def test_a_kept_name_is_beside_and_short_enough(name, parent):
    path = join(parent, name)
    kept = kept_name(path, "apply-7", 3)
    assert parent_of(kept) == parent_of(path)
    assert len(to_bytes(name_of(kept))) <= 255
    assert not name_of(kept).startswith(".lastro-")
