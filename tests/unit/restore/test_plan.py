"""Laws of plans, against a file system that is a dict of inodes: what is planned and carried out is what was wanted, or was reported."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec.structs import replace

from lastro.apply.destination import OutcomeKind
from lastro.apply.memory import MemoryDestination
from lastro.apply.plan import make_plan
from lastro.domain.changes import ChangeSet
from lastro.domain.entry import Device, Entry, EntryType, differing
from lastro.domain.paths import is_within, parent_of, tree_order
from lastro.restore.plan import Concern, plan_restore, plan_undo, rebase
from tests.inodes import DIRECTORY, FILE, HARDLINK, Disk, same
from tests.strategies import CONTENTS, as_link, moved, tree_of, tree_pairs, trees


def within_any(path, tops):
    return any(is_within(path, top) for top in tops)


def reported(planned, concern):
    return [path for kind, path in planned.concerns if kind is concern]


# Restore ------------------------------------------------------------------------------------------------------------------------------


@given(tree_pairs())
def test_what_is_restored_is_what_was_wanted(pair):
    live, wanted = pair
    disk = Disk(live)
    planned = plan_restore(disk.walk(), wanted.values(), keep=False)
    disk.carry_out(planned.changes)
    assert same(disk.recorded(), wanted)
    assert not reported(planned, Concern.NOT_STORED)
    assert plan_restore(disk.walk(), wanted.values(), keep=False).changes == ChangeSet()


class Stored:
    """The contents of drawn files, as ``Content``."""

    def read(self, entry):
        yield 0, CONTENTS[entry.digest]


@given(tree_pairs())
def test_a_plan_is_one_that_apply_carries_out(pair):
    live, wanted = pair
    assume(not any(entry.type is EntryType.SOCKET for entry in wanted.values()))  # apply makes none
    destination = MemoryDestination([replace(entry, torn=False) for entry in live.values()], CONTENTS)
    planned = plan_restore(destination.walk(""), wanted.values(), keep=False)
    outcome = destination.apply("plan", planned.changes, Stored())
    assert outcome.kind is OutcomeKind.APPLIED
    assert set(outcome.applied) == {change.path for change in planned.changes.changes}
    assert same({entry.path: entry for entry in destination.walk("")}, wanted)


@given(trees())
def test_nothing_is_done_to_what_is_as_wanted(tree):
    assert plan_restore(Disk(tree).walk(), tree.values(), keep=False).changes == ChangeSet()
    assert plan_restore(tree.values(), tree.values(), keep=True).changes == ChangeSet()


@given(tree_pairs())
def test_with_keep_everything_wanted_is_there_and_strangers_stay(pair):
    live, wanted = pair
    disk = Disk(live)
    before = {entry.path: entry for entry in disk.walk()}
    disk.carry_out(plan_restore(disk.walk(), wanted.values(), keep=True).changes)
    after, now = disk.recorded(), {entry.path: entry for entry in disk.walk()}
    no_directories = [path for path, entry in wanted.items() if entry.type is not DIRECTORY]
    inodes = {before[path].inode for path in wanted.keys() & before.keys()}
    for path in live.keys() - wanted.keys():
        if not within_any(path, no_directories) and before[path].inode not in inodes:
            assert not differing(before[path], now[path])
    for path, entry in wanted.items():
        shown = now[path] if entry.type is not HARDLINK else replace(entry, path=path)
        assert not differing(shown, entry)
        if entry.type is HARDLINK:
            assert disk.names[path] == disk.names[entry.link_target]
    assert after.keys() == wanted.keys() | {
        path for path in live.keys() - wanted.keys() if not within_any(path, no_directories)
    }


@given(tree_pairs(stored=False), st.booleans())
def test_what_is_not_stored_stays_as_it_is_and_is_reported(pair, keep):
    live, wanted = pair
    disk, untouched = Disk(live), Disk(live)
    planned = plan_restore(disk.walk(), wanted.values(), keep=keep)
    disk.carry_out(planned.changes)
    left = reported(planned, Concern.NOT_STORED)
    assert [path for path in left if not is_unstored(wanted[path], wanted)] == []
    before, after = untouched.recorded(), disk.recorded()
    for path in {*live, *after}:
        if within_any(path, left):
            assert not differing(untouched.read([path])[path], disk.read([path])[path])
    for path in wanted:
        if not within_any(path, left):
            assert path in after or is_unstored(wanted[path], wanted)
    if not left and not keep:
        assert same(after, wanted) or any(is_unstored(entry, wanted) for entry in wanted.values())
    assert {path for path in before if within_any(path, left)} == {
        path for path in after if within_any(path, left)
    }


@pytest.mark.parametrize("live_link", ["b", "b/below"])
@pytest.mark.parametrize("live_file", ["a", "c"])
def test_nothing_is_written_into_a_file_that_has_to_stay(live_file, live_link):
    """It is another name of one that is restored; what becomes of that one makes it a file of its own."""
    first, second = sorted([live_file, live_link])
    live = tree_of([(first, FILE, 0), (second, HARDLINK, 0)])
    wanted = tree_of([(live_file, FILE, 1), ("b", FILE, 5)], stored=False)
    disk = Disk(live)
    before = disk.read([live_link])[live_link]
    planned = plan_restore(disk.walk(), wanted.values(), keep=False)
    disk.carry_out(planned.changes)
    assert reported(planned, Concern.NOT_STORED) == ["b"]
    assert not differing(disk.read([live_link])[live_link], before)
    assert not differing(disk.read([live_file])[live_file], wanted[live_file])


def is_unstored(entry, tree):
    file = tree[entry.link_target] if entry.type is HARDLINK else entry
    return file.type is FILE and file.digest is None


@given(tree_pairs(stored=False), st.booleans())
def test_a_plan_is_in_tree_order_and_does_not_contradict_itself(pair, keep):
    planned = plan_restore(Disk(pair[0]).walk(), pair[1].values(), keep=keep)
    order = [tree_order(change.path) for change in planned.changes.changes]
    assert order == sorted(set(order))
    make_plan(planned.changes)
    assert set(reported(planned, Concern.TORN)) == {
        change.path for change in planned.changes.changes if change.after is not None and change.after.torn
    }


@given(tree_pairs(), st.sampled_from(["", "srv", "srv/\udcff"]))
def test_a_plan_for_another_place_is_the_same_plan_moved(pair, top):
    live, wanted = pair
    here = plan_restore(live.values(), wanted.values(), keep=False)
    there = plan_restore(moved(live, top).values(), rebase(wanted.values(), top), keep=False)
    assert [change.path for change in there.changes.changes] == [
        entry.path
        for entry in rebase(
            [replace(next(iter(live.values())), path=change.path) for change in here.changes.changes], top
        )
    ]
    assert {entry.path: entry for entry in rebase(wanted.values(), top)} == moved(wanted, top)


def file(path, content=b"x", **fields):
    return Entry(
        path=path, type=FILE, mode=0o644, size=len(content), digest=content.ljust(32, b"."), **fields
    )


def directory(path):
    return Entry(path=path, type=DIRECTORY, mode=0o755)


def shown(planned):
    return {change.path: change.kind.value for change in planned.changes.changes}


def linked(*entries):
    return [replace(entry, dev=1, inode=7, nlink=len(entries)) for entry in entries]


def test_a_link_that_nobody_wants_goes_without_touching_the_file_it_is_a_name_of():
    planned = plan_restore(
        [directory(""), *linked(file("a"), file("b"))], [directory(""), file("b")], keep=False
    )
    assert shown(planned) == {"a": "removed"}
    assert planned.changes.changes[0].before.link_target == "b"
    assert (
        shown(
            plan_restore(
                [directory(""), *linked(file("a"), file("b"))], [directory(""), file("b")], keep=True
            )
        )
        == {}
    )


def test_files_that_were_separate_are_separate_again():
    live = [directory(""), *linked(file("a"), file("b"))]
    planned = plan_restore(live, [directory(""), file("a"), file("b")], keep=False)
    assert shown(planned) == {"b": "changed"}
    assert (planned.changes.changes[0].before.type, planned.changes.changes[0].after.type) == (HARDLINK, FILE)


def test_a_link_whose_file_is_not_stored_is_not_made_of_whatever_lies_there():
    unread = replace(file("a"), digest=None)
    wanted = [directory(""), unread, as_link(unread, "b")]
    planned = plan_restore([directory(""), file("a", b"other")], wanted, keep=False)
    assert shown(planned) == {}
    assert planned.concerns == ((Concern.NOT_STORED, "a"), (Concern.NOT_STORED, "b"))


def test_a_directory_in_the_place_of_what_is_not_stored_keeps_what_it_holds():
    planned = plan_restore(
        [directory(""), directory("a"), file("a/b"), file("a-b")],
        [directory(""), replace(file("a"), digest=None)],
        keep=False,
    )
    assert shown(planned) == {"a-b": "removed"}


@pytest.mark.parametrize("keep", [True, False])
def test_what_lies_where_a_file_is_wanted_goes_also_when_strangers_are_kept(keep):
    live = [directory(""), directory("a"), directory("a/b"), file("a/b/c"), file("a-b"), file("z")]
    planned = plan_restore(live, [directory(""), file("a")], keep=keep)
    gone = {"a": "changed", "a/b": "removed", "a/b/c": "removed"}
    assert shown(planned) == (gone if keep else {**gone, "a-b": "removed", "z": "removed"})


def test_restoring_a_single_file_that_is_gone():
    assert shown(plan_restore([], [file("a/b", torn=True)], keep=False)) == {"a/b": "added"}
    assert plan_restore([], [file("a/b", torn=True)], keep=False).concerns == ((Concern.TORN, "a/b"),)


# Undo ---------------------------------------------------------------------------------------------------------------------------------


def undo(disk, before, after, paths):
    """Plan an undo as its caller does: with what the paths are, and what lies below directories that would go."""
    live = disk.read(paths)
    going = [
        path
        for path in paths
        if live[path] is not None
        and live[path].type is DIRECTORY
        and (path not in before or before[path].type is not DIRECTORY)
    ]
    below = [path for path in disk.names for top in going if is_within(path, top) and path != top]
    return plan_undo(live, below, before, after, paths)


def touched(tree, paths):
    """What a snapshot says of these paths alone: a link to a file that is not among them is told as that file."""
    return {
        path: replace(tree[tree[path].link_target], path=path)
        if tree[path].type is HARDLINK and tree[path].link_target not in paths
        else tree[path]
        for path in paths
        if path in tree
    }


def applied(before, wanted):
    """A disk after a restore of ``wanted``, and the paths that were touched."""
    disk = Disk(before)
    changes = plan_restore(disk.walk(), wanted.values(), keep=False).changes
    disk.carry_out(changes)
    return disk, [change.path for change in changes.changes]


@given(tree_pairs())
def test_an_undo_of_what_an_apply_did_gives_what_was_before(pair):
    before, wanted = pair
    disk, paths = applied(before, wanted)
    after = disk.recorded()
    planned = undo(disk, touched(before, paths), touched(after, paths), paths)
    assert not planned.concerns or {kind for kind, _ in planned.concerns} == {Concern.TORN}
    disk.carry_out(planned.changes)
    assume(self_contained(before, paths) and self_contained(after, paths))
    assert same(disk.recorded(), before)


def self_contained(tree, paths):
    """Whether no hard-link group has members both in ``paths`` and elsewhere; of such a group an undo knows only a part."""
    groups = {}
    for path, entry in tree.items():
        groups.setdefault(entry.link_target if entry.type is HARDLINK else path, set()).add(path in paths)
    return all(len(group) == 1 for group in groups.values())


@given(tree_pairs(), trees())
def test_an_undo_reports_exactly_what_is_not_as_the_apply_had_left_it(pair, meddled):
    before, wanted = pair
    disk, paths = applied(before, wanted)
    after = disk.recorded()
    disk.carry_out(plan_restore(disk.walk(), meddled.values(), keep=True).changes)
    assume(not any(entry.type is HARDLINK for tree in (after, disk.recorded()) for entry in tree.values()))
    planned = undo(disk, touched(before, paths), touched(after, paths), paths)
    now = disk.recorded()
    assert set(reported(planned, Concern.CHANGED_SINCE)) == {
        path
        for path in paths
        if (path in now) != (path in after) or (path in now and differing(now[path], after[path]))
    }


@given(tree_pairs(stored=False), trees())
def test_an_undo_after_others_were_at_work_takes_back_what_it_can_and_leaves_strangers(pair, meddled):
    before, wanted = pair
    stored = {path: entry for path, entry in wanted.items() if not is_unstored(entry, wanted)}
    disk, paths = applied(before, stored)
    after = disk.recorded()
    disk.carry_out(plan_restore(disk.walk(), meddled.values(), keep=True).changes)
    known, held = touched(before, paths), {entry.path: entry for entry in disk.walk()}
    shared = {held[path].inode for path in paths if path in held}
    planned = undo(disk, known, touched(after, paths), paths)
    assume(all(is_holding(disk, known, path) for path in known))
    disk.carry_out(planned.changes)
    now = {entry.path: entry for entry in disk.walk()}
    for path in held.keys() - set(paths):
        assert path in now
        assert held[path].inode in shared or not differing(held[path], now[path])
    left = [*reported(planned, Concern.NOT_EMPTY), *reported(planned, Concern.NOT_STORED)]
    for path in paths:
        assert within_any(path, left) or (path in known) == (path in now)


def is_holding(disk, known, path):
    """Whether what is to lie at ``path`` has a directory to lie in."""
    above = parent_of(path)
    if path == "" or above in known:
        return True
    found = disk.read([above])[above]
    return found is not None and found.type is DIRECTORY


def test_a_directory_that_holds_something_newer_stays_with_it():
    live = {"d": directory("d"), "d/e": directory("d/e"), "d/f": file("d/f"), "x": directory("x")}
    planned = plan_undo(live, ["d/e", "d/e/new", "d/f"], {}, {**live}, list(live))
    assert shown(planned) == {"d/f": "removed", "x": "removed"}
    assert planned.concerns == ((Concern.NOT_EMPTY, "d"), (Concern.NOT_EMPTY, "d/e"))


def test_no_hard_link_is_made_to_a_directory_that_stays():
    before = {"d": file("d"), "l": as_link(file("d"), "l")}
    planned = plan_undo(
        {"d": directory("d"), "l": None}, ["d/new"], before, {"d": directory("d")}, ["d", "l"]
    )
    assert shown(planned) == {}
    assert planned.concerns == ((Concern.NOT_EMPTY, "d"), (Concern.NOT_EMPTY, "l"))


def test_a_directory_that_was_emptied_meanwhile_goes():
    planned = plan_undo(
        {"d": directory("d"), "d/f": None}, [], {}, {"d": directory("d"), "d/f": file("d/f")}, ["d", "d/f"]
    )
    assert shown(planned) == {"d": "removed"}
    assert planned.concerns == ((Concern.CHANGED_SINCE, "d/f"),)


def test_what_cannot_be_brought_back_is_left_with_all_below_it():
    live = {"d": directory("d"), "d/f": file("d/f")}
    planned = plan_undo(live, ["d/f"], {"d": replace(file("d"), digest=None)}, live, list(live))
    assert shown(planned) == {}
    assert planned.concerns == ((Concern.NOT_STORED, "d"),)


def test_hard_links_are_told_as_they_were_recorded():
    a, b = linked(file("a"), file("b"))
    of_the_root = {"a": file("a"), "b": as_link(file("a"), "b")}
    of_these_paths = {"a": file("a"), "b": file("b")}
    for after in (of_the_root, of_these_paths):
        planned = plan_undo({"a": a, "b": b}, [], {}, after, ["a", "b"])
        assert shown(planned) == {"a": "removed", "b": "removed"}
        assert planned.concerns == ()
    broken = plan_undo(of_these_paths, [], {}, of_the_root, ["a", "b"])
    assert broken.concerns == ((Concern.CHANGED_SINCE, "b"),)


def test_a_device_is_an_entry_like_any_other():
    null = Entry(path="null", type=EntryType.CHARACTER_DEVICE, rdev=Device(1, 3))
    planned = plan_undo(
        {"null": replace(null, rdev=Device(1, 5))}, [], {"null": null}, {"null": null}, ["null"]
    )
    assert shown(planned) == {"null": "changed"}
    assert planned.concerns == ((Concern.CHANGED_SINCE, "null"),)


def test_the_root_of_a_tree_is_a_directory_like_any_other():
    tree = tree_of([])
    assert shown(plan_restore([], tree.values(), keep=False)) == {"": "added"}
