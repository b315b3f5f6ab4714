"""Renames, for people."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lastro.domain.changes import diff
from lastro.domain.entry import EntryType
from lastro.domain.paths import is_within, relative_to
from lastro.proposals.renames import find_renames, renamed_directories
from tests.conformance.trees import directory, file, root_entry, symlink
from tests.strategies import change_sets, trees


def between(before, after):
    return tuple(
        diff(*([root_entry(), *sorted(side, key=lambda entry: entry.path)] for side in (before, after)))
    )


@given(change_sets, st.randoms(use_true_random=False))
def test_each_half_is_used_once_and_the_order_of_changes_says_nothing(changes, generator):
    found = find_renames(changes.changes)
    by_path = {change.path: change for change in changes.changes}
    assert len(set(found.values())) == len(found)
    for new, old in found.items():
        was, now = by_path[old].before, by_path[new].after
        assert by_path[new].before is None
        assert by_path[old].after is None
        assert was.type is now.type is EntryType.FILE
        assert was.digest == now.digest
        assert now.size > 0
    shuffled = generator.sample(changes.changes, len(changes.changes))
    assert list(find_renames(shuffled).items()) == list(found.items())
    assert renamed_directories(shuffled, found) == renamed_directories(changes.changes, found)


@given(trees(), st.sampled_from(["x", "y/x"]))
def test_a_directory_that_moves_is_seen_as_one(tree, top):
    inside = [entry for path, entry in tree.items() if path and entry.type is not EntryType.HARDLINK]
    was, now = (
        [*above, directory(place), *(moved(entry, place) for entry in inside)]
        for place, above in (("old/x", [directory("old")]), (top, [directory("y")] if "/" in top else []))
    )
    changes = tuple(diff([root_entry(), *was], [root_entry(), *now]))
    renames = find_renames(changes)
    found = renamed_directories(changes, renames)
    for new, old in found.items():
        below = {
            relative_to(change.path, new)
            for change in changes
            if change.after and is_within(change.path, new)
        }
        assert below == {
            relative_to(change.path, old)
            for change in changes
            if change.before and is_within(change.path, old)
        }
    contents = [entry.digest for entry in inside if entry.type is EntryType.FILE and entry.size]
    if contents and len(set(contents)) == len(contents) and not any(entry.torn for entry in inside):
        assert any(is_within(top, new) for new in found)


def moved(entry, place):
    from msgspec.structs import replace  # noqa: PLC0415

    return replace(entry, path=f"{place}/{entry.path}")


def test_the_same_name_goes_first_then_the_same_directory_then_the_order():
    was = [directory("p"), file("p/x", b"x"), file("p/y", b"x"), file("z", b"x")]
    now = [directory("a"), file("a/y", b"x"), directory("p"), file("p/n", b"x"), file("q", b"x")]
    assert find_renames(between(was, now)) == {"a/y": "p/y", "p/n": "p/x", "q": "z"}


def test_one_that_became_many_and_many_that_became_one():
    assert find_renames(between([file("a", b"x")], [file("b", b"x"), file("c", b"x")])) == {"b": "a"}
    assert find_renames(between([file("b", b"x"), file("c", b"x")], [file("a", b"x")])) == {"a": "b"}


def test_what_is_empty_or_stayed_is_not_renamed():
    assert find_renames(between([file("a", b"")], [file("b", b"")])) == {}
    assert find_renames(between([file("a", b"x")], [file("a", b"x"), file("b", b"x")])) == {}
    assert find_renames(between([symlink("a", "t")], [symlink("b", "t")])) == {}


def test_a_directory_that_left_something_behind_did_not_move():
    was = [directory("d"), file("d/f", b"x"), file("d/g", b"y")]
    now = [directory("d"), directory("e"), file("d/g", b"y"), file("e/f", b"x")]
    changes = between(was, now)
    assert find_renames(changes) == {"e/f": "d/f"}
    assert renamed_directories(changes, find_renames(changes)) == {}
    for more in ([file("e/h", b"z")], [file("e/g", b"y"), file("e/h", b"z")], []):
        changes = between(was, [directory("e"), file("e/f", b"x"), *more])
        assert renamed_directories(changes, find_renames(changes)) == {}


def test_nested_directories_are_shown_by_the_topmost():
    was = [directory("d"), directory("d/e"), file("d/e/f", b"x")]
    now = [directory("n"), directory("n/e"), file("n/e/f", b"x")]
    changes = between(was, now)
    assert renamed_directories(changes, find_renames(changes)) == {"n": "d"}


def test_ten_thousand_equal_files():
    was = [file(f"old{number:05}", b"x") for number in range(10_000)]
    now = [file(f"new{number:05}", b"x") for number in range(10_000)]
    assert len(find_renames(between(was, now))) == 10_000
