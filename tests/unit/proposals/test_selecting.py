"""The chosen part of a change set."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastro.apply.destination import OutcomeKind
from lastro.apply.memory import MemoryDestination
from lastro.apply.plan import make_plan
from lastro.chunking.digest import digest_of
from lastro.domain.changes import Change, ChangeSet, diff
from lastro.domain.entry import EntryType, differing
from lastro.domain.paths import is_within, to_bytes
from lastro.domain.proposal import ChosenHunks, Selection
from lastro.errors import UsageError
from lastro.proposals.hunks import hunks_of, with_hunks
from lastro.proposals.selecting import named_within, select
from tests.conformance.trees import Stored, directory, file, hard_link, symlink, tree
from tests.strategies import CONTENTS, change_sets, tree_pairs


class Both:
    """The contents of two trees, by path."""

    def __init__(self, changes, contents):
        self._sides = [
            {
                change.path: contents.get(entry.digest)
                for change in changes.changes
                if (entry := getattr(change, side)) is not None and entry.type is EntryType.FILE
            }
            for side in ("before", "after")
        ]

    def before(self, path):
        return self._sides[0][path]

    def after(self, path):
        return self._sides[1][path]


@st.composite
def selections(draw, changes):
    """Some files, and some hunks of others."""
    paths = [change.path for change in changes.changes]
    files = draw(st.sets(st.sampled_from(paths))) if paths else set()
    hunks = []
    content = Both(changes, CONTENTS)
    for change in changes.changes:
        sides = [side for side in (change.before, change.after) if side is not None]
        if change.path in files or any(side.type is not EntryType.FILE for side in sides):
            continue
        found = hunks_of(
            content.before(change.path) if change.before else b"",
            content.after(change.path) if change.after else b"",
        )
        if found and draw(st.booleans()):
            hunks.append(ChosenHunks(path=to_bytes(change.path), numbers=(found[0].number,)))
    return Selection(files=tuple(sorted(map(to_bytes, files))), hunks=tuple(hunks))


@given(change_sets, st.data())
def test_what_is_selected_can_be_carried_out_and_holds_what_was_named(changes, data):
    selection = data.draw(selections(changes))
    named = {*selection.files, *(chosen.path for chosen in selection.hunks)}
    try:
        selected = select(changes, selection, Both(changes, CONTENTS))
    except UsageError:
        return
    make_plan(selected.changes)
    paths = [change.path for change in selected.changes.changes]
    assert {to_bytes(path) for path in paths} - {to_bytes(path) for path in selected.brought} == (
        named or {to_bytes(change.path) for change in changes.changes}
    )
    assert paths == [change.path for change in changes.changes if change.path in set(paths)]
    assert set(selected.rest) >= {change.path for change in changes.changes} - set(paths)
    assert select(changes, selection, Both(changes, CONTENTS)).changes.digest == selected.changes.digest


@given(tree_pairs(), st.data())
def test_a_part_and_then_the_rest_gives_what_was_proposed(pair, data):
    before, after = pair
    changes = ChangeSet(tuple(diff(before.values(), after.values())))
    try:
        first = select(changes, data.draw(selections(changes)), Both(changes, CONTENTS))
    except UsageError:
        return
    destination = MemoryDestination(before.values(), CONTENTS)
    stored = Stored(tree(data=tuple(CONTENTS.values())))
    everything = [*before.values(), *after.values()]
    names = {entry.type for entry in everything}
    if EntryType.SOCKET in names or EntryType.HARDLINK in names or any(entry.torn for entry in everything):
        return  # the ones are not made, the others share attributes, the last equal nothing
    assert destination.apply("first", first.changes, stored).kind is OutcomeKind.APPLIED
    rest = ChangeSet(tuple(diff(destination.walk(""), after.values())))
    known = {change.path for change in first.changes.changes}
    assert {change.path for change in rest.changes} == {change.path for change in changes.changes} - (
        known - set(first.rest)
    )


@given(change_sets)
def test_everything_is_everything(changes):
    whole = select(changes, Selection(), Both(changes, CONTENTS))
    assert whole.changes == changes
    assert not (whole.rest or whole.composed or whole.brought)
    if changes.changes:
        named = Selection(files=tuple(to_bytes(change.path) for change in changes.changes))
        assert select(changes, named, Both(changes, CONTENTS)).changes == changes


def changed(before, after):
    return ChangeSet(tuple(diff(tree(*before).entries, tree(*after).entries)))


def chosen(changes, *paths, hunks=(), contents=()):
    content = Both(changes, {digest_of(data): data for data in contents})
    return select(
        changes,
        Selection(
            files=tuple(map(to_bytes, paths)),
            hunks=tuple(ChosenHunks(path=to_bytes(path), numbers=tuple(numbers)) for path, numbers in hunks),
        ),
        content,
    )


def paths(selected):
    return [change.path for change in selected.changes.changes]


def test_new_directories_come_along():
    changes = changed([], [directory("a"), directory("a/b"), file("a/b/c", b"1"), file("a/d", b"2")])
    selected = chosen(changes, "a/b/c")
    assert paths(selected) == ["a", "a/b", "a/b/c"]
    assert selected.brought == ("a", "a/b")
    assert selected.rest == ("a/d",)


def test_a_file_in_the_place_of_which_a_directory_comes_goes():
    changes = changed([file("a", b"")], [directory("a"), file("a/b", b"1")])
    selected = chosen(changes, "a/b")
    assert paths(selected) == ["a", "a/b"]
    assert selected.brought == ("a",)


def test_the_attributes_of_an_old_directory_do_not_come_along():
    changes = changed([directory("a")], [directory("a", mode=0o700), file("a/b", b"1")])
    assert paths(chosen(changes, "a/b")) == ["a/b"]


@pytest.mark.parametrize("after", [[], [file("a", b"now a file")], [symlink("a", "b")]])
def test_a_directory_goes_only_with_everything_in_it(after):
    changes = changed([directory("a"), file("a/b", b"1"), file("a/c", b"2")], after)
    with pytest.raises(UsageError) as caught:
        chosen(changes, "a", "a/b")
    assert caught.value.parameters["path"] == "a/c"
    assert paths(chosen(changes, "a", "a/b", "a/c")) == ["a", "a/b", "a/c"]
    assert paths(chosen(changes, "a/b")) == ["a/b"]


def test_a_hard_link_brings_the_file_it_is_a_name_of():
    first = file("a", b"1")
    changes = changed([], [first, directory("d"), hard_link(first, "d/b"), file("z", b"2")])
    assert paths(chosen(changes, "d/b")) == ["a", "d", "d/b"]
    assert paths(chosen(changes, "a")) == ["a"]


def test_names_of_one_file_change_together():
    old, new = file("a", b"1"), file("a", b"1", mode=0o600)
    changes = changed([old, hard_link(old, "b")], [new, hard_link(new, "b")])
    assert paths(chosen(changes, "a")) == ["a", "b"]
    assert paths(chosen(changes, "b")) == ["a", "b"]


def test_the_halves_of_a_rename_are_two_choices():
    changes = changed([file("old", b"1")], [file("new", b"1")])
    assert paths(chosen(changes, "new")) == ["new"]
    assert paths(chosen(changes, "old")) == ["old"]


OLD = b"".join(b"%d\n" % number for number in range(60))
NEW = OLD.replace(b"\n5\n", b"\nfive\n").replace(b"\n50\n", b"\nfifty\n").replace(b"\n30\n", b"\n")


def test_some_hunks_of_a_file():
    changes = changed([file("a", OLD)], [file("a", NEW, mode=0o755)])
    selected = chosen(changes, hunks=[("a", [1, 3])], contents=(OLD, NEW))
    composed = with_hunks(OLD, NEW, {1, 3})
    assert selected.composed == {"a": composed}
    (change,) = selected.changes.changes
    assert (change.after.size, change.after.digest, change.after.mode) == (
        len(composed),
        digest_of(composed),
        0o755,
    )
    assert selected.rest == ("a",)


def test_all_hunks_of_a_file_are_the_file():
    changes = changed([file("a", OLD)], [file("a", NEW)])
    selected = chosen(changes, hunks=[("a", [3, 1, 2])], contents=(OLD, NEW))
    assert selected.changes == changes
    assert not selected.composed
    assert not selected.rest


@pytest.mark.parametrize(
    ("named", "hunks", "hint"),
    [
        (["nothing"], [], "Changed are: a, b, s"),
        ([], [("nothing", [1])], "Changed are: a, b, s"),
        ([], [("a", [4])], "numbered from 1 to 3"),
        ([], [("a", [0])], "numbered from 1 to 3"),
        ([], [("a", [])], "Name a file once"),
        ([], [("a", [1, 1])], "Name a file once"),
        ([], [("a", [1]), ("a", [2])], "Name a file once"),
        (["a"], [("a", [1])], "Name a file once"),
        ([], [("s", [1])], "Choose the whole file"),
        ([], [("b", [1])], "Choose the whole file"),
    ],
)
def test_what_is_not_there_or_not_clear_is_refused_with_what_there_is(named, hunks, hint):
    before = [file("a", OLD), file("b", b"\0one"), symlink("s", "t")]
    changes = changed(before, [file("a", NEW), file("b", b"\0two"), symlink("s", "u")])
    with pytest.raises(UsageError) as caught:
        chosen(changes, *named, hunks=hunks, contents=(OLD, NEW, b"\0one", b"\0two"))
    assert hint in caught.value.hint_text.format(**caught.value.parameters)


def test_an_attribute_alone_has_no_hunks():
    changes = changed([file("a", OLD)], [file("a", OLD, mode=0o755)])
    with pytest.raises(UsageError):
        chosen(changes, hunks=[("a", [1])], contents=(OLD,))


def test_a_directory_as_people_name_it():
    changes = changed([], [directory("a"), file("a/b", b""), file("a-b", b""), file("c", b"")])
    assert named_within(changes, "a") == ("a", "a/b")
    assert named_within(changes, "") == ("a", "a/b", "a-b", "c")
    assert named_within(changes, "nothing") == ()


@given(change_sets, st.data())
def test_nothing_that_is_proposed_changes_on_the_way(changes, data):
    try:
        selected = select(changes, data.draw(selections(changes)), Both(changes, CONTENTS))
    except UsageError:
        return
    known = {change.path: change for change in changes.changes}
    for change in selected.changes.changes:
        assert isinstance(change, Change)
        assert change.before == known[change.path].before
        if change.path not in selected.composed:
            assert change == known[change.path]
        elif change.before is not None:
            assert differing(change.before, change.after)
    there = {change.path: change for change in selected.changes.changes}
    for path in selected.brought:
        is_above = known[path].after is not None and known[path].after.type is EntryType.DIRECTORY
        assert any(
            (is_above and is_within(other, path))
            or path
            in {getattr(change.after, "link_target", None), getattr(change.before, "link_target", None)}
            or known[path].after.link_target == other
            for other, change in there.items()
            if other != path
        )
