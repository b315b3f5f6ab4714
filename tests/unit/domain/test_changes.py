"""Laws of differences: a diff is exactly what takes one state to the other, and its digest stands for what is compared, no more."""

from __future__ import annotations

import msgspec
import pytest
from blake3 import blake3
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec.structs import replace

from lastro.domain.changes import Change, ChangeKind, ChangeSet, diff
from lastro.domain.entry import COMPARED, Device, Entry, EntryType, Extent, Xattr, differing
from lastro.domain.ids import Digest
from lastro.domain.paths import tree_order
from tests.strategies import change_sets, tree_pairs, trees

NOT_COMPARED = {
    "user": "u",
    "group": "g",
    "mtime_ns": 1,
    "ctime_ns": 2,
    "btime_ns": 3,
    "holes": (Extent(0, 1),),
    "torn": True,
    "dev": 4,
    "inode": 5,
    "nlink": 6,
}
COMPARED_OTHERWISE = {
    "type": EntryType.SOCKET,
    "mode": 0o123,
    "uid": 9,
    "gid": 9,
    "size": 12345,
    "link_target": "elsewhere",
    "rdev": Device(9, 9),
    "xattrs": (Xattr("user.x", b"9"),),
    "flags": 0x20,
    "digest": b"9" * 32,
}


def difference(before, after):
    return ChangeSet(tuple(diff(before.values(), after.values())))


def carried_out(tree, changes):
    """What a plain dict becomes when every change is made."""
    after = dict(tree)
    for change in changes.changes:
        assert after.get(change.path) == change.before
        if change.after is None:
            del after[change.path]
        else:
            after[change.path] = change.after
    return after


def same(one, other):
    return one.keys() == other.keys() and not any(differing(one[path], other[path]) for path in one)


@given(tree_pairs())
def test_a_diff_takes_the_one_state_to_the_other(pair):
    before, after = pair
    assert same(carried_out(before, difference(before, after)), after)


@given(trees())
def test_nothing_differs_from_itself(tree):
    assert difference(tree, tree) == ChangeSet()


@given(tree_pairs())
def test_a_diff_is_what_a_plain_comparison_says(pair):
    before, after = pair
    changed = {
        path: (before.get(path), after.get(path))
        for path in before.keys() | after.keys()
        if path not in before or path not in after or differing(before[path], after[path])
    }
    found = difference(before, after).changes
    assert {change.path: (change.before, change.after) for change in found} == changed
    assert len(found) == len(changed)


@given(tree_pairs())
def test_a_diff_is_in_tree_order(pair):
    order = [tree_order(change.path) for change in difference(*pair).changes]
    assert order == sorted(set(order))


@given(tree_pairs())
def test_the_inverse_takes_back_and_its_inverse_is_the_change_itself(pair):
    before, after = pair
    changes = difference(before, after)
    there = carried_out(before, changes)
    assert carried_out(there, changes.inverse) == before
    assert changes.inverse.inverse == changes
    assert changes.inverse == difference(after, before)


@given(trees(), st.sampled_from(sorted(NOT_COMPARED)), st.data())
def test_what_is_not_compared_makes_no_change(tree, name, data):
    path = data.draw(st.sampled_from(sorted(tree)))
    assert difference(tree, {**tree, path: replace(tree[path], **{name: NOT_COMPARED[name]})}) == ChangeSet()


def test_a_change_says_what_kind_it_is_and_which_fields_differ():
    file = Entry(path="a", type=EntryType.FILE, mode=0o644, uid=1)
    other = replace(file, mode=0o600, uid=2, mtime_ns=3)
    added, removed = (Change(path="a", before=None, after=file), Change(path="a", before=file, after=None))
    changed = Change(path="a", before=file, after=other)
    assert [change.kind for change in (added, removed, changed)] == [
        ChangeKind.ADDED,
        ChangeKind.REMOVED,
        ChangeKind.CHANGED,
    ]
    assert [change.fields for change in (added, removed, changed)] == [(), (), ("mode", "uid")]


# The digest ---------------------------------------------------------------------------------------------------------------------------


@given(change_sets, st.data())
def test_the_digest_changes_with_every_compared_field_of_either_side(changes, data):
    assume(changes.changes)
    number = data.draw(st.integers(0, len(changes.changes) - 1))
    change = changes.changes[number]
    sides = [side for side in ("before", "after") if getattr(change, side) is not None]
    side, name = data.draw(st.sampled_from(sides)), data.draw(st.sampled_from(COMPARED))
    entry = getattr(change, side)
    touched = replace(entry, **{name: COMPARED_OTHERWISE[name]})
    assume(differing(entry, touched))
    assert with_change(changes, number, replace(change, **{side: touched})).digest != changes.digest


@given(change_sets, st.data())
def test_the_digest_depends_on_nothing_that_is_not_compared(changes, data):
    assume(changes.changes)
    number = data.draw(st.integers(0, len(changes.changes) - 1))
    change = changes.changes[number]
    touched = {
        side: replace(entry, **NOT_COMPARED)
        for side in ("before", "after")
        if (entry := getattr(change, side)) is not None
    }
    assert with_change(changes, number, replace(change, **touched)).digest == changes.digest


@given(change_sets, change_sets)
def test_two_change_sets_have_one_digest_exactly_when_nothing_compared_differs(one, other):
    def told(changes):
        return [
            (change.path, *(side and [compared_of(side)] for side in (change.before, change.after)))
            for change in changes.changes
        ]

    assert (one.digest == other.digest) == (told(one) == told(other))


@given(change_sets)
def test_the_digest_changes_with_direction_and_with_what_is_left_out(changes):
    assume(changes.changes)
    assert changes.inverse.digest != changes.digest
    assert ChangeSet(changes.changes[1:]).digest != changes.digest


def test_the_mode_of_a_symlink_is_not_in_the_digest():
    link = Entry(path="l", type=EntryType.SYMLINK, mode=0o777, link_target="x")
    one, other = (
        ChangeSet((Change(path="l", before=None, after=entry),))
        for entry in (link, replace(link, mode=0o755))
    )
    assert one.digest == other.digest


TWO = ChangeSet(
    (
        Change(
            path="caf\udce9",
            before=Entry(path="caf\udce9", type=EntryType.FILE, mode=0o644, size=1, digest=Digest(b"1" * 32)),
            after=Entry(
                path="caf\udce9",
                type=EntryType.SYMLINK,
                mode=0o777,
                uid=1000,
                link_target="\udcff",
                xattrs=(Xattr("user.a", b"\0"),),
                flags=0x10,
            ),
        ),
        Change(
            path="null",
            before=None,
            after=Entry(path="null", type=EntryType.CHARACTER_DEVICE, gid=5, rdev=Device(1, 3)),
        ),
    )
)


def test_a_digest_is_over_plain_lists_of_bytes_and_numbers():
    canonical = [
        [
            b"caf\xe9",
            [b"file", 0o644, 0, 0, 1, None, None, [], 0, b"1" * 32],
            [b"symlink", 0, 1000, 0, 0, b"\xff", None, [[b"user.a", b"\0"]], 0x10, None],
        ],
        [b"null", None, [b"char", 0, 0, 5, 0, None, [1, 3], [], 0, None]],
    ]
    assert TWO.digest == blake3(b"lastro-change-set-0" + msgspec.msgpack.encode(canonical)).digest()


@pytest.mark.parametrize(
    ("changes", "digest"),
    [
        (ChangeSet(), "6dd9b4ccc0a642766b803f53975ae997c47fa01b95d527c4e10e90e04e51aef3"),
        (TWO, "0d7884844b6c270bf41087579c698dd9d608ec2175bd13d0b01fbd2f7556863f"),
    ],
    ids=["empty", "two"],
)
def test_a_digest_is_the_same_for_ever(changes, digest):
    assert changes.digest.hex() == digest


def with_change(changes, number, change):
    return ChangeSet((*changes.changes[:number], change, *changes.changes[number + 1 :]))


def compared_of(entry):
    symlink = entry.type is EntryType.SYMLINK
    return [0 if symlink and name == "mode" else getattr(entry, name) for name in COMPARED]
